/* The hash that all chances are drawn by: SplitMix64 (Steele, Lea and Flood 2014), as in firmware_sim/plant/chances.py. */
#ifndef PAYGO_FLEET_CHANCES_H
#define PAYGO_FLEET_CHANCES_H

#include <stdint.h>

static inline uint64_t fleet_mixed(uint64_t words)
{
    words = (words ^ words >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    words = (words ^ words >> 27) * UINT64_C(0x94D049BB133111EB);
    return words ^ words >> 31;
}

/* The next number of a sequence, 0 <= it < 1. */
double fleet_chance(uint64_t *state);

#endif
