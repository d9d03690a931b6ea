/*
 * The unit's own estimate of the state of charge of a 12 V lead-acid battery: by the rest voltage at the start, then by
 * counting. A start while the battery is being charged or used begins with a wrong guess.
 */
#ifndef PAYGO_GAUGE_H
#define PAYGO_GAUGE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool started;
    int16_t rest;   /* mA ms that are no whole mA s yet */
    int32_t charge; /* mA s */
} paygo_gauge;

/* The battery that the estimate is scaled by. */
#define PAYGO_BATTERY_MAH 18000

/*
 * Takes the battery's voltage (mV) and current (mA, positive charges; what lies beyond 1000 A is taken as 1000 A) of the
 * last `elapsed_ms` of world time.
 */
void paygo_gauge_update(paygo_gauge *gauge, int32_t battery_mv, int32_t battery_ma, uint16_t elapsed_ms);

/* State of charge in thousandths, 0 ... 1000. */
int32_t paygo_gauge_permille(const paygo_gauge *gauge);

#endif
