/* State of charge by coulomb counting, in 32 bits. */
#include "gauge.h"

#include "flash.h"

/* mA s in a thousandth of an Ah. */
#define PER_MILLE INT32_C(3600)

/*
 * Rest voltage in mV at 0, 10, ... 100 % and 25 degrees, of 12 V of lead and acid (Renogy PWM20 manual, p. 26) and of
 * four cells of LiFePO4 (IFR18650 data sheet).
 */
static const int16_t rest_mv[2][11] PAYGO_FLASH = {
    {10500, 11310, 11580, 11750, 11900, 12060, 12200, 12320, 12420, 12500, 12700},
    {8050, 12270, 12640, 12780, 12840, 12880, 12920, 12980, 13020, 13050, 13390},
};

/* In thousandths. */
static int16_t from_rest(uint8_t chemistry, int16_t mv)
{
    const int16_t *point = chemistry == PAYGO_LFP ? rest_mv[1] : rest_mv[0];
    int16_t below = (int16_t)paygo_flash_word(point);
    int16_t permille;
    if (mv < below) {
        return 0;
    }
    for (permille = 0; permille < 1000; permille = (int16_t)(permille + 100)) {
        int16_t above;
        point++;
        above = (int16_t)paygo_flash_word(point);
        if (mv < above) {
            return (int16_t)(permille + (int16_t)((mv - below) * INT32_C(100) / (above - below)));
        }
        below = above;
    }
    return permille;
}

void paygo_gauge_update(paygo_gauge *gauge, const paygo_charger *charger, uint16_t elapsed_ms)
{
    const int32_t per_mille = PER_MILLE * (int32_t)charger->capacity_ah;
    const int32_t full = per_mille * 1000;
    int32_t moved_ms, charge;
    if (!gauge->started) {
        gauge->charge = per_mille * from_rest(charger->chemistry, charger->measured.battery_mv);
        gauge->started = true;
    }
    moved_ms = charger->measured.battery_ma * (int32_t)elapsed_ms + gauge->rest;
    gauge->rest = (int16_t)(moved_ms % 1000);
    charge = gauge->charge + moved_ms / 1000;
    if (charge > full) {
        charge = full;
    } else if (charge < 0) {
        charge = 0;
    }
    gauge->charge = charge;
}

int32_t paygo_gauge_permille(const paygo_gauge *gauge, uint16_t capacity_ah)
{
    return gauge->charge / (PER_MILLE * (int32_t)capacity_ah);
}
