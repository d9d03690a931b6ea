/* libFuzzer: the control law under any readings, by itself and in a charger: it is never both blocked and on, and knows nothing but its stages. */
#include "charger.h"
#include "input.h"

#define BIT(alert) (UINT32_C(1) << PAYGO_ALERT_##alert)
#define CHARGE_BLOCKING \
    (BIT(BATTERY_OVERVOLTAGE) | BIT(PANEL_OVERVOLTAGE) | BIT(BATTERY_DISCONNECTED) | BIT(OVERTEMPERATURE) | \
     BIT(UNDERTEMPERATURE) | BIT(SENSOR_FAULT))
#define OUTPUT_BLOCKING \
    (BIT(BATTERY_OVERVOLTAGE) | BIT(BATTERY_UNDERVOLTAGE) | BIT(OUTPUT_OVERVOLTAGE) | BIT(BATTERY_DISCONNECTED) | \
     BIT(OVERTEMPERATURE))
#define ALL ((UINT32_C(1) << PAYGO_ALERTS) - 1U)

/* As far as the law's readings go. */
static int32_t number(const uint8_t **data, size_t *size)
{
    const int32_t value = (int32_t)take(data, size, 2);
    return value < PAYGO_LAW_MOST ? value : PAYGO_LAW_MOST;
}

static int32_t signed_number(const uint8_t **data, size_t *size)
{
    const int32_t value = (int32_t)take(data, size, 2) - 32768;
    return value > -PAYGO_LAW_MOST ? value : -PAYGO_LAW_MOST;
}

static bool flag(int32_t value)
{
    return value == 0 || value == -1;
}

/* The same readings by way of a charger, of which one has no peaks of its own: the same law. */
static void check_charger(paygo_charger *charger, const paygo_law *law, const paygo_law_readings *readings, int dt_s)
{
    paygo_measured measured;
    uint8_t alert;
    measured.battery_mv = (int16_t)readings->battery_mv;
    measured.battery_ma = (int16_t)readings->battery_ma;
    measured.panel_mv = (uint16_t)readings->panel_mv;
    measured.panel_ma = (int16_t)readings->panel_ma;
    measured.load_ma = (int16_t)readings->load_ma;
    measured.temperature_dc = (int16_t)readings->battery_dc;
    measured.board_dc = (int16_t)readings->board_dc;
    measured.battery_peak_mv = (uint16_t)readings->battery_peak_mv;
    measured.panel_peak_mv = 0;
    measured.output_peak_mv = (uint16_t)readings->output_peak_mv;
    measured.load_peak_ma = 0;
    paygo_charger_measure(charger, &measured);
    require(paygo_charger_number(&charger->measured, PAYGO_MEASURED(battery_ma)) == readings->battery_ma);
    require(paygo_charger_due_s(charger) >= 1);
    paygo_charger_pass(charger, 0, false);
    paygo_charger_pass(charger, (uint8_t)dt_s, readings->wanted != 0);
    require(paygo_charger_due_s(charger) == paygo_law_due_s(law) && paygo_law_due_s(law) >= 1 && paygo_law_due_s(law) <= 3600);
    for (alert = 0; alert < PAYGO_ALERTS; alert++) {
        (void)paygo_charger_value(charger, (paygo_alert)alert);
    }
    require(charger->law.alerts == law->alerts && charger->law.charge == law->charge && charger->law.output == law->output);
    require(charger->law.target_mv == law->target_mv && charger->law.stage == law->stage);
    require(paygo_law_blocks(law) == paygo_law_blocks(&charger->law) && (law->output == 0 || !paygo_law_blocks(law)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t asked = (uint8_t)(take(&data, &size, 1) % PAYGO_CHEMISTRIES);
    const uint8_t revision = (uint8_t)(take(&data, &size, 1) % PAYGO_BOARDS);
    const uint8_t chemistry = asked == PAYGO_LFP && revision == PAYGO_BOARD_LEGACY ? (uint8_t)PAYGO_GEL : asked;
    const uint16_t before = (uint16_t)take(&data, &size, 2);
    const paygo_battery_limits *battery = &paygo_battery_presets[chemistry];
    const paygo_board_limits *board = &paygo_board_presets[revision];
    paygo_charger charger;
    paygo_law law;
    memset(&law, 0, sizeof law);
    memset(&charger, 0, sizeof charger);
    charger.board = revision;
    paygo_law_begin(&law, battery, board, before);
    paygo_charger_begin(&charger, (uint8_t)PAYGO_FLOODED, 30, before);
    paygo_charger_replace(&charger, asked, 20);
    while (size > 0) {
        const int dt_s = 1 + (int)(take(&data, &size, 1) % 60U);
        paygo_law_readings readings;
        uint32_t alerts;
        memset(&readings, 0, sizeof readings);
        readings.battery_mv = number(&data, &size);
        readings.battery_ma = signed_number(&data, &size);
        readings.panel_mv = number(&data, &size);
        readings.panel_ma = number(&data, &size);
        readings.load_ma = number(&data, &size);
        readings.battery_dc = signed_number(&data, &size);
        readings.board_dc = readings.battery_dc / 2;
        readings.battery_peak_mv = readings.battery_mv / 2 + readings.panel_mv / 8;
        readings.battery_peak_mv = readings.battery_peak_mv > readings.battery_mv ? readings.battery_peak_mv : readings.battery_mv;
        readings.panel_peak_mv = readings.panel_mv;
        readings.output_peak_mv = readings.battery_peak_mv;
        readings.load_peak_ma = readings.load_ma;
        readings.tail_ma = battery->tail_ma_per_ah * 20;
        readings.wanted = -(int)(take(&data, &size, 1) % 2U);
        paygo_law_step(&law, &readings, battery, board, dt_s);
        alerts = (uint32_t)law.alerts;
        require((alerts & ~ALL) == 0 && (alerts & (BIT(STORAGE_FAULT) | BIT(CLOCK_TAMPER))) == 0);
        require(flag(law.charge) && flag(law.output) && flag(law.overvoltage.active) && flag(law.shorted.active) && flag(law.blind.active));
        require(law.stage >= PAYGO_BULK && law.stage <= PAYGO_EQUALISE);
        require(law.output == 0 || (readings.wanted != 0 && (alerts & OUTPUT_BLOCKING) == 0));
        require(law.charge == 0 || ((alerts & CHARGE_BLOCKING) == 0 && law.limit_ma > 0));
        require(law.target_mv <= battery->ceiling_mv && law.limit_ma >= 0 && law.limit_ma <= board->charge_ma);
        check_charger(&charger, &law, &readings, dt_s);
        require(law.shorted_trips >= 0 && law.shorted_trips <= 6);
    }
    return 0;
}
