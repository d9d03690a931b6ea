/* The control law: each protection with its delays, each stage of a charge, and the same from 1 to 60 s a step. */
#include "check.h"
#include "law_unit.h"

#include <stdio.h>
#include <string.h>

/* A unit on a quiet day, with some light on. */
static unit quiet(paygo_chemistry chemistry)
{
    unit it = quiet_unit(chemistry);
    it.readings.battery_ma = 1000;
    it.readings.panel_ma = 1500;
    it.readings.load_ma = 500;
    it.readings.load_peak_ma = 500;
    it.readings.tail_ma = it.battery.tail_ma_per_ah * 20;
    return it;
}

/* Lets seconds pass in steps of dt_s. */
static void pass(unit *it, int32_t seconds, int32_t dt_s)
{
    for (; seconds > 0; seconds -= dt_s) {
        paygo_law_step(&it->law, &it->readings, &it->battery, &it->board, seconds < dt_s ? seconds : dt_s);
    }
}

static int32_t has(const unit *it, paygo_alert alert)
{
    return it->law.alerts >> (uint8_t)alert & 1;
}

static void at(unit *it, int32_t battery_mv)
{
    it->readings.battery_mv = battery_mv;
    it->readings.battery_peak_mv = battery_mv;
    it->readings.output_peak_mv = battery_mv;
}

static void test_nothing_is_wrong_on_a_quiet_day(int32_t dt_s)
{
    uint8_t chemistry;
    for (chemistry = 0; chemistry < PAYGO_CHEMISTRIES; chemistry++) {
        unit it = quiet((paygo_chemistry)chemistry);
        pass(&it, 3600, dt_s);
        CHECK(it.law.alerts == 0 && it.law.charge == -1 && it.law.output == -1 && it.law.stage == PAYGO_BULK);
        CHECK(it.law.target_mv == it.battery.absorption_mv && it.law.limit_ma == it.board.charge_ma);
        it.readings.wanted = 0;
        pass(&it, dt_s, dt_s);
        CHECK(it.law.output == 0 && it.law.charge == -1);
    }
}

static void test_battery_voltages(int32_t dt_s)
{
    unit it = quiet(PAYGO_FLOODED);
    at(&it, 15999);
    pass(&it, 600, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_BATTERY_OVERVOLTAGE) && it.law.output == -1);
    at(&it, 16000);
    pass(&it, dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_BATTERY_OVERVOLTAGE) && it.law.output == 0 && it.law.charge == 0);
    at(&it, 15001);
    pass(&it, 600, dt_s);
    CHECK(has(&it, PAYGO_ALERT_BATTERY_OVERVOLTAGE));
    at(&it, 15000);
    pass(&it, 30, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_BATTERY_OVERVOLTAGE) && it.law.output == -1);

    it.readings.load_ma = 0;
    at(&it, 11101);
    pass(&it, 600, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_BATTERY_UNDERVOLTAGE));
    at(&it, 11100);
    pass(&it, 60 - dt_s, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_BATTERY_UNDERVOLTAGE));
    pass(&it, dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_BATTERY_UNDERVOLTAGE) && it.law.output == 0 && it.law.charge == -1);
    at(&it, 12599);
    pass(&it, 3600, dt_s);
    CHECK(has(&it, PAYGO_ALERT_BATTERY_UNDERVOLTAGE));
    at(&it, 12600);
    pass(&it, 300 - dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_BATTERY_UNDERVOLTAGE));
    pass(&it, dt_s, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_BATTERY_UNDERVOLTAGE) && it.law.output == -1);
}

/* 6 A through 92 / 1024 ohm are 539 mV. */
static void test_a_load_may_draw_the_voltage_down(int32_t dt_s)
{
    unit it = quiet(PAYGO_FLOODED);
    it.readings.load_ma = 6000;
    at(&it, 11100 - 538);
    pass(&it, 600, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_BATTERY_UNDERVOLTAGE));
    at(&it, 11100 - 539);
    pass(&it, 60, dt_s);
    CHECK(has(&it, PAYGO_ALERT_BATTERY_UNDERVOLTAGE));
}

static void test_panel_and_output_voltages(int32_t dt_s)
{
    unit it = quiet(PAYGO_FLOODED);
    it.readings.panel_peak_mv = it.board.panel.trip;
    pass(&it, dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_PANEL_OVERVOLTAGE) && it.law.charge == 0 && it.law.output == -1);
    it.readings.panel_peak_mv = it.board.panel.clear;
    it.readings.panel_ma = 0;
    pass(&it, 60, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_PANEL_OVERVOLTAGE) && it.law.charge == -1);
    it.readings.output_peak_mv = it.board.output.trip;
    pass(&it, dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_OUTPUT_OVERVOLTAGE) && it.law.output == 0 && it.law.charge == -1);
    it.board = paygo_board_presets[PAYGO_BOARD_LEGACY];
    it = quiet(PAYGO_FLOODED);
    it.board = paygo_board_presets[PAYGO_BOARD_LEGACY];
    it.readings.output_peak_mv = 32000;
    pass(&it, 60000, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_OUTPUT_OVERVOLTAGE));
}

static void test_a_battery_that_is_gone(int32_t dt_s)
{
    unit it = quiet(PAYGO_FLOODED);
    it.readings.battery_peak_mv = it.battery.lost.trip;
    pass(&it, dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_BATTERY_DISCONNECTED) && it.law.charge == 0 && it.law.output == 0);
    at(&it, 0); /* and the bus has nothing any more */
    it.readings.panel_ma = 0;
    pass(&it, 7200, dt_s);
    CHECK(has(&it, PAYGO_ALERT_BATTERY_DISCONNECTED));
    at(&it, 12800);
    pass(&it, 600, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_BATTERY_DISCONNECTED) && it.law.charge == -1);
}

static void test_an_overloaded_output_is_one_alert(int32_t dt_s)
{
    unit it = quiet(PAYGO_FLOODED);
    int32_t told = 0, tried = 0, i;
    at(&it, 13500);
    it.readings.load_ma = it.board.current.trip - 1;
    pass(&it, 600, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_OVERCURRENT));
    for (i = 0; i < 7200; i += dt_s) {
        const int32_t before = it.law.alerts, was = it.law.output;
        it.readings.load_ma = it.law.output ? it.board.current.trip : 0;
        pass(&it, dt_s, dt_s);
        told += before != it.law.alerts;
        tried += was == 0 && it.law.output == -1;
    }
    CHECK(told == 1 && tried >= 7200 / 480 && has(&it, PAYGO_ALERT_OVERCURRENT));
    it.readings.load_ma = 500;
    pass(&it, 600, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_OVERCURRENT) && it.law.output == -1);
}

static void test_a_short_circuit_is_tried_five_times_a_day(int32_t dt_s)
{
    unit it = quiet(PAYGO_FLOODED);
    int32_t told = 0, tried = 0, i;
    for (i = 0; i < 36000; i += dt_s) {
        const int32_t before = it.law.alerts, was = it.law.output;
        it.readings.load_peak_ma = i == 0 || it.law.output ? it.board.shorted.trip : 0;
        pass(&it, dt_s, dt_s);
        told += before != it.law.alerts;
        tried += was == 0 && it.law.output == -1;
    }
    CHECK(told == 1 && tried == 5 && it.law.output == 0 && has(&it, PAYGO_ALERT_SHORT_CIRCUIT));
    it.readings.load_peak_ma = 0;
    it.readings.panel_mv = 0;
    pass(&it, 7200, dt_s);
    CHECK(it.law.output == 0);
    it.readings.panel_mv = 15000;
    pass(&it, dt_s, dt_s);
    CHECK(it.law.output == -1);
    pass(&it, 600, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_SHORT_CIRCUIT));
}

static void test_temperatures(int32_t dt_s)
{
    unit it = quiet(PAYGO_LFP);
    it.readings.panel_ma = 0;
    it.readings.battery_dc = -1;
    pass(&it, dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_UNDERTEMPERATURE) && it.law.charge == 0 && it.law.output == -1);
    it.readings.battery_dc = 9;
    pass(&it, 600, dt_s);
    CHECK(has(&it, PAYGO_ALERT_UNDERTEMPERATURE));
    it.readings.battery_dc = 10;
    pass(&it, dt_s, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_UNDERTEMPERATURE) && it.law.charge == -1);
    it.readings.battery_dc = 500; /* 5 degrees below the end of charging: half the current */
    pass(&it, dt_s, dt_s);
    CHECK(it.law.limit_ma == it.board.charge_ma / 2 && it.law.charge == -1);
    it.readings.battery_dc = 550;
    pass(&it, dt_s, dt_s);
    CHECK(it.law.charge == 0 && it.law.output == -1 && it.law.alerts == 0);
    it.readings.battery_dc = 600;
    pass(&it, dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_OVERTEMPERATURE) && it.law.output == 0);
    it.readings.battery_dc = 501;
    pass(&it, 600, dt_s);
    CHECK(has(&it, PAYGO_ALERT_OVERTEMPERATURE));
    it.readings.battery_dc = 250;
    it.readings.board_dc = 850;
    pass(&it, dt_s, dt_s);
    CHECK(has(&it, PAYGO_ALERT_OVERTEMPERATURE));
    it.readings.board_dc = 749;
    pass(&it, dt_s, dt_s);
    CHECK(!has(&it, PAYGO_ALERT_OVERTEMPERATURE) && it.law.output == -1);
}

static void test_faults_of_switch_and_sensors(int32_t dt_s)
{
    unit it = quiet(PAYGO_FLOODED);
    at(&it, 16100);
    pass(&it, 60, dt_s);
    CHECK(it.law.charge == 0 && has(&it, PAYGO_ALERT_CHARGER_FAULT) == (60 - dt_s >= 5)); /* it still takes 1.5 A */
    pass(&it, 60, dt_s);
    CHECK(has(&it, PAYGO_ALERT_CHARGER_FAULT));
    it = quiet(PAYGO_FLOODED);
    it.readings.battery_dc = 1201;
    pass(&it, 60, dt_s);
    CHECK(has(&it, PAYGO_ALERT_SENSOR_FAULT) && it.law.charge == 0 && it.law.target_mv == it.battery.absorption_mv);
    it = quiet(PAYGO_FLOODED);
    it.readings.battery_mv = -1;
    pass(&it, 60, dt_s);
    CHECK(has(&it, PAYGO_ALERT_SENSOR_FAULT));
}

static void test_the_stages_of_a_charge(int32_t dt_s)
{
    unit it = quiet(PAYGO_FLOODED);
    it.battery.equalise_every_h = 100;
    it.readings.battery_ma = 3000;
    at(&it, 14500);
    pass(&it, 3600, dt_s);
    CHECK(it.law.stage == PAYGO_BULK);
    at(&it, 14560);
    pass(&it, dt_s, dt_s);
    CHECK(it.law.stage == PAYGO_ABSORPTION);
    pass(&it, 7140, dt_s);
    CHECK(it.law.stage == PAYGO_ABSORPTION);
    pass(&it, 120, dt_s);
    CHECK(it.law.stage == PAYGO_FLOAT && it.law.target_mv == 13800 && it.law.charge == -1);
    at(&it, 13700);
    pass(&it, 36000, dt_s);
    CHECK(it.law.stage == PAYGO_FLOAT);
    at(&it, 13100);
    pass(&it, 120, dt_s);
    CHECK(it.law.stage == PAYGO_BULK);
    at(&it, 14600);
    it.readings.battery_ma = 800; /* the tail current of 20 Ah */
    pass(&it, 1800, dt_s);
    CHECK(it.law.stage == PAYGO_ABSORPTION);
    pass(&it, 120, dt_s);
    CHECK(it.law.stage == PAYGO_FLOAT);
    it.readings.panel_mv = 0; /* after 100 h of all this it equalises */
    at(&it, 13000);
    pass(&it, 360000, dt_s);
    it.readings.panel_mv = 15000;
    pass(&it, dt_s, dt_s);
    CHECK(it.law.stage == PAYGO_BULK);
    at(&it, 14800);
    pass(&it, 2000, dt_s);
    CHECK(it.law.stage == PAYGO_EQUALISE && it.law.target_mv == 14800);
    pass(&it, 7300, dt_s);
    CHECK(it.law.stage == PAYGO_FLOAT && it.law.since_equalise_s < 7300);

    it = quiet(PAYGO_LFP);
    at(&it, 14200);
    pass(&it, 7200, dt_s);
    CHECK(it.law.stage == PAYGO_FLOAT && it.law.charge == 0 && it.law.alerts >> PAYGO_ALERT_CHARGER_FAULT == 1);
    it.readings.panel_ma = 0;
    at(&it, 13190);
    pass(&it, 120, dt_s);
    CHECK(it.law.stage == PAYGO_BULK && it.law.charge == -1);
}

/* 18 mV a degree, between 0 and 50 degrees, and never above the ceiling. */
static void test_compensation(void)
{
    unit it = quiet(PAYGO_FLOODED);
    it.readings.battery_dc = 350;
    pass(&it, 1, 1);
    CHECK(it.law.target_mv >= 14600 - 181 && it.law.target_mv <= 14600 - 179);
    it.readings.battery_dc = 150;
    pass(&it, 1, 1);
    CHECK(it.law.target_mv >= 14600 + 179 && it.law.target_mv <= 14600 + 181);
    it.readings.battery_dc = -50;
    pass(&it, 1, 1);
    CHECK(it.law.target_mv == 15000);
}

static void test_a_restart_ends_no_alert(void)
{
    unit it = quiet(PAYGO_FLOODED);
    const int alerts = PAYGO_LAW_ALERTS;
    memset(&it.law, 0, sizeof it.law);
    paygo_law_begin(&it.law, &it.battery, &it.board, UINT16_MAX); /* those that are not the law's too */
    CHECK(it.law.alerts == alerts && it.law.output == 0 && it.law.charge == 0);
    pass(&it, 1, 1);
    CHECK((it.law.alerts | 1 << PAYGO_ALERT_OVERTEMPERATURE | 1 << PAYGO_ALERT_UNDERTEMPERATURE) == alerts);
    CHECK(it.law.output == 0 && it.law.charge == 0);
}

int main(void)
{
    static const int32_t steps[] = {1, 2, 5, 10, 30, 60};
    uint8_t i;
    for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        test_nothing_is_wrong_on_a_quiet_day(steps[i]);
        test_battery_voltages(steps[i]);
        test_a_load_may_draw_the_voltage_down(steps[i]);
        test_panel_and_output_voltages(steps[i]);
        test_a_battery_that_is_gone(steps[i]);
        test_an_overloaded_output_is_one_alert(steps[i]);
        test_a_short_circuit_is_tried_five_times_a_day(steps[i]);
        test_temperatures(steps[i]);
        test_faults_of_switch_and_sensors(steps[i]);
        test_the_stages_of_a_charge(steps[i]);
    }
    test_compensation();
    test_a_restart_ends_no_alert();
    if (failures == 0) {
        (void)printf("law: all passed\n");
    }
    return failures != 0;
}
