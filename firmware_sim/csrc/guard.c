/* Thresholds with delay and hysteresis. */
#include "guard.h"

void paygo_guard_update(paygo_guard *guard, const paygo_limit *limit, int32_t reading, uint32_t elapsed_ms)
{
    const bool over = limit->trip > limit->clear;
    const int32_t threshold = guard->active ? limit->clear : limit->trip;
    const bool upwards = guard->active ? !over : over;
    const bool asks = upwards ? reading >= threshold : reading <= threshold;
    const uint32_t delay = guard->active ? limit->clear_ms : limit->trip_ms;
    if (!asks) {
        guard->held_ms = 0;
        return;
    }
    guard->held_ms = elapsed_ms < UINT32_MAX - guard->held_ms ? guard->held_ms + elapsed_ms : UINT32_MAX;
    if (guard->held_ms >= delay) {
        guard->active = !guard->active;
        guard->held_ms = 0;
    }
}
