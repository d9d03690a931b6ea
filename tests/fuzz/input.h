/* What the fuzz targets share: reading numbers off the input, and a condition that must hold. */
#ifndef PAYGO_FUZZ_INPUT_H
#define PAYGO_FUZZ_INPUT_H

#include "codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* A big-endian number of `bytes` bytes, or of what is left. */
static inline uint64_t take(const uint8_t **data, size_t *size, size_t bytes)
{
    uint64_t number = 0;
    while (bytes > 0 && *size > 0) {
        number = (number << 8) | **data;
        (*data)++;
        (*size)--;
        bytes--;
    }
    return number;
}

static inline paygo_form take_form(const uint8_t **data, size_t *size)
{
    return take(data, size, 1) % 2 == 0 ? PAYGO_STANDARD : PAYGO_EXTENDED;
}

/* A device as the caller may describe it. */
static inline paygo_config take_config(const uint8_t **data, size_t *size)
{
    paygo_config config;
    uint8_t i;
    for (i = 0; i < 16; i++) {
        config.secret_key[i] = (uint8_t)take(data, size, 1);
    }
    config.starting_code = 1 + (uint32_t)(take(data, size, 4) % 999999999U);
    config.max_count = (uint16_t)(1 + take(data, size, 2) % 65535U);
    config.max_jump = (uint16_t)(1 + take(data, size, 1));
    config.max_sync_jump = (uint16_t)(1 + take(data, size, 1));
    config.older_window = (uint8_t)(take(data, size, 1) % (PAYGO_MAX_OLDER_WINDOW + 1U));
    config.time_divider = (uint8_t)(1 + take(data, size, 1) % 255U);
    config.restricted_digits = take(data, size, 1) % 2 == 1;
    config.strict_waits = take(data, size, 1) % 2 == 1;
    return config;
}

/* A count that keeps a walk short enough to fuzz. */
static inline uint16_t take_count(const uint8_t **data, size_t *size)
{
    return (uint16_t)(take(data, size, 2) % 700U);
}

static inline bool same_window(const paygo_window *one, const paygo_window *other)
{
    return one->count == other->count && one->floor == other->floor && one->used == other->used;
}

static inline bool same_verdict(const paygo_verdict *one, const paygo_verdict *other)
{
    return one->type == other->type && one->reason == other->reason && one->value == other->value &&
           one->count == other->count && same_window(&one->window, &other->window);
}

#endif
