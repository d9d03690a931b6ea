/* What the customer touches and sees: the keypad and two lights. */
#ifndef PAYGO_PANEL_H
#define PAYGO_PANEL_H

#include "digits.h"

#include <stdbool.h>
#include <stdint.h>

/* Wire time without a key after which an entry that was begun is forgotten. */
#define PAYGO_KEY_TIMEOUT_MS 20000U

/* Each blink is on and off for this long. */
#define PAYGO_BLINK_MS 250U

typedef struct {
    char digits[PAYGO_MAX_DIGITS];
    uint8_t length;
    bool entering;
    uint16_t idle_ms;
} paygo_keypad;

typedef enum {
    PAYGO_KEYPAD_NOTHING,
    PAYGO_KEYPAD_ENTRY, /* keypad->digits holds a whole entry */
    PAYGO_KEYPAD_STATE  /* the hash key; keypad->length digits stood behind a star until then */
} paygo_keypad_event;

/*
 * Takes the key pressed since the last call ('0' ... '9', '*', '#', or 0 for none) after `elapsed_ms` of wire time.
 * `*` begins an entry, `#` asks for the state; an entry ends by itself after `entry_length` digits (H23).
 */
paygo_keypad_event paygo_keypad_update(paygo_keypad *keypad, char key, uint8_t entry_length, uint16_t elapsed_ms);

typedef enum {
    PAYGO_DARK = 0,
    PAYGO_GREEN = 1,
    PAYGO_RED = 2
} paygo_colour;

typedef struct {
    paygo_colour colour;
    uint8_t blinks; /* still to do, the running one included */
    uint16_t phase_ms;
} paygo_light;

/* Begins a pattern (H24). */
void paygo_light_blink(paygo_light *light, paygo_colour colour, uint8_t blinks);
void paygo_light_update(paygo_light *light, uint16_t elapsed_ms);

/* The colour that is lit now. */
paygo_colour paygo_light_now(const paygo_light *light);

#endif
