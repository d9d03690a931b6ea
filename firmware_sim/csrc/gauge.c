/* State of charge by coulomb counting, in 32 bits. */
#include "gauge.h"

#include "flash.h"

/* mA s in a thousandth of an Ah. */
#define PER_MILLE INT32_C(3600)

/*
 * Rest voltage in mV at 0, 10, ... 100 % and 25 degrees, of 12 V of lead and acid (Renogy PWM20 manual, p. 26) and of
 * four cells of LiFePO4 (IFR18650 data sheet).
 */
static const uint16_t rest_mv[2][11] PAYGO_FLASH = {
    {10500, 11310, 11580, 11750, 11900, 12060, 12200, 12320, 12420, 12500, 12700},
    {8050, 12270, 12640, 12780, 12840, 12880, 12920, 12980, 13020, 13050, 13390},
};

/* In thousandths. */
static uint16_t from_rest(uint8_t chemistry, int32_t mv)
{
    const uint16_t *points = rest_mv[chemistry == PAYGO_LFP];
    uint16_t below = 0;
    uint8_t i;
    for (i = 0; i < 11; i++) {
        const uint16_t above = paygo_flash_word(&points[i]);
        if (mv < (int32_t)above) {
            const uint16_t within = (uint16_t)(mv - below);
            const uint16_t span = (uint16_t)(above - below);
            return (uint16_t)(i == 0 ? 0U : 100U * i - 100U + (uint16_t)((uint32_t)within * 100U / span));
        }
        below = above;
    }
    return 1000;
}

void paygo_gauge_update(paygo_gauge *gauge, const paygo_charger *charger, uint16_t elapsed_ms)
{
    const int32_t full = PER_MILLE * 1000 * (int32_t)charger->capacity_ah;
    const int32_t ma = charger->measured.battery_ma;
    int32_t moved_ms, moved;
    if (!gauge->started) {
        gauge->charge = full / 1000 * from_rest(charger->chemistry, charger->measured.battery_mv);
        gauge->started = true;
    }
    moved_ms = ma * (int32_t)(elapsed_ms % 1000U) + gauge->rest;
    moved = ma * (int32_t)(elapsed_ms / 1000U) + moved_ms / 1000;
    gauge->rest = (int16_t)(moved_ms % 1000);
    if (moved > full - gauge->charge) {
        gauge->charge = full;
    } else if (moved < -gauge->charge) {
        gauge->charge = 0;
    } else {
        gauge->charge += moved;
    }
}

int32_t paygo_gauge_permille(const paygo_gauge *gauge, uint16_t capacity_ah)
{
    return gauge->charge / (PER_MILLE * (int32_t)capacity_ah);
}
