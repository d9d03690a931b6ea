/* libFuzzer: the control law under any readings: it is never both blocked and on, and knows nothing but its stages. */
#include "law.h"

#include "input.h"

#define BIT(alert) (UINT32_C(1) << PAYGO_ALERT_##alert)
#define CHARGE_BLOCKING \
    (BIT(BATTERY_OVERVOLTAGE) | BIT(PANEL_OVERVOLTAGE) | BIT(BATTERY_DISCONNECTED) | BIT(OVERTEMPERATURE) | \
     BIT(UNDERTEMPERATURE) | BIT(SENSOR_FAULT))
#define OUTPUT_BLOCKING \
    (BIT(BATTERY_OVERVOLTAGE) | BIT(BATTERY_UNDERVOLTAGE) | BIT(OUTPUT_OVERVOLTAGE) | BIT(BATTERY_DISCONNECTED) | \
     BIT(OVERTEMPERATURE))
#define ALL ((UINT32_C(1) << PAYGO_ALERTS) - 1U)

static int32_t number(const uint8_t **data, size_t *size)
{
    return (int32_t)take(data, size, 2);
}

static bool flag(int32_t value)
{
    return value == 0 || value == -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const paygo_battery_limits *battery = &paygo_battery_presets[take(&data, &size, 1) % PAYGO_CHEMISTRIES];
    const paygo_board_limits *board = take(&data, &size, 1) % 2U == 0 ? &paygo_board_legacy : &paygo_board_protected;
    paygo_law law;
    memset(&law, 0, sizeof law);
    paygo_law_begin(&law, battery, board, (uint16_t)take(&data, &size, 2));
    while (size > 0) {
        const int32_t dt_s = 1 + (int32_t)(take(&data, &size, 1) % 60U);
        paygo_law_readings readings;
        uint32_t alerts;
        memset(&readings, 0, sizeof readings);
        readings.battery_mv = number(&data, &size);
        readings.battery_ma = number(&data, &size) - 32768;
        readings.panel_mv = number(&data, &size);
        readings.panel_ma = number(&data, &size);
        readings.load_ma = number(&data, &size);
        readings.battery_dc = number(&data, &size) - 32768;
        readings.board_dc = readings.battery_dc / 2;
        readings.battery_peak_mv = readings.battery_mv + readings.panel_mv / 8;
        readings.panel_peak_mv = readings.panel_mv;
        readings.output_peak_mv = readings.battery_peak_mv;
        readings.load_peak_ma = readings.load_ma;
        readings.tail_ma = battery->tail_ma_per_ah * 20;
        readings.wanted = -(int)(take(&data, &size, 1) % 2U);
        paygo_law_step(&law, &readings, battery, board, dt_s);
        alerts = (uint32_t)law.alerts;
        require((alerts & ~ALL) == 0 && (alerts & (BIT(STORAGE_FAULT) | BIT(CLOCK_TAMPER))) == 0);
        require(flag(law.charge) && flag(law.output) && flag(law.overvoltage) && flag(law.shorted) && flag(law.blind));
        require(law.stage >= PAYGO_BULK && law.stage <= PAYGO_EQUALISE);
        require(law.output == 0 || (readings.wanted != 0 && (alerts & OUTPUT_BLOCKING) == 0));
        require(law.charge == 0 || ((alerts & CHARGE_BLOCKING) == 0 && law.limit_ma > 0));
        require(law.target_mv <= battery->ceiling_mv && law.limit_ma >= 0 && law.limit_ma <= board->charge_ma);
        require(law.shorted_trips >= 0 && law.shorted_trips <= 6);
    }
    return 0;
}
