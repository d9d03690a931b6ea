/*
 * Building console lines in pieces. A line is built anew for each piece: what was said before is skipped, and what does
 * not fit is left for the next piece, so that no room is needed for a whole line.
 */
#ifndef PAYGO_TEXT_H
#define PAYGO_TEXT_H

#include "flash.h"

#include <stdbool.h>
#include <stdint.h>

/* The caller gives room, what to skip and the check so far (PAYGO_TEXT_CRC at first), and takes what came of it. */
typedef struct {
    char *bytes;
    uint8_t size;
    uint8_t length;  /* of this piece */
    uint16_t skip;   /* characters that were said before */
    uint16_t crc;    /* over the line's characters up to the end of this piece (H6) */
    bool cut;        /* there is more than fitted */
} paygo_text;

#define PAYGO_TEXT_CRC 0xffffU

void paygo_text_char(paygo_text *text, char character);
void paygo_text_string(paygo_text *text, const char *string);

/* A text of PAYGO_IN_FLASH. */
void paygo_text_flash(paygo_text *text, const char *string);

/* Of words that follow each other in flash, each with a NUL behind it, the one at this place. */
const char *paygo_text_word(const char *words, uint8_t place);

/* A number of 48 bits, in its two parts. */
void paygo_text_number(paygo_text *text, uint32_t low, uint16_t high);

/* A number with its last 0 to 3 digits behind a point, 12702 with three of them as 12.702; or its negative. */
void paygo_text_signed(paygo_text *text, int32_t number, uint8_t decimals, bool negated);

/* The "#" that a line begins with. */
void paygo_text_begin(paygo_text *text);

/* The check, when wanted (H6), and CR LF (H3). */
void paygo_text_end(paygo_text *text, bool check);

#endif
