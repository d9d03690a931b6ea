/* The unit's tick against a clock chip. */
#include "witness.h"

/* How far the chip moved more than was counted, at most INT16_MAX either way. */
static int16_t ahead(uint32_t moved_s, uint32_t counted_s)
{
    const bool behind = moved_s < counted_s;
    const uint32_t apart = behind ? counted_s - moved_s : moved_s - counted_s;
    const int16_t size = apart < (uint32_t)INT16_MAX ? (int16_t)apart : INT16_MAX;
    return (int16_t)(behind ? -size : size);
}

void paygo_witness_update(paygo_witness *witness, uint32_t rtc_s, uint16_t elapsed_s)
{
    const bool back = rtc_s < witness->last_s;
    uint32_t since = witness->last_s;
    if (rtc_s == 0) {
        return;
    }
    if (witness->first_s != 0 || back) {
        uint32_t moved = rtc_s;
        if (!back) {
            witness->last_s = rtc_s;
            witness->counted_s = (uint16_t)(witness->counted_s + elapsed_s);
            if (witness->counted_s < PAYGO_WITNESS_S) {
                return;
            }
            moved -= witness->first_s;
            since = witness->counted_s;
        }
        witness->off_s = ahead(moved, since);
        witness->tampered = back || witness->off_s > PAYGO_WITNESS_SLACK_S || witness->off_s < -PAYGO_WITNESS_SLACK_S;
    }
    witness->first_s = rtc_s;
    witness->last_s = rtc_s;
    witness->counted_s = 0;
}
