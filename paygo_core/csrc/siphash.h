/* SipHash-2-4 with a 64-bit result: the only cryptographic primitive of the token scheme. */
#ifndef PAYGO_SIPHASH_H
#define PAYGO_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* A 16-byte secret key as the two little-endian words that SipHash works with. */
typedef struct {
    uint64_t k0;
    uint64_t k1;
} paygo_key;

/* Loads a key from its 16 bytes, in the order in which its hexadecimal form is written. */
paygo_key paygo_key_load(const uint8_t bytes[16]);

/* Hash of any message. */
uint64_t paygo_siphash24(const paygo_key *key, const uint8_t *message, size_t length);

/* Hash of the 8-byte message whose little-endian value is `word`: one step of an extended chain. */
uint64_t paygo_siphash24_word(const paygo_key *key, uint64_t word);

/*
 * The hash of the 8-byte message that is `half`, little-endian, twice, folded to its upper half XOR its lower, of which the
 * top 30 bits: one step of a standard chain.
 */
uint32_t paygo_siphash24_folded(const paygo_key *key, uint32_t half);

#endif
