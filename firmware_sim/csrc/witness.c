/* The unit's tick against a clock chip. */
#include "witness.h"

void paygo_witness_update(paygo_witness *witness, uint32_t rtc_s, uint16_t elapsed_s)
{
    const bool back = rtc_s < witness->last_s;
    const uint32_t moved_s = back ? witness->last_s - rtc_s : rtc_s - witness->last_s;
    const int16_t moved = moved_s < INT16_MAX ? (int16_t)moved_s : INT16_MAX;
    int32_t ahead_s;
    if (rtc_s == 0) {
        return;
    }
    witness->last_s = rtc_s;
    if (back) {
        witness->off_s = (int16_t)-moved;
        witness->tampered = true;
    } else if (witness->comparing) {
        ahead_s = (int32_t)witness->ahead_s + moved - (int32_t)elapsed_s;
        witness->ahead_s = (int16_t)(ahead_s > INT16_MAX ? INT16_MAX : ahead_s < -INT16_MAX ? -INT16_MAX : ahead_s);
        witness->counted_s = (uint16_t)(witness->counted_s + elapsed_s);
        if (witness->counted_s < PAYGO_WITNESS_S) {
            return;
        }
        witness->off_s = witness->ahead_s;
        witness->tampered = witness->off_s > PAYGO_WITNESS_SLACK_S || witness->off_s < -PAYGO_WITNESS_SLACK_S;
    }
    witness->comparing = true;
    witness->counted_s = 0;
    witness->ahead_s = 0;
}
