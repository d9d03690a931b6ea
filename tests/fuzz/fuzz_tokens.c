/* libFuzzer: a unit of any configuration, state and entries, beside its tokens' own rules. */
#include "input.h"
#include "reference.h"
#include "slots.h"
#include "unit.h"

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
    paygo_slots slots;
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
    memset(&slots, 0, sizeof slots);
    while (size > 0) {
        const uint8_t op = (uint8_t)take(&data, &size, 1); /* how long the entry is, and how long before it nobody typed */
        const size_t length = op % (PAYGO_MAX_DIGITS + 2U) < size ? op % (PAYGO_MAX_DIGITS + 2U) : size;
        const paygo_window before = unit.window;
        const uint64_t left = paygo_unit_seconds_left(&unit);
        const uint32_t clock = unit.clock;
        paygo_unit in_slices = unit;
        paygo_entry entry;
        paygo_answer answer;
        paygo_unit_tick(&unit, clock / 2U); /* backwards: nothing changes */
        require(unit.clock == clock && paygo_unit_seconds_left(&unit) == left);
        answer = paygo_unit_enter(&unit, &config, unit.clock + op * 60U, (const char *)data, length);
        check_verdict(&answer.verdict, &before);
        paygo_unit_begin(&entry, &in_slices, &config, in_slices.clock + op * 60U, (const char *)data, length);
        paygo_slots_resume(&slots, &entry.decoder);
        while (!paygo_unit_run(&entry, 1U + op)) {
        }
        paygo_unit_finish(&entry, &in_slices);
        require(same_verdict(&entry.decoder.verdict, &answer.verdict) && paygo_unit_wait_left(&in_slices) == answer.wait_seconds);
        require(paygo_unit_seconds_left(&in_slices) == answer.seconds_left && in_slices.wrong_entries == unit.wrong_entries);
        paygo_unit_ahead(&in_slices, op * 60U);
        require(paygo_unit_wait_left(&in_slices) == answer.wait_seconds);
        require(paygo_unit_seconds_left(&in_slices) <= answer.seconds_left);
        require(entry.decoder.refused == (answer.verdict.reason != PAYGO_REASON_ACCEPTED));
        paygo_slots_keep(&slots, &entry.decoder);
        (void)paygo_slots_run(&slots, &config, &unit.window, op);
        require(answer.wait_seconds <= 512U * 60U);
        if (paygo_digits_read(PAYGO_STANDARD, config.restricted_digits, (const char *)data, length, &token) ==
            PAYGO_DIGITS_TOKEN) {
            paygo_reference reference = {count, (uint16_t)window.used};
            (void)paygo_reference_enter(&config, (choice & 16U) != 0, &reference, (uint32_t)token);
        }
        require(paygo_unit_active(&unit) == (paygo_unit_seconds_left(&unit) > 0));
        require(paygo_unit_wait_left(&unit) == answer.wait_seconds);
        data += length;
        size -= length;
    }
    return 0;
}
