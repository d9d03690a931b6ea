/*
 * SipHash-2-4 for machines whose int has 16 bits, which have 8-bit registers: no 64-bit arithmetic, no shift that takes a
 * loop. A 64-bit word is two 32-bit halves, a rotation by 16 or 24 is in which byte goes where, and what is left of it
 * are single bits.
 */
#include "flash.h"
#include "siphash.h"

#include <stdbool.h>
#include <string.h>

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
#define HALF(i) ((i) ^ 1)
#define PAIR(i) ((i) ^ 1)
#define BYTE(i) ((i) ^ 3)
#else
#define HALF(i) (i)
#define PAIR(i) (i)
#define BYTE(i) (i)
#endif

/* A number of 64 bits and its halves, in the machine's order. */
typedef union {
    uint64_t whole;
    uint32_t half[2];
} whole;

/*
 * v0 is in the locals low and high, v2 while it is worked with in low2 and high2, and in l and h is v1 or v3. For more an
 * AVR has too few registers: the state is used through a pointer to volatile, so that the compiler does not try.
 */
typedef struct {
    word v1;
    word v2;
    word v3;
#ifdef PAYGO_NO_EXTENDED
    uint32_t message; /* both halves of it */
#else
    word message;     /* then the hash */
    bool folded;      /* as much of it as a folded hash needs */
#endif
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

static inline uint32_t right_1(uint32_t x)
{
    const uint8_t bottom = byte_of(x, BYTE(0));
    x >>= 1;
    return (bottom & 1) != 0 ? x | TOP : x;
}

/* low and high += v, whose halves are then in l and h. */
#define ADD(v, low, high) \
    do {                  \
        l = (v).half[0];  \
        h = (v).half[1];  \
        low += l;         \
        high += h;        \
        if (low < l) {    \
            high++;       \
        }                 \
    } while (0)

/* The bits that pass from h to l go one by one, the three that pass from l to h together. */
#define RIGHT_1                                 \
    do {                                        \
        const uint8_t last = byte_of(h, BYTE(0)); \
        h >>= 1;                                \
        l >>= 1;                                \
        if ((last & 1) != 0) {                  \
            l |= TOP;                           \
        }                                       \
    } while (0)

#define RIGHT_3                                                      \
    do {                                                             \
        const uint8_t passing = (uint8_t)(byte_of(l, BYTE(0)) << 5); \
        parts of_h;                                                  \
        RIGHT_1;                                                     \
        RIGHT_1;                                                     \
        RIGHT_1;                                                     \
        of_h.whole = h;                                              \
        of_h.byte[BYTE(3)] |= passing;                               \
        h = of_h.whole;                                              \
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
#define PUT_16(v, low, high)                                                        \
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

/* The half rounds. v0 is rotated by 32 in the first, v2 in the second. */
#define FIRST_HALF(s)                                  \
    do {                                               \
        ADD((s)->v1, low, high); /* v1: 13 = 16 - 3 */ \
        RIGHT_3;                                       \
        PUT_16((s)->v1, low, high);                    \
        l = low;                                       \
        low = high;                                    \
        high = l;                                      \
        low2 = (s)->v2.half[0];                        \
        high2 = (s)->v2.half[1];                       \
        ADD((s)->v3, low2, high2); /* v3: 16 */        \
        PUT_16((s)->v3, low2, high2);                  \
    } while (0)

#define SECOND_HALF(s)                                   \
    do {                                                 \
        ADD((s)->v1, low2, high2); /* v1: 17 = 16 + 1 */ \
        LEFT_1;                                          \
        PUT_16((s)->v1, low2, high2);                    \
        (s)->v2.half[0] = high2;                         \
        (s)->v2.half[1] = low2;                          \
        ADD((s)->v3, low, high); /* v3: 21 = 24 - 3 */   \
        RIGHT_3;                                         \
        PUT_24((s)->v3);                                 \
    } while (0)

/* The two halves of v0, v1, v2, v3. */
void paygo_key_load(paygo_key *key, const uint8_t bytes[16])
{
    static const uint8_t first[32] PAYGO_FLASH = {
        0x75, 0x65, 0x73, 0x70, 0x65, 0x6d, 0x6f, 0x73, 0x6d, 0x6f, 0x64, 0x6e, 0x61, 0x72, 0x6f, 0x64,
        0x61, 0x72, 0x65, 0x6e, 0x65, 0x67, 0x79, 0x6c, 0x73, 0x65, 0x74, 0x79, 0x62, 0x64, 0x65, 0x74,
    };
    uint8_t i;
    for (i = 0; i < 32; i++) {
        key->byte[BYTE(i)] = (uint8_t)(paygo_flash_byte(first + i) ^ bytes[i & 15U]);
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

/* v0 lies in v0, the rest of the state in s. */
static void mix(word *v0, volatile state *s, uint8_t rounds)
{
    uint32_t low = v0->half[0], high = v0->half[1], low2, high2, l, h;
    do {
        FIRST_HALF(s);
        SECOND_HALF(s);
    } while (--rounds > 0);
    v0->half[0] = low;
    v0->half[1] = high;
}

uint64_t paygo_siphash24(const paygo_key *key, const uint8_t *message, size_t length)
{
    word v0;
    state s;
    uint32_t low, high;
    const uint32_t tag = (uint32_t)(length & 0xff) << 24;
    bool last = false;
    memcpy(&v0, key->half, sizeof v0);
    memcpy(&s, key->half + 2, 3 * sizeof v0);
    while (!last) {
        last = length < 8;
        low = load_le(message, length < 4 ? length : 4);
        high = length <= 4 ? 0 : load_le(message + 4, last ? length - 4U : 4);
        if (last) {
            high |= tag;
        }
        s.v3.half[0] ^= low;
        s.v3.half[1] ^= high;
        mix(&v0, &s, 2);
        v0.half[0] ^= low;
        v0.half[1] ^= high;
        message += last ? 0 : 8;
        length -= last ? 0 : 8;
    }
    s.v2.half[0] ^= 0xffU;
    mix(&v0, &s, 4);
    low = v0.half[0] ^ s.v1.half[0] ^ s.v2.half[0] ^ s.v3.half[0];
    high = v0.half[1] ^ s.v1.half[1] ^ s.v2.half[1] ^ s.v3.half[1];
    return ((uint64_t)high << 32) | low;
}

/* Firmware of standard tokens hashes nothing but words of two equal halves, and only folded. */
#ifdef PAYGO_NO_EXTENDED
#define MESSAGE(s, i) (s)->message
#define FOLDED(s) true
#else
#define MESSAGE(s, i) (s)->message.half[i]
#define FOLDED(s) (s)->folded
#endif

/*
 * Hashes a message, of which these are the halves. v0 and v2 cancel out of a folded hash, and folding a word and rotating it are one, so that a
 * half round is left out.
 */
static void hash_message(const paygo_key *key, volatile state *s, uint32_t first, uint32_t second)
{
    uint32_t low = key->half[0], high = key->half[1], low2, high2, l, h;
    uint8_t i = 8;
    s->v1.half[0] = key->half[2];
    s->v1.half[1] = key->half[3];
    s->v2.half[0] = key->half[4];
    s->v2.half[1] = key->half[5];
    s->v3.half[0] = key->half[6] ^ first;
    s->v3.half[1] = key->half[7] ^ second;
    MESSAGE(s, 0) = first;
#ifndef PAYGO_NO_EXTENDED
    MESSAGE(s, 1) = second;
#endif
    for (;;) {
        FIRST_HALF(s);
        i--;
        if (i == 0 && FOLDED(s)) {
            break;
        }
        SECOND_HALF(s);
        if (i == 6) {
            low ^= MESSAGE(s, 0);
            high ^= MESSAGE(s, 1);
            s->v3.byte[4 + BYTE(3)] ^= 8;
        } else if (i == 4) {
            high ^= UINT32_C(8) << 24;
            s->v2.byte[BYTE(0)] ^= 0xff;
#ifndef PAYGO_NO_EXTENDED
        } else if (i == 0) {
            s->message.half[0] = low ^ s->v1.half[0] ^ s->v2.half[0] ^ s->v3.half[0];
            s->message.half[1] = high ^ s->v1.half[1] ^ s->v2.half[1] ^ s->v3.half[1];
            break;
#endif
        }
    }
}

#ifndef PAYGO_NO_EXTENDED
uint64_t paygo_siphash24_word(const paygo_key *key, uint32_t low, uint32_t high)
{
    state kept;
    whole hash;
    kept.folded = false;
    hash_message(key, &kept, low, high);
    hash.half[HALF(0)] = kept.message.half[0];
    hash.half[HALF(1)] = kept.message.half[1];
    return hash.whole;
}
#endif

uint32_t paygo_siphash24_folded(const paygo_key *key, uint32_t half)
{
    state kept;
    volatile state *const s = &kept;
    uint32_t l;
    uint8_t i = 4;
    parts turned, sum;
#ifndef PAYGO_NO_EXTENDED
    kept.folded = true;
#endif
    hash_message(key, s, half, half);
    l = s->v3.half[0] ^ s->v3.half[1]; /* v3 is to be rotated by 21, v1 by 17 */
    do {
        l = left_1(l);
    } while (--i > 0);
    sum.whole = right_1(l ^ s->v1.half[0] ^ s->v1.half[1]); /* by 17, and without the last two bits: by 16 - 1 */
    turned.pair[0] = sum.pair[1];
    turned.pair[1] = sum.pair[0];
    return turned.whole & UINT32_C(0x3fffffff);
}

#else

/* Not for this machine: siphash.c. */
typedef int paygo_no_core_8;

#endif
