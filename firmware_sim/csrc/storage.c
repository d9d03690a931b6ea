/* Records as bytes, and the rings that they go to (H27). */
#include "storage.h"

#include "apart.h"
#include "crc.h"
#include "flash.h"

#include <stddef.h>
#include <string.h>

#define LAYOUT 5U
#define CRC_BYTES 4U
#define CRC_START UINT32_C(0xffffffff)
#define FACTORY_USED (1U + 1U + PAYGO_SERIAL_MAX + 1U + PAYGO_TEST_CODE_MAX + 2U + 16U + 4U + 2U + 2U + 1U + 1U + 1U + CRC_BYTES)
#define UNIT_USED (4U + 4U + 2U + 2U + 2U + 2U + 4U + 1U + 1U)
#define SLOT_USED (4U + UNIT_USED + 1U + 4U + 4U + 4U + 4U + PAYGO_TESTS * 2U + 2U + 1U + 2U + 2U + CRC_BYTES)

/* The sizes of the header are what the code below writes; a layout that does not fit must not compile. */
typedef char factory_fits[FACTORY_USED <= PAYGO_FACTORY_BYTES ? 1 : -1];
typedef char slot_fits[SLOT_USED == PAYGO_SLOT_BYTES ? 1 : -1];
typedef char all_fits[PAYGO_EVENTS_AT + PAYGO_EVENT_PLACES * PAYGO_EVENT_BYTES <= PAYGO_STORAGE_BYTES ? 1 : -1];

/* Where the records of a kind lie. */
typedef struct {
    uint16_t at;
    uint8_t bytes; /* from one to the next */
    uint8_t used;
    uint8_t places;
} ring;

static const ring rings[] PAYGO_FLASH = {
    {0, PAYGO_FACTORY_BYTES, FACTORY_USED, 1},
    {PAYGO_SLOTS_AT, PAYGO_SLOT_BYTES, SLOT_USED, PAYGO_STATES},
    {PAYGO_CLOCKS_AT, PAYGO_CLOCK_BYTES, PAYGO_CLOCK_BYTES, PAYGO_CLOCKS},
    {PAYGO_EVENTS_AT, PAYGO_EVENT_BYTES, PAYGO_EVENT_BYTES, PAYGO_EVENT_PLACES},
};

static PAYGO_APART uint16_t offset_of(paygo_record_kind kind, uint8_t place)
{
    return (uint16_t)(paygo_flash_word(&rings[kind].at) + (uint16_t)(place * paygo_flash_byte(&rings[kind].bytes)));
}

/* A field of a struct, which a record holds as little-endian number, as bytes, as 0 or 1, or as length and text. */
typedef struct {
    uint8_t at;
    uint8_t bytes; /* of a number: 1, 2 or 4; or one of these */
} field;

#define FLAG 0U
#define TEXT 20U
#define KEY 16U

typedef char texts_fit[PAYGO_SERIAL_MAX == TEXT && PAYGO_TEST_CODE_MAX == TEXT ? 1 : -1];

#define CONFIG(member) offsetof(paygo_factory, config.member)

static const field factory_fields[] PAYGO_FLASH = {
    {offsetof(paygo_factory, serial), TEXT},
    {offsetof(paygo_factory, test_code), TEXT},
    {offsetof(paygo_factory, count), 2},
    {CONFIG(secret_key), KEY},
    {CONFIG(starting_code), 4},
    {CONFIG(max_jump), 2},
    {CONFIG(max_sync_jump), 2},
    {CONFIG(older_window), 1},
    {CONFIG(time_divider), 1},
    {CONFIG(restricted_digits), FLAG},
};

#define UNIT(member) offsetof(paygo_saved, unit.member)

static const field saved_fields[] PAYGO_FLASH = {
    {UNIT(clock), 4},
    {UNIT(credit.low), 4},
    {UNIT(credit.high), 2},
    {UNIT(wait), 2},
    {UNIT(window.count), 2},
    {UNIT(window.floor), 2},
    {UNIT(window.used), 4},
    {UNIT(wrong_entries), 1},
    {UNIT(unlocked), FLAG},
    {offsetof(paygo_saved, load_switch), 1},
    {offsetof(paygo_saved, boot), 4},
    {offsetof(paygo_saved, event_seq), 4},
    {offsetof(paygo_saved, acked_seq), 4},
    {offsetof(paygo_saved, rtc_s), 4},
    {offsetof(paygo_saved, tests[0]), 2},
    {offsetof(paygo_saved, tests[1]), 2},
    {offsetof(paygo_saved, tests[2]), 2},
    {offsetof(paygo_saved, tests[3]), 2},
    {offsetof(paygo_saved, tests[4]), 2},
    {offsetof(paygo_saved, reported), 2},
    {offsetof(paygo_saved, chemistry), 1},
    {offsetof(paygo_saved, capacity_ah), 2},
    {offsetof(paygo_saved, active), 2},
};

static const field event_fields[] PAYGO_FLASH = {
    {offsetof(paygo_event, seq), 4},
    {offsetof(paygo_event, boot), 4},
    {offsetof(paygo_event, value), 4},
    {offsetof(paygo_event, alert), 1},
    {offsetof(paygo_event, raised), FLAG},
};

/*
 * A record that is read, or made: the same code does both. It is made anew for each piece of it that is written, and
 * the piece is kept.
 */
typedef struct {
    const paygo_reader *from; /* NULL: it is made */
    paygo_write *write;
    uint16_t offset; /* of the byte that is read next */
    uint8_t at;
    bool blank;      /* all bytes that were read are those of an erased cell */
    uint32_t crc;
} pass;

/* The only place that reads storage. */
static void pass_byte(pass *record, uint8_t *byte)
{
    if (record->from != NULL) {
        record->from->read(record->from->context, record->offset, byte, 1);
        record->offset++;
        record->blank = record->blank && *byte == 0xffU;
    } else {
        const uint8_t place = (uint8_t)(record->at - record->write->at); /* before the piece: far beyond its end */
        if (place < PAYGO_WRITE_BYTES) {
            record->write->bytes[place] = *byte;
        }
        record->at++;
    }
    record->crc = paygo_crc32_byte(record->crc, *byte);
}

static void pass_bytes(pass *record, uint8_t *bytes, uint8_t length)
{
    while (length > 0) {
        pass_byte(record, bytes);
        bytes++;
        length--;
    }
}

static void pass_number(pass *record, void *number, uint8_t size)
{
    const uint16_t probe = 1;
    const bool little = *(const uint8_t *)&probe == 1U;
    uint8_t *bytes = number;
    uint8_t i;
    for (i = 0; i < size; i++) {
        pass_byte(record, bytes + (little ? i : size - 1U - i));
    }
}

static void pass_fields(pass *record, const field *fields, uint8_t count, void *of)
{
    for (; count > 0; count--, fields++) {
        const uint8_t size = paygo_flash_byte(&fields->bytes);
        uint8_t *bytes = (uint8_t *)of + paygo_flash_byte(&fields->at);
        if (size == TEXT) {
            uint8_t length = (uint8_t)strlen((const char *)bytes);
            pass_byte(record, &length);
        }
        if (size >= KEY) {
            pass_bytes(record, bytes, size);
        } else if (size == FLAG) {
            pass_byte(record, bytes);
            *bytes = *bytes != 0;
        } else {
            pass_number(record, bytes, size);
        }
    }
}

#define COUNT(fields) (sizeof(fields) / sizeof(fields)[0])

/* The end of a record. Returns whether it is whole; an erased one, whose CRC might fit by chance, is none. */
static bool pass_crc(pass *record)
{
    const uint32_t crc = ~record->crc;
    uint32_t stored = crc;
    pass_number(record, &stored, CRC_BYTES);
    return stored == crc && !record->blank;
}

static PAYGO_APART void begin_reading(pass *record, const paygo_reader *reader, paygo_record_kind kind, uint8_t place)
{
    record->from = reader;
    record->offset = offset_of(kind, place);
    record->blank = true;
    record->crc = CRC_START;
}

/* Returns the number of its layout. */
static uint8_t pass_factory(pass *record, paygo_factory *factory)
{
    uint8_t layout = LAYOUT;
    pass_byte(record, &layout);
    pass_fields(record, factory_fields, COUNT(factory_fields), factory);
    return layout;
}

static void pass_slot(pass *record, uint32_t *sequence, paygo_saved *saved)
{
    pass_number(record, sequence, 4);
    pass_fields(record, saved_fields, COUNT(saved_fields), saved);
}

static bool read_factory(const paygo_reader *reader, paygo_factory *factory)
{
    const paygo_config *config = &factory->config;
    pass record;
    uint8_t layout;
    begin_reading(&record, reader, PAYGO_RECORD_FACTORY, 0);
    memset(factory, 0, sizeof *factory);
    layout = pass_factory(&record, factory);
    factory->config.max_count = UINT16_MAX;
    /* what a setup can have written (H10, H14) */
    return pass_crc(&record) && layout == LAYOUT && config->starting_code >= 1 &&
           config->starting_code <= UINT32_C(999999999) && config->max_jump >= 1 && config->max_sync_jump >= 1 &&
           config->older_window <= PAYGO_MAX_OLDER_WINDOW && config->time_divider >= 1;
}

/* Returns the slot's sequence number, 0 when it cannot be read. `touched` tells whether anything was written there. */
static uint32_t read_slot(const paygo_reader *reader, uint8_t slot, paygo_saved *saved, bool *touched)
{
    pass record;
    uint32_t sequence;
    uint8_t i;
    bool good;
    begin_reading(&record, reader, PAYGO_RECORD_SLOT, slot);
    pass_slot(&record, &sequence, saved);
    good = pass_crc(&record);
    for (i = 0; i < PAYGO_TESTS; i++) {
        if (saved->tests[i] > PAYGO_TEST_HOUR_S) {
            saved->tests[i] = PAYGO_TEST_HOUR_S;
        }
    }
    *touched = !record.blank;
    return good && saved->load_switch <= PAYGO_SWITCH_OFF && saved->acked_seq <= saved->event_seq &&
                   saved->event_seq - saved->acked_seq <= PAYGO_EVENTS &&
                   saved->unit.window.floor <= saved->unit.window.count &&
                   saved->chemistry < PAYGO_CHEMISTRIES && saved->capacity_ah - 1U < PAYGO_BATTERY_AH_MAX
               ? sequence
               : 0;
}

/* A clock of the ring, 0 when it cannot be read. */
static uint32_t read_clock(const paygo_reader *reader, uint8_t place, bool *touched)
{
    pass record;
    uint32_t clock;
    bool good;
    begin_reading(&record, reader, PAYGO_RECORD_CLOCK, place);
    pass_number(&record, &clock, 4);
    good = pass_crc(&record);
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
    journal->clock = PAYGO_CLOCKS - 1U;
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

void paygo_saved_init(paygo_saved *saved, uint16_t count)
{
    memset(saved, 0, sizeof *saved);
    saved->capacity_ah = PAYGO_BATTERY_AH;
    paygo_unit_init(&saved->unit, count);
}

void paygo_saved_tick(paygo_saved *saved, uint32_t seconds)
{
    uint16_t *left;
    for (left = saved->tests; left < saved->tests + PAYGO_TESTS; left++) {
        *left = (uint16_t)(seconds < *left ? *left - seconds : 0);
    }
    paygo_unit_tick(&saved->unit, saved->unit.clock + seconds);
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
    uint32_t clock;
    bool clocks, touched;
    journal->sequence = 0;
    journal->slot = PAYGO_STATES - 1U;
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
        paygo_saved_init(saved, factory->count);
        return PAYGO_STORAGE_READY;
    }
    (void)read_slot(reader, journal->slot, saved, &touched);
    if (clock > saved->unit.clock) {
        paygo_saved_tick(saved, clock - saved->unit.clock);
    }
    return PAYGO_STORAGE_READY;
}

static uint8_t place_of_event(uint32_t seq)
{
    return (uint8_t)(seq % PAYGO_EVENT_PLACES);
}

bool paygo_storage_event(const paygo_reader *reader, uint32_t seq, paygo_event *event)
{
    pass record;
    begin_reading(&record, reader, PAYGO_RECORD_EVENT, place_of_event(seq));
    pass_fields(&record, event_fields, COUNT(event_fields), event);
    return pass_crc(&record) && event->seq == seq && event->alert < PAYGO_ALERTS;
}

/* Begins with the record at its next place. */
static void go_on(paygo_record *record)
{
    const uint8_t next = (uint8_t)(record->place + 1U);
    record->place = next < paygo_flash_byte(&rings[record->kind].places) ? next : 0;
    record->at = 0;
}

void paygo_record_begin(paygo_record *record, paygo_record_kind kind, const paygo_journal *journal, uint32_t seq)
{
    record->kind = kind;
    record->length = paygo_flash_byte(&rings[kind].used);
    record->tries = 0;
    record->place = kind == PAYGO_RECORD_SLOT    ? journal->slot
                    : kind == PAYGO_RECORD_CLOCK ? journal->clock
                                                 : place_of_event(seq - 1U);
    go_on(record);
}

void paygo_record_piece(paygo_record *record, const paygo_content *content, const paygo_journal *journal,
                        paygo_write *write)
{
    pass made = {NULL, NULL, 0, 0, false, CRC_START};
    uint8_t left = (uint8_t)(record->length - record->at);
    uint32_t sequence = journal->sequence + 1U;
    paygo_unit now;
    made.write = write;
    write->at = record->at;
    switch (record->kind) {
    case PAYGO_RECORD_SLOT:
        now = content->saved->unit;
        paygo_unit_ahead(&content->saved->unit, PAYGO_CLOCK_AHEAD_S);
        pass_slot(&made, &sequence, content->saved);
        content->saved->unit = now;
        break;
    case PAYGO_RECORD_CLOCK:
        pass_number(&made, content->clock, 4);
        break;
    case PAYGO_RECORD_EVENT:
        pass_fields(&made, event_fields, COUNT(event_fields), content->event);
        break;
    case PAYGO_RECORD_FACTORY:
    default:
        (void)pass_factory(&made, content->factory);
        break;
    }
    record->crc = ~made.crc;
    (void)pass_crc(&made);
    write->offset = (uint16_t)(offset_of(record->kind, record->place) + record->at);
    write->length = left < PAYGO_WRITE_BYTES ? left : (uint8_t)PAYGO_WRITE_BYTES;
    left = (uint8_t)(left - write->length);
    write->rest = left;
    record->at = (uint8_t)(record->length - left);
}

bool paygo_record_stored(const paygo_record *record, const paygo_reader *reader, paygo_journal *journal)
{
    pass found;
    uint8_t byte, i;
    begin_reading(&found, reader, record->kind, record->place);
    for (i = CRC_BYTES; i < record->length; i++) {
        pass_byte(&found, &byte);
    }
    if (~found.crc != record->crc || !pass_crc(&found)) {
        return false;
    }
    if (record->kind == PAYGO_RECORD_SLOT) {
        journal->slot = record->place;
        journal->sequence++;
    } else if (record->kind == PAYGO_RECORD_CLOCK) {
        journal->clock = record->place;
    }
    return true;
}

bool paygo_record_elsewhere(paygo_record *record)
{
    record->tries++;
    if (record->tries + 1U >= paygo_flash_byte(&rings[record->kind].places)) {
        return false;
    }
    go_on(record);
    return true;
}
