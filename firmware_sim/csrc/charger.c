/* Readings and seconds for the control law. */
#include "charger.h"

#include "flash.h"

#include <stddef.h>
#include <string.h>

static const paygo_battery_limits *battery_of(const paygo_charger *charger)
{
    return &paygo_battery_presets[charger->chemistry];
}

static const paygo_board_limits *board_of(const paygo_charger *charger)
{
    return &paygo_board_presets[charger->board];
}

bool paygo_charger_fits(const paygo_charger *charger, uint8_t chemistry)
{
    return (paygo_flash_byte(&board_of(charger)->chemistries) & 1U << chemistry) != 0;
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
    set_battery(charger, chemistry, capacity_ah);
    memset(&charger->law, 0, sizeof charger->law);
    paygo_law_begin(&charger->law, battery_of(charger), board_of(charger), alerts);
}

void paygo_charger_replace(paygo_charger *charger, uint8_t chemistry, uint16_t capacity_ah)
{
    set_battery(charger, chemistry, capacity_ah);
    charger->law.target_mv = (int16_t)paygo_flash_word(&battery_of(charger)->absorption_mv);
    charger->law.stage = PAYGO_BULK;
    charger->law.stage_s = charger->law.low_s = 0;
    charger->law.since_equalise_s = 0;
}

/* The readings of the law that are measured, and those of a port, by their place. */
#define READING(name) (offsetof(paygo_law_readings, name) / sizeof(paygo_law_int))
#define READINGS READING(tail_ma)
#define FIRST_PEAK READING(battery_peak_mv)
#define PLACE(name) (offsetof(paygo_measured, name) / sizeof(int16_t))

typedef char as_the_law[READINGS == PLACE(load_peak_ma) + 1U && FIRST_PEAK == PLACE(battery_peak_mv) ? 1 : -1];

/* Of which reading each peak is the highest, so that it is no less; a port that has none of its own leaves it 0. */
static const uint8_t peak_of[READINGS - FIRST_PEAK] PAYGO_FLASH = {
    PLACE(battery_mv), PLACE(panel_mv), PLACE(output_peak_mv), PLACE(load_ma)};

static int16_t within(int16_t reading)
{
    return reading > PAYGO_LAW_MOST ? PAYGO_LAW_MOST : reading < -PAYGO_LAW_MOST ? (int16_t)-PAYGO_LAW_MOST : reading;
}

void paygo_charger_measure(paygo_charger *charger, const paygo_measured *now)
{
    const int16_t *measured = &now->battery_mv;
    paygo_law_int *reading = &charger->readings.battery_mv;
    const bool judged = charger->judged;
    uint8_t i;
    for (i = 0; i < READINGS; i++, reading++) {
        int16_t is = measured[i];
        if (i >= FIRST_PEAK) {
            const int16_t least = measured[paygo_flash_byte(&peak_of[i - FIRST_PEAK])];
            is = is < least ? least : is;
        }
        is = within(is);
        if (i < FIRST_PEAK ? is != *reading : is > *reading) {
            charger->judged = false;
        }
        if (i < FIRST_PEAK || judged || is > *reading) {
            *reading = is;
        }
    }
}

void paygo_charger_pass(paygo_charger *charger, uint8_t seconds, bool wanted)
{
    int32_t tail_ma;
    if (seconds == 0) {
        return;
    }
    tail_ma = (int32_t)(int16_t)paygo_flash_word(&battery_of(charger)->tail_ma_per_ah) * (int32_t)charger->capacity_ah;
    charger->readings.tail_ma = (paygo_law_int)(tail_ma < PAYGO_LAW_MOST ? tail_ma : PAYGO_LAW_MOST);
    charger->readings.wanted = wanted ? -1 : 0;
    paygo_law_step(&charger->law, &charger->readings, battery_of(charger), board_of(charger), seconds);
    charger->judged = true;
}

uint16_t paygo_charger_due_s(const paygo_charger *charger)
{
    return charger->judged ? paygo_law_due_s(&charger->law) : 1U;
}

int16_t paygo_charger_value(const paygo_charger *charger, paygo_alert alert)
{
    static const uint8_t told[] PAYGO_FLASH = {
        READING(battery_mv), READING(battery_mv), READING(battery_mv), READING(battery_mv), READING(panel_peak_mv),
        READING(output_peak_mv), READING(battery_peak_mv), READING(load_ma), READING(load_peak_ma), READING(battery_dc),
        READING(battery_dc), READING(panel_ma), READING(battery_mv),
    };
    const int16_t board_dc = (int16_t)charger->readings.board_dc;
    int16_t value;
    if (alert >= PAYGO_ALERT_BATTERY_REPLACED) {
        return (int16_t)charger->capacity_ah;
    }
    value = (int16_t)(&charger->readings.battery_mv)[paygo_flash_byte(&told[alert])];
    if (alert == PAYGO_ALERT_OVERTEMPERATURE && board_dc > value) {
        value = board_dc;
    }
    if (alert == PAYGO_ALERT_OVERTEMPERATURE || alert == PAYGO_ALERT_UNDERTEMPERATURE) {
        value = (int16_t)(value / 10);
    }
    return value;
}
