/* Building console lines in a buffer that the caller owns. */
#ifndef PAYGO_TEXT_H
#define PAYGO_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* Characters that do not fit are left out. */
typedef struct {
    char *bytes;
    uint16_t size;
    uint16_t length;
    uint16_t line; /* where the line that is being built begins */
} paygo_text;

void paygo_text_char(paygo_text *text, char character);
void paygo_text_string(paygo_text *text, const char *string);
void paygo_text_number(paygo_text *text, uint64_t number);
void paygo_text_signed(paygo_text *text, int32_t number);

/* A number of thousandths with three decimals: 12702 as 12.702. */
void paygo_text_thousandths(paygo_text *text, int64_t number);

/* "#" and the first word of a line. */
void paygo_text_begin(paygo_text *text, const char *word);

/* ";" and a field. */
void paygo_text_field(paygo_text *text, const char *field);
void paygo_text_number_field(paygo_text *text, uint64_t number);

/* The check, when wanted (H6), and CR LF (H3). */
void paygo_text_end(paygo_text *text, bool check);

#endif
