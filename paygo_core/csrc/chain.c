/* The chains of codes: next, base, and walks that can be sliced. */
#include "chain.h"

#if PAYGO_CORE == 8
static uint32_t swap32(uint32_t x)
{
    union {
        uint32_t whole;
        uint8_t byte[4];
    } given, swapped;
    given.whole = x;
    swapped.byte[0] = given.byte[3];
    swapped.byte[1] = given.byte[2];
    swapped.byte[2] = given.byte[1];
    swapped.byte[3] = given.byte[0];
    return swapped.whole;
}
#else
static uint32_t swap32(uint32_t x)
{
    return (x << 24) | ((x & 0xff00U) << 8) | ((x >> 8) & 0xff00U) | (x >> 24);
}
#endif

/* T2: 30 bits brought below 10^9, by 73 741 825, which is what 2^30 has above 999 999 999. */
static uint32_t to_code(uint32_t x)
{
    if (x > UINT32_C(999999999)) {
        x = (x + UINT32_C(999999999)) & UINT32_C(0x3fffffff);
    }
    return x;
}

/* T3: the message is the code as four big-endian bytes, written twice. */
uint32_t paygo_chain_next_standard(const paygo_key *key, uint32_t code)
{
    return to_code(paygo_siphash24_folded(key, swap32(code)));
}

#ifndef PAYGO_NO_EXTENDED
/* T24: the message is the code as eight big-endian bytes; the top 40 bits, brought below 10^12. */
static uint64_t next_extended(const paygo_key *key, uint64_t code)
{
    uint64_t x = paygo_siphash24_word(key, swap32((uint32_t)(code >> 32)), swap32((uint32_t)code)) >> 24;
    if (x > UINT64_C(999999999999)) {
        x -= UINT64_C(99511627777);
    }
    return x;
}
#endif

uint32_t paygo_base_modulus(paygo_form form)
{
    (void)form;
    return !PAYGO_IS_EXTENDED(form) ? UINT32_C(1000) : UINT32_C(1000000);
}

paygo_code paygo_largest_code(paygo_form form)
{
#ifndef PAYGO_NO_EXTENDED
    if (PAYGO_IS_EXTENDED(form)) {
        return UINT64_C(999999999999);
    }
#endif
    (void)form;
    return UINT32_C(999999999);
}

paygo_code paygo_chain_next(const paygo_key *key, paygo_form form, paygo_code code)
{
#ifndef PAYGO_NO_EXTENDED
    if (PAYGO_IS_EXTENDED(form)) {
        return next_extended(key, code);
    }
#endif
    (void)form;
    return paygo_chain_next_standard(key, (uint32_t)code);
}

paygo_code paygo_with_base(paygo_form form, paygo_code code, uint32_t base)
{
    return code - code % paygo_base_modulus(form) + base;
}

uint32_t paygo_default_starting_code(const uint8_t secret_key[16])
{
    paygo_key key;
    uint64_t hash;
    paygo_key_load(&key, secret_key);
    hash = paygo_siphash24(&key, secret_key, 16);
    return to_code(((uint32_t)(hash >> 32) ^ (uint32_t)hash) >> 2);
}

/* What a machine does that cannot divide. The largest code is below the modulus shifted by 20. */
#if defined PAYGO_NO_EXTENDED && !defined __ARM_FEATURE_IDIV
paygo_value paygo_cut_base(paygo_form form, paygo_code *code)
{
    paygo_code left = *code;
    paygo_code multiple = UINT32_C(1000) << 20;
    uint8_t i = 21;
    (void)form;
    do {
        if (left >= multiple) {
            left -= multiple;
        }
        multiple >>= 1;
        i--;
    } while (i > 0);
    *code -= (paygo_value)left;
    return (paygo_value)left;
}
#elif PAYGO_CORE == 8
/* Byte by byte, as on paper, in 32 bits. What lies above them is at most 232. */
paygo_value paygo_cut_base(paygo_form form, paygo_code *code)
{
    const uint32_t modulus = paygo_base_modulus(form);
    uint32_t low = (uint32_t)*code;
    paygo_value base = (paygo_value)(*code >> 32);
    uint8_t i;
    for (i = 0; i < 4U; i++) {
        base = (base << 8 | low >> 24) % modulus;
        low <<= 8;
    }
    *code -= base;
    return base;
}
#else
paygo_value paygo_cut_base(paygo_form form, paygo_code *code)
{
    const paygo_value base = (paygo_value)(*code % paygo_base_modulus(form));
    *code -= base;
    return base;
}
#endif

/* T6: the value is how far the token's base lies above that of the starting code. */
paygo_value paygo_walk_start(paygo_walk *walk, paygo_form form, uint32_t starting_code, paygo_code token)
{
    const paygo_value modulus = (paygo_value)paygo_base_modulus(form);
    paygo_value base, first;
#ifndef PAYGO_NO_EXTENDED
    walk->form = form;
#endif
    walk->count = 0;
    walk->low = token;
    walk->code = starting_code;
    base = paygo_cut_base(form, &walk->low);
    first = paygo_cut_base(form, &walk->code);
    walk->code += base;
    return (paygo_value)(base >= first ? base - first : base + modulus - first);
}

/* Two loops, so that the standard chain stays in 32 bits. No modulo: a code gives the token within [low, low + modulus). */
bool paygo_walk_to_match(paygo_walk *walk, paygo_steps steps)
{
    uint32_t code = (uint32_t)walk->code;
    bool match = false;
#ifndef PAYGO_NO_EXTENDED
    if (PAYGO_IS_EXTENDED(walk->form)) {
        while (steps > 0) {
            walk->code = next_extended(&walk->key, walk->code);
            walk->count++;
            steps--;
            if (walk->code - walk->low < UINT32_C(1000000)) {
                return true;
            }
        }
        return false;
    }
#endif
    while (steps > 0) {
        steps--;
        code = paygo_chain_next_standard(&walk->key, code);
        walk->count++;
        match = (uint32_t)(code - (uint32_t)walk->low) < UINT32_C(1000);
        if (match) {
            break;
        }
    }
    walk->code = code;
    return match;
}

void paygo_walk_by(paygo_walk *walk, paygo_steps steps)
{
    paygo_code code = walk->code;
    walk->count += steps;
    while (steps > 0) {
        code = paygo_chain_next(&walk->key, PAYGO_FORM(walk->form), code);
        steps--;
    }
    walk->code = code;
}
