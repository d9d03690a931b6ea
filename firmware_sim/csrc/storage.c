/* Factory data and the journal, as bytes. */
#include "storage.h"

#include "bytes.h"
#include "crc.h"

#include <string.h>

#define LAYOUT 1U
#define CRC_BYTES 4U
#define FACTORY_USED (1U + 1U + PAYGO_SERIAL_MAX + 1U + PAYGO_TEST_CODE_MAX + 2U + 16U + 4U + 2U + 2U + 1U + 1U + 1U + CRC_BYTES)
#define EVENT_BYTES 14U
#define SLOT_USED (4U + PAYGO_UNIT_BYTES + 1U + 4U + 4U + 4U + PAYGO_TESTS * 2U + 1U + 1U + PAYGO_EVENTS * EVENT_BYTES)

/* The sizes above are what the code below writes; a layout that does not fit must not compile. */
typedef char factory_fits[FACTORY_USED <= PAYGO_FACTORY_BYTES ? 1 : -1];
typedef char slot_fits[SLOT_USED + CRC_BYTES <= PAYGO_SLOT_BYTES ? 1 : -1];

static bool crc_good(const uint8_t *bytes, uint16_t used)
{
    uint64_t stored;
    (void)paygo_get(bytes + used, &stored, CRC_BYTES);
    return stored == paygo_crc32(bytes, used);
}

static uint8_t *put_text(uint8_t *at, const char *text, uint8_t room)
{
    const size_t length = strlen(text);
    *at = (uint8_t)length;
    memset(at + 1, 0, room);
    memcpy(at + 1, text, length);
    return at + 1 + room;
}

static const uint8_t *get_text(const uint8_t *at, char *text, uint8_t room)
{
    const uint8_t length = *at < room ? *at : room;
    memcpy(text, at + 1, length);
    text[length] = '\0';
    return at + 1 + room;
}

void paygo_storage_write_factory(const paygo_factory *factory, paygo_write *write)
{
    const paygo_config *config = &factory->config;
    uint8_t *at = write->bytes;
    at = paygo_put(at, LAYOUT, 1);
    at = put_text(at, factory->serial, PAYGO_SERIAL_MAX);
    at = put_text(at, factory->test_code, PAYGO_TEST_CODE_MAX);
    at = paygo_put(at, factory->count, 2);
    memcpy(at, config->secret_key, 16);
    at = paygo_put(at + 16, config->starting_code, 4);
    at = paygo_put(at, config->max_jump, 2);
    at = paygo_put(at, config->max_sync_jump, 2);
    at = paygo_put(at, config->older_window, 1);
    at = paygo_put(at, config->time_divider, 1);
    at = paygo_put(at, config->restricted_digits ? 1 : 0, 1);
    write->offset = 0;
    write->length = FACTORY_USED;
    (void)paygo_put(at, paygo_crc32(write->bytes, FACTORY_USED - CRC_BYTES), CRC_BYTES);
}

static bool read_factory(paygo_read read, void *context, paygo_factory *factory)
{
    paygo_config *config = &factory->config;
    uint8_t bytes[FACTORY_USED];
    const uint8_t *at = bytes;
    uint64_t layout, count, starting_code, max_jump, max_sync_jump, older_window, divider, restricted;
    read(context, 0, bytes, FACTORY_USED);
    at = paygo_get(at, &layout, 1);
    if (layout != LAYOUT || !crc_good(bytes, FACTORY_USED - CRC_BYTES)) {
        return false;
    }
    at = get_text(at, factory->serial, PAYGO_SERIAL_MAX);
    at = get_text(at, factory->test_code, PAYGO_TEST_CODE_MAX);
    at = paygo_get(at, &count, 2);
    memcpy(config->secret_key, at, 16);
    at = paygo_get(at + 16, &starting_code, 4);
    at = paygo_get(at, &max_jump, 2);
    at = paygo_get(at, &max_sync_jump, 2);
    at = paygo_get(at, &older_window, 1);
    at = paygo_get(at, &divider, 1);
    (void)paygo_get(at, &restricted, 1);
    factory->count = (uint16_t)count;
    config->starting_code = (uint32_t)starting_code;
    config->max_count = UINT16_MAX;
    config->max_jump = (uint16_t)max_jump;
    config->max_sync_jump = (uint16_t)max_sync_jump;
    config->older_window = (uint8_t)older_window;
    config->time_divider = (uint8_t)divider;
    config->restricted_digits = restricted != 0;
    config->strict_waits = false;
    return starting_code >= 1 && starting_code <= UINT32_C(999999999) && max_jump >= 1 && max_sync_jump >= 1 &&
           older_window <= PAYGO_MAX_OLDER_WINDOW && divider >= 1; /* what a setup can have written (H10, H14) */
}

void paygo_storage_write_saved(const paygo_saved *saved, paygo_journal *journal, paygo_write *write)
{
    uint8_t *at = write->bytes;
    uint8_t i;
    journal->slot = (uint8_t)(journal->sequence == 0 ? 0 : (journal->slot + 1U) % PAYGO_SLOTS);
    journal->sequence++;
    at = paygo_put(at, journal->sequence, 4);
    paygo_unit_store(&saved->unit, PAYGO_CLOCK_AHEAD_S, at);
    at = paygo_put(at + PAYGO_UNIT_BYTES, (uint64_t)saved->load_switch, 1);
    at = paygo_put(at, saved->boot, 4);
    at = paygo_put(at, saved->event_seq, 4);
    at = paygo_put(at, saved->rtc_s, 4);
    for (i = 0; i < PAYGO_TESTS; i++) {
        at = paygo_put(at, saved->tests[i], 2);
    }
    at = paygo_put(at, saved->reported, 1);
    at = paygo_put(at, saved->event_count, 1);
    for (i = 0; i < PAYGO_EVENTS; i++) {
        static const paygo_event none;
        const paygo_event *event = i < saved->event_count ? &saved->events[i] : &none;
        at = paygo_put(at, event->alert, 1);
        at = paygo_put(at, (event->raised ? 1U : 0U) | (event->acknowledged ? 2U : 0U), 1);
        at = paygo_put(at, (uint32_t)event->value, 4);
        at = paygo_put(at, event->boot, 4);
        at = paygo_put(at, event->seq, 4);
    }
    write->offset = (uint16_t)(PAYGO_FACTORY_BYTES + (uint16_t)(journal->slot * PAYGO_SLOT_BYTES));
    write->length = SLOT_USED + CRC_BYTES;
    (void)paygo_put(at, paygo_crc32(write->bytes, SLOT_USED), CRC_BYTES);
}

/* The two's complement that was stored as four bytes. */
static int32_t to_signed(uint64_t stored)
{
    return stored > INT32_MAX ? (int32_t)((int64_t)stored - INT64_C(0x100000000)) : (int32_t)stored;
}

static bool parse_slot(const uint8_t *bytes, paygo_saved *saved, uint32_t *sequence)
{
    const uint8_t *at = bytes;
    uint64_t number, load_switch, event_count;
    uint8_t i;
    if (!crc_good(bytes, SLOT_USED)) {
        return false;
    }
    at = paygo_get(at, &number, 4);
    *sequence = (uint32_t)number;
    if (!paygo_unit_load(&saved->unit, at)) {
        return false;
    }
    at = paygo_get(at + PAYGO_UNIT_BYTES, &load_switch, 1);
    at = paygo_get(at, &number, 4);
    saved->boot = (uint32_t)number;
    at = paygo_get(at, &number, 4);
    saved->event_seq = (uint32_t)number;
    at = paygo_get(at, &number, 4);
    saved->rtc_s = (uint32_t)number;
    for (i = 0; i < PAYGO_TESTS; i++) {
        at = paygo_get(at, &number, 2);
        saved->tests[i] = (uint16_t)(number < PAYGO_TEST_HOUR_S ? number : PAYGO_TEST_HOUR_S);
    }
    at = paygo_get(at, &number, 1);
    saved->reported = (uint8_t)number;
    at = paygo_get(at, &event_count, 1);
    if (*sequence == 0 || load_switch > PAYGO_SWITCH_OFF || event_count > PAYGO_EVENTS) {
        return false;
    }
    saved->load_switch = (paygo_switch)load_switch;
    saved->event_count = (uint8_t)event_count;
    for (i = 0; i < PAYGO_EVENTS; i++) {
        paygo_event *event = &saved->events[i];
        at = paygo_get(at, &number, 1);
        event->alert = (uint8_t)(number < PAYGO_ALERTS ? number : 0);
        at = paygo_get(at, &number, 1);
        event->raised = (number & 1U) != 0;
        event->acknowledged = (number & 2U) != 0;
        at = paygo_get(at, &number, 4);
        event->value = to_signed(number);
        at = paygo_get(at, &number, 4);
        event->boot = (uint32_t)number;
        at = paygo_get(at, &number, 4);
        event->seq = (uint32_t)number;
    }
    return true;
}

static bool blank(const uint8_t *bytes, uint16_t length)
{
    uint16_t i;
    for (i = 0; i < length; i++) {
        if (bytes[i] != 0xff) {
            return false;
        }
    }
    return true;
}

/*
 * A journal without a whole slot is new when at most one slot was ever touched (its first write was cut off), and
 * corrupt otherwise: the second slot is written before the first token can be accepted.
 */
paygo_storage_state paygo_storage_read(paygo_read read, void *context, paygo_factory *factory, paygo_saved *saved,
                                       paygo_journal *journal)
{
    const bool set_up = read_factory(read, context, factory);
    uint8_t touched = 0;
    uint8_t slot;
    journal->sequence = 0;
    journal->slot = 0;
    for (slot = 0; slot < PAYGO_SLOTS; slot++) {
        uint8_t bytes[SLOT_USED + CRC_BYTES];
        paygo_saved found;
        uint32_t sequence;
        read(context, (uint16_t)(PAYGO_FACTORY_BYTES + (uint16_t)(slot * PAYGO_SLOT_BYTES)), bytes,
             SLOT_USED + CRC_BYTES);
        if (!blank(bytes, SLOT_USED + CRC_BYTES)) {
            touched++;
        }
        if (parse_slot(bytes, &found, &sequence) && sequence > journal->sequence) {
            journal->sequence = sequence;
            journal->slot = slot;
            *saved = found;
        }
    }
    if (!set_up) {
        return touched == 0 ? PAYGO_STORAGE_BLANK : PAYGO_STORAGE_CORRUPT;
    }
    if (journal->sequence > 0) {
        return PAYGO_STORAGE_READY;
    }
    if (touched > 1) {
        return PAYGO_STORAGE_CORRUPT;
    }
    memset(saved, 0, sizeof *saved);
    paygo_unit_init(&saved->unit, factory->count);
    return PAYGO_STORAGE_READY;
}
