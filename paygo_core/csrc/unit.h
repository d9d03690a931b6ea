/*
 * The PAYG brain of a control unit: waits, tokens, counts, credit and unlock. Time is a parameter.
 *
 * The caller keeps one paygo_unit and one paygo_config per device, stores the unit's bytes before it acts on an
 * accepted token, and gives every call the seconds of a clock that runs while the unit is powered. A clock that goes
 * backwards is held: credit does not grow and a wait does not shrink (T36).
 */
#ifndef PAYGO_UNIT_H
#define PAYGO_UNIT_H

#include "codec.h"

/* paygo_unit_seconds_left of a unit that was unlocked for good. */
#define PAYGO_FOR_EVER UINT64_MAX

/* Size of the serialised state. */
#define PAYGO_UNIT_BYTES 36U

/* Seconds in 48 bits, low + 2^32 high: what tokens can add up to needs more than 32 (T37), and 64 are much for an AVR. */
typedef struct {
    uint32_t low;
    uint16_t high;
} paygo_seconds;

typedef struct {
    paygo_window window;
    uint32_t clock;        /* s, the highest time that was seen; it stops after 136 years */
    paygo_seconds credit;  /* that is left at the clock; it counts down while the unit is unlocked, too */
    uint16_t wait;         /* s from the clock until an entry is looked at again */
    uint8_t wrong_entries; /* INVALID entries in a row, held at 255 */
    bool unlocked;         /* PAYG is disabled: active for ever */
} paygo_unit;

typedef struct {
    paygo_verdict verdict;
    uint16_t wait_seconds; /* until the next entry is looked at; 0 when none runs */
    uint64_t seconds_left; /* credit after the entry, or PAYGO_FOR_EVER */
} paygo_answer;

/* A unit fresh from the factory: no credit, provisioned at this count, its clock at 0. */
void paygo_unit_init(paygo_unit *unit, uint16_t count);

/* Moves the clock on. `now` in seconds; a value below the unit's clock changes nothing. */
void paygo_unit_tick(paygo_unit *unit, uint32_t now);

/*
 * An entry of `length` characters at `now`, judged and applied (T22, T26 to T35). Extended tokens are entries too, but
 * only their unlock and sync have an effect here; any other value is consumed, and is for the caller to act on (T25).
 */
paygo_answer paygo_unit_enter(paygo_unit *unit, const paygo_config *config, uint32_t now, const char *text,
                              size_t length);

/* An entry that is judged in slices. */
typedef struct {
    bool counts;           /* if it is wrong, it is a wrong entry */
    bool open;             /* begun, and not finished */
    paygo_decoder decoder; /* its verdict stands when paygo_unit_run returned true; `refused` may be known before */
} paygo_entry;

/*
 * The same in slices, so that the rest of the firmware goes on meanwhile: begin; run until it returns true; finish.
 * `config` and `entry` must last until then. Nothing changes in the unit before paygo_unit_finish but its clock, so that
 * a power cut or another paygo_unit_begin with the same `entry` simply drops it. Take no other entry meanwhile.
 */
void paygo_unit_begin(paygo_entry *entry, paygo_unit *unit, const paygo_config *config, uint32_t now, const char *text,
                      size_t length);

/* Walks at most `steps` counts. Returns whether entry->decoder.verdict stands. */
bool paygo_unit_run(paygo_entry *entry, paygo_steps steps);

/*
 * Applies entry->decoder.verdict at the unit's clock, after walking what is left. Once more it changes nothing. `unit` may
 * be a copy of the one that it was begun with, if no other entry was taken in between.
 */
void paygo_unit_finish(paygo_entry *entry, paygo_unit *unit);

/* Whether the customer may have light, by credit alone. */
bool paygo_unit_active(const paygo_unit *unit);

/* Credit in seconds, 0 when there is none, PAYGO_FOR_EVER when unlocked. */
uint64_t paygo_unit_seconds_left(const paygo_unit *unit);

/* Seconds until an entry is looked at again, 0 when no wait runs; at most 512 minutes. */
uint16_t paygo_unit_wait_left(const paygo_unit *unit);

/*
 * Makes the unit what it shall wake up as after a power cut: its clock `seconds` further on, so that a cut gains no
 * credit, and what is left of a wait unshortened (T36).
 */
void paygo_unit_ahead(paygo_unit *unit, uint32_t seconds);

/* Serialises the unit, `ahead` seconds ahead. */
void paygo_unit_store(const paygo_unit *unit, uint32_t ahead, uint8_t bytes[PAYGO_UNIT_BYTES]);

/* The reverse. Returns false, and leaves the unit alone, when the bytes cannot be a stored unit. */
bool paygo_unit_load(paygo_unit *unit, const uint8_t bytes[PAYGO_UNIT_BYTES]);

#endif
