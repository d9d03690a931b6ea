/*
 * Checkpoints of the four values that were entered last, so that the next token of one of them costs a few steps, whatever
 * the count: 32 bytes that the caller keeps, all zero at first. They change no verdict, only the time until there is one.
 *
 *     paygo_decode_begin or paygo_unit_begin
 *     paygo_slots_resume       begins at the value's checkpoint
 *     ... until it is judged
 *     paygo_slots_keep         when it was accepted
 *     paygo_slots_run          when nothing else is to do
 *
 * They serve one key and one starting code; zero them when these change. They need not survive a power cut. If you store
 * them, then with a check: a wrong code would refuse good tokens.
 */
#ifndef PAYGO_SLOTS_H
#define PAYGO_SLOTS_H

#include "codec.h"

#define PAYGO_SLOTS 4U

/* Of a standard token's value: its chain's code at `count`; count 0: the slot is free. */
typedef struct {
    uint32_t code;
    uint16_t count;
    uint16_t value;
} paygo_slot;

/* The last one entered comes first. */
typedef struct {
    paygo_slot slots[PAYGO_SLOTS];
} paygo_slots;

/* After the beginning: lets the walk begin at the checkpoint of the token's value, if there is one. */
void paygo_slots_resume(const paygo_slots *slots, paygo_decoder *decoder);

/* After the end: keeps the checkpoint of an accepted token, in place of the value that was entered longest ago. */
void paygo_slots_keep(paygo_slots *slots, const paygo_decoder *decoder);

/*
 * Moves the checkpoints after the last count, by at most `steps` steps. Returns whether all are where they may be at
 * most: then the token after the last of each of these values costs older_window + 2 steps.
 */
bool paygo_slots_run(paygo_slots *slots, const paygo_config *config, const paygo_window *window, uint16_t steps);

#endif
