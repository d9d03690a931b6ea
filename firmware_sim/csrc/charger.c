/* Readings and seconds for the control law. */
#include "charger.h"

#include "flash.h"

#include <stddef.h>
#include <string.h>

static void copy_flash(void *to, const void *flash, uint8_t length)
{
    uint8_t *bytes = to;
    const uint8_t *from = flash;
    for (; length > 0; length--, bytes++, from++) {
        *bytes = paygo_flash_byte(from);
    }
}

typedef struct {
    paygo_battery_limits battery;
    paygo_board_limits board;
} limits;

static void load_limits(const paygo_charger *charger, limits *loaded)
{
    copy_flash(&loaded->battery, &paygo_battery_presets[charger->chemistry], sizeof loaded->battery);
    copy_flash(&loaded->board, &paygo_board_presets[charger->board], sizeof loaded->board);
}

bool paygo_charger_fits(const paygo_charger *charger, uint8_t chemistry)
{
    return (paygo_flash_byte(&paygo_board_presets[charger->board].chemistries) & 1U << chemistry) != 0;
}

/* Which battery it is. Lead is charged most mildly as gel. */
static void set_battery(paygo_charger *charger, uint8_t chemistry, uint16_t capacity_ah)
{
    charger->chemistry = paygo_charger_fits(charger, chemistry) ? chemistry : (uint8_t)PAYGO_GEL;
    charger->capacity_ah = capacity_ah;
    charger->judged = false;
}

void paygo_charger_begin(paygo_charger *charger, uint8_t chemistry, uint16_t capacity_ah, uint16_t alerts)
{
    limits loaded;
    set_battery(charger, chemistry, capacity_ah);
    load_limits(charger, &loaded);
    memset(&charger->law, 0, sizeof charger->law);
    paygo_law_begin(&charger->law, &loaded.battery, &loaded.board, alerts);
}

void paygo_charger_replace(paygo_charger *charger, uint8_t chemistry, uint16_t capacity_ah)
{
    limits loaded;
    set_battery(charger, chemistry, capacity_ah);
    load_limits(charger, &loaded);
    charger->law.target_mv = loaded.battery.absorption_mv;
    charger->law.stage = PAYGO_BULK;
    charger->law.stage_s = charger->law.low_s = 0;
    charger->law.since_equalise_s = 0;
}

/* All readings before the clock chip's are int32_t, in the order in which the law has them. */
#define READINGS (offsetof(paygo_measured, rtc_s) / sizeof(int32_t))
#define FIRST_PEAK (offsetof(paygo_measured, battery_peak_mv) / sizeof(int32_t))
#define READING(of, i) ((int32_t *)(void *)((uint8_t *)(of) + (i) * sizeof(int32_t)))

typedef char as_the_law[offsetof(paygo_measured, load_peak_ma) / sizeof(int32_t) ==
                                offsetof(paygo_law_readings, load_peak_ma) / sizeof(paygo_law_int)
                            ? 1
                            : -1];

static int32_t within(int32_t reading, int32_t most)
{
    return reading > most ? most : reading < -most ? -most : reading;
}

static void lift(int32_t *peak, int32_t reading)
{
    if (*peak < reading) {
        *peak = reading;
    }
}

void paygo_charger_measure(paygo_charger *charger, const paygo_measured *now)
{
    paygo_measured *before = &charger->measured;
    paygo_measured measured = *now;
    bool judged = charger->judged;
    uint8_t i;
    for (i = 0; i < READINGS; i++) { /* beyond 1000 V or 1000 A nothing is measured */
        *READING(&measured, i) = within(*READING(&measured, i), INT32_C(1000000));
    }
    lift(&measured.battery_peak_mv, measured.battery_mv);
    lift(&measured.panel_peak_mv, measured.panel_mv);
    lift(&measured.load_peak_ma, measured.load_ma);
    for (i = 0; i < READINGS; i++) {
        int32_t *reading = READING(&measured, i);
        const int32_t was = *READING(before, i);
        if (i < FIRST_PEAK ? *reading != was : *reading > was) {
            judged = false;
        }
        if (i >= FIRST_PEAK && !charger->judged) {
            lift(reading, was);
        }
    }
    charger->judged = judged;
    *before = measured;
}

void paygo_charger_pass(paygo_charger *charger, uint8_t seconds, bool wanted)
{
    paygo_law_readings readings;
    limits loaded;
    uint8_t i;
    if (seconds == 0) {
        return;
    }
    load_limits(charger, &loaded);
    for (i = 0; i < READINGS; i++) {
        ((paygo_law_int *)(void *)&readings)[i] = (paygo_law_int)within(*READING(&charger->measured, i), PAYGO_LAW_MOST);
    }
    readings.tail_ma =
        (paygo_law_int)within((int32_t)loaded.battery.tail_ma_per_ah * (int32_t)charger->capacity_ah, PAYGO_LAW_MOST);
    readings.wanted = wanted ? -1 : 0;
    paygo_law_step(&charger->law, &readings, &loaded.battery, &loaded.board, seconds);
    charger->judged = true;
}

uint16_t paygo_charger_due_s(const paygo_charger *charger)
{
    return charger->judged ? paygo_law_due_s(&charger->law) : 1U;
}

int32_t paygo_charger_value(const paygo_charger *charger, paygo_alert alert)
{
    const paygo_measured *measured = &charger->measured;
    switch (alert) {
    case PAYGO_ALERT_PANEL_OVERVOLTAGE:
        return measured->panel_peak_mv;
    case PAYGO_ALERT_OUTPUT_OVERVOLTAGE:
        return measured->output_peak_mv;
    case PAYGO_ALERT_BATTERY_DISCONNECTED:
        return measured->battery_peak_mv;
    case PAYGO_ALERT_OVERCURRENT:
        return measured->load_ma;
    case PAYGO_ALERT_SHORT_CIRCUIT:
        return measured->load_peak_ma;
    case PAYGO_ALERT_CHARGER_FAULT:
        return measured->panel_ma;
    case PAYGO_ALERT_OVERTEMPERATURE:
        return (measured->board_dc > measured->temperature_dc ? measured->board_dc : measured->temperature_dc) / 10;
    case PAYGO_ALERT_UNDERTEMPERATURE:
        return measured->temperature_dc / 10;
    case PAYGO_ALERT_BATTERY_REPLACED:
    case PAYGO_ALERT_BATTERY_REFUSED:
        return (int32_t)charger->capacity_ah;
    case PAYGO_ALERT_BATTERY_OVERVOLTAGE:
    case PAYGO_ALERT_BATTERY_UNDERVOLTAGE:
    case PAYGO_ALERT_SENSOR_FAULT:
    case PAYGO_ALERT_STORAGE_FAULT:
    case PAYGO_ALERT_CLOCK_TAMPER:
    case PAYGO_ALERTS:
    default:
        return measured->battery_mv;
    }
}
