/* The control law for one unit, and the presets of batteries and boards. */
#include "law.h"

#include "law_step.h"

/* Sources: docs/control-law.md. */
const paygo_battery_limits paygo_battery_presets[PAYGO_CHEMISTRIES] PAYGO_FLASH = {
    /* flooded */
    {14600, 13800, 14800, 13200, 15000, 1843, 40, -100, 500, 650, {16000, 15000, 1, 30}, {11100, 12600, 60, 300},
     {17500, 15000, 0, 60}, 92, 7200, 1800, 60, 7200, 672},
    /* AGM */
    {14400, 13800, 14600, 13200, 15000, 1843, 40, -100, 500, 650, {16000, 15000, 1, 30}, {11100, 12600, 60, 300},
     {17500, 15000, 0, 60}, 92, 7200, 1800, 60, 7200, 672},
    /* gel */
    {14200, 13800, 0, 13200, 15000, 1843, 40, -100, 500, 650, {16000, 15000, 1, 30}, {11100, 12600, 60, 300},
     {17500, 15000, 0, 60}, 92, 7200, 1800, 60, 0, 0},
    /* LiFePO4, four cells */
    {14200, 0, 0, 13200, 14600, 0, 100, 0, 550, 600, {14800, 14400, 1, 30}, {12000, 12600, 60, 300},
     {17500, 14400, 0, 60}, 31, 1800, 60, 60, 0, 0},
};

#define LEAD (1U << PAYGO_FLOODED | 1U << PAYGO_AGM | 1U << PAYGO_GEL)

const paygo_board_limits paygo_board_presets[PAYGO_BOARDS] PAYGO_FLASH = {
    /* legacy: no sensor at the output; nothing but the battery's chemistry holds the voltage down */
    {{27000, 25500, 1, 60}, {INT16_MAX, 0, PAYGO_LAW_NEVER, 0}, {12500, 12499, 60, 300}, {25000, 24999, 0, 0},
     850, 10000, 100, LEAD},
    /* protected */
    {{27000, 25500, 1, 60}, {16500, 15500, 0, 30}, {12500, 12499, 60, 300}, {25000, 24999, 0, 0},
     850, 10000, 100, LEAD | 1U << PAYGO_LFP},
};

/* Whether an alert was active: 0 or -1. */
static paygo_law_small flag(uint16_t alerts, paygo_alert alert)
{
    return (alerts & 1U << (uint8_t)alert) != 0 ? -1 : 0;
}

void paygo_law_begin(paygo_law *law, const paygo_battery_limits *battery, const paygo_board_limits *board,
                     uint16_t alerts)
{
    law->overvoltage = flag(alerts, PAYGO_ALERT_BATTERY_OVERVOLTAGE);
    law->undervoltage = flag(alerts, PAYGO_ALERT_BATTERY_UNDERVOLTAGE);
    law->panel = flag(alerts, PAYGO_ALERT_PANEL_OVERVOLTAGE);
    law->output_high = flag(alerts, PAYGO_ALERT_OUTPUT_OVERVOLTAGE);
    law->lost = flag(alerts, PAYGO_ALERT_BATTERY_DISCONNECTED);
    law->current = flag(alerts, PAYGO_ALERT_OVERCURRENT);
    law->current_told = law->current;
    law->shorted = flag(alerts, PAYGO_ALERT_SHORT_CIRCUIT);
    law->shorted_told = law->shorted;
    law->shorted_trips = (paygo_law_small)-law->shorted;
    law->hot = flag(alerts, PAYGO_ALERT_OVERTEMPERATURE);
    law->cold = flag(alerts, PAYGO_ALERT_UNDERTEMPERATURE);
    law->stuck = flag(alerts, PAYGO_ALERT_CHARGER_FAULT);
    law->blind = flag(alerts, PAYGO_ALERT_SENSOR_FAULT);
    law->target_mv = LAW_LIMIT(battery->absorption_mv);
    law->limit_ma = LAW_LIMIT(board->charge_ma);
    law->alerts = (paygo_law_int)(alerts & PAYGO_LAW_ALERTS);
}

void paygo_law_step(paygo_law *law, const paygo_law_readings *readings, const paygo_battery_limits *battery,
                    const paygo_board_limits *board, int dt_s)
{
    law_advance(law, readings, battery, board, dt_s, 0);
}

bool paygo_law_blocks(const paygo_law *law)
{
    return law_blocks(law) != 0;
}

uint16_t paygo_law_due_s(const paygo_law *law)
{
    uint16_t counting = law->overvoltage_s | law->undervoltage_s | law->panel_s | law->output_high_s | law->lost_s |
                        law->current_s | law->stuck_s | law->blind_s;
    if (law->shorted_trips <= PAYGO_LAW_TRIES) {
        counting |= law->shorted_s;
    }
    if (counting != 0 || law->current_told != 0 || law->shorted_told != 0) {
        return 1;
    }
    return law->dark_s > 0 ? PAYGO_LAW_DARK_S : 60;
}
