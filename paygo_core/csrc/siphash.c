/* SipHash-2-4 after Aumasson and Bernstein (2012), standard little-endian word loading. */
#include "siphash.h"

typedef struct {
    uint64_t v0, v1, v2, v3;
} sip;

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64U - bits));
}

static uint64_t load_le(const uint8_t *bytes, size_t length)
{
    uint64_t word = 0;
    while (length > 0) {
        length--;
        word = (word << 8) | bytes[length];
    }
    return word;
}

static void sip_round(sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 = rotate_left(s->v2, 32);
}

static sip sip_begin(const paygo_key *key)
{
    sip s;
    s.v0 = key->k0 ^ UINT64_C(0x736f6d6570736575);
    s.v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d);
    s.v2 = key->k0 ^ UINT64_C(0x6c7967656e657261);
    s.v3 = key->k1 ^ UINT64_C(0x7465646279746573);
    return s;
}

static void sip_absorb(sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static uint64_t sip_end(sip *s)
{
    s->v2 ^= 0xff;
    sip_round(s);
    sip_round(s);
    sip_round(s);
    sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

paygo_key paygo_key_load(const uint8_t bytes[16])
{
    paygo_key key;
    key.k0 = load_le(bytes, 8);
    key.k1 = load_le(bytes + 8, 8);
    return key;
}

uint64_t paygo_siphash24(const paygo_key *key, const uint8_t *message, size_t length)
{
    sip s = sip_begin(key);
    const uint64_t tag = (uint64_t)(length & 0xff) << 56;
    while (length >= 8) {
        sip_absorb(&s, load_le(message, 8));
        message += 8;
        length -= 8;
    }
    sip_absorb(&s, tag | load_le(message, length));
    return sip_end(&s);
}

uint64_t paygo_siphash24_word(const paygo_key *key, uint64_t word)
{
    sip s = sip_begin(key);
    sip_absorb(&s, word);
    sip_absorb(&s, UINT64_C(8) << 56);
    return sip_end(&s);
}
