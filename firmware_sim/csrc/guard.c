/* Thresholds with delay and hysteresis. */
#include "guard.h"

/* Whether the reading asks for the other state. */
static bool asks(const paygo_guard *guard, const paygo_limit *limit, int32_t reading)
{
    const bool over = limit->trip > limit->clear;
    const int32_t threshold = guard->active ? limit->clear : limit->trip;
    return over != guard->active ? reading >= threshold : reading <= threshold;
}

void paygo_guard_update(paygo_guard *guard, const paygo_limit *limit, int32_t reading, uint32_t elapsed_ms)
{
    const uint32_t delay = guard->active ? limit->clear_ms : limit->trip_ms;
    if (!asks(guard, limit, reading)) {
        guard->held_ms = 0;
        return;
    }
    guard->held_ms = elapsed_ms < UINT32_MAX - guard->held_ms ? guard->held_ms + elapsed_ms : UINT32_MAX;
    if (guard->held_ms >= delay) {
        guard->active = !guard->active;
        guard->held_ms = 0;
    }
}

uint32_t paygo_guard_due_ms(const paygo_guard *guard, const paygo_limit *limit, int32_t reading)
{
    const uint32_t delay = guard->active ? limit->clear_ms : limit->trip_ms;
    if (!asks(guard, limit, reading)) {
        return UINT32_MAX;
    }
    return delay > guard->held_ms ? delay - guard->held_ms : 0;
}
