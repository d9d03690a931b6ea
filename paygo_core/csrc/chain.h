/* The chains of codes that tokens are taken from (rules T1 to T4, T24), for standard and extended tokens. */
#ifndef PAYGO_CHAIN_H
#define PAYGO_CHAIN_H

#include "siphash.h"

#include <stdbool.h>
#include <stdint.h>

/* The two kinds of token, named by how many decimal digits they have. */
typedef enum {
    PAYGO_STANDARD = 9,
    PAYGO_EXTENDED = 12
} paygo_form;

/* The modulus of the base, the low digits that carry the value: 1 000 or 1 000 000. */
uint32_t paygo_base_modulus(paygo_form form);

/* The largest number that has the form's digits: 999 999 999 or 999 999 999 999. */
uint64_t paygo_largest_code(paygo_form form);

/* The code after `code` on its chain. `code` is at most paygo_largest_code(form); so is the result. */
uint64_t paygo_chain_next(const paygo_key *key, paygo_form form, uint64_t code);

/* `code` with its base replaced; `base` is below paygo_base_modulus(form). */
uint64_t paygo_with_base(paygo_form form, uint64_t code, uint32_t base);

/* The starting code of a device that was given none: 0 ... 999 999 999 (0, which no device may have, one key in 10^9). */
uint32_t paygo_default_starting_code(const uint8_t secret_key[16]);

/* A walk along the chain of one value. It can be cut into slices of any length. */
typedef struct {
    paygo_key key;
    uint64_t code;  /* the code at `count`, its base not put back */
    uint64_t low;   /* a token equals a code when low <= code < low + modulus */
    uint32_t count;
    uint32_t modulus;
    paygo_form form;
} paygo_walk;

/*
 * Starts at count 0 on the chain on which `token` can lie. `starting_code` is 1 ... 999 999 999, `token` at most
 * paygo_largest_code(form).
 */
paygo_walk paygo_walk_start(const paygo_key *key, paygo_form form, uint32_t starting_code, uint64_t token);

/*
 * Advances by one to `steps` counts and stops at the first count whose code gives the token.
 * Returns whether it stopped at such a count; otherwise all `steps` were walked.
 */
bool paygo_walk_to_match(paygo_walk *walk, uint32_t steps);

/* Advances by exactly `steps` counts. */
void paygo_walk_by(paygo_walk *walk, uint32_t steps);

#endif
