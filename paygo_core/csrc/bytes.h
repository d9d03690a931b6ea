/* Little-endian numbers in stored bytes. */
#ifndef PAYGO_BYTES_H
#define PAYGO_BYTES_H

#include <stdint.h>

/* Writes the low `size` bytes of `value`, at most 4; returns the place after them. */
static inline uint8_t *paygo_put(uint8_t *bytes, uint32_t value, uint8_t size)
{
    while (size > 0) {
        *bytes++ = (uint8_t)(value & 0xff);
        value >>= 8;
        size--;
    }
    return bytes;
}

/* Reads a number of `size` bytes, at most 4; returns the place after them. */
static inline const uint8_t *paygo_get(const uint8_t *bytes, uint32_t *value, uint8_t size)
{
    uint8_t i = size;
    *value = 0;
    while (i > 0) {
        i--;
        *value = (*value << 8) | bytes[i];
    }
    return bytes + size;
}

#endif
