/* Records as bytes, and the rings that they go to (H27). */
#include "storage.h"

#include "crc.h"

#include <string.h>

#define LAYOUT 2U
#define CRC_BYTES 4U
#define CRC_START UINT32_C(0xffffffff)
#define FACTORY_USED (1U + 1U + PAYGO_SERIAL_MAX + 1U + PAYGO_TEST_CODE_MAX + 2U + 16U + 4U + 2U + 2U + 1U + 1U + 1U + CRC_BYTES)
#define SLOT_USED (4U + PAYGO_UNIT_BYTES + 1U + 4U + 4U + 4U + 4U + PAYGO_TESTS * 2U + 1U + CRC_BYTES)

/* The sizes of the header are what the code below writes; a layout that does not fit must not compile. */
typedef char factory_fits[FACTORY_USED <= PAYGO_FACTORY_BYTES ? 1 : -1];
typedef char slot_fits[SLOT_USED == PAYGO_SLOT_BYTES ? 1 : -1];
typedef char all_fits[PAYGO_EVENTS_AT + PAYGO_EVENT_PLACES * PAYGO_EVENT_BYTES <= PAYGO_STORAGE_BYTES ? 1 : -1];

/* Reading a record byte by byte. */
typedef struct {
    const paygo_reader *from;
    uint16_t offset;
    uint32_t crc;
    bool blank; /* all bytes so far are those of an erased cell */
} scan;

/* The only place that reads storage. */
static uint8_t get_byte(scan *record)
{
    uint8_t byte;
    record->from->read(record->from->context, record->offset, &byte, 1);
    record->offset++;
    record->crc = paygo_crc32_byte(record->crc, byte);
    record->blank = record->blank && byte == 0xffU;
    return byte;
}

static void get_bytes(scan *record, uint8_t *bytes, uint8_t length)
{
    uint8_t i;
    for (i = 0; i < length; i++) {
        bytes[i] = get_byte(record);
    }
}

static uint32_t get(scan *record, uint8_t size)
{
    uint32_t number = 0;
    uint8_t i;
    for (i = 0; i < size; i++) {
        number |= (uint32_t)get_byte(record) << (8U * i);
    }
    return number;
}

static void get_text(scan *record, char *text, uint8_t room)
{
    const uint8_t length = get_byte(record);
    get_bytes(record, (uint8_t *)text, room);
    text[length < room ? length : room] = '\0';
}

static scan scan_at(const paygo_reader *reader, uint16_t offset)
{
    scan record = {NULL, 0, CRC_START, true};
    record.from = reader;
    record.offset = offset;
    return record;
}

/* Whether the CRC comes next. An erased record, whose CRC fits by chance if it has four bytes, is none. */
static bool crc_good(scan *record)
{
    const uint32_t crc = ~record->crc;
    const uint32_t stored = get(record, CRC_BYTES);
    return stored == crc && !record->blank;
}

static uint16_t slot_at(uint8_t slot)
{
    return (uint16_t)(PAYGO_SLOTS_AT + (uint16_t)(slot * PAYGO_SLOT_BYTES));
}

static uint16_t clock_at(uint8_t place)
{
    return (uint16_t)(PAYGO_CLOCKS_AT + (uint16_t)(place * PAYGO_CLOCK_BYTES));
}

static uint16_t event_at(uint32_t seq)
{
    return (uint16_t)(PAYGO_EVENTS_AT + (uint16_t)(seq % PAYGO_EVENT_PLACES) * PAYGO_EVENT_BYTES);
}

static bool read_factory(const paygo_reader *reader, paygo_factory *factory)
{
    paygo_config *config = &factory->config;
    scan record = scan_at(reader, 0);
    const uint8_t layout = get_byte(&record);
    get_text(&record, factory->serial, PAYGO_SERIAL_MAX);
    get_text(&record, factory->test_code, PAYGO_TEST_CODE_MAX);
    factory->count = (uint16_t)get(&record, 2);
    get_bytes(&record, config->secret_key, 16);
    config->starting_code = get(&record, 4);
    config->max_count = UINT16_MAX;
    config->max_jump = (uint16_t)get(&record, 2);
    config->max_sync_jump = (uint16_t)get(&record, 2);
    config->older_window = get_byte(&record);
    config->time_divider = get_byte(&record);
    config->restricted_digits = get_byte(&record) != 0;
    config->strict_waits = false;
    /* what a setup can have written (H10, H14) */
    return crc_good(&record) && layout == LAYOUT && config->starting_code >= 1 &&
           config->starting_code <= UINT32_C(999999999) && config->max_jump >= 1 && config->max_sync_jump >= 1 &&
           config->older_window <= PAYGO_MAX_OLDER_WINDOW && config->time_divider >= 1;
}

/* Returns the slot's sequence number, 0 when it cannot be read. `touched` tells whether anything was written there. */
static uint32_t read_slot(const paygo_reader *reader, uint8_t slot, paygo_saved *saved, bool *touched)
{
    scan record = scan_at(reader, slot_at(slot));
    uint8_t unit[PAYGO_UNIT_BYTES];
    const uint32_t sequence = get(&record, 4);
    uint8_t load_switch, i;
    bool good;
    get_bytes(&record, unit, PAYGO_UNIT_BYTES);
    load_switch = get_byte(&record);
    saved->load_switch = load_switch == PAYGO_SWITCH_OFF ? PAYGO_SWITCH_OFF
                         : load_switch == PAYGO_SWITCH_ON ? PAYGO_SWITCH_ON : PAYGO_SWITCH_AUTO;
    saved->boot = get(&record, 4);
    saved->event_seq = get(&record, 4);
    saved->acked_seq = get(&record, 4);
    saved->rtc_s = get(&record, 4);
    for (i = 0; i < PAYGO_TESTS; i++) {
        const uint16_t left = (uint16_t)get(&record, 2);
        saved->tests[i] = (uint16_t)(left < PAYGO_TEST_HOUR_S ? left : PAYGO_TEST_HOUR_S);
    }
    saved->reported = get_byte(&record);
    good = crc_good(&record);
    *touched = !record.blank;
    return good && load_switch <= PAYGO_SWITCH_OFF && saved->acked_seq <= saved->event_seq &&
                   saved->event_seq - saved->acked_seq <= PAYGO_EVENTS && paygo_unit_load(&saved->unit, unit)
               ? sequence
               : 0;
}

/* A clock of the ring, 0 when it cannot be read. */
static uint32_t read_clock(const paygo_reader *reader, uint8_t place, bool *touched)
{
    scan record = scan_at(reader, clock_at(place));
    const uint32_t clock = get(&record, 4);
    const bool good = crc_good(&record);
    *touched = !record.blank;
    return good ? clock : 0;
}

/*
 * The newest clock of the ring, 0 when there is none. One record behind it may be torn, and one may be worn; each
 * further one that cannot be read may have been a newer clock, and is counted as one, so that damage gives no credit.
 * Returns false when clocks were stored and none of them can be read.
 */
static bool read_clocks(const paygo_reader *reader, paygo_journal *journal, uint32_t *newest)
{
    uint8_t damaged = 0;
    uint8_t place;
    bool touched;
    *newest = 0;
    journal->clock = PAYGO_CLOCKS;
    for (place = 0; place < PAYGO_CLOCKS; place++) {
        const uint32_t clock = read_clock(reader, place, &touched);
        if (clock > *newest) {
            *newest = clock;
            journal->clock = place;
        }
        damaged = (uint8_t)(damaged + (clock == 0 && touched ? 1U : 0U));
    }
    if (*newest == 0) {
        return damaged <= 2U;
    }
    damaged = 0;
    place = (uint8_t)((journal->clock + 1U) % PAYGO_CLOCKS);
    while (place != journal->clock && read_clock(reader, place, &touched) == 0 && touched) {
        damaged++;
        if (damaged > 2U) {
            *newest += PAYGO_CLOCK_AHEAD_S;
        }
        place = (uint8_t)((place + 1U) % PAYGO_CLOCKS);
    }
    return true;
}

/*
 * A journal without a whole slot is new when at most one slot was ever touched (its first write was cut off), and
 * corrupt otherwise: the second slot is written before the first token can be accepted.
 */
paygo_storage_state paygo_storage_read(const paygo_reader *reader, paygo_factory *factory, paygo_saved *saved,
                                       paygo_journal *journal)
{
    const bool set_up = read_factory(reader, factory);
    uint8_t written = 0;
    uint8_t slot;
    uint32_t clock, passed;
    bool clocks, touched;
    memset(journal, 0, sizeof *journal);
    for (slot = 0; slot < PAYGO_STATES; slot++) {
        const uint32_t sequence = read_slot(reader, slot, saved, &touched);
        written = (uint8_t)(written + (touched ? 1U : 0U));
        if (sequence > journal->sequence) {
            journal->sequence = sequence;
            journal->slot = slot;
        }
    }
    clocks = read_clocks(reader, journal, &clock);
    if (!set_up) {
        memset(factory, 0, sizeof *factory);
        return written == 0 ? PAYGO_STORAGE_BLANK : PAYGO_STORAGE_CORRUPT;
    }
    if (!clocks || (journal->sequence == 0 && written > 1)) {
        return PAYGO_STORAGE_CORRUPT;
    }
    if (journal->sequence == 0) {
        memset(saved, 0, sizeof *saved);
        paygo_unit_init(&saved->unit, factory->count);
        return PAYGO_STORAGE_READY;
    }
    (void)read_slot(reader, journal->slot, saved, &touched);
    if (clock > saved->unit.clock) {
        uint8_t i;
        passed = clock - (uint32_t)saved->unit.clock;
        for (i = 0; i < PAYGO_TESTS; i++) {
            saved->tests[i] = (uint16_t)(passed < saved->tests[i] ? saved->tests[i] - passed : 0);
        }
        paygo_unit_tick(&saved->unit, clock);
    }
    return PAYGO_STORAGE_READY;
}

bool paygo_storage_event(const paygo_reader *reader, uint32_t seq, paygo_event *event)
{
    scan record = scan_at(reader, event_at(seq));
    uint32_t value;
    event->seq = get(&record, 4);
    event->boot = get(&record, 4);
    value = get(&record, 4);
    event->value = value > (uint32_t)INT32_MAX ? -1 - (int32_t)(UINT32_MAX - value) : (int32_t)value;
    event->alert = get_byte(&record);
    event->raised = get_byte(&record) != 0;
    return crc_good(&record) && event->seq == seq && event->alert < PAYGO_ALERTS;
}

/* Writing: the whole record is made for each piece, and the piece is kept. */
typedef struct {
    paygo_write *write;
    uint8_t at;
    uint32_t crc;
} making;

static void put_byte(making *record, uint8_t byte)
{
    const uint8_t place = (uint8_t)(record->at - record->write->at);
    if (record->at >= record->write->at && place < PAYGO_WRITE_BYTES) {
        record->write->bytes[place] = byte;
    }
    record->at++;
    record->crc = paygo_crc32_byte(record->crc, byte);
}

static void put(making *record, uint32_t number, uint8_t size)
{
    while (size > 0) {
        put_byte(record, (uint8_t)(number & 0xffU));
        number >>= 8;
        size--;
    }
}

static void put_bytes(making *record, const uint8_t *bytes, uint8_t length)
{
    uint8_t i;
    for (i = 0; i < length; i++) {
        put_byte(record, bytes[i]);
    }
}

static void put_text(making *record, const char *text, uint8_t room)
{
    const uint8_t length = (uint8_t)strlen(text);
    uint8_t i;
    put_byte(record, length);
    for (i = 0; i < room; i++) {
        put_byte(record, (uint8_t)(i < length ? text[i] : '\0'));
    }
}

static void put_factory(making *record, const paygo_factory *factory)
{
    const paygo_config *config = &factory->config;
    put(record, LAYOUT, 1);
    put_text(record, factory->serial, PAYGO_SERIAL_MAX);
    put_text(record, factory->test_code, PAYGO_TEST_CODE_MAX);
    put(record, factory->count, 2);
    put_bytes(record, config->secret_key, 16);
    put(record, config->starting_code, 4);
    put(record, config->max_jump, 2);
    put(record, config->max_sync_jump, 2);
    put_byte(record, config->older_window);
    put_byte(record, config->time_divider);
    put_byte(record, config->restricted_digits ? 1 : 0);
}

static void put_slot(making *record, const paygo_saved *saved, uint32_t sequence)
{
    uint8_t unit[PAYGO_UNIT_BYTES];
    uint8_t i;
    put(record, sequence, 4);
    paygo_unit_store(&saved->unit, PAYGO_CLOCK_AHEAD_S, unit);
    put_bytes(record, unit, PAYGO_UNIT_BYTES);
    put_byte(record, (uint8_t)saved->load_switch);
    put(record, saved->boot, 4);
    put(record, saved->event_seq, 4);
    put(record, saved->acked_seq, 4);
    put(record, saved->rtc_s, 4);
    for (i = 0; i < PAYGO_TESTS; i++) {
        put(record, saved->tests[i], 2);
    }
    put_byte(record, saved->reported);
}

static void put_event(making *record, const paygo_event *event)
{
    put(record, event->seq, 4);
    put(record, event->boot, 4);
    put(record, (uint32_t)event->value, 4);
    put_byte(record, event->alert);
    put_byte(record, event->raised ? 1 : 0);
}

/* The slot, or the place of a clock, that the record goes to. */
static uint8_t place_of(const paygo_record *record, const paygo_journal *journal)
{
    uint8_t first;
    if (record->kind == PAYGO_RECORD_CLOCK) {
        first = (uint8_t)(journal->clock < PAYGO_CLOCKS ? journal->clock + 1U : 0U);
        return (uint8_t)((uint8_t)(first + record->tries) % PAYGO_CLOCKS);
    }
    first = (uint8_t)(journal->sequence > 0 ? journal->slot + 1U : 0U);
    return (uint8_t)((uint8_t)(first + record->tries) % PAYGO_STATES);
}

void paygo_record_begin(paygo_record *record, paygo_record_kind kind, const paygo_journal *journal, uint32_t clock,
                        uint32_t seq)
{
    memset(record, 0, sizeof *record);
    record->kind = kind;
    switch (kind) {
    case PAYGO_RECORD_SLOT:
        record->length = SLOT_USED;
        record->offset = slot_at(place_of(record, journal));
        break;
    case PAYGO_RECORD_CLOCK:
        record->length = PAYGO_CLOCK_BYTES;
        record->offset = clock_at(place_of(record, journal));
        record->clock = clock;
        break;
    case PAYGO_RECORD_EVENT:
        record->length = PAYGO_EVENT_BYTES;
        record->offset = event_at(seq);
        break;
    case PAYGO_RECORD_FACTORY:
    default:
        record->length = FACTORY_USED;
        break;
    }
}

void paygo_record_piece(paygo_record *record, const paygo_content *content, const paygo_journal *journal,
                        paygo_write *write)
{
    making made = {NULL, 0, CRC_START};
    uint8_t left = (uint8_t)(record->length - record->at);
    made.write = write;
    write->at = record->at;
    switch (record->kind) {
    case PAYGO_RECORD_SLOT:
        put_slot(&made, content->saved, journal->sequence + 1U);
        break;
    case PAYGO_RECORD_CLOCK:
        put(&made, record->clock, 4);
        break;
    case PAYGO_RECORD_EVENT:
        put_event(&made, content->event);
        break;
    case PAYGO_RECORD_FACTORY:
    default:
        put_factory(&made, content->factory);
        break;
    }
    record->crc = ~made.crc;
    put(&made, record->crc, CRC_BYTES);
    write->offset = (uint16_t)(record->offset + record->at);
    write->length = left < PAYGO_WRITE_BYTES ? left : (uint8_t)PAYGO_WRITE_BYTES;
    left = (uint8_t)(left - write->length);
    write->rest = left;
    record->at = (uint8_t)(record->length - left);
}

bool paygo_record_stored(const paygo_record *record, const paygo_reader *reader, paygo_journal *journal)
{
    scan found = scan_at(reader, record->offset);
    uint8_t i;
    for (i = CRC_BYTES; i < record->length; i++) {
        (void)get_byte(&found);
    }
    if (~found.crc != record->crc || get(&found, CRC_BYTES) != record->crc) {
        return false;
    }
    if (record->kind == PAYGO_RECORD_SLOT) {
        journal->slot = place_of(record, journal);
        journal->sequence++;
    } else if (record->kind == PAYGO_RECORD_CLOCK) {
        journal->clock = place_of(record, journal);
    }
    return true;
}

bool paygo_record_elsewhere(paygo_record *record, const paygo_journal *journal)
{
    const uint8_t places = (uint8_t)(record->kind == PAYGO_RECORD_SLOT    ? PAYGO_STATES
                                     : record->kind == PAYGO_RECORD_CLOCK ? PAYGO_CLOCKS
                                                                          : 1U);
    record->tries++;
    if (record->tries + 1U >= places) {
        return false;
    }
    record->at = 0;
    record->offset = record->kind == PAYGO_RECORD_SLOT ? slot_at(place_of(record, journal))
                                                       : clock_at(place_of(record, journal));
    return true;
}
