/*
 * The control law under noisy readings: no protection flaps, loses an excess that lasted as long as its delay, or tells
 * of one that did not. A model that only counts seconds judges it, at steps of 1 to 60 s, and of any length in turn.
 */
#include "check.h"
#include "law_unit.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define HOURS 6
#define READING(name) offsetof(paygo_law_readings, name)

/* A protection: of which reading, upwards (1) or downwards (-1), and its thresholds and delays. */
typedef struct {
    const char *name;
    paygo_alert alert;
    size_t reading;
    int32_t sign, trip, clear, trip_s, clear_s;
} protection;

static uint32_t chance = 1;

/* 0 ... below - 1. */
static int32_t draw(int32_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 17;
    chance ^= chance << 5;
    return (int32_t)(chance % (uint32_t)below);
}

static void step(unit *it, int32_t dt_s)
{
    paygo_law_step(&it->law, &it->readings, &it->battery, &it->board, dt_s);
}

static int32_t has(const unit *it, paygo_alert alert)
{
    return it->law.alerts >> (uint8_t)alert & 1;
}

/* The length of a step: dt_s, or anything from 1 to 60. */
static int32_t length(int32_t dt_s)
{
    return dt_s > 0 ? dt_s : 1 + draw(60);
}

/*
 * Hours of a reading around `centre`, off by up to `amplitude`, each value for anything from a step to twice the longer
 * delay. Returns how often the alert rose; *cleared: how often it ended.
 */
static int32_t noise(const protection *one, paygo_chemistry chemistry, int32_t centre, int32_t amplitude, int32_t dt_s,
                     int32_t *cleared)
{
    unit it = quiet_unit(chemistry);
    int32_t beyond_s = 0, back_s = 0, left_s = 0, raised = 0, passed_s = 0, flip_s = -1000000, value = centre;
    *cleared = 0;
    if (one->alert == PAYGO_ALERT_CHARGER_FAULT) {
        it.readings.battery_dc = it.battery.charge_max_dc; /* so that the switch is open */
        step(&it, 1);
    }
    while (passed_s < HOURS * 3600) {
        const int32_t taken_s = length(dt_s);
        const int32_t was = has(&it, one->alert);
        paygo_law_int reading;
        int32_t is;
        if (left_s <= 0) {
            value = centre + draw(2 * amplitude + 1) - amplitude;
            left_s = 1 + draw(2 * (one->trip_s > one->clear_s ? one->trip_s : one->clear_s) + 60);
        }
        left_s -= taken_s;
        reading = (paygo_law_int)value;
        memcpy((uint8_t *)&it.readings + one->reading, &reading, sizeof reading);
        step(&it, taken_s);
        passed_s += taken_s;
        is = has(&it, one->alert);
        beyond_s = (value - one->trip) * one->sign >= 0 ? beyond_s + taken_s : 0;
        back_s = (value - one->clear) * one->sign <= 0 ? back_s + taken_s : 0;
        if (!was) {
            /* None lost, and none of nothing. */
            CHECK(is == (beyond_s > 0 && beyond_s >= one->trip_s));
        } else {
            CHECK(is == !(back_s > 0 && back_s >= one->clear_s));
        }
        if (is != was) {
            CHECK(passed_s - flip_s >= (is ? one->trip_s : one->clear_s));
            flip_s = passed_s;
            raised += is;
            *cleared += was;
        }
        if (failures != 0) {
            (void)fprintf(stderr, "%s, around %ld by %ld, steps of %ld s (0: any)\n", one->name, (long)centre,
                          (long)amplitude, (long)dt_s);
            return raised;
        }
    }
    return raised;
}

static void test_protection(const protection *one, paygo_chemistry chemistry, int32_t dt_s)
{
    const int32_t gap = (one->trip - one->clear) * one->sign;
    const int32_t wide = 2 * gap > 200 ? 2 * gap : 200;
    /* A rise and an end need both delays, or a step each. */
    const int32_t least_s = (one->trip_s > 0 ? one->trip_s : 1) + (one->clear_s > 0 ? one->clear_s : 1);
    int32_t raised, cleared, centre;
    CHECK(gap > 0);
    /* Within the hysteresis: around its end it never ends, and around its beginning it never begins. */
    raised = noise(one, chemistry, one->trip, gap - 1, dt_s, &cleared);
    CHECK(raised == 1 && cleared == 0);
    raised = noise(one, chemistry, one->clear, gap - 1, dt_s, &cleared);
    CHECK(raised == 0 && cleared == 0);
    for (centre = one->trip; centre != one->clear - one->sign * gap; centre -= one->sign * gap) {
        raised = noise(one, chemistry, centre, wide, dt_s, &cleared);
        CHECK(raised >= 1 && raised - cleared <= 1 && raised <= HOURS * 3600 / least_s + 1);
    }
}

/* An overload around its threshold: an output that is off has no load, and is tried again. */
static void test_overloads(int32_t dt_s)
{
    static const int32_t good_s = 120, short_try_s = 5;
    unit it = quiet_unit(PAYGO_AGM);
    int32_t passed_s, beyond_s = 0, fine_s = 0, left_s = 0, value = 0, over = 0, shorts = 0;
    for (passed_s = 0; passed_s < HOURS * 3600;) {
        const int32_t taken_s = length(dt_s);
        const int32_t was_over = has(&it, PAYGO_ALERT_OVERCURRENT), was_short = has(&it, PAYGO_ALERT_SHORT_CIRCUIT);
        const int32_t was_on = it.law.output != 0;
        if (left_s <= 0) {
            value = it.board.current.trip - 2000 + draw(4001);
            left_s = 1 + draw(240);
        }
        left_s -= taken_s;
        it.readings.load_ma = (paygo_law_int)(was_on ? value : 0);
        it.readings.load_peak_ma = it.readings.load_ma;
        step(&it, taken_s);
        passed_s += taken_s;
        beyond_s = was_on && value >= it.board.current.trip ? beyond_s + taken_s : 0;
        fine_s = was_on && value < it.board.current.trip ? fine_s + taken_s : 0;
        CHECK(!was_over || has(&it, PAYGO_ALERT_OVERCURRENT) || fine_s >= good_s);
        CHECK(beyond_s < it.board.current.trip_s || (has(&it, PAYGO_ALERT_OVERCURRENT) && it.law.output == 0));
        over += has(&it, PAYGO_ALERT_OVERCURRENT) && !was_over;
        CHECK(has(&it, PAYGO_ALERT_SHORT_CIRCUIT) == was_short);
    }
    /* It trips, is tried again, and has to be fine for a while. */
    CHECK(over >= 1 && over <= HOURS * 3600 / (it.board.current.trip_s + it.board.current.clear_s + good_s) + 1);

    it = quiet_unit(PAYGO_AGM);
    fine_s = 0;
    step(&it, 1);
    for (passed_s = 0; passed_s < HOURS * 3600;) {
        const int32_t taken_s = length(dt_s);
        const int32_t was = has(&it, PAYGO_ALERT_SHORT_CIRCUIT), was_on = it.law.output != 0;
        value = draw(200) == 0 ? it.board.shorted.trip + draw(2000) : it.board.shorted.trip - 1 - draw(2000);
        it.readings.load_peak_ma = (paygo_law_int)(was_on ? value : 0);
        step(&it, taken_s);
        passed_s += taken_s;
        fine_s = was_on && value < it.board.shorted.trip ? fine_s + taken_s : 0;
        CHECK(!was || has(&it, PAYGO_ALERT_SHORT_CIRCUIT) || fine_s >= good_s);
        if (was_on && value >= it.board.shorted.trip) {
            CHECK(has(&it, PAYGO_ALERT_SHORT_CIRCUIT) && it.law.output == 0);
        }
        CHECK(was || !has(&it, PAYGO_ALERT_SHORT_CIRCUIT) || value >= it.board.shorted.trip);
        shorts += has(&it, PAYGO_ALERT_SHORT_CIRCUIT) && !was;
    }
    CHECK(shorts >= 1 && shorts <= HOURS * 3600 / (short_try_s + good_s) + 1);
}

static void test_all(paygo_chemistry chemistry, int32_t dt_s)
{
    const unit it = quiet_unit(chemistry);
    const paygo_battery_limits *battery = &it.battery;
    const paygo_board_limits *board = &it.board;
    const protection all[] = {
        {"battery over-voltage", PAYGO_ALERT_BATTERY_OVERVOLTAGE, READING(battery_mv), 1, battery->overvoltage.trip,
         battery->overvoltage.clear, battery->overvoltage.trip_s, battery->overvoltage.clear_s},
        {"battery under-voltage", PAYGO_ALERT_BATTERY_UNDERVOLTAGE, READING(battery_mv), -1, battery->undervoltage.trip,
         battery->undervoltage.clear, battery->undervoltage.trip_s, battery->undervoltage.clear_s},
        {"panel", PAYGO_ALERT_PANEL_OVERVOLTAGE, READING(panel_peak_mv), 1, board->panel.trip, board->panel.clear,
         board->panel.trip_s, board->panel.clear_s},
        {"output", PAYGO_ALERT_OUTPUT_OVERVOLTAGE, READING(output_peak_mv), 1, board->output.trip, board->output.clear,
         board->output.trip_s, board->output.clear_s},
        {"battery gone", PAYGO_ALERT_BATTERY_DISCONNECTED, READING(battery_peak_mv), 1, battery->lost.trip,
         battery->overvoltage.clear, 0, 60},
        {"hot battery", PAYGO_ALERT_OVERTEMPERATURE, READING(battery_dc), 1, battery->hot_dc, battery->hot_dc - 100, 0, 0},
        {"hot board", PAYGO_ALERT_OVERTEMPERATURE, READING(board_dc), 1, board->hot_dc, board->hot_dc - 100, 0, 0},
        {"cold battery", PAYGO_ALERT_UNDERTEMPERATURE, READING(battery_dc), -1, battery->charge_min_dc - 1,
         battery->charge_min_dc + 10, 0, 0},
        {"leaking switch", PAYGO_ALERT_CHARGER_FAULT, READING(panel_ma), 1, 300, 299, 5, 60},
        {"lost sensor", PAYGO_ALERT_SENSOR_FAULT, READING(battery_dc), 1, 1201, 1200, 5, 60},
    };
    size_t i;
    for (i = 0; i < sizeof all / sizeof all[0] && failures == 0; i++) {
        test_protection(&all[i], chemistry, dt_s);
    }
}

int main(void)
{
    static const int32_t steps[] = {0, 1, 2, 5, 7, 10, 30, 60};
    size_t i;
    for (i = 0; i < sizeof steps / sizeof steps[0] && failures == 0; i++) {
        chance = 2463534242U + (uint32_t)i;
        test_all(PAYGO_AGM, steps[i]);
        test_all(PAYGO_LFP, steps[i]);
        test_overloads(steps[i]);
    }
    if (failures == 0) {
        (void)printf("noise: all passed\n");
    }
    return failures != 0;
}
