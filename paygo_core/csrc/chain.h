/* The chains of codes that tokens are taken from (rules T1 to T4, T24), for standard and extended tokens. */
#ifndef PAYGO_CHAIN_H
#define PAYGO_CHAIN_H

#include "siphash.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A code of a chain, or a token; a value. Firmware that takes standard tokens only is smaller and
 * needs no 64-bit arithmetic when everything is compiled with -DPAYGO_NO_EXTENDED. It has no paygo_collides, and a walk
 * no form: PAYGO_FORM is what there is only one of then.
 */
#ifdef PAYGO_NO_EXTENDED
typedef uint32_t paygo_code;
typedef unsigned paygo_value;
#define PAYGO_FORM(form) PAYGO_STANDARD
#else
typedef uint64_t paygo_code;
typedef uint32_t paygo_value;
#define PAYGO_FORM(form) (form)
#endif

/* A number of steps, or a count, of which there are 65 535. */
typedef unsigned paygo_steps;

#define PAYGO_IS_EXTENDED(form) (PAYGO_FORM(form) == PAYGO_EXTENDED)

/* The two kinds of token, named by how many decimal digits they have. A byte, since an enumeration is two on an AVR. */
typedef uint8_t paygo_form;
enum {
    PAYGO_STANDARD = 9,
    PAYGO_EXTENDED = 12
};

/* The modulus of the base, the low digits that carry the value: 1 000 or 1 000 000. */
uint32_t paygo_base_modulus(paygo_form form);

/* Cuts the base off a code, which is at most paygo_largest_code(form), and returns it. */
paygo_value paygo_cut_base(paygo_form form, paygo_code *code);

/* The largest number that has the form's digits: 999 999 999 or 999 999 999 999. */
paygo_code paygo_largest_code(paygo_form form);

/* The code after `code` on its chain. `code` is at most paygo_largest_code(form); so is the result. */
paygo_code paygo_chain_next(const paygo_key *key, paygo_form form, paygo_code code);

/* The same on a standard chain. */
uint32_t paygo_chain_next_standard(const paygo_key *key, uint32_t code);

/* `code` with its base replaced; `base` is below paygo_base_modulus(form). */
paygo_code paygo_with_base(paygo_form form, paygo_code code, uint32_t base);

/* The starting code of a device that was given none: 0 ... 999 999 999 (0, which no device may have, one key in 10^9). */
uint32_t paygo_default_starting_code(const uint8_t secret_key[16]);

/* A walk along the chain of one value. It can be cut into slices of any length. */
typedef struct {
    paygo_code code;   /* the code at `count`, its base not put back */
    paygo_code low;    /* a token equals a code when low <= code < low + the modulus of the base */
    paygo_steps count;
#ifndef PAYGO_NO_EXTENDED
    paygo_form form;
#endif
    paygo_key key;
} paygo_walk;

/*
 * Starts at count 0 on the chain on which `token` can lie; walk->key is loaded before or after. `starting_code` is
 * 1 ... 999 999 999, `token` at most paygo_largest_code(form). Returns the value that the token has on this chain.
 */
paygo_value paygo_walk_start(paygo_walk *walk, paygo_form form, uint32_t starting_code, paygo_code token);

/*
 * Advances by one to `steps` counts and stops at the first count whose code gives the token.
 * Returns whether it stopped at such a count; otherwise all `steps` were walked.
 */
bool paygo_walk_to_match(paygo_walk *walk, paygo_steps steps);

/* Advances by exactly `steps` counts. */
void paygo_walk_by(paygo_walk *walk, paygo_steps steps);

#endif
