/* The chains of codes: next, base, and walks that can be sliced. */
#include "chain.h"

static uint32_t swap32(uint32_t x)
{
    return (x << 24) | ((x & 0xff00U) << 8) | ((x >> 8) & 0xff00U) | (x >> 24);
}

/* T2: 30 bits brought below 10^9. */
static uint32_t to_code(uint32_t x)
{
    if (x > UINT32_C(999999999)) {
        x -= UINT32_C(73741825);
    }
    return x;
}

/* T3: the message is the code as four big-endian bytes, written twice. */
static uint32_t next_standard(const paygo_key *key, uint32_t code)
{
    return to_code(paygo_siphash24_folded(key, swap32(code)));
}

/* T24: the message is the code as eight big-endian bytes; the top 40 bits, brought below 10^12. */
static uint64_t next_extended(const paygo_key *key, uint64_t code)
{
    const uint64_t message = ((uint64_t)swap32((uint32_t)code) << 32) | swap32((uint32_t)(code >> 32));
    uint64_t x = paygo_siphash24_word(key, message) >> 24;
    if (x > UINT64_C(999999999999)) {
        x -= UINT64_C(99511627777);
    }
    return x;
}

uint32_t paygo_base_modulus(paygo_form form)
{
    return form == PAYGO_STANDARD ? UINT32_C(1000) : UINT32_C(1000000);
}

uint64_t paygo_largest_code(paygo_form form)
{
    return form == PAYGO_STANDARD ? UINT64_C(999999999) : UINT64_C(999999999999);
}

uint64_t paygo_chain_next(const paygo_key *key, paygo_form form, uint64_t code)
{
    return form == PAYGO_STANDARD ? next_standard(key, (uint32_t)code) : next_extended(key, code);
}

uint64_t paygo_with_base(paygo_form form, uint64_t code, uint32_t base)
{
    return code - code % paygo_base_modulus(form) + base;
}

uint32_t paygo_default_starting_code(const uint8_t secret_key[16])
{
    const paygo_key key = paygo_key_load(secret_key);
    const uint64_t hash = paygo_siphash24(&key, secret_key, 16);
    return to_code(((uint32_t)(hash >> 32) ^ (uint32_t)hash) >> 2);
}

paygo_walk paygo_walk_start(const paygo_key *key, paygo_form form, uint32_t starting_code, uint64_t token)
{
    paygo_walk walk;
    const uint32_t modulus = paygo_base_modulus(form);
    const uint32_t base = (uint32_t)(token % modulus);
    walk.key = *key;
    walk.form = form;
    walk.modulus = modulus;
    walk.count = 0;
    walk.low = token - base;
    walk.code = paygo_with_base(form, starting_code, base);
    return walk;
}

/* Two loops, so that the standard chain stays in 32 bits. No modulo: a code gives the token within [low, low + modulus). */
bool paygo_walk_to_match(paygo_walk *walk, uint32_t steps)
{
    if (walk->form == PAYGO_STANDARD) {
        const uint32_t low = (uint32_t)walk->low;
        uint32_t code = (uint32_t)walk->code;
        bool match = false;
        while (steps > 0 && !match) {
            code = next_standard(&walk->key, code);
            match = (uint32_t)(code - low) < UINT32_C(1000);
            walk->count++;
            steps--;
        }
        walk->code = code;
        return match;
    }
    while (steps > 0) {
        walk->code = next_extended(&walk->key, walk->code);
        walk->count++;
        steps--;
        if (walk->code - walk->low < walk->modulus) {
            return true;
        }
    }
    return false;
}

void paygo_walk_by(paygo_walk *walk, uint32_t steps)
{
    walk->count += steps;
    while (steps > 0) {
        walk->code = paygo_chain_next(&walk->key, walk->form, walk->code);
        steps--;
    }
}
