/*
 * Building console lines in pieces. A line is built anew for each piece: what was said before is skipped, and what does
 * not fit is left for the next piece, so that no room is needed for a whole line.
 */
#ifndef PAYGO_TEXT_H
#define PAYGO_TEXT_H

#include "flash.h"

#include <stdbool.h>
#include <stdint.h>

/* The caller gives room and what to skip, and takes what came of it. */
typedef struct {
    char *bytes;
    uint8_t size;
    uint8_t length;  /* of this piece */
    uint16_t skip;   /* characters that were said before */
    uint16_t crc;    /* over the line's characters (H6) */
    bool cut;        /* there is more than fitted */
} paygo_text;

void paygo_text_char(paygo_text *text, char character);
void paygo_text_string(paygo_text *text, const char *string);

/* A number of 48 bits, in its two parts, with its last 0 to 3 digits behind a point: 12702 with three as 12.702. */
void paygo_text_number(paygo_text *text, uint32_t low, uint16_t high, uint8_t decimals);

/* The same with a sign, or its negative. */
void paygo_text_signed(paygo_text *text, int32_t number, uint8_t decimals, bool negated);

/* The "#" that a line begins with: nothing of it was built yet. */
void paygo_text_begin(paygo_text *text);

/* The check, when wanted (H6), and CR LF (H3). */
void paygo_text_end(paygo_text *text, bool check);

#endif
