/* One protection: a threshold with a delay and a hysteresis. */
#ifndef PAYGO_GUARD_H
#define PAYGO_GUARD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Trips when the reading has been at or beyond `trip` for `trip_ms`, clears when it has been at or beyond `clear`, on
 * the other side, for `clear_ms`. trip > clear guards against too much, trip < clear against too little.
 */
typedef struct {
    int32_t trip;
    int32_t clear;
    uint32_t trip_ms;
    uint32_t clear_ms;
} paygo_limit;

typedef struct {
    bool active;
    uint32_t held_ms; /* how long the reading has asked for the other state */
} paygo_guard;

/* Takes a reading that held for the last `elapsed_ms` of world time. */
void paygo_guard_update(paygo_guard *guard, const paygo_limit *limit, int32_t reading, uint32_t elapsed_ms);

/* The time until it trips or clears if the reading stays as it is; UINT32_MAX: never. */
uint32_t paygo_guard_due_ms(const paygo_guard *guard, const paygo_limit *limit, int32_t reading);

#endif
