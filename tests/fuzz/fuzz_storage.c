/* libFuzzer: any storage image, as it is and with its checks made right: what is read, is written and is torn. */
#include "crc.h"
#include "input.h"
#include "storage.h"

#define CRC_BYTES 4U

static void read_image(void *context, uint16_t offset, uint8_t *bytes, uint16_t length)
{
    require((uint32_t)offset + length <= PAYGO_STORAGE_BYTES);
    memcpy(bytes, (const uint8_t *)context + offset, length);
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

static uint8_t *slot_of(uint8_t *image, uint8_t slot)
{
    return image + PAYGO_FACTORY_BYTES + slot * PAYGO_SLOT_BYTES;
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
    require(saved->event_count <= PAYGO_EVENTS && saved->load_switch <= PAYGO_SWITCH_OFF);
    for (i = 0; i < saved->event_count; i++) {
        require(saved->events[i].alert < PAYGO_ALERTS);
    }
    require(journal->slot < PAYGO_SLOTS);
}

static bool same_saved(const paygo_saved *one, const paygo_saved *other)
{
    paygo_journal first = {7, 0};
    paygo_journal second = {7, 0};
    paygo_write a, b;
    paygo_storage_write_saved(one, &first, &a);
    paygo_storage_write_saved(other, &second, &b);
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

static bool same_factory(const paygo_factory *one, const paygo_factory *other)
{
    paygo_write a, b;
    paygo_storage_write_factory(one, &a);
    paygo_storage_write_factory(other, &b);
    return a.length == b.length && a.length <= PAYGO_FACTORY_BYTES && memcmp(a.bytes, b.bytes, a.length) == 0;
}

/* The state as it wakes up (T36). */
static paygo_saved woken(const paygo_saved *saved)
{
    paygo_saved later = *saved;
    const uint64_t wait = paygo_unit_wait_left(&saved->unit);
    later.unit.clock += PAYGO_CLOCK_AHEAD_S;
    later.unit.wait_until = wait > 0 ? later.unit.clock + wait : 0;
    return later;
}

/* A write that the supply leaves at `cut` bytes: afterwards there is the state before it, or the one after it. */
static void check_torn(uint8_t *image, const paygo_saved *before, const paygo_journal *stands, uint8_t cut)
{
    paygo_journal journal = *stands;
    paygo_saved after = *before;
    paygo_saved expected, saved;
    paygo_factory factory;
    paygo_write write;
    uint16_t done;
    after.boot++;
    after.unit.wrong_entries ^= 1U;
    paygo_storage_write_saved(&after, &journal, &write);
    require(journal.slot != stands->slot && write.offset + write.length <= PAYGO_STORAGE_BYTES);
    done = cut < write.length ? cut : write.length;
    memcpy(image + write.offset, write.bytes, done);
    require(paygo_storage_read(read_image, image, &factory, &saved, &journal) == PAYGO_STORAGE_READY);
    expected = woken(&after);
    require(done < write.length || same_saved(&saved, &expected));
    require(same_saved(&saved, before) || same_saved(&saved, &expected));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t image[PAYGO_STORAGE_BYTES];
    const uint8_t sealed = (uint8_t)take(&data, &size, 1);
    const uint8_t cut = (uint8_t)take(&data, &size, 1);
    paygo_factory factory;
    paygo_saved saved;
    paygo_journal journal;
    paygo_journal none = {0, 0};
    paygo_storage_state state;
    paygo_write write;
    uint16_t factory_bytes, slot_bytes;
    uint8_t slot;
    memset(&factory, 0, sizeof factory);
    memset(&saved, 0, sizeof saved);
    paygo_storage_write_factory(&factory, &write);
    factory_bytes = write.length;
    paygo_storage_write_saved(&saved, &none, &write);
    slot_bytes = write.length;
    memset(image, 0xff, sizeof image);
    memcpy(image, data, size < sizeof image ? size : sizeof image);
    if ((sealed & 0x80U) != 0) {
        seal(image, factory_bytes);
    }
    for (slot = 0; slot < PAYGO_SLOTS; slot++) {
        if ((sealed & (1U << slot)) != 0) {
            seal(slot_of(image, slot), slot_bytes);
        }
    }
    state = paygo_storage_read(read_image, image, &factory, &saved, &journal);
    if (state != PAYGO_STORAGE_READY) {
        return 0;
    }
    check_ready(&factory, &saved, &journal);
    {
        uint8_t copy[PAYGO_STORAGE_BYTES];
        paygo_factory again;
        paygo_saved fresh;
        paygo_storage_write_factory(&factory, &write);
        memset(copy, 0xff, sizeof copy);
        memcpy(copy + write.offset, write.bytes, write.length);
        require(paygo_storage_read(read_image, copy, &again, &fresh, &none) == PAYGO_STORAGE_READY);
        require(same_factory(&factory, &again) && fresh.unit.window.count == factory.count);
    }
    if (journal.sequence > 0 && journal.sequence < UINT32_MAX) {
        check_torn(image, &saved, &journal, cut);
    }
    return 0;
}
