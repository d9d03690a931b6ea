/* SipHash-2-4 after Aumasson and Bernstein (2012), standard little-endian word loading. */
#include "siphash.h"

#if PAYGO_CORE != 8

#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

/* The four words of state are locals of the functions below, so that they stay in registers at any optimisation. */
#define FIRST_HALF(v0, v1, v2, v3) \
    do {                           \
        v0 += v1;                  \
        v2 += v3;                  \
        v1 = ROTATE(v1, 13) ^ v0;  \
        v3 = ROTATE(v3, 16) ^ v2;  \
        v0 = ROTATE(v0, 32);       \
    } while (0)

/* `word` is XORed into v3. */
#define SECOND_HALF(v0, v1, v2, v3, word)    \
    do {                                     \
        v2 += v1;                            \
        v0 += v3;                            \
        v1 = ROTATE(v1, 17) ^ v2;            \
        v3 = (ROTATE(v3, 21) ^ (word)) ^ v0; \
        v2 = ROTATE(v2, 32);                 \
    } while (0)

#define ROUND(v0, v1, v2, v3)              \
    do {                                   \
        FIRST_HALF(v0, v1, v2, v3);        \
        SECOND_HALF(v0, v1, v2, v3, 0);    \
    } while (0)

#define BEGIN(key, v0, v1, v2, v3)                                 \
    uint64_t v0 = (key)->k0 ^ UINT64_C(0x736f6d6570736575);        \
    uint64_t v1 = (key)->k1 ^ UINT64_C(0x646f72616e646f6d);        \
    uint64_t v2 = (key)->k0 ^ UINT64_C(0x6c7967656e657261);        \
    uint64_t v3 = (key)->k1 ^ UINT64_C(0x7465646279746573)

#define ABSORB(word, v0, v1, v2, v3) \
    do {                             \
        v3 ^= (word);                \
        ROUND(v0, v1, v2, v3);       \
        ROUND(v0, v1, v2, v3);       \
        v0 ^= (word);                \
    } while (0)

#define FINISH(v0, v1, v2, v3) \
    do {                       \
        v2 ^= 0xff;            \
        ROUND(v0, v1, v2, v3); \
        ROUND(v0, v1, v2, v3); \
        ROUND(v0, v1, v2, v3); \
        ROUND(v0, v1, v2, v3); \
    } while (0)

static uint64_t load_le(const uint8_t *bytes, size_t length)
{
    uint64_t word = 0;
    while (length > 0) {
        length--;
        word = (word << 8) | bytes[length];
    }
    return word;
}

void paygo_key_load(paygo_key *key, const uint8_t bytes[16])
{
    key->k0 = load_le(bytes, 8);
    key->k1 = load_le(bytes + 8, 8);
}

uint64_t paygo_siphash24(const paygo_key *key, const uint8_t *message, size_t length)
{
    const uint64_t tag = (uint64_t)(length & 0xff) << 56;
    BEGIN(key, v0, v1, v2, v3);
    uint64_t word;
    while (length >= 8) {
        word = load_le(message, 8);
        ABSORB(word, v0, v1, v2, v3);
        message += 8;
        length -= 8;
    }
    word = tag | load_le(message, length);
    ABSORB(word, v0, v1, v2, v3);
    FINISH(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
}

uint64_t paygo_siphash24_word(const paygo_key *key, uint64_t word)
{
    BEGIN(key, v0, v1, v2, v3);
    ABSORB(word, v0, v1, v2, v3);
    ABSORB(UINT64_C(8) << 56, v0, v1, v2, v3);
    FINISH(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
}

/*
 * In the last half round v0 and v2 only reach the hash in ways that its folding cancels, so that v1 and v3 suffice. The
 * length is absorbed early, in parallel with a rotation.
 */
#ifndef __OPTIMIZE_SIZE__
uint32_t paygo_siphash24_folded(const paygo_key *key, uint32_t half)
{
    const uint64_t high = (uint64_t)half << 32;
    const uint64_t length = UINT64_C(8) << 56;
    BEGIN(key, v0, v1, v2, v3);
    v3 = (v3 ^ half) ^ high;
    FIRST_HALF(v0, v1, v2, v3);
    SECOND_HALF(v0, v1, v2, v3, 0);
    FIRST_HALF(v0, v1, v2, v3);
    SECOND_HALF(v0, v1, v2, v3, length);
    v0 ^= high | half;
    ROUND(v0, v1, v2, v3);
    ROUND(v0, v1, v2, v3);
    v0 ^= length;
    v2 ^= 0xff;
    ROUND(v0, v1, v2, v3);
    ROUND(v0, v1, v2, v3);
    ROUND(v0, v1, v2, v3);
    FIRST_HALF(v0, v1, v2, v3);
    v1 = ROTATE(v1, 17) ^ ROTATE(v3, 21);
    return (uint32_t)(v1 >> 34) ^ ((uint32_t)v1 >> 2);
}
#else
uint32_t paygo_siphash24_folded(const paygo_key *key, uint32_t half)
{
    const uint64_t word = ((uint64_t)half << 32) | half;
    unsigned rounds = 8;
    uint32_t x;
    BEGIN(key, v0, v1, v2, v3);
    v3 ^= word;
    for (;;) {
        FIRST_HALF(v0, v1, v2, v3);
        rounds--;
        if (rounds == 0) {
            break;
        }
        SECOND_HALF(v0, v1, v2, v3, 0);
        if (rounds == 6) {
            v0 ^= ((uint64_t)half << 32) | half; /* not kept since the first time: there are too few registers */
            v3 ^= UINT64_C(8) << 56;
        } else if (rounds == 4) {
            v0 ^= UINT64_C(8) << 56;
            v2 ^= 0xff;
        }
    }
    x = (uint32_t)(v3 >> 32) ^ (uint32_t)v3;
    x = ((x << 4) | (x >> 28)) ^ (uint32_t)(v1 >> 32) ^ (uint32_t)v1;
    return ((x << 17) | (x >> 15)) >> 2;
}
#endif

#endif
