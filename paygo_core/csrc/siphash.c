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

/* Expressions that compilers know for a load of the whole word, on machines that can do that at any address. */
#define LOAD_4(bytes) \
    ((bytes)[0] | (uint32_t)(bytes)[1] << 8 | (uint32_t)(bytes)[2] << 16 | (uint32_t)(bytes)[3] << 24)
#define LOAD_8(bytes) (LOAD_4(bytes) | (uint64_t)LOAD_4((bytes) + 4) << 32)

void paygo_key_load(paygo_key *key, const uint8_t bytes[16])
{
    key->k0 = LOAD_8(bytes);
    key->k1 = LOAD_8(bytes + 8);
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

uint64_t paygo_siphash24_word(const paygo_key *key, uint32_t low, uint32_t high)
{
    const uint64_t word = ((uint64_t)high << 32) | low;
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
/*
 * The same for size, as 32-bit microcontrollers need it: the words in halves, the rounds in a loop. A quarter of a round
 * is a += b, then b rotated, XOR a.
 */
#define QUARTER(a, b, bits)                                              \
    do {                                                                 \
        const uint32_t low = b##l;                                       \
        a##l += low;                                                     \
        a##h += b##h + (uint32_t)(a##l < low);                           \
        b##l = a##l ^ low << (bits) ^ b##h >> (32 - (bits));             \
        b##h = a##h ^ b##h << (bits) ^ low >> (32 - (bits));             \
    } while (0)

/* Rotated by 32. */
#define TURN(a)                   \
    do {                          \
        const uint32_t low = a##l; \
        a##l = a##h;              \
        a##h = low;               \
    } while (0)

uint32_t paygo_siphash24_folded(const paygo_key *key, uint32_t half)
{
    unsigned rounds = 8;
    uint32_t v0l = (uint32_t)key->k0 ^ UINT32_C(0x70736575);
    uint32_t v0h = (uint32_t)(key->k0 >> 32) ^ UINT32_C(0x736f6d65);
    uint32_t v1l = (uint32_t)key->k1 ^ UINT32_C(0x6e646f6d);
    uint32_t v1h = (uint32_t)(key->k1 >> 32) ^ UINT32_C(0x646f7261);
    uint32_t v2l = (uint32_t)key->k0 ^ UINT32_C(0x6e657261);
    uint32_t v2h = (uint32_t)(key->k0 >> 32) ^ UINT32_C(0x6c796765);
    uint32_t v3l = (uint32_t)key->k1 ^ UINT32_C(0x79746573) ^ half;
    uint32_t v3h = (uint32_t)(key->k1 >> 32) ^ UINT32_C(0x74656462) ^ half;
    do {
        QUARTER(v0, v1, 13);
        TURN(v0);
        QUARTER(v2, v3, 16);
        QUARTER(v0, v3, 21);
        QUARTER(v2, v1, 17);
        TURN(v2);
        rounds--;
        if (rounds == 6) {
            v0l ^= half;
            v0h ^= half;
            v3h ^= UINT32_C(8) << 24;
        } else if (rounds == 4) {
            v0h ^= UINT32_C(8) << 24;
            v2l ^= 0xff;
        }
    } while (rounds > 0);
    return (v0l ^ v0h ^ v1l ^ v1h ^ v2l ^ v2h ^ v3l ^ v3h) >> 2;
}
#endif

#endif
