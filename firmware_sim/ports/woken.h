/*
 * A port for units in memory by the thousand, which sleep from one thing that is done to them to the next, however long.
 *
 * Storage, tokens, waits, console and keypad are the firmware's own. What is left out is the control law, which is
 * stepped elsewhere (firmware_sim/fleet/csrc), and with it the log of alerts: the firmware is told no readings.
 * Times are below 2^31 s.
 */
#ifndef PAYGO_WOKEN_H
#define PAYGO_WOKEN_H

#include "firmware.h"

typedef struct {
    paygo_firmware firmware;
    uint32_t world_s; /* the time until which it has lived; its own clock is ahead of that by what restarts have cost */
    uint8_t image[PAYGO_STORAGE_BYTES];
} paygo_woken;

/* Powers a blank unit on, at time 0. */
void paygo_woken_begin(paygo_woken *woken);

/*
 * Lets it live until a time, in s; one that has passed changes nothing. The clock is stored at the last moment before
 * at which an awake unit would have stored it, so that a power cut costs and leaves the same.
 */
void paygo_woken_sleep(paygo_woken *woken, uint32_t until_s);

/* Its credit at a time, in s, or PAYGO_FOR_EVER. */
uint64_t paygo_woken_seconds_left(paygo_woken *woken, uint32_t at_s);

/* A pattern of the lights; blinks 0: none. */
typedef struct {
    paygo_colour colour;
    uint8_t blinks;
} paygo_woken_answer;

/*
 * A star and these digits on the keypad at a time, and what the lights say to it at last. What was said or pressed before
 * is over by then.
 */
paygo_woken_answer paygo_woken_enter(paygo_woken *woken, uint32_t at_s, const char *digits, size_t length);

/* Bytes on the console's wire. What is answered is lost. */
void paygo_woken_hear(paygo_woken *woken, const char *bytes, uint16_t length);

/* Cuts the power at a time, and gives it back at once. */
void paygo_woken_restart(paygo_woken *woken, uint32_t at_s);

#endif
