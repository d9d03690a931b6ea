/* What the tests of the control law begin with: a unit on a protected board, in the sun, that carries no current. */
#ifndef PAYGO_TESTS_LAW_UNIT_H
#define PAYGO_TESTS_LAW_UNIT_H

#include "law.h"

#include <string.h>

typedef struct {
    paygo_law law;
    paygo_law_readings readings;
    paygo_battery_limits battery;
    paygo_board_limits board;
} unit;

static unit quiet_unit(paygo_chemistry chemistry)
{
    unit it;
    memset(&it, 0, sizeof it);
    it.battery = paygo_battery_presets[chemistry];
    it.board = paygo_board_presets[PAYGO_BOARD_PROTECTED];
    it.readings.battery_mv = 12800;
    it.readings.panel_mv = 13200;
    it.readings.battery_dc = 250;
    it.readings.board_dc = 300;
    it.readings.battery_peak_mv = 12800;
    it.readings.panel_peak_mv = 13200;
    it.readings.output_peak_mv = 12800;
    it.readings.wanted = -1;
    paygo_law_begin(&it.law, &it.battery, &it.board, 0);
    it.law.charge = -1;
    return it;
}

#endif
