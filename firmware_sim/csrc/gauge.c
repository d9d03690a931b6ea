/* State of charge by coulomb counting, in 32 bits. */
#include "gauge.h"

#include "flash.h"

#define FULL (INT32_C(3600) * PAYGO_BATTERY_MAH)
#define MOST_MA INT32_C(1000000)

/* Rest voltage in mV, tens, at 0, 10, ... 100 % of a 12 V lead-acid battery at 25 degrees (Renogy PWM20 manual, p. 26). */
static const uint16_t rest_mv[11] PAYGO_FLASH = {10500, 11310, 11580, 11750, 11900, 12060,
                                                 12200, 12320, 12420, 12500, 12700};

/* In thousandths. */
static uint16_t from_rest(int32_t mv)
{
    uint16_t below = 0;
    uint8_t i;
    for (i = 0; i < 11; i++) {
        const uint16_t above = paygo_flash_word(&rest_mv[i]);
        if (mv < (int32_t)above) {
            const uint16_t within = (uint16_t)(mv - below);
            const uint16_t steps = (uint16_t)((above - below) / 10U);
            return (uint16_t)(i == 0 ? 0U : 100U * i - 100U + within * 10U / steps);
        }
        below = above;
    }
    return 1000;
}

void paygo_gauge_update(paygo_gauge *gauge, int32_t battery_mv, int32_t battery_ma, uint16_t elapsed_ms)
{
    int32_t moved_ms, moved;
    if (!gauge->started) {
        gauge->charge = FULL / 1000 * from_rest(battery_mv);
        gauge->started = true;
    }
    if (battery_ma > MOST_MA || battery_ma < -MOST_MA) {
        battery_ma = battery_ma > 0 ? MOST_MA : -MOST_MA;
    }
    moved_ms = battery_ma * (int32_t)(elapsed_ms % 1000U) + gauge->rest;
    moved = battery_ma * (int32_t)(elapsed_ms / 1000U) + moved_ms / 1000;
    gauge->rest = (int16_t)(moved_ms % 1000);
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
    return gauge->charge / (FULL / 1000);
}
