/* The control law for one unit, and the presets of batteries and boards. */
#include "law.h"

#include "law_step.h"

#include <stddef.h>

typedef char begins_with_guards[offsetof(paygo_law, current_told) == PAYGO_GUARDS * sizeof(paygo_guard) ? 1 : -1];

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

void paygo_law_begin(paygo_law *law, const paygo_battery_limits *battery, const paygo_board_limits *board,
                     uint16_t alerts)
{
    paygo_guard *guard = (paygo_guard *)(void *)law; /* the state begins with them */
    uint8_t i;
    uint16_t bits = (uint16_t)((alerts & 3U) | (alerts >> 2 & 0xfffcU)); /* two alerts are not the law's */
    for (i = 0; i < PAYGO_GUARDS; i++, guard++) {
        guard->active = (paygo_law_small)-(int8_t)(bits & 1U);
        bits >>= 1;
    }
    law->current_told.active = law->current.active;
    law->shorted_told.active = law->shorted.active;
    law->shorted_trips = (paygo_law_small)-law->shorted.active;
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
    const paygo_guard *guard = (const paygo_guard *)(const void *)law;
    for (; guard != &law->current_told; guard++) {
        if (guard->held_s != 0 && (guard != &law->shorted || law->shorted_trips <= PAYGO_LAW_TRIES)) {
            return 1;
        }
    }
    if ((law->current_told.active | law->shorted_told.active) != 0) {
        return 1;
    }
    return law->dark_s > 0 ? PAYGO_LAW_DARK_S : 60;
}
