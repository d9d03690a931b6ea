/*
 * The unit's own estimate of the state of charge of its battery: by the rest voltage at the start, then by counting. A
 * start while the battery is being charged or used begins with a wrong guess.
 */
#ifndef PAYGO_GAUGE_H
#define PAYGO_GAUGE_H

#include "charger.h"

typedef struct {
    bool started;
    int16_t rest;   /* mA ms that are no whole mA s yet */
    int32_t charge; /* mA s */
} paygo_gauge;

/*
 * Takes what the charger measured in the last `elapsed_ms` of world time: the battery's voltage and its current. The
 * estimate is scaled by the capacity.
 */
void paygo_gauge_update(paygo_gauge *gauge, const paygo_charger *charger, uint16_t elapsed_ms);

/* State of charge in thousandths, 0 ... 1000. */
int32_t paygo_gauge_permille(const paygo_gauge *gauge, uint16_t capacity_ah);

#endif
