/*
 * Types on the keypad of a unit that has no other way in, and counts how its lights answer.
 *
 * A host sends keys (0-9, * and #) on a serial line; each is held for PAYGO_TYPIST_HOLD_MS by closing its contact, and
 * let go for PAYGO_TYPIST_GAP_MS. A pattern of blinks is told when its light has been dark for PAYGO_TYPIST_DARK_MS:
 * "Green LED Blinked 2 times!". To "?" the typist says what it is. Everything else is passed over.
 *
 * Portable C99 without heap or globals. Whoever has the pins calls typist_step at least every 10 ms.
 */
#ifndef PAYGO_TYPIST_H
#define PAYGO_TYPIST_H

#include <stdbool.h>
#include <stdint.h>

#define PAYGO_TYPIST_HOLD_MS 120U
#define PAYGO_TYPIST_GAP_MS 180U
#define PAYGO_TYPIST_DARK_MS 1500U /* the slowest known unit is dark for 500 ms between two blinks */
#define PAYGO_TYPIST_STEADY_MS 20U /* a light is on or off once it has been so for so long */
#define PAYGO_TYPIST_KEYS 32       /* that wait to be typed; an entry has at most 16 */
#define PAYGO_TYPIST_LINE 48

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    bool lit;          /* as it has been for PAYGO_TYPIST_STEADY_MS */
    bool seen;         /* as it was at the last step */
    uint32_t since_ms; /* it is as seen */
    uint8_t blinks;    /* of the pattern that goes on, at most 255 */
} typist_light;

typedef struct {
    char waiting[PAYGO_TYPIST_KEYS];
    uint8_t first, count; /* of the keys that wait */
    char held;            /* the key that is held, 0 for none */
    bool busy;            /* a key is held, or was let go just now */
    bool asked;           /* who it is */
    bool told;            /* the line was given to the host, or there was none */
    uint32_t changed_ms;
    typist_light green, red;
    char line[PAYGO_TYPIST_LINE];
} typist;

void typist_init(typist *self);

/* A byte from the host. A key that finds no room is not typed. */
void typist_hear(typist *self, char byte);

/*
 * now_ms: a clock that may wrap. green, red: whether the unit's lights are lit now. Returns the key whose contact has
 * to be closed, 0 for none.
 */
char typist_step(typist *self, uint32_t now_ms, bool green, bool red);

/* A line for the host, without its end; NULL when there is none. It is good until the next call of anything here. */
const char *typist_line(typist *self);

#ifdef __cplusplus
}
#endif

#endif
