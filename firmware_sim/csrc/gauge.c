/* State of charge by coulomb counting. */
#include "gauge.h"

#define FULL (INT64_C(3600000) * PAYGO_BATTERY_MAH)

/* Rest voltage in mV at 0, 10, ... 100 % of a 12 V lead-acid battery at 25 degrees (Renogy PWM20 manual, p. 26). */
static const uint16_t rest_mv[11] = {10500, 11310, 11580, 11750, 11900, 12060, 12200, 12320, 12420, 12500, 12700};

static int64_t from_rest(int32_t mv)
{
    uint8_t i;
    if (mv <= rest_mv[0]) {
        return 0;
    }
    for (i = 1; i < 11; i++) {
        if (mv < rest_mv[i]) {
            const int64_t step = (int64_t)rest_mv[i] - rest_mv[i - 1];
            return FULL / 10 * (i - 1) + FULL / 10 * (mv - rest_mv[i - 1]) / step;
        }
    }
    return FULL;
}

void paygo_gauge_update(paygo_gauge *gauge, int32_t battery_mv, int32_t battery_ma, uint32_t elapsed_ms)
{
    const int64_t moved = (int64_t)battery_ma * elapsed_ms;
    if (!gauge->started) {
        gauge->charge = from_rest(battery_mv);
        gauge->started = true;
    }
    if (moved > FULL - gauge->charge) {
        gauge->charge = FULL;
    } else if (moved < -gauge->charge) {
        gauge->charge = 0;
    } else {
        gauge->charge += moved;
    }
}

int32_t paygo_gauge_permille(const paygo_gauge *gauge)
{
    return (int32_t)(gauge->charge / (FULL / 1000));
}
