/*
 * What survives a power cut: the factory data, written once, and around it three rings: the unit's state, its clock,
 * and its events.
 *
 * Everything is a record with a CRC. A record of a ring goes over the oldest one, so that whatever a power cut leaves of
 * it, the one before it is whole: the unit wakes in the state before a write or after it, never in between. A record is
 * read back once it is written; one that is not what it should be, since bits are stuck, is written to the next place.
 * docs/storage.md has the layout and how long it lasts.
 */
#ifndef PAYGO_STORAGE_H
#define PAYGO_STORAGE_H

#include "charger.h"
#include "unit.h"

#define PAYGO_SERIAL_MAX 20U
#define PAYGO_TEST_CODE_MAX 20U
#define PAYGO_EVENTS 10U

/* How many test activations there are in PAYGO_TEST_HOUR_S at most (H22). */
#define PAYGO_TESTS 5U
#define PAYGO_TEST_HOUR_S 3600U

/* How far ahead of the clock a stored state wakes up: what a power cut costs at most, in seconds of credit. */
#define PAYGO_CLOCK_AHEAD_S UINT32_C(300)

#define PAYGO_FACTORY_BYTES 96U
#define PAYGO_CLOCK_BYTES 8U
#define PAYGO_CLOCKS 32U
#define PAYGO_SLOT_BYTES 64U
#define PAYGO_STATES 6U
#define PAYGO_EVENT_BYTES 18U
#define PAYGO_EVENT_PLACES (PAYGO_EVENTS + 1U) /* the one that is being written is none of the ten that are kept */

#define PAYGO_CLOCKS_AT PAYGO_FACTORY_BYTES
#define PAYGO_SLOTS_AT (PAYGO_CLOCKS_AT + PAYGO_CLOCKS * PAYGO_CLOCK_BYTES)
#define PAYGO_EVENTS_AT (PAYGO_SLOTS_AT + PAYGO_STATES * PAYGO_SLOT_BYTES)
#define PAYGO_STORAGE_BYTES 1024U

/* Written once, by the setup. */
typedef struct {
    char serial[PAYGO_SERIAL_MAX + 1U];
    char test_code[PAYGO_TEST_CODE_MAX + 1U];
    uint16_t count;
    paygo_config config;
} paygo_factory;

/* The operator's switch (H16). It can only take away. */
typedef enum {
    PAYGO_SWITCH_AUTO = 0,
    PAYGO_SWITCH_ON = 1,
    PAYGO_SWITCH_OFF = 2
} paygo_switch;

/* An alert that began or ended (H20). */
typedef struct {
    uint32_t seq;
    uint32_t boot;
    int32_t value;
    uint8_t alert;
    bool raised;
} paygo_event;

/* What a slot of the journal keeps. */
typedef struct {
    paygo_unit unit;
    uint8_t load_switch; /* a paygo_switch */
    uint32_t boot;      /* starts of the unit */
    uint32_t event_seq; /* of the last event */
    uint32_t acked_seq; /* of the last event that was acknowledged; they are acknowledged in their order */
    uint32_t rtc_s;     /* what the clock chip said, 0: nothing yet (H25) */
    uint16_t tests[PAYGO_TESTS]; /* s until each of the last test activations is forgotten (H22) */
    uint16_t reported;  /* bit i: the last event of alert i was RAISED */
    uint16_t active;    /* bit i: alert i was active when this was stored, whether it could be recorded or not */
    uint8_t chemistry;  /* of the battery, a paygo_chemistry (H28), */
    uint16_t capacity_ah; /* and its size; 1 ... PAYGO_BATTERY_AH_MAX */
} paygo_saved;

/* A unit that was just set up at this count. */
void paygo_saved_init(paygo_saved *saved, uint16_t count);

/* So many seconds of the unit's clock pass. */
void paygo_saved_tick(paygo_saved *saved, uint32_t seconds);

/* How the port reads the byte of storage at `offset`. */
typedef uint8_t (*paygo_read)(void *context, uint16_t offset);

typedef struct {
    paygo_read read;
    void *context;
} paygo_reader;

typedef enum {
    PAYGO_STORAGE_BLANK,  /* never set up, or the setup was cut off before it was complete */
    PAYGO_STORAGE_READY,
    PAYGO_STORAGE_CORRUPT /* something was stored and cannot be read, or cannot be stored: safe, never free */
} paygo_storage_state;

/* Where the rings stand. */
typedef struct {
    uint32_t sequence; /* of the newest slot; 0 before the first write */
    uint8_t slot;      /* where it lies, and */
    uint8_t clock;     /* where the newest clock does; before the first, the last place */
} paygo_journal;

/*
 * Reads everything at start. `saved` is filled for PAYGO_STORAGE_READY, and so is `factory`; that is also filled for
 * PAYGO_STORAGE_CORRUPT if it can be read, and otherwise zero.
 */
paygo_storage_state paygo_storage_read(const paygo_reader *reader, paygo_factory *factory, paygo_saved *saved,
                                       paygo_journal *journal);

/* The event of this number, if it is there. */
bool paygo_storage_event(const paygo_reader *reader, uint32_t seq, paygo_event *event);

#define PAYGO_WRITE_BYTES 16U

/* Room for such a piece, and for a piece of a reply (firmware.h). */
#define PAYGO_PIECE_BYTES 22U

/* What the port has to write: a piece of a record, `length` bytes at `offset`, in order. */
typedef struct {
    uint16_t offset;
    uint8_t length; /* 0: nothing to write */
    uint8_t at;     /* bytes of the record before this piece; 0: it begins */
    uint8_t rest;   /* bytes of it behind this piece; 0: it ends */
    uint8_t bytes[PAYGO_PIECE_BYTES];
} paygo_write;

typedef enum {
    PAYGO_RECORD_FACTORY,
    PAYGO_RECORD_SLOT,
    PAYGO_RECORD_CLOCK,
    PAYGO_RECORD_EVENT
} paygo_record_kind;

/* A record on its way into storage. */
typedef struct {
    paygo_record_kind kind;
    uint8_t at;     /* bytes of it that are written */
    uint8_t length;
    uint8_t tries;  /* places that turned out to be bad */
    uint8_t place;  /* in its ring */
} paygo_record;

/* Begins a record, at the place where it belongs. `seq` is for a record of an event. */
void paygo_record_begin(paygo_record *record, paygo_record_kind kind, const paygo_journal *journal, uint32_t seq);

/*
 * The next piece of it. `content` is what it is made of, by its kind a paygo_factory, a paygo_saved, the uint32_t of a
 * clock or a paygo_event. It must not change until the record is there.
 */
void paygo_record_piece(paygo_record *record, void *content, const paygo_journal *journal, paygo_write *write);

/* Whether it is in storage as it should be, once its last piece is written. `journal` then stands at it. */
bool paygo_record_stored(const paygo_record *record, void *content, const paygo_reader *reader, paygo_journal *journal);

/* Begins it again at the next place. Returns false when there is none but that of the newest record. */
bool paygo_record_elsewhere(paygo_record *record);

#endif
