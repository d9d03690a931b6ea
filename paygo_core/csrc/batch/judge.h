/* Many tokens judged at once, on a PC: columns of devices, their states and the tokens that were entered. */
#ifndef PAYGO_JUDGE_H
#define PAYGO_JUDGE_H

#include "../codec.h"

/* Characters of a text: one more than the longest token, so that a longer text can be seen to be too long. */
#define PAYGO_TEXT_WIDTH (PAYGO_MAX_DIGITS + 1)

/*
 * A stride of 0 repeats the first element for every job. The tokens are texts without spaces, each of `lengths` characters
 * in a row of PAYGO_TEXT_WIDTH, or, where `texts` is NULL, numbers of one form. The states are replaced by those
 * afterwards; values and counts are 0 where a token is PAYGO_INVALID.
 */
typedef struct {
    paygo_config config; /* the windows of all; key, starting code and digit set come from the columns */
    const uint8_t *keys; /* 16 bytes each */
    size_t key_stride;   /* bytes */
    const uint32_t *starting_codes;
    size_t starting_code_stride;
    const uint8_t *restricted;
    size_t restricted_stride;
    const char *texts;
    const uint8_t *lengths;
    paygo_form form;
    const uint64_t *tokens;
    uint32_t *last_counts;
    uint32_t *floors;
    uint32_t *used;
    uint8_t *types;
    uint8_t *reasons;
    uint32_t *values;
    uint32_t *counts;
} paygo_judging;

/* Judges the tokens of jobs `from` ... `to` - 1. */
void paygo_judge_run(const paygo_judging *judging, size_t from, size_t to);

/* What paygo_judge_text answers with: type, reason, value, count, and the state afterwards: count, floor, used. */
#define PAYGO_FACTS 7

/* Judges one text, in numbers alone: a caller in another language pays for each struct. */
void paygo_judge_text(const paygo_config *config, uint16_t count, uint16_t floor, uint32_t used, paygo_form form,
                      const char *text, size_t length, uint32_t facts[PAYGO_FACTS]);

#endif
