/* libFuzzer: any storage image, as it is and with its checks made right: what is read, is written, torn and stuck. */
#include "crc.h"
#include "input.h"
#include "storage.h"

#define CRC_BYTES 4U

static uint8_t image[PAYGO_STORAGE_BYTES];

static uint8_t read_image(void *context, uint16_t offset)
{
    require(offset < PAYGO_STORAGE_BYTES);
    return ((const uint8_t *)context)[offset];
}

/* Makes the check of a stored record right, so that what lies behind the check is reached too. */
static void seal(uint8_t *bytes, uint16_t length)
{
    const uint16_t used = (uint16_t)(length - CRC_BYTES);
    const uint32_t crc = paygo_crc32(bytes, used);
    uint8_t i;
    for (i = 0; i < CRC_BYTES; i++) {
        bytes[used + i] = (uint8_t)(crc >> (8U * i));
    }
}

/* What a unit may be built on. */
static void check_ready(const paygo_factory *factory, const paygo_saved *saved, const paygo_journal *journal)
{
    const paygo_config *config = &factory->config;
    uint8_t i;
    require(strlen(factory->serial) <= PAYGO_SERIAL_MAX && strlen(factory->test_code) <= PAYGO_TEST_CODE_MAX);
    require(config->starting_code >= 1 && config->starting_code <= UINT32_C(999999999));
    require(config->time_divider >= 1 && config->older_window <= PAYGO_MAX_OLDER_WINDOW);
    require(config->max_jump >= 1 && config->max_sync_jump >= 1);
    require(saved->unit.window.floor <= saved->unit.window.count);
    require(saved->event_seq - saved->acked_seq <= PAYGO_EVENTS && saved->load_switch <= PAYGO_SWITCH_OFF);
    for (i = 0; i < PAYGO_TESTS; i++) {
        require(saved->tests[i] <= PAYGO_TEST_HOUR_S);
    }
    require(saved->chemistry < PAYGO_CHEMISTRIES);
    require(saved->capacity_ah >= 1 && saved->capacity_ah <= PAYGO_BATTERY_AH_MAX);
    require(journal->slot < PAYGO_STATES && journal->clock < PAYGO_CLOCKS);
}

/* Writes a record in its pieces, at most `cut` bytes of it. Returns whether it is whole. */
static bool write_record(paygo_record *record, void *content, const paygo_journal *journal, uint8_t cut)
{
    paygo_write write;
    do {
        const uint8_t at = record->at;
        paygo_record_piece(record, content, journal, &write);
        require(write.at == at && write.length > 0 && write.length <= PAYGO_WRITE_BYTES);
        require((uint32_t)write.offset + write.length <= PAYGO_STORAGE_BYTES);
        require(write.at + write.length + write.rest == record->length);
        memcpy(image + write.offset, write.bytes,
               cut <= write.at ? 0 : cut - write.at < write.length ? (size_t)(cut - write.at) : write.length);
    } while (write.rest > 0);
    return cut >= record->length;
}

static bool same_saved(const paygo_saved *one, const paygo_saved *other)
{
    uint8_t a[PAYGO_UNIT_BYTES], b[PAYGO_UNIT_BYTES];
    paygo_unit_store(&one->unit, 0, a);
    paygo_unit_store(&other->unit, 0, b);
    return memcmp(a, b, sizeof a) == 0 && one->boot == other->boot && one->event_seq == other->event_seq &&
           one->acked_seq == other->acked_seq && one->load_switch == other->load_switch &&
           one->reported == other->reported && one->active == other->active && one->chemistry == other->chemistry &&
           one->capacity_ah == other->capacity_ah && memcmp(one->tests, other->tests, sizeof one->tests) == 0;
}

/* A new state, of which the supply leaves `cut` bytes: afterwards there is the state before it, or the one after it. */
static void check_torn(const paygo_reader *reader, const paygo_saved *before, const paygo_journal *stands, uint8_t cut)
{
    paygo_journal journal = *stands;
    paygo_saved after = *before;
    paygo_saved saved;
    paygo_factory factory;
    paygo_record record;
    after.boot++;
    after.unit.wrong_entries ^= 1U;
    paygo_record_begin(&record, PAYGO_RECORD_SLOT, &journal, 0);
    if (write_record(&record, &after, &journal, cut)) {
        require(paygo_record_stored(&record, &after, reader, &journal));
        require(journal.slot != stands->slot && journal.sequence == stands->sequence + 1U);
    }
    require(paygo_storage_read(reader, &factory, &saved, &journal) == PAYGO_STORAGE_READY);
    if (cut >= record.length) {
        require(saved.boot == after.boot && saved.unit.wrong_entries == after.unit.wrong_entries);
        require(saved.unit.clock >= before->unit.clock);
        require(paygo_unit_seconds_left(&saved.unit) <= paygo_unit_seconds_left(&before->unit));
    } else {
        require(saved.boot == before->boot || saved.boot == after.boot); /* whatever lay there, whole by its check */
    }
}

/* A clock, an event and the factory data: there, or told that they are not. */
static void check_others(const paygo_reader *reader, paygo_factory *factory, paygo_journal *journal, uint8_t cut)
{
    static const paygo_record_kind kinds[] = {PAYGO_RECORD_CLOCK, PAYGO_RECORD_EVENT, PAYGO_RECORD_FACTORY};
    paygo_event event = {7, 3, -12, PAYGO_ALERT_CLOCK_TAMPER, true};
    paygo_event found;
    uint32_t clock = 1000;
    void *contents[3];
    uint8_t i;
    contents[0] = &clock;
    contents[1] = &event;
    contents[2] = factory;
    for (i = 0; i < 3; i++) {
        paygo_record record;
        uint8_t places = 1;
        paygo_record_begin(&record, kinds[i], journal, event.seq);
        if (write_record(&record, contents[i], journal, cut)) {
            require(paygo_record_stored(&record, contents[i], reader, journal));
            require(kinds[i] != PAYGO_RECORD_EVENT || paygo_storage_event(reader, event.seq, &found));
            require(kinds[i] != PAYGO_RECORD_EVENT || (found.value == -12 && found.boot == 3 && found.raised));
        }
        while (paygo_record_elsewhere(&record)) {
            require(record.at == 0);
            places++;
        }
        require(places <= PAYGO_CLOCKS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t sealed = (uint8_t)take(&data, &size, 1);
    const uint8_t cut = (uint8_t)take(&data, &size, 1);
    paygo_reader reader;
    paygo_factory factory;
    paygo_saved saved, again;
    paygo_journal journal, other;
    paygo_record record;
    uint8_t slot;
    reader.read = read_image;
    reader.context = image;
    memset(&saved, 0, sizeof saved);
    memset(&journal, 0, sizeof journal);
    memset(image, 0xff, sizeof image);
    memcpy(image, data, size < sizeof image ? size : sizeof image);
    if ((sealed & 0x80U) != 0) {
        paygo_record_begin(&record, PAYGO_RECORD_FACTORY, &journal, 0);
        seal(image, record.length);
        for (slot = 0; slot < PAYGO_CLOCKS; slot += 3) {
            seal(image + PAYGO_CLOCKS_AT + slot * PAYGO_CLOCK_BYTES, PAYGO_CLOCK_BYTES);
        }
    }
    for (slot = 0; slot < PAYGO_STATES; slot++) {
        if ((sealed & (1U << slot)) != 0) {
            seal(image + PAYGO_SLOTS_AT + slot * PAYGO_SLOT_BYTES, PAYGO_SLOT_BYTES);
        }
    }
    paygo_saved_init(&again, cut);
    require(again.unit.window.count == cut && again.capacity_ah == PAYGO_BATTERY_AH && again.boot == 0);
    if (paygo_storage_read(&reader, &factory, &saved, &journal) != PAYGO_STORAGE_READY) {
        return 0;
    }
    check_ready(&factory, &saved, &journal);
    again = saved;
    paygo_saved_tick(&again, cut * 3600U);
    require(paygo_unit_seconds_left(&again.unit) <= paygo_unit_seconds_left(&saved.unit));
    require(again.tests[0] <= saved.tests[0] && (cut == 0 || again.tests[0] == 0));
    require(paygo_storage_read(&reader, &factory, &again, &other) == PAYGO_STORAGE_READY);
    require(same_saved(&saved, &again));
    if (journal.sequence > 0 && journal.sequence < UINT32_MAX && saved.unit.clock < UINT32_MAX / 2U) {
        check_torn(&reader, &saved, &journal, cut);
    }
    check_others(&reader, &factory, &journal, cut);
    return 0;
}
