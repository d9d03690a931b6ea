/* Numbers drawn one after the other, for a unit of its own each. */
#include "chances.h"

double fleet_chance(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    return (double)(fleet_mixed(*state) >> 11) / 9007199254740992.0;
}
