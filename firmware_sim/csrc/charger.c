/* Readings and seconds for the control law. */
#include "charger.h"

#include "apart.h"
#include "flash.h"

static PAYGO_APART const paygo_battery_limits *battery_of(const paygo_charger *charger)
{
    return &paygo_battery_presets[charger->chemistry];
}

static PAYGO_APART const paygo_board_limits *board_of(const paygo_charger *charger)
{
    return &paygo_board_presets[charger->board];
}

bool paygo_charger_fits(const paygo_charger *charger, uint8_t chemistry)
{
    return (paygo_flash_byte(&board_of(charger)->chemistries) & 1U << chemistry) != 0;
}

void paygo_charger_begin(paygo_charger *charger, uint8_t chemistry, uint16_t capacity_ah, uint16_t alerts)
{
    paygo_charger_replace(charger, chemistry, capacity_ah);
    paygo_law_begin(&charger->law, battery_of(charger), board_of(charger), alerts);
}

void paygo_charger_replace(paygo_charger *charger, uint8_t chemistry, uint16_t capacity_ah)
{
    charger->chemistry = paygo_charger_fits(charger, chemistry) ? chemistry : (uint8_t)PAYGO_GEL; /* lead's mildest */
    charger->capacity_ah = capacity_ah;
    charger->judged = false;
    charger->law.target_mv = (int16_t)paygo_flash_word(&battery_of(charger)->absorption_mv);
    charger->law.stage = PAYGO_BULK;
    charger->law.stage_s = charger->law.low_s = 0;
    charger->law.since_equalise_s = 0;
}

#define READINGS (sizeof(paygo_measured) / sizeof(int16_t))
#define FIRST_PEAK PAYGO_MEASURED(battery_peak_mv)
#define OF_LAW(name) (offsetof(paygo_law_readings, name) / sizeof(paygo_law_int))

typedef char as_the_law[READINGS == OF_LAW(tail_ma) && FIRST_PEAK == OF_LAW(battery_peak_mv) ? 1 : -1];

int32_t paygo_charger_number(const paygo_measured *measured, uint8_t place)
{
    const int16_t number = (&measured->battery_mv)[place];
    return place == PAYGO_MEASURED(panel_mv) || place >= FIRST_PEAK ? (int32_t)(uint16_t)number : number;
}

/* Of which reading each peak is the highest, so that it is no less; a port that has none of its own leaves it 0. */
static const uint8_t peak_of[READINGS - FIRST_PEAK] PAYGO_FLASH = {
    PAYGO_MEASURED(battery_mv), PAYGO_MEASURED(panel_mv), PAYGO_MEASURED(output_peak_mv), PAYGO_MEASURED(load_ma)};

void paygo_charger_measure(paygo_charger *charger, const paygo_measured *now)
{
    int16_t *kept = &charger->measured.battery_mv;
    const bool judged = charger->judged;
    uint8_t i;
    for (i = 0; i < READINGS; i++) {
        const int32_t was = paygo_charger_number(&charger->measured, i);
        int32_t is = paygo_charger_number(now, i);
        bool changes = is != was;
        if (i >= FIRST_PEAK) {
            const int32_t least = paygo_charger_number(now, paygo_flash_byte(&peak_of[i - FIRST_PEAK]));
            is = is < least ? least : is;
            changes = is > was;
        }
        if (changes) {
            charger->judged = false;
        }
        if (changes || judged) {
            kept[i] = (int16_t)is;
        }
    }
}

static PAYGO_APART paygo_law_int within(int32_t number)
{
    return (paygo_law_int)(number > PAYGO_LAW_MOST ? PAYGO_LAW_MOST : number < -PAYGO_LAW_MOST ? -PAYGO_LAW_MOST : number);
}

void paygo_charger_pass(paygo_charger *charger, uint8_t seconds, bool wanted)
{
    const paygo_battery_limits *battery = battery_of(charger);
    paygo_law_readings readings;
    uint8_t i;
    if (seconds == 0) {
        return;
    }
    for (i = 0; i < READINGS; i++) {
        (&readings.battery_mv)[i] = within(paygo_charger_number(&charger->measured, i));
    }
    readings.tail_ma =
        within((int32_t)(int16_t)paygo_flash_word(&battery->tail_ma_per_ah) * (int32_t)charger->capacity_ah);
    readings.wanted = wanted ? -1 : 0;
    paygo_law_step(&charger->law, &readings, battery, board_of(charger), seconds);
    charger->judged = true;
}

uint16_t paygo_charger_due_s(const paygo_charger *charger)
{
    return charger->judged ? paygo_law_due_s(&charger->law) : 1U;
}

int32_t paygo_charger_value(const paygo_charger *charger, paygo_alert alert)
{
    static const uint8_t told[] PAYGO_FLASH = {
        PAYGO_MEASURED(battery_mv),      PAYGO_MEASURED(battery_mv),     PAYGO_MEASURED(battery_mv),
        PAYGO_MEASURED(battery_mv),      PAYGO_MEASURED(panel_peak_mv),  PAYGO_MEASURED(output_peak_mv),
        PAYGO_MEASURED(battery_peak_mv), PAYGO_MEASURED(load_ma),        PAYGO_MEASURED(load_peak_ma),
        PAYGO_MEASURED(temperature_dc),  PAYGO_MEASURED(temperature_dc), PAYGO_MEASURED(panel_ma),
        PAYGO_MEASURED(battery_mv),
    };
    const int16_t board_dc = charger->measured.board_dc;
    int16_t dc = charger->measured.temperature_dc;
    if (alert >= PAYGO_ALERT_BATTERY_REPLACED) {
        return charger->capacity_ah;
    }
    if (alert == PAYGO_ALERT_OVERTEMPERATURE && board_dc > dc) {
        dc = board_dc;
    }
    if (alert == PAYGO_ALERT_OVERTEMPERATURE || alert == PAYGO_ALERT_UNDERTEMPERATURE) {
        return dc / 10;
    }
    return paygo_charger_number(&charger->measured, paygo_flash_byte(&told[alert]));
}
