/* Tokens as people type them: ten digits, or the four digits of small keypads (rules T20 to T23). */
#ifndef PAYGO_DIGITS_H
#define PAYGO_DIGITS_H

#include "chain.h"

#include <stddef.h>

/* The longest written token, in characters, without an end mark. */
#define PAYGO_MAX_DIGITS 20

/* How many characters a token of this form has: 9, 12, restricted 15, 20. */
uint8_t paygo_digits_length(paygo_form form, bool restricted);

/* Writes the token, zero-padded, without an end mark. Returns its length. */
uint8_t paygo_digits_write(paygo_form form, bool restricted, paygo_code token, char text[PAYGO_MAX_DIGITS]);

/* What a text is to a device. */
typedef enum {
    PAYGO_DIGITS_TOKEN = 0,  /* a token, perhaps of this device */
    PAYGO_DIGITS_LENGTH = 1, /* not an entry: not exactly the form's length */
    PAYGO_DIGITS_SET = 2,    /* not an entry: a character outside the digit set */
    PAYGO_DIGITS_RANGE = 3   /* an entry, but beyond the largest code: never a token */
} paygo_digits_result;

/* Reads exactly `length` characters; `token` is written only for PAYGO_DIGITS_TOKEN. */
paygo_digits_result paygo_digits_read(paygo_form form, bool restricted, const char *text, size_t length,
                                      paygo_code *token);

#endif
