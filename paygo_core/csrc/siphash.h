/* SipHash-2-4 with a 64-bit result: the only cryptographic primitive of the token scheme. */
#ifndef PAYGO_SIPHASH_H
#define PAYGO_SIPHASH_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/*
 * There are two of it, siphash.c and siphash_8.c, which give the same: the second is for 8-bit machines, where 64-bit
 * arithmetic and long shifts are slow. Which one is compiled is told by the width of int, or by -DPAYGO_CORE=64 or 8.
 */
#ifndef PAYGO_CORE
#if UINT_MAX > 0xffffU
#define PAYGO_CORE 64
#else
#define PAYGO_CORE 8
#endif
#endif

#if PAYGO_CORE == 8
/* A 16-byte secret key, as what SipHash begins with: the halves of its four words. */
typedef union {
    uint32_t half[8];
    uint8_t byte[32];
} paygo_key;
#else
/* A 16-byte secret key as the two little-endian words that SipHash works with. */
typedef struct {
    uint64_t k0;
    uint64_t k1;
} paygo_key;
#endif

/* Loads a key from its 16 bytes, in the order in which its hexadecimal form is written. */
void paygo_key_load(paygo_key *key, const uint8_t bytes[16]);

/* Hash of any message. */
uint64_t paygo_siphash24(const paygo_key *key, const uint8_t *message, size_t length);

/* Hash of the 8-byte message that is `low` and then `high`, little-endian: one step of an extended chain. */
uint64_t paygo_siphash24_word(const paygo_key *key, uint32_t low, uint32_t high);

/*
 * The hash of the 8-byte message that is `half`, little-endian, twice, folded to its upper half XOR its lower, of which the
 * top 30 bits: one step of a standard chain.
 */
uint32_t paygo_siphash24_folded(const paygo_key *key, uint32_t half);

#endif
