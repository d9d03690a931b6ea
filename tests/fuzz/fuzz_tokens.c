/* libFuzzer: every entry point of the token core, with any configuration, state and text. */
#include "cache.h"
#include "reference.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static uint64_t take(const uint8_t **data, size_t *size, size_t bytes)
{
    uint64_t number = 0;
    while (bytes > 0 && *size > 0) {
        number = (number << 8) | **data;
        (*data)++;
        (*size)--;
        bytes--;
    }
    return number;
}

static paygo_config take_config(const uint8_t **data, size_t *size)
{
    paygo_config config;
    uint8_t i;
    for (i = 0; i < 16; i++) {
        config.secret_key[i] = (uint8_t)take(data, size, 1);
    }
    config.starting_code = 1 + (uint32_t)(take(data, size, 4) % 999999999U);
    config.max_count = (uint16_t)(1 + take(data, size, 2) % 65535U);
    config.max_jump = (uint16_t)(1 + take(data, size, 1));
    config.max_sync_jump = (uint16_t)(1 + take(data, size, 1));
    config.older_window = (uint8_t)(take(data, size, 1) % (PAYGO_MAX_OLDER_WINDOW + 1U));
    config.time_divider = (uint8_t)(1 + take(data, size, 1) % 255U);
    config.restricted_digits = take(data, size, 1) % 2 == 1;
    config.strict_waits = take(data, size, 1) % 2 == 1;
    return config;
}

/* A count that keeps a walk short enough to fuzz. */
static uint16_t take_count(const uint8_t **data, size_t *size)
{
    return (uint16_t)(take(data, size, 2) % 700U);
}

static void check_verdict(const paygo_verdict *verdict, const paygo_window *before)
{
    require(verdict->window.count >= before->count);
    require(verdict->window.floor <= verdict->window.count);
    if (verdict->reason != PAYGO_REASON_ACCEPTED) {
        require(memcmp(&verdict->window, before, sizeof *before) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const paygo_config config = take_config(&data, &size);
    const uint8_t choice = (uint8_t)take(&data, &size, 1);
    const paygo_form form = choice % 2 == 0 ? PAYGO_STANDARD : PAYGO_EXTENDED;
    const uint16_t count = take_count(&data, &size);
    paygo_window window = paygo_window_at(count);
    paygo_unit unit;
    uint8_t stored[PAYGO_UNIT_BYTES];
    char text[PAYGO_MAX_DIGITS];
    uint64_t token;
    window.used = (uint32_t)take(&data, &size, 4);

    /* A token of the device is judged the same with and without a checkpoint, and never twice. */
    if (choice & 4U) {
        const uint16_t at = (uint16_t)(1U + take_count(&data, &size));
        const uint32_t value = (uint32_t)take(&data, &size, 3) % paygo_base_modulus(form);
        if (paygo_value_allowed(form, value)) {
            paygo_checkpoint point = {0, 0};
            paygo_verdict plain, resumed;
            const uint64_t made = paygo_encode_from(&config, form, at, value, &point);
            require(made == paygo_encode(&config, form, at, value));
            plain = paygo_decode(&config, &window, form, text, paygo_digits_write(form, config.restricted_digits, made, text));
            resumed = paygo_decode_from(&config, &window, form, made, &point);
            require(plain.type == resumed.type && plain.reason == resumed.reason && plain.count == resumed.count);
            check_verdict(&plain, &window);
            if (plain.reason == PAYGO_REASON_ACCEPTED) {
                /* Never again at this count; the same digits may belong to a later one too (T12, T18). */
                paygo_checkpoint none = {0, 0};
                const paygo_verdict again = paygo_decode_from(&config, &plain.window, form, made, &none);
                require(again.reason != PAYGO_REASON_ACCEPTED || again.count > plain.count);
            }
        }
    }

    /* Any bytes as stored state, and the rest as entries. */
    memset(stored, 0, sizeof stored);
    if (size >= sizeof stored && (choice & 8U) != 0) {
        memcpy(stored, data, sizeof stored);
        data += sizeof stored;
        size -= sizeof stored;
        if (paygo_unit_load(&unit, stored)) {
            uint8_t again[PAYGO_UNIT_BYTES];
            paygo_unit_store(&unit, 0, again);
            require(paygo_unit_load(&unit, again));
        }
    }
    paygo_unit_init(&unit, count);
    while (size > 0) {
        const size_t length = data[0] % (PAYGO_MAX_DIGITS + 2U) < size ? data[0] % (PAYGO_MAX_DIGITS + 2U) : size;
        const paygo_window before = unit.window;
        const paygo_answer answer = paygo_unit_enter(&unit, &config, unit.clock + data[0] * 60U, (const char *)data, length);
        check_verdict(&answer.verdict, &before);
        require(answer.wait_seconds <= 512U * 60U);
        if (paygo_digits_read(PAYGO_STANDARD, config.restricted_digits, (const char *)data, length, &token) ==
            PAYGO_DIGITS_TOKEN) {
            paygo_reference reference = {count, (uint16_t)window.used};
            (void)paygo_reference_enter(&config, (choice & 16U) != 0, &reference, (uint32_t)token);
        }
        data += length + 1 < size ? length + 1 : size;
        size -= length + 1 < size ? length + 1 : size;
    }
    return 0;
}
