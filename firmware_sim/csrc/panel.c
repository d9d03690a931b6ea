/* Keypad entries and blink patterns, neither of which blocks. */
#include "panel.h"

paygo_keypad_event paygo_keypad_update(paygo_keypad *keypad, char key, uint8_t entry_length, uint16_t elapsed_ms)
{
    if (key == 0) {
        if (elapsed_ms >= PAYGO_KEY_TIMEOUT_MS - keypad->idle_ms) {
            keypad->entering = false;
            keypad->idle_ms = 0;
        } else {
            keypad->idle_ms = (uint16_t)(keypad->idle_ms + elapsed_ms);
        }
        return PAYGO_KEYPAD_NOTHING;
    }
    keypad->idle_ms = 0;
    if (key == '*') {
        keypad->entering = true;
        keypad->length = 0;
        return PAYGO_KEYPAD_NOTHING;
    }
    if (key == '#') {
        if (!keypad->entering) {
            keypad->length = 0;
        }
        keypad->entering = false;
        return PAYGO_KEYPAD_STATE;
    }
    if (!keypad->entering || key < '0' || key > '9') {
        return PAYGO_KEYPAD_NOTHING;
    }
    keypad->digits[keypad->length] = key;
    keypad->length++;
    if (keypad->length < entry_length) {
        return PAYGO_KEYPAD_NOTHING;
    }
    keypad->entering = false;
    return PAYGO_KEYPAD_ENTRY;
}

void paygo_light_blink(paygo_light *light, paygo_colour colour, uint8_t blinks)
{
    light->colour = colour;
    light->blinks = blinks;
    light->phase_ms = 0;
}

void paygo_light_update(paygo_light *light, uint16_t elapsed_ms)
{
    while (light->blinks > 0) {
        const uint16_t left = (uint16_t)(2U * PAYGO_BLINK_MS - light->phase_ms);
        if (elapsed_ms < left) {
            light->phase_ms = (uint16_t)(light->phase_ms + elapsed_ms);
            return;
        }
        elapsed_ms = (uint16_t)(elapsed_ms - left);
        light->phase_ms = 0;
        light->blinks--;
    }
    light->colour = PAYGO_DARK;
}

paygo_colour paygo_light_now(const paygo_light *light)
{
    return light->phase_ms < PAYGO_BLINK_MS ? light->colour : PAYGO_DARK;
}
