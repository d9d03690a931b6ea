/*
 * What survives a power cut: the factory data, written once, and a journal of the unit's state.
 *
 * The journal is a ring of slots. Each write goes over the oldest slot and carries a sequence number and a CRC, so that
 * whatever a power cut leaves of it, the slot before it is whole. The unit wakes in the newest whole slot: in the state
 * before the write or after it, never in between.
 */
#ifndef PAYGO_STORAGE_H
#define PAYGO_STORAGE_H

#include "unit.h"

#define PAYGO_SERIAL_MAX 20U
#define PAYGO_TEST_CODE_MAX 20U
#define PAYGO_EVENTS 10U

/* How many test activations there are in PAYGO_TEST_HOUR_S at most (H22). */
#define PAYGO_TESTS 5U
#define PAYGO_TEST_HOUR_S 3600U

/* How far ahead of the clock a stored state wakes up: what a power cut costs at most, in seconds of credit. */
#define PAYGO_CLOCK_AHEAD_S UINT32_C(300)

#define PAYGO_FACTORY_BYTES 128U
#define PAYGO_SLOT_BYTES 216U
#define PAYGO_SLOTS 4U
#define PAYGO_STORAGE_BYTES (PAYGO_FACTORY_BYTES + PAYGO_SLOTS * PAYGO_SLOT_BYTES)

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

typedef enum {
    PAYGO_ALERT_BATTERY_OVERVOLTAGE = 0,
    PAYGO_ALERT_BATTERY_UNDERVOLTAGE = 1,
    PAYGO_ALERT_STORAGE_FAULT = 2,
    PAYGO_ALERT_CLOCK_TAMPER = 3,
    PAYGO_ALERTS = 4
} paygo_alert;

/* An alert that began or ended (H20). */
typedef struct {
    uint8_t alert;
    bool raised;
    bool acknowledged;
    int32_t value;
    uint32_t boot;
    uint32_t seq;
} paygo_event;

/* What the journal keeps. */
typedef struct {
    paygo_unit unit;
    paygo_switch load_switch;
    uint32_t boot;      /* starts of the unit */
    uint32_t event_seq; /* of the last event */
    uint32_t rtc_s;     /* what the clock chip said, 0: nothing yet (H25) */
    uint16_t tests[PAYGO_TESTS]; /* s until each of the last test activations is forgotten (H22) */
    uint8_t reported;   /* bit i: the last event of alert i was RAISED */
    uint8_t event_count;
    paygo_event events[PAYGO_EVENTS]; /* oldest first */
} paygo_saved;

/* How the port reads `length` bytes of storage at `offset`. */
typedef void (*paygo_read)(void *context, uint16_t offset, uint8_t *bytes, uint16_t length);

typedef enum {
    PAYGO_STORAGE_BLANK,  /* never set up, or the setup was cut off before it was complete */
    PAYGO_STORAGE_READY,
    PAYGO_STORAGE_CORRUPT /* something was stored and cannot be read: the unit stays safe, never free */
} paygo_storage_state;

/* Where the journal stands. */
typedef struct {
    uint32_t sequence; /* of the newest slot; 0 before the first write */
    uint8_t slot;      /* where it lies */
} paygo_journal;

/* Reads everything at start. `factory` and `saved` are filled for PAYGO_STORAGE_READY. */
paygo_storage_state paygo_storage_read(paygo_read read, void *context, paygo_factory *factory, paygo_saved *saved,
                                       paygo_journal *journal);

/* One write that the port has to do: `length` bytes at `offset`, in order. */
typedef struct {
    uint16_t offset;
    uint16_t length; /* 0: nothing to write */
    uint8_t bytes[PAYGO_SLOT_BYTES];
} paygo_write;

void paygo_storage_write_factory(const paygo_factory *factory, paygo_write *write);

/* The write that makes `saved` the newest state. `journal` then stands behind it. */
void paygo_storage_write_saved(const paygo_saved *saved, paygo_journal *journal, paygo_write *write);

#endif
