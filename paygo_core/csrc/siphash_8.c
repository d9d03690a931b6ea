/*
 * SipHash-2-4 for machines whose int has 16 bits, which have 8-bit registers: no 64-bit arithmetic, no shift that takes a
 * loop. A 64-bit word is two 32-bit halves, a rotation by 16 or 24 is in which byte goes where, and what is left of it are
 * single bits.
 */
#include "siphash.h"

#include <stdbool.h>

#if PAYGO_CORE == 8

/* A word's parts by their place in memory, the lowest first. The lower half always comes first. */
typedef union {
    uint32_t half[2];
    uint16_t pair[4];
    uint8_t byte[8];
} word;

typedef union {
    uint32_t whole;
    uint16_t pair[2];
    uint8_t byte[4];
} parts;

#if defined __BYTE_ORDER__ && defined __ORDER_BIG_ENDIAN__ && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define PAIR(i) ((i) ^ 1)
#define BYTE(i) ((i) ^ 3)
#else
#define PAIR(i) (i)
#define BYTE(i) (i)
#endif

/* v0 and v2 are volatile so that the compiler does not keep them in registers, of which an AVR has too few for all. */
typedef struct {
    volatile word v0;
    word v1;
    volatile word v2;
    word v3;
    uint32_t message;
} state;

#define TOP UINT32_C(0x80000000)

static inline uint16_t upper(uint32_t x)
{
    parts of;
    of.whole = x;
    return of.pair[PAIR(1)];
}

static inline uint8_t byte_of(uint32_t x, uint8_t i)
{
    parts of;
    of.whole = x;
    return of.byte[i];
}

static inline uint32_t left_1(uint32_t x)
{
    const uint8_t top = byte_of(x, BYTE(3));
    x <<= 1;
    return (top & 0x80) != 0 ? x | 1U : x;
}

/* low and high += v, whose halves are then in l and h. */
#define ADD(v)          \
    do {                \
        l = (v).half[0]; \
        h = (v).half[1]; \
        low += l;       \
        high += h;      \
        if (low < l) {  \
            high++;     \
        }               \
    } while (0)

#define RIGHT_1                             \
    do {                                    \
        const uint8_t last = (uint8_t)h;    \
        h >>= 1;                            \
        if ((l & 1U) != 0) {                \
            h |= TOP;                       \
        }                                   \
        l >>= 1;                            \
        if ((last & 1U) != 0) {             \
            l |= TOP;                       \
        }                                   \
    } while (0)

#define LEFT_1                                        \
    do {                                              \
        const uint8_t first = byte_of(h, BYTE(3));    \
        h <<= 1;                                      \
        if ((byte_of(l, BYTE(3)) & 0x80) != 0) {      \
            h |= 1U;                                  \
        }                                             \
        l <<= 1;                                      \
        if ((first & 0x80) != 0) {                    \
            l |= 1U;                                  \
        }                                             \
    } while (0)

/* v = l and h rotated by 16, or by 24, XOR low and high. */
#define PUT_16(v)                                                                   \
    do {                                                                            \
        (v).pair[PAIR(0)] = (uint16_t)(upper(h) ^ (uint16_t)(low & 0xffffU));       \
        (v).pair[PAIR(1)] = (uint16_t)((uint16_t)(l & 0xffffU) ^ upper(low));       \
        (v).pair[PAIR(2)] = (uint16_t)(upper(l) ^ (uint16_t)(high & 0xffffU));      \
        (v).pair[PAIR(3)] = (uint16_t)((uint16_t)(h & 0xffffU) ^ upper(high));      \
    } while (0)

#define PUT_24(v)                                                                              \
    do {                                                                                       \
        (v).byte[BYTE(0)] = (uint8_t)(byte_of(h, BYTE(1)) ^ byte_of(low, BYTE(0)));            \
        (v).byte[BYTE(1)] = (uint8_t)(byte_of(h, BYTE(2)) ^ byte_of(low, BYTE(1)));            \
        (v).byte[BYTE(2)] = (uint8_t)(byte_of(h, BYTE(3)) ^ byte_of(low, BYTE(2)));            \
        (v).byte[BYTE(3)] = (uint8_t)(byte_of(l, BYTE(0)) ^ byte_of(low, BYTE(3)));            \
        (v).byte[4 + BYTE(0)] = (uint8_t)(byte_of(l, BYTE(1)) ^ byte_of(high, BYTE(0)));       \
        (v).byte[4 + BYTE(1)] = (uint8_t)(byte_of(l, BYTE(2)) ^ byte_of(high, BYTE(1)));       \
        (v).byte[4 + BYTE(2)] = (uint8_t)(byte_of(l, BYTE(3)) ^ byte_of(high, BYTE(2)));       \
        (v).byte[4 + BYTE(3)] = (uint8_t)(byte_of(h, BYTE(0)) ^ byte_of(high, BYTE(3)));       \
    } while (0)

#define TAKE(v)              \
    do {                     \
        low = (v).half[0];   \
        high = (v).half[1];  \
    } while (0)

/* Rotated by 32. */
#define LEAVE(v)             \
    do {                     \
        (v).half[0] = high;  \
        (v).half[1] = low;   \
    } while (0)

/*
 * `halves` half rounds. Those of a whole hash but for the last one are 15: then the message and its length are absorbed on
 * the way. v0 and v2 are not left behind after an odd number.
 */
static void mix(state *s, uint8_t halves)
{
    uint32_t low, high, l, h;
    TAKE(s->v0);
    for (;;) {
        ADD(s->v1); /* v1: 13 = 16 - 3 */
        RIGHT_1;
        RIGHT_1;
        RIGHT_1;
        PUT_16(s->v1);
        LEAVE(s->v0);
        TAKE(s->v2);
        ADD(s->v3); /* v3: 16 */
        PUT_16(s->v3);
        if (--halves == 0) {
            return;
        }
        ADD(s->v1); /* v1: 17 = 16 + 1 */
        LEFT_1;
        PUT_16(s->v1);
        LEAVE(s->v2);
        TAKE(s->v0);
        ADD(s->v3); /* v3: 21 = 24 - 3 */
        RIGHT_1;
        RIGHT_1;
        RIGHT_1;
        PUT_24(s->v3);
        halves--;
        if (halves == 11) {
            low ^= s->message;
            high ^= s->message;
            s->v3.byte[4 + BYTE(3)] ^= 8;
        } else if (halves == 7) {
            high ^= UINT32_C(8) << 24;
            s->v2.byte[BYTE(0)] ^= 0xff;
        } else if (halves == 0) {
            s->v0.half[0] = low;
            s->v0.half[1] = high;
            return;
        }
    }
}

static uint32_t load_le(const uint8_t *bytes, size_t length)
{
    uint32_t x = 0;
    while (length > 0) {
        length--;
        x = (x << 8) | bytes[length];
    }
    return x;
}

/* The two halves of v0, v1, v2, v3. */
void paygo_key_load(paygo_key *key, const uint8_t bytes[16])
{
    uint8_t i;
    key->half[0] = UINT32_C(0x70736575);
    key->half[1] = UINT32_C(0x736f6d65);
    key->half[2] = UINT32_C(0x6e646f6d);
    key->half[3] = UINT32_C(0x646f7261);
    key->half[4] = UINT32_C(0x6e657261);
    key->half[5] = UINT32_C(0x6c796765);
    key->half[6] = UINT32_C(0x79746573);
    key->half[7] = UINT32_C(0x74656462);
    for (i = 0; i < 16; i++) {
        key->byte[BYTE(i)] ^= bytes[i];
        key->byte[16 + BYTE(i)] ^= bytes[i];
    }
}

static void begin(state *s, const paygo_key *key)
{
    s->v0.half[0] = key->half[0];
    s->v0.half[1] = key->half[1];
    s->v1.half[0] = key->half[2];
    s->v1.half[1] = key->half[3];
    s->v2.half[0] = key->half[4];
    s->v2.half[1] = key->half[5];
    s->v3.half[0] = key->half[6];
    s->v3.half[1] = key->half[7];
}

uint64_t paygo_siphash24(const paygo_key *key, const uint8_t *message, size_t length)
{
    state s;
    uint32_t low, high;
    const uint32_t tag = (uint32_t)(length & 0xff) << 24;
    bool last = false;
    begin(&s, key);
    while (!last) {
        last = length < 8;
        low = load_le(message, length < 4 ? length : 4);
        high = length <= 4 ? 0 : load_le(message + 4, last ? length - 4U : 4);
        if (last) {
            high |= tag;
        }
        s.v3.half[0] ^= low;
        s.v3.half[1] ^= high;
        mix(&s, 4);
        s.v0.half[0] ^= low;
        s.v0.half[1] ^= high;
        message += last ? 0 : 8;
        length -= last ? 0 : 8;
    }
    s.v2.half[0] ^= 0xffU;
    mix(&s, 8);
    low = s.v0.half[0] ^ s.v1.half[0] ^ s.v2.half[0] ^ s.v3.half[0];
    high = s.v0.half[1] ^ s.v1.half[1] ^ s.v2.half[1] ^ s.v3.half[1];
    return ((uint64_t)high << 32) | low;
}

uint64_t paygo_siphash24_word(const paygo_key *key, uint64_t word_of_message)
{
    uint8_t bytes[8];
    uint8_t i;
    for (i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(word_of_message & 0xffU);
        word_of_message >>= 8;
    }
    return paygo_siphash24(key, bytes, 8);
}

/* v0 and v2 cancel out of the folded hash, and folding a word and rotating it are one, so that a half round is left out. */
uint32_t paygo_siphash24_folded(const paygo_key *key, uint32_t half)
{
    state s;
    uint32_t x;
    uint8_t i = 4;
    parts turned, sum;
    begin(&s, key);
    s.message = half;
    s.v3.half[0] ^= half;
    s.v3.half[1] ^= half;
    mix(&s, 15);
    x = s.v3.half[0] ^ s.v3.half[1]; /* v3 is to be rotated by 21, v1 by 17 */
    do {
        x = left_1(x);
    } while (--i > 0);
    sum.whole = left_1(x ^ s.v1.half[0] ^ s.v1.half[1]);
    turned.pair[0] = sum.pair[1];
    turned.pair[1] = sum.pair[0];
    return turned.whole >> 2;
}

#else

/* Not for this machine: siphash.c. */
typedef int paygo_no_core_8;

#endif
