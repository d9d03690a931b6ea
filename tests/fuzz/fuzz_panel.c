/* libFuzzer: keypad, light and gauge, each beside a model in wide numbers, and the witness of the clock. */
#include "gauge.h"
#include "input.h"
#include "panel.h"
#include "witness.h"

#define FULL_MA_S(charger) (INT64_C(3600000) * (charger)->capacity_ah)

typedef struct {
    char digits[PAYGO_MAX_DIGITS];
    uint8_t length;
    bool entering;
    uint64_t idle_ms;
} typed;

static void check_keypad(paygo_keypad *keypad, typed *model, char key, uint8_t entry_length, uint16_t elapsed_ms)
{
    paygo_keypad_event expected = PAYGO_KEYPAD_NOTHING;
    model->idle_ms = key == 0 ? model->idle_ms + elapsed_ms : 0;
    if (key == 0 && model->idle_ms >= PAYGO_KEY_TIMEOUT_MS) {
        model->entering = false;
        model->idle_ms = 0;
    } else if (key == '*') {
        model->entering = true;
        model->length = 0;
    } else if (key == '#') {
        model->length = model->entering ? model->length : 0;
        model->entering = false;
        expected = PAYGO_KEYPAD_STATE;
    } else if (model->entering && key >= '0' && key <= '9') {
        model->digits[model->length] = key;
        model->length++;
        if (model->length == entry_length) {
            model->entering = false;
            expected = PAYGO_KEYPAD_ENTRY;
        }
    }
    require(paygo_keypad_update(keypad, key, entry_length, elapsed_ms) == expected);
    require(keypad->entering == model->entering && keypad->length == model->length);
    require(keypad->idle_ms < PAYGO_KEY_TIMEOUT_MS);
    require(memcmp(keypad->digits, model->digits, model->length) == 0);
}

/* A pattern of so many blinks is over after so many times two phases, however time is cut. */
static void check_light(paygo_light *light, uint64_t *since_ms, paygo_colour *colour, uint8_t *blinks, uint8_t begin,
                        uint16_t elapsed_ms)
{
    bool lit;
    if (begin != 0) {
        *colour = begin % 2 == 0 ? PAYGO_GREEN : PAYGO_RED;
        *blinks = begin;
        *since_ms = 0;
        paygo_light_blink(light, *colour, *blinks);
        require(paygo_light_now(light) == *colour);
    }
    paygo_light_update(light, elapsed_ms);
    *since_ms += elapsed_ms;
    lit = *since_ms < 2U * PAYGO_BLINK_MS * (uint64_t)*blinks && *since_ms / PAYGO_BLINK_MS % 2 == 0;
    require(paygo_light_now(light) == (lit ? *colour : PAYGO_DARK));
}

static void check_gauge(paygo_gauge *gauge, paygo_charger *charger, int16_t battery_mv, int16_t battery_ma, uint16_t elapsed_ms)
{
    const bool started = gauge->started;
    const int64_t before = gauge->charge * INT64_C(1000) + gauge->rest;
    const int64_t full = FULL_MA_S(charger);
    paygo_measured measured;
    memset(&measured, 0, sizeof measured);
    measured.battery_mv = battery_mv;
    measured.battery_ma = battery_ma;
    paygo_charger_measure(charger, &measured);
    paygo_gauge_update(gauge, charger, elapsed_ms);
    require(gauge->charge >= 0 && gauge->charge <= full);
    require(paygo_gauge_permille(gauge, charger->capacity_ah) >= 0 &&
            paygo_gauge_permille(gauge, charger->capacity_ah) <= 1000);
    if (started) {
        const int64_t after = before + battery_ma * (int64_t)elapsed_ms;
        const int64_t now = gauge->charge * INT64_C(1000) + gauge->rest;
        const int64_t within = after < 0 ? 0 : after > full * 1000 ? full * 1000 : after;
        require(now - within < 1000 && within - now < 1000); /* at the ends a rest may be kept */
    }
}

/* It never misses a chip that went back, and compares only what is there to compare. */
static void check_witness(paygo_witness *witness, uint32_t rtc_s, uint16_t elapsed_s)
{
    const paygo_witness before = *witness;
    paygo_witness_update(witness, rtc_s, elapsed_s);
    require(rtc_s == 0 || witness->last_s == rtc_s);
    require(rtc_s != 0 || memcmp(&before, witness, sizeof before) == 0);
    require(rtc_s == 0 || rtc_s >= before.last_s || witness->tampered);
    require(witness->counted_s < PAYGO_WITNESS_S);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char keys[] = "0123456789*#";
    static const uint8_t lengths[] = {9, 12, 15, 20};
    const uint8_t entry_length = lengths[take(&data, &size, 1) % 4U];
    paygo_keypad keypad;
    typed model;
    paygo_light light = {PAYGO_DARK, 0, 0};
    paygo_colour colour = PAYGO_DARK;
    uint8_t blinks = 0;
    uint64_t since_ms = 0;
    paygo_charger charger;
    paygo_gauge gauge = {false, 0, 0};
    paygo_witness witness;
    memset(&witness, 0, sizeof witness);
    memset(&keypad, 0, sizeof keypad);
    memset(&model, 0, sizeof model);
    memset(&charger, 0, sizeof charger);
    paygo_charger_begin(&charger, (uint8_t)(take(&data, &size, 1) % PAYGO_CHEMISTRIES),
                        (uint16_t)(1U + take(&data, &size, 2) % PAYGO_BATTERY_AH_MAX), 0);
    while (size > 0) {
        const uint8_t op = (uint8_t)take(&data, &size, 1);
        const int32_t mv = (int32_t)take(&data, &size, 2);
        const int32_t ma = (int32_t)take(&data, &size, 2) - 32768;
        const uint32_t elapsed_ms = op % 16U == 15 ? UINT32_MAX - op : (uint32_t)take(&data, &size, 2);
        const uint16_t wire_ms = (uint16_t)(elapsed_ms < UINT16_MAX ? elapsed_ms : UINT16_MAX);
        const char key = op % 16U < 12 ? keys[op % 16U] : 0;
        check_keypad(&keypad, &model, key, entry_length, wire_ms);
        check_light(&light, &since_ms, &colour, &blinks, op > 200 ? (uint8_t)(op - 200U) : 0, wire_ms);
        check_witness(&witness, op % 32U == 31 ? 0 : (uint32_t)mv * (op % 4U == 0 ? 1U : 65537U), wire_ms / 1000U);
        check_gauge(&gauge, &charger, (int16_t)(mv - 32768), (int16_t)ma, wire_ms);
    }
    return 0;
}
