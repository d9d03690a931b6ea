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
    uint16_t size;
    uint16_t skip;   /* characters that were said before */
    uint16_t length; /* of this piece */
    uint16_t crc;    /* over the line's characters up to the end of this piece (H6) */
    bool cut;        /* there is more than fitted */
} paygo_text;

#define PAYGO_TEXT_CRC 0xffffU

void paygo_text_char(paygo_text *text, char character);
void paygo_text_string(paygo_text *text, const char *string);

/* A text of PAYGO_IN_FLASH. */
void paygo_text_flash(paygo_text *text, const char *string);

void paygo_text_number(paygo_text *text, uint32_t number);
/* Seconds of credit, which may be more than 32 bits hold. Its time grows with each 10^9. */
void paygo_text_seconds(paygo_text *text, uint64_t seconds);

void paygo_text_signed(paygo_text *text, int32_t number);

/* A number of thousandths with three decimals, 12702 as 12.702; or what it is with the other sign. */
void paygo_text_thousandths(paygo_text *text, int32_t number, bool negated);

/* "#" and the first word of a line, in flash. */
void paygo_text_begin(paygo_text *text, const char *word);

/* ";" and a field, in flash. */
void paygo_text_field(paygo_text *text, const char *field);
void paygo_text_number_field(paygo_text *text, uint32_t number);

/* The check, when wanted (H6), and CR LF (H3). */
void paygo_text_end(paygo_text *text, bool check);

#endif
