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
#define CRC_OF_WHOLE UINT32_C(0xdebb20e3) /* of anything with its CRC behind it */
#define FACTORY_USED (1U + 1U + PAYGO_SERIAL_MAX + 1U + PAYGO_TEST_CODE_MAX + 2U + 16U + 4U + 2U + 2U + 1U + 1U + 1U + CRC_BYTES)
#define UNIT_USED (4U + 4U + 2U + 2U + 2U + 2U + 4U + 1U + 1U)
#define SLOT_USED (4U + UNIT_USED + 1U + 4U + 4U + 4U + 4U + PAYGO_TESTS * 2U + 2U + 1U + 2U + 2U + CRC_BYTES)

/* The sizes of the header are what the fields below take; a layout that does not fit must not compile. */
typedef char factory_fits[FACTORY_USED <= PAYGO_FACTORY_BYTES ? 1 : -1];
typedef char slot_fits[SLOT_USED == PAYGO_SLOT_BYTES ? 1 : -1];
typedef char all_fits[PAYGO_EVENTS_AT + PAYGO_EVENT_PLACES * PAYGO_EVENT_BYTES <= PAYGO_STORAGE_BYTES ? 1 : -1];

/* A field of a struct, which a record holds as a little-endian number or as bytes. */
typedef struct {
    uint8_t at;
    uint8_t bytes; /* how many, or one of these, which tell that too */
} field;

#define COUNT 0x1fU
#define KEY 16U
#define TEXT (0x20U | 20U)     /* behind its length */
#define FLAG (0x40U | 1U)      /* 0 or 1 */
#define SEQUENCE (0x60U | 4U)  /* a slot's number, which stands in no struct */
#define CONSTANT (0x80U | 1U)  /* which is `at` */
#define CHECK (0xa0U | 4U)     /* the CRC of all before it: the record's end */

typedef char texts_fit[PAYGO_SERIAL_MAX == (TEXT & COUNT) && PAYGO_TEST_CODE_MAX == (TEXT & COUNT) ? 1 : -1];

#define CONFIG(member) offsetof(paygo_factory, config.member)
#define UNIT(member) offsetof(paygo_saved, unit.member)
#define SAVED(member) offsetof(paygo_saved, member)
#define EVENT(member) offsetof(paygo_event, member)

/* Those of the kinds of records, one behind the other. */
static const field fields[] PAYGO_FLASH = {
    {LAYOUT, CONSTANT},
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
    {0, CHECK},
#define SLOT_FIELDS 12U
    {0, SEQUENCE},
    {UNIT(clock), 4},
    {UNIT(credit.low), 4},
    {UNIT(credit.high), 2},
    {UNIT(wait), 2},
    {UNIT(window.count), 2},
    {UNIT(window.floor), 2},
    {UNIT(window.used), 4},
    {UNIT(wrong_entries), 1},
    {UNIT(unlocked), FLAG},
    {SAVED(load_switch), 1},
    {SAVED(boot), 4},
    {SAVED(event_seq), 4},
    {SAVED(acked_seq), 4},
    {SAVED(rtc_s), 4},
    {SAVED(tests[0]), 2},
    {SAVED(tests[1]), 2},
    {SAVED(tests[2]), 2},
    {SAVED(tests[3]), 2},
    {SAVED(tests[4]), 2},
    {SAVED(reported), 2},
    {SAVED(chemistry), 1},
    {SAVED(capacity_ah), 2},
    {SAVED(active), 2},
    {0, CHECK},
#define CLOCK_FIELDS 37U
    {0, 4},
    {0, CHECK},
#define EVENT_FIELDS 39U
    {EVENT(seq), 4},
    {EVENT(boot), 4},
    {EVENT(value), 4},
    {EVENT(alert), 1},
    {EVENT(raised), FLAG},
    {0, CHECK},
};

/* Where the records of a kind lie, and of which fields they are. */
typedef struct {
    uint16_t at;
    uint8_t bytes; /* from one to the next */
    uint8_t used;
    uint8_t places;
    uint8_t fields; /* where they begin */
} ring;

static const ring rings[] PAYGO_FLASH = {
    {0, PAYGO_FACTORY_BYTES, FACTORY_USED, 1, 0},
    {PAYGO_SLOTS_AT, PAYGO_SLOT_BYTES, SLOT_USED, PAYGO_STATES, SLOT_FIELDS},
    {PAYGO_CLOCKS_AT, PAYGO_CLOCK_BYTES, PAYGO_CLOCK_BYTES, PAYGO_CLOCKS, CLOCK_FIELDS},
    {PAYGO_EVENTS_AT, PAYGO_EVENT_BYTES, PAYGO_EVENT_BYTES, PAYGO_EVENT_PLACES, EVENT_FIELDS},
};

static PAYGO_APART const ring *ring_of(paygo_record_kind kind)
{
    return &rings[kind];
}

static PAYGO_APART uint8_t places_of(paygo_record_kind kind)
{
    return paygo_flash_byte(&ring_of(kind)->places);
}

static PAYGO_APART uint16_t offset_of(paygo_record_kind kind, uint8_t place)
{
    const ring *at = ring_of(kind);
    return (uint16_t)(paygo_flash_word(&at->at) + (uint16_t)(place * paygo_flash_byte(&at->bytes)));
}

/*
 * A record that is read, made, or compared with what is stored: the same code does all. It is made anew for each piece
 * of it that is written, and the piece is kept.
 */
typedef struct {
    union {
        const paygo_reader *stored;
        uint8_t *piece; /* PAYGO_WRITE_BYTES of it */
    } at;
    enum { READS, COMPARES, MAKES, FAILED } does; /* FAILED: what is stored is not what belongs there */
    uint16_t offset; /* of the next byte: in storage, or in the piece; what lies before that is far beyond its end */
    bool touched;    /* a byte that was read is not that of an erased cell */
    uint32_t number; /* of a slot, or a clock that is read */
    uint32_t crc;
} pass;

/* The only place that reads storage. */
static void pass_byte(pass *record, uint8_t *byte)
{
    if (record->does == MAKES) {
        if (record->offset < PAYGO_WRITE_BYTES) {
            record->at.piece[record->offset] = *byte;
        }
    } else {
        const uint8_t stored = record->at.stored->read(record->at.stored->context, record->offset);
        if (stored != 0xffU) {
            record->touched = true;
        }
        if (record->does == READS) {
            *byte = stored;
        } else if (*byte != stored) {
            record->does = FAILED;
        }
    }
    record->offset++;
    record->crc = paygo_crc32_byte(record->crc, *byte);
}

/* All of it. Returns whether it is whole; an erased one, whose CRC might fit by chance, is none. */
static bool pass_record(pass *record, paygo_record_kind kind, void *of)
{
    const uint16_t probe = 1;
    const bool little = *(const uint8_t *)&probe == 1U;
    const field *next = fields + paygo_flash_byte(&ring_of(kind)->fields);
    uint8_t what;
    record->crc = CRC_START;
    record->touched = false;
    do {
        const uint8_t at = paygo_flash_byte(&next->at);
        uint8_t *bytes = (uint8_t *)of + at;
        uint32_t check;
        uint8_t other = at;
        uint8_t size, i;
        what = paygo_flash_byte(&next->bytes);
        size = what & COUNT;
        next++;
        if (what == TEXT) {
            other = (uint8_t)strlen((const char *)bytes);
            pass_byte(record, &other);
        } else if (what == SEQUENCE) {
            bytes = (uint8_t *)&record->number;
        } else if (what == CONSTANT) {
            bytes = &other;
        } else if (what == CHECK) {
            check = ~record->crc;
            bytes = (uint8_t *)&check;
        }
        for (i = 0; i < size; i++) {
            pass_byte(record, bytes + (little || size >= KEY ? i : size - 1U - i));
        }
        if (what == FLAG) {
            *bytes = *bytes != 0;
        } else if (what == CONSTANT && other != at) {
            record->does = FAILED;
        }
    } while (what != CHECK);
    return record->touched && record->does != FAILED && record->crc == CRC_OF_WHOLE;
}

static PAYGO_APART bool read_record(pass *record, const paygo_reader *reader, paygo_record_kind kind, uint8_t place,
                                    void *into)
{
    record->at.stored = reader;
    record->does = READS;
    record->offset = offset_of(kind, place);
    return pass_record(record, kind, into);
}

/* What a setup can have written (H10, H14). */
static bool usable(const paygo_config *config)
{
    return config->starting_code >= 1 && config->starting_code <= UINT32_C(999999999) && config->max_jump >= 1 &&
           config->max_sync_jump >= 1 && config->older_window <= PAYGO_MAX_OLDER_WINDOW && config->time_divider >= 1;
}

static bool read_factory(const paygo_reader *reader, paygo_factory *factory)
{
    pass record;
    memset(factory, 0, sizeof *factory);
    if (!read_record(&record, reader, PAYGO_RECORD_FACTORY, 0, factory) || !usable(&factory->config)) {
        memset(factory, 0, sizeof *factory);
        return false;
    }
    factory->config.max_count = UINT16_MAX;
    return true;
}

/* What a unit can have stored. */
static bool plausible(const paygo_saved *saved)
{
    return saved->load_switch <= PAYGO_SWITCH_OFF && saved->acked_seq <= saved->event_seq &&
           saved->event_seq - saved->acked_seq <= PAYGO_EVENTS &&
           saved->unit.window.floor <= saved->unit.window.count && saved->chemistry < PAYGO_CHEMISTRIES &&
           saved->capacity_ah - 1U < PAYGO_BATTERY_AH_MAX;
}

/* A slot's sequence number, or a clock, to record->number; 0 when it cannot be read. `saved` is for a slot. */
static PAYGO_APART void read_number(pass *record, const paygo_reader *reader, paygo_record_kind kind, uint8_t place,
                                    paygo_saved *saved)
{
    const bool slot = kind == PAYGO_RECORD_SLOT;
    const bool whole = read_record(record, reader, kind, place, slot ? (void *)saved : &record->number);
    if (!whole || (slot && !plausible(saved))) {
        record->number = 0;
    }
}

/* What there is in a ring. */
typedef struct {
    uint32_t highest; /* number; 0: there is none */
    uint8_t newest;   /* where it is; if there is none, the last place */
    uint8_t damaged;  /* records that cannot be read, each counted twice, */
    uint8_t behind;   /* and those of them that follow the newest */
} census;

/* It is read twice, since what follows the newest may be at its begin. */
static PAYGO_APART void read_ring(const paygo_reader *reader, paygo_record_kind kind, paygo_saved *saved, census *ring)
{
    const uint8_t places = places_of(kind);
    bool follows = false;
    uint8_t place = 0;
    uint8_t left;
    memset(ring, 0, sizeof *ring);
    ring->newest = (uint8_t)(places - 1U);
    for (left = (uint8_t)(2U * places); left > 0; left--) {
        pass record;
        read_number(&record, reader, kind, place, saved);
        if (record.number > ring->highest) {
            ring->highest = record.number;
            ring->newest = place;
            ring->behind = 0;
            follows = true;
        } else if (record.number == 0 && record.touched) {
            ring->damaged++;
            if (follows) {
                ring->behind++;
            }
        } else {
            follows = false;
        }
        place++;
        if (place == places) {
            place = 0;
        }
    }
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
 * corrupt otherwise: the second slot is written before the first token can be accepted. Of the clocks one may be torn
 * and one may be worn. If no clock can be read, further ones are too many; each further one behind the newest may have
 * been a newer clock, and is counted as one, so that damage gives no credit.
 */
paygo_storage_state paygo_storage_read(const paygo_reader *reader, paygo_factory *factory, paygo_saved *saved,
                                       paygo_journal *journal)
{
    const bool set_up = read_factory(reader, factory);
    const uint8_t most = set_up ? 2U * 1U : 0; /* slots that may be damaged */
    census slots, clocks;
    pass record;
    uint8_t i;
    read_ring(reader, PAYGO_RECORD_SLOT, saved, &slots);
    read_ring(reader, PAYGO_RECORD_CLOCK, NULL, &clocks);
    journal->sequence = slots.highest;
    journal->slot = slots.newest;
    journal->clock = clocks.newest;
    if (slots.highest == 0 ? slots.damaged > most : !set_up) {
        return PAYGO_STORAGE_CORRUPT;
    }
    if (!set_up) {
        return PAYGO_STORAGE_BLANK;
    }
    if (clocks.highest == 0 && clocks.damaged > 2U * 2U) {
        return PAYGO_STORAGE_CORRUPT;
    }
    if (slots.highest == 0) {
        paygo_saved_init(saved, factory->count);
        return PAYGO_STORAGE_READY;
    }
    read_number(&record, reader, PAYGO_RECORD_SLOT, slots.newest, saved);
    for (i = 0; i < PAYGO_TESTS; i++) {
        if (saved->tests[i] > PAYGO_TEST_HOUR_S) {
            saved->tests[i] = PAYGO_TEST_HOUR_S;
        }
    }
    for (; clocks.behind > 2U; clocks.behind--) {
        clocks.highest += PAYGO_CLOCK_AHEAD_S;
    }
    if (clocks.highest > saved->unit.clock) {
        paygo_saved_tick(saved, clocks.highest - saved->unit.clock);
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
    return read_record(&record, reader, PAYGO_RECORD_EVENT, place_of_event(seq), event) && event->seq == seq &&
           event->alert < PAYGO_ALERTS;
}

/* Begins with the record at its next place. */
static PAYGO_APART void go_on(paygo_record *record)
{
    record->place++;
    if (record->place >= places_of(record->kind)) {
        record->place = 0;
    }
    record->at = 0;
}

void paygo_record_begin(paygo_record *record, paygo_record_kind kind, const paygo_journal *journal, uint32_t seq)
{
    record->kind = kind;
    record->length = paygo_flash_byte(&ring_of(kind)->used);
    record->tries = 0;
    record->place = kind == PAYGO_RECORD_SLOT    ? journal->slot
                    : kind == PAYGO_RECORD_CLOCK ? journal->clock
                                                 : place_of_event(seq - 1U);
    go_on(record);
}

/* Makes it, or compares it with what is stored. A slot is stored as the unit shall wake up (T36). */
static PAYGO_APART bool pass_content(pass *made, const paygo_record *record, void *content, const paygo_journal *journal)
{
    paygo_saved *saved = content;
    paygo_unit now;
    bool whole;
    if (record->kind != PAYGO_RECORD_SLOT) {
        return pass_record(made, record->kind, content);
    }
    made->number = journal->sequence + 1U;
    now = saved->unit;
    paygo_unit_ahead(&saved->unit, PAYGO_CLOCK_AHEAD_S);
    whole = pass_record(made, PAYGO_RECORD_SLOT, saved);
    saved->unit = now;
    return whole;
}

void paygo_record_piece(paygo_record *record, void *content, const paygo_journal *journal, paygo_write *write)
{
    pass made;
    uint8_t left = (uint8_t)(record->length - record->at);
    made.at.piece = write->bytes;
    made.does = MAKES;
    made.offset = (uint16_t)(0U - record->at);
    (void)pass_content(&made, record, content, journal);
    write->at = record->at;
    write->offset = (uint16_t)(offset_of(record->kind, record->place) + record->at);
    write->length = left < PAYGO_WRITE_BYTES ? left : (uint8_t)PAYGO_WRITE_BYTES;
    left = (uint8_t)(left - write->length);
    write->rest = left;
    record->at = (uint8_t)(record->length - left);
}

bool paygo_record_stored(const paygo_record *record, void *content, const paygo_reader *reader, paygo_journal *journal)
{
    pass back;
    back.at.stored = reader;
    back.does = COMPARES;
    back.offset = offset_of(record->kind, record->place);
    if (!pass_content(&back, record, content, journal)) {
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
    if (record->tries + 1U >= places_of(record->kind)) {
        return false;
    }
    go_on(record);
    return true;
}
