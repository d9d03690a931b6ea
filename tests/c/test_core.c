/* The portable core by itself, as firmware links it: published vectors, edges of counts, digits and stored state. */
#include "slots.h"
#include "unit.h"
#include "check.h"

#include <stdio.h>
#include <string.h>

static const uint8_t KEY[16] = {0xa2, 0x9a, 0xb8, 0x2e, 0xdc, 0x5f, 0xbb, 0xc4,
                                0x1e, 0xc9, 0x53, 0x0f, 0x6d, 0xac, 0x86, 0xb1};
static const uint8_t OTHER_KEY[16] = {0xbc, 0x41, 0xec, 0x95, 0x30, 0xf6, 0xda, 0xc8,
                                      0x6b, 0x1a, 0x29, 0xab, 0x82, 0xed, 0xc5, 0xfb};

static paygo_config config_of(const uint8_t key[16], uint32_t starting_code)
{
    paygo_config config;
    memcpy(config.secret_key, key, sizeof config.secret_key);
    config.starting_code = starting_code;
    config.max_count = 65535;
    config.max_jump = 64;
    config.max_sync_jump = 100;
    config.older_window = 16;
    config.time_divider = 1;
    config.restricted_digits = false;
    config.strict_waits = false;
    return config;
}

/* The text of a token, with an end mark. */
static const char *text_of(const paygo_config *config, paygo_form form, uint64_t token)
{
    static char text[PAYGO_MAX_DIGITS + 1];
    text[paygo_digits_write(form, config->restricted_digits, token, text)] = '\0';
    return text;
}

static paygo_verdict judge(const paygo_config *config, const paygo_window *window, paygo_form form, const char *text)
{
    return paygo_decode(config, window, form, text, strlen(text));
}

static paygo_verdict judge_at(const paygo_config *config, const paygo_window *window, uint16_t count, uint32_t value)
{
    return judge(config, window, PAYGO_STANDARD,
                 text_of(config, PAYGO_STANDARD, paygo_encode(config, PAYGO_STANDARD, count, value)));
}

/* The vectors of SipHash's authors: key 00 ... 0f, messages 00, 00 01, ... of 0 to 15 bytes (T3). */
static void siphash_gives_its_authors_vectors(void)
{
    static const uint64_t expected[16] = {
        UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd), UINT64_C(0x0d6c8009d9a94f5a),
        UINT64_C(0x85676696d7fb7e2d), UINT64_C(0xcf2794e0277187b7), UINT64_C(0x18765564cd99a68d),
        UINT64_C(0xcbc9466e58fee3ce), UINT64_C(0xab0200f58b01d137), UINT64_C(0x93f5f5799a932462),
        UINT64_C(0x9e0082df0ba9e4b0), UINT64_C(0x7a5dbbc594ddb9f3), UINT64_C(0xf4b32f46226bada7),
        UINT64_C(0x751e8fbc860ee5fb), UINT64_C(0x14ea5627c0843d90), UINT64_C(0xf723ca908e7af2ee),
        UINT64_C(0xa129ca6149be45e5),
    };
    uint8_t bytes[16];
    paygo_key key;
    uint8_t i;
    for (i = 0; i < 16; i++) {
        bytes[i] = i;
    }
    paygo_key_load(&key, bytes);
    for (i = 0; i < 16; i++) {
        CHECK(paygo_siphash24(&key, bytes, i) == expected[i]);
    }
    CHECK(paygo_siphash24_word(&key, UINT32_C(0x03020100), UINT32_C(0x07060504)) == expected[8]);
}

static void the_chain_gives_the_published_codes(void)
{
    paygo_walk walk;
    paygo_key_load(&walk.key, KEY);
    paygo_walk_start(&walk, PAYGO_STANDARD, 123456789, 123456789);
    CHECK(walk.code == 123456789); /* T3 */
    paygo_walk_by(&walk, 10);
    CHECK(walk.code == 152198176);
    CHECK(walk.count == 10);
    paygo_walk_by(&walk, UINT32_C(20000000) - 10);
    CHECK(walk.code == 568012501);
    CHECK(paygo_chain_next(&walk.key, PAYGO_STANDARD, 113227404) == 926258175); /* T2: folds to 10^9, the first reduced */
    CHECK(paygo_default_starting_code(KEY) == 573664003); /* T4 */
}

static void tokens_are_the_published_ones(void)
{
    paygo_config config = config_of(KEY, 123456789);
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 2, 1) == 662486790); /* T5 */
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 4, 29) == 927706818);
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 5, 7) == 942433796);
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 7, PAYGO_VALUE_DISABLE_PAYG) == 650975787);
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 9, 0) == 592185789);
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 2, 7) == 16609796);
    CHECK(strcmp(text_of(&config, PAYGO_STANDARD, 16609796), "016609796") == 0); /* T20 */
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 65535, 1) == 364787790);
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 65535, PAYGO_VALUE_COUNTER_SYNC) == 122511788);

    config = config_of(OTHER_KEY, 516959010);
    CHECK(paygo_encode(&config, PAYGO_STANDARD, 2, 1) == 588224011);
    CHECK(paygo_encode(&config, PAYGO_EXTENDED, 2, 1) == UINT64_C(247264959011)); /* T24 */
    config.restricted_digits = true; /* T21 */
    CHECK(strcmp(text_of(&config, PAYGO_STANDARD, 588224011), "314114432231134") == 0);
    CHECK(strcmp(text_of(&config, PAYGO_EXTENDED, UINT64_C(247264959011)), "14323213131442331314") == 0);
    CHECK(strcmp(text_of(&config, PAYGO_STANDARD, 662486790), "324244134441123") == 0);
}

static void counts_follow_parity_and_end(void)
{
    paygo_config config = config_of(KEY, 123456789);
    CHECK(paygo_next_count(&config, 0, PAYGO_ADD_TIME) == 2); /* T10 */
    CHECK(paygo_next_count(&config, 1, PAYGO_ADD_TIME) == 2);
    CHECK(paygo_next_count(&config, 0, PAYGO_SET_TIME) == 1);
    CHECK(paygo_next_count(&config, 1, PAYGO_DISABLE_PAYG) == 3);
    CHECK(paygo_next_count(&config, 65533, PAYGO_ADD_TIME) == 65534);
    CHECK(paygo_next_count(&config, 65534, PAYGO_COUNTER_SYNC) == 65535);
    CHECK(paygo_next_count(&config, 65534, PAYGO_ADD_TIME) == 0);
    CHECK(paygo_next_count(&config, 65535, PAYGO_ADD_TIME) == 0);
    CHECK(paygo_next_count(&config, 65535, PAYGO_SET_TIME) == 0);
    config.max_count = 32600;
    CHECK(paygo_next_count(&config, 32598, PAYGO_ADD_TIME) == 32600);
    CHECK(paygo_next_count(&config, 32599, PAYGO_SET_TIME) == 0);
    CHECK(paygo_value_allowed(PAYGO_STANDARD, 995)); /* T7 to T9 */
    CHECK(!paygo_value_allowed(PAYGO_STANDARD, 996));
    CHECK(!paygo_value_allowed(PAYGO_STANDARD, 997));
    CHECK(paygo_value_allowed(PAYGO_STANDARD, 999));
    CHECK(!paygo_value_allowed(PAYGO_STANDARD, 1000));
    CHECK(paygo_value_allowed(PAYGO_EXTENDED, 1000)); /* T25 */
    CHECK(paygo_value_allowed(PAYGO_EXTENDED, UINT32_C(999999)));
    CHECK(!paygo_value_allowed(PAYGO_EXTENDED, 997));
    CHECK(!paygo_value_allowed(PAYGO_EXTENDED, UINT32_C(1000000)));
}

static void collisions_are_seen_80_counts_far(void)
{
    static const uint8_t one[16] = {0x5d, 0xe7, 0x0f, 0x4a, 0xba, 0x74, 0x4b, 0x50,
                                    0xf2, 0x6b, 0x23, 0xf6, 0x28, 0x69, 0xea, 0x32};
    static const uint8_t eighty_one[16] = {0xdb, 0x10, 0x5d, 0xf5, 0x19, 0xd7, 0xa2, 0x1c,
                                           0xeb, 0x9b, 0x8b, 0xcd, 0xdc, 0x06, 0xfe, 0x0b};
    paygo_config config = config_of(one, 123456789);
    CHECK(paygo_collides(&config, PAYGO_STANDARD, 305, 7)); /* T18 */
    CHECK(paygo_collides(&config, PAYGO_STANDARD, 306, 7));
    CHECK(!paygo_collides(&config, PAYGO_STANDARD, 304, 7));
    config = config_of(eighty_one, 123456789);
    CHECK(!paygo_collides(&config, PAYGO_STANDARD, 178, 30));
    CHECK(!paygo_collides(&config, PAYGO_STANDARD, 259, 30));
    CHECK(!paygo_collides(&config, PAYGO_STANDARD, 65535, 30));
}

static void digits_are_exactly_those_of_the_form(void)
{
    uint64_t token = 5;
    CHECK(paygo_digits_length(PAYGO_STANDARD, false) == 9); /* T20, T21 */
    CHECK(paygo_digits_length(PAYGO_EXTENDED, false) == 12);
    CHECK(paygo_digits_length(PAYGO_STANDARD, true) == 15);
    CHECK(paygo_digits_length(PAYGO_EXTENDED, true) == 20);
    CHECK(paygo_digits_read(PAYGO_STANDARD, false, "12345678", 8, &token) == PAYGO_DIGITS_LENGTH); /* T22 */
    CHECK(paygo_digits_read(PAYGO_STANDARD, false, "1234567890", 10, &token) == PAYGO_DIGITS_LENGTH);
    CHECK(paygo_digits_read(PAYGO_STANDARD, false, "", 0, &token) == PAYGO_DIGITS_LENGTH);
    CHECK(paygo_digits_read(PAYGO_STANDARD, false, "12345678:", 9, &token) == PAYGO_DIGITS_SET);
    CHECK(paygo_digits_read(PAYGO_STANDARD, false, "/12345678", 9, &token) == PAYGO_DIGITS_SET);
    CHECK(paygo_digits_read(PAYGO_STANDARD, false, "1234\0" "6789", 9, &token) == PAYGO_DIGITS_SET);
    CHECK(paygo_digits_read(PAYGO_STANDARD, false, "12345678\xb9", 9, &token) == PAYGO_DIGITS_SET);
    CHECK(paygo_digits_read(PAYGO_STANDARD, true, "111111111111110", 15, &token) == PAYGO_DIGITS_SET); /* T23 */
    CHECK(paygo_digits_read(PAYGO_STANDARD, true, "111111111111115", 15, &token) == PAYGO_DIGITS_SET);
    CHECK(paygo_digits_read(PAYGO_STANDARD, true, "444444444444444", 15, &token) == PAYGO_DIGITS_RANGE);
    CHECK(paygo_digits_read(PAYGO_EXTENDED, true, "44444444444444444444", 20, &token) == PAYGO_DIGITS_RANGE);
    CHECK(token == 5);
    CHECK(paygo_digits_read(PAYGO_STANDARD, true, "324244134441123", 15, &token) == PAYGO_DIGITS_TOKEN);
    CHECK(token == 662486790);
    CHECK(paygo_digits_read(PAYGO_STANDARD, true, "111111111111111", 15, &token) == PAYGO_DIGITS_TOKEN);
    CHECK(token == 0);
    CHECK(paygo_digits_read(PAYGO_STANDARD, false, "999999999", 9, &token) == PAYGO_DIGITS_TOKEN);
    CHECK(token == 999999999);
    CHECK(paygo_digits_read(PAYGO_EXTENDED, false, "999999999999", 12, &token) == PAYGO_DIGITS_TOKEN);
    CHECK(token == UINT64_C(999999999999));
}

static void windows_hold_at_both_ends_of_the_counts(void)
{
    const paygo_config config = config_of(KEY, 123456789);
    paygo_window window = paygo_window_at(0);
    uint32_t value;
    for (value = 0; value < 1000; value++) { /* T6: count 0 is never a token; by chance 830 is one of count 43 */
        const paygo_verdict verdict = judge_at(&config, &window, 0, value);
        CHECK(value == 830 ? verdict.count == 43 : verdict.type == PAYGO_INVALID);
    }
    CHECK(judge_at(&config, &window, 1, 1).type == PAYGO_SET_TIME); /* T12, T13 */
    CHECK(judge_at(&config, &window, 64, 1).type == PAYGO_ADD_TIME);
    CHECK(judge_at(&config, &window, 65, 1).reason == PAYGO_REASON_NO_MATCH);
    CHECK(judge_at(&config, &window, 100, 999).type == PAYGO_COUNTER_SYNC);
    CHECK(judge_at(&config, &window, 101, 999).reason == PAYGO_REASON_NO_MATCH);
    CHECK(judge_at(&config, &window, 2, 996).reason == PAYGO_REASON_RESERVED); /* T8 */
    CHECK(judge_at(&config, &window, 2, 998).type == PAYGO_DISABLE_PAYG);      /* T9 */

    window = paygo_window_at(65471);
    CHECK(judge_at(&config, &window, 65535, 1).type == PAYGO_SET_TIME);
    window = judge_at(&config, &window, 65534, 1).window;
    CHECK(window.count == 65534);
    CHECK(window.floor == 65471);
    CHECK(window.used == 1);
    CHECK(judge_at(&config, &window, 65520, 1).type == PAYGO_ADD_TIME); /* T14 */
    CHECK(judge_at(&config, &window, 65518, 1).reason == PAYGO_REASON_TOO_OLD);
    window = judge_at(&config, &window, 65535, PAYGO_VALUE_COUNTER_SYNC).window;
    CHECK(window.count == 65535);
    CHECK(window.floor == 65535); /* T17 */
    CHECK(judge_at(&config, &window, 65520, 1).reason == PAYGO_REASON_OLDER_THAN_SET);
    CHECK(judge_at(&config, &window, 65534, 1).reason == PAYGO_REASON_USED);
    CHECK(judge_at(&config, &window, 65535, 1).reason == PAYGO_REASON_USED);
    CHECK(judge_at(&config, &window, 1, 1).reason == PAYGO_REASON_OVERTAKEN);
    CHECK(judge(&config, &window, PAYGO_STANDARD, "123456789").reason == PAYGO_REASON_NO_MATCH); /* T16 */
}

static void used_counts_move_with_the_last_count(void)
{
    paygo_config config = config_of(KEY, 123456789);
    paygo_window window = paygo_window_at(1);
    uint16_t count;
    for (count = 2; count <= 16; count = (uint16_t)(count + 2)) {
        window = judge_at(&config, &window, count, 1).window;
    }
    CHECK(window.used == 0x5555); /* T11: bit i is the count L - i */
    for (count = 2; count <= 16; count = (uint16_t)(count + 2)) {
        CHECK(judge_at(&config, &window, count, 1).type == PAYGO_ALREADY_USED); /* T15 */
    }
    window = judge_at(&config, &window, 17, 998).window;
    CHECK(window.used == 0xaaaa);
    config.older_window = PAYGO_MAX_OLDER_WINDOW;
    window = paygo_window_at(0);
    window = judge_at(&config, &window, 2, 1).window;
    window = judge_at(&config, &window, 33, 1).window;
    CHECK(window.used == UINT32_C(0x80000000));
    window = judge_at(&config, &window, 34, 1).window;
    CHECK(window.used == 1);
    window = judge_at(&config, &window, 98, 1).window;
    CHECK(window.used == 1);
    config.older_window = 0;
    window = judge_at(&config, &window, 99, 1).window;
    CHECK(window.used == 0);
}

/* T10, T12: nothing above the largest count is looked at, also where the last count lies far above it. */
static void a_device_beyond_the_largest_count_takes_nothing(void)
{
    paygo_config config = config_of(KEY, 123456789);
    const paygo_window window = paygo_window_at(300);
    paygo_checkpoint point = {0, 0};
    config.max_count = 100;
    CHECK(judge_at(&config, &window, 302, 1).reason == PAYGO_REASON_NO_MATCH);
    CHECK(judge_at(&config, &window, 100, 1).reason == PAYGO_REASON_OLDER_THAN_SET);
    CHECK(paygo_decode_from(&config, &window, PAYGO_STANDARD, paygo_encode(&config, PAYGO_STANDARD, 302, 1), &point).type ==
          PAYGO_INVALID);
    CHECK(point.count == 0);
}

static void a_sliced_walk_gives_the_same_verdict(void)
{
    const paygo_config config = config_of(KEY, 123456789);
    const paygo_window window = paygo_window_at(300);
    static const uint16_t counts[] = {299, 301, 302, 364, 365};
    size_t i;
    for (i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const uint64_t token = paygo_encode(&config, PAYGO_STANDARD, counts[i], 5);
        const paygo_verdict whole = judge_at(&config, &window, counts[i], 5);
        uint32_t slice;
        for (slice = 1; slice < 400; slice += 7) {
            paygo_decoder decoder;
            uint32_t calls = 1;
            paygo_decode_begin(&decoder, &config, &window, PAYGO_STANDARD, token);
            CHECK(!paygo_decode_run(&decoder, 0)); /* T12 */
            while (!paygo_decode_run(&decoder, slice)) {
                calls++;
            }
            CHECK(calls <= 364 / slice + 3);
            CHECK(decoder.verdict.type == whole.type);
            CHECK(decoder.verdict.reason == whole.reason);
            CHECK(decoder.verdict.window.count == whole.window.count);
        }
    }
}

static void a_reserved_value_is_answered_without_a_walk(void)
{
    const paygo_config config = config_of(KEY, 123456789);
    const paygo_window window = paygo_window_at(300);
    paygo_decoder decoder;
    paygo_decode_begin(&decoder, &config, &window, PAYGO_STANDARD,
                       paygo_encode(&config, PAYGO_STANDARD, 302, PAYGO_VALUE_RESERVED_LOW));
    CHECK(paygo_decode_run(&decoder, 0)); /* T8 */
    CHECK(decoder.verdict.reason == PAYGO_REASON_RESERVED);
}

static void a_stored_unit_wakes_up_as_it_was(void)
{
    const paygo_config config = config_of(KEY, 123456789);
    uint8_t bytes[PAYGO_UNIT_BYTES];
    paygo_unit unit;
    paygo_unit woken;
    uint8_t i;
    paygo_unit_init(&unit, 1);
    CHECK(paygo_unit_enter(&unit, &config, 1000, "016609796", 9).seconds_left == UINT64_C(604800)); /* T26 */
    for (i = 0; i < 3; i++) {
        CHECK(paygo_unit_enter(&unit, &config, 1000, "123456789", 9).verdict.type == PAYGO_INVALID);
    }
    CHECK(paygo_unit_wait_left(&unit) == 120); /* T32 */
    paygo_unit_store(&unit, 300, bytes);
    memset(&woken, 0, sizeof woken);
    CHECK(paygo_unit_load(&woken, bytes)); /* T36 */
    CHECK(woken.window.count == 2);
    CHECK(woken.window.floor == 1);
    CHECK(woken.window.used == 1);
    CHECK(woken.wrong_entries == 3);
    CHECK(paygo_unit_wait_left(&woken) == 120);
    CHECK(paygo_unit_seconds_left(&woken) == UINT64_C(604500));
    CHECK(paygo_unit_enter(&woken, &config, 0, "016609796", 9).verdict.reason == PAYGO_REASON_WAITING); /* T35 */
    CHECK(paygo_unit_wait_left(&woken) == 120);

    bytes[0] = 9;
    unit = woken;
    CHECK(!paygo_unit_load(&woken, bytes));
    CHECK(woken.clock == unit.clock);
    bytes[0] = 1;
    bytes[1] = 2;
    CHECK(!paygo_unit_load(&woken, bytes));
    bytes[1] = 1;
    CHECK(paygo_unit_load(&woken, bytes));
    CHECK(paygo_unit_seconds_left(&woken) == PAYGO_FOR_EVER); /* T29 */
}

/* Finished early, finished twice, and begun anew without having been finished (T34). */
static void an_entry_in_slices_is_applied_once(void)
{
    const paygo_config config = config_of(KEY, 123456789);
    paygo_unit unit;
    paygo_entry entry;
    uint8_t i;
    paygo_unit_init(&unit, 1);
    paygo_unit_begin(&entry, &unit, &config, 1000, "016609796", 9);
    CHECK(!paygo_unit_run(&entry, 1));
    CHECK(!entry.decoder.refused);
    CHECK(paygo_unit_seconds_left(&unit) == 0);
    paygo_unit_begin(&entry, &unit, &config, 1000, "016609796", 9);
    paygo_unit_finish(&entry, &unit);
    CHECK(entry.decoder.verdict.type == PAYGO_ADD_TIME);
    CHECK(paygo_unit_seconds_left(&unit) == UINT64_C(604800));
    paygo_unit_finish(&entry, &unit);
    CHECK(entry.decoder.verdict.type == PAYGO_ADD_TIME);
    CHECK(paygo_unit_seconds_left(&unit) == UINT64_C(604800));
    paygo_unit_begin(&entry, &unit, &config, 1000, "123456789", 9);
    CHECK(!paygo_unit_run(&entry, 65));
    CHECK(paygo_unit_run(&entry, 1)); /* 2 + 64 */
    CHECK(entry.decoder.refused);
    for (i = 0; i < 3; i++) {
        paygo_unit_finish(&entry, &unit);
        CHECK(entry.decoder.verdict.type == PAYGO_INVALID);
        CHECK(unit.wrong_entries == 1);
    }
}

/* How many steps a token takes when it is entered with the slots. */
static uint32_t steps_of(paygo_slots *slots, const paygo_config *config, paygo_window *window, uint16_t count,
                         uint32_t value, uint32_t *until_refused)
{
    paygo_decoder decoder;
    uint32_t steps = 0;
    *until_refused = 0;
    paygo_decode_begin(&decoder, config, window, PAYGO_STANDARD, paygo_encode(config, PAYGO_STANDARD, count, value));
    paygo_slots_resume(slots, &decoder);
    while (!paygo_decode_run(&decoder, 1)) {
        steps++;
        if (!decoder.refused) {
            *until_refused = steps;
        }
    }
    paygo_slots_keep(slots, &decoder);
    *window = decoder.verdict.window;
    return steps;
}

static void a_value_that_was_used_before_costs_a_few_steps_at_any_count(void)
{
    static const uint16_t values[] = {0, 30, 7, PAYGO_VALUE_COUNTER_SYNC};
    const paygo_config config = config_of(KEY, 123456789);
    paygo_window window = paygo_window_at(20000);
    paygo_slots slots;
    uint32_t until_refused;
    static const uint16_t counts[] = {20002, 20004, 20006, 20099};
    uint8_t i;
    memset(&slots, 0, sizeof slots);
    CHECK(paygo_slots_run(&slots, &config, &window, 0)); /* nothing to move */
    for (i = 0; i < 4; i++) {
        CHECK(steps_of(&slots, &config, &window, counts[i], values[i], &until_refused) == (uint32_t)counts[i] - 1U);
    }
    CHECK(!paygo_slots_run(&slots, &config, &window, 100));
    while (!paygo_slots_run(&slots, &config, &window, 100)) {
    }
    CHECK(window.count == 20099);
    CHECK(slots.slots[0].value == PAYGO_VALUE_COUNTER_SYNC);
    CHECK(slots.slots[0].count == 20099 - 64);
    CHECK(slots.slots[3].value == 0);
    CHECK(slots.slots[3].count == 20099 - 16);
    CHECK(steps_of(&slots, &config, &window, 20100, 0, &until_refused) == 16);
    CHECK(slots.slots[0].value == 0);
    CHECK(steps_of(&slots, &config, &window, 20164, 30, &until_refused) == 80);
    CHECK(steps_of(&slots, &config, &window, 10000, 30, &until_refused) == 20227); /* used, or void: all of the chain */
    CHECK(until_refused == 143); /* refused at the end of the windows, long before */
    CHECK(steps_of(&slots, &config, &window, 20166, 12, &until_refused) == 20165); /* a fifth value takes the oldest's slot */
    CHECK(slots.slots[0].value == 12);
    CHECK(slots.slots[1].value == 30);
    CHECK(slots.slots[2].value == 0);
    CHECK(slots.slots[3].value == PAYGO_VALUE_COUNTER_SYNC);
}

/* T12 to T17: a year and more of tokens, good, old, repeated and wrong, with and without the slots. */
static void the_slots_change_no_verdict(void)
{
    static const uint32_t values[] = {0, 1, 7, 7, 30, 365, 998, 999, 995};
    paygo_config config = config_of(OTHER_KEY, 516959010);
    uint32_t seed = 1;
    uint16_t round;
    uint8_t older;
    for (older = 0; older <= PAYGO_MAX_OLDER_WINDOW; older = (uint8_t)(older < 16 ? older + 8 : older + 15)) {
        paygo_window window = paygo_window_at((uint16_t)(older + 3U));
        paygo_slots slots;
        memset(&slots, 0, sizeof slots);
        config.older_window = older;
        for (round = 0; round < 1500; round++) {
            paygo_decoder with, without;
            uint64_t token;
            uint32_t at;
            seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
            at = window.count + (seed >> 8) % 100U;
            at = (seed & 0x80U) != 0 ? window.count + 2U - (window.count & 1U) : at > 35U ? at - 35U : 1U;
            token = paygo_encode(&config, PAYGO_STANDARD, (uint16_t)at, values[(seed >> 16) % 9U]);
            if ((seed >> 24) % 16U == 0) {
                token = token > 0 ? token - 1U : 5U;
            }
            paygo_decode_begin(&with, &config, &window, PAYGO_STANDARD, token);
            without = with;
            paygo_slots_resume(&slots, &with);
            while (!paygo_decode_run(&with, 1U + seed % 90U)) {
            }
            while (!paygo_decode_run(&without, 60000)) {
            }
            CHECK(with.verdict.type == without.verdict.type);
            CHECK(with.verdict.reason == without.verdict.reason);
            CHECK(with.verdict.count == without.verdict.count);
            CHECK(with.verdict.window.count == without.verdict.window.count);
            CHECK(with.verdict.window.floor == without.verdict.window.floor);
            CHECK(with.verdict.window.used == without.verdict.window.used);
            CHECK(with.refused == (with.verdict.reason != PAYGO_REASON_ACCEPTED));
            paygo_slots_keep(&slots, &with);
            window = with.verdict.window;
            (void)paygo_slots_run(&slots, &config, &window, (uint16_t)(seed >> 28));
        }
        CHECK(window.count > 500);
    }
}

static void credit_passes_32_bits(void)
{
    const paygo_config config = config_of(KEY, 123456789);
    paygo_unit unit;
    uint16_t count;
    paygo_unit_init(&unit, 1);
    for (count = 2; count <= 120; count = (uint16_t)(count + 2)) {
        const uint64_t token = paygo_encode(&config, PAYGO_STANDARD, count, PAYGO_MAX_UNITS);
        CHECK(paygo_unit_enter(&unit, &config, 0, text_of(&config, PAYGO_STANDARD, token), 9).verdict.type ==
              PAYGO_ADD_TIME);
    }
    CHECK(paygo_unit_seconds_left(&unit) == UINT64_C(5158080000)); /* T37 */
    paygo_unit_tick(&unit, 900000000);
    CHECK(paygo_unit_seconds_left(&unit) == UINT64_C(4258080000));
    paygo_unit_tick(&unit, UINT32_MAX);
    CHECK(paygo_unit_seconds_left(&unit) == UINT64_C(863112705));
}

int main(void)
{
    siphash_gives_its_authors_vectors();
    the_chain_gives_the_published_codes();
    tokens_are_the_published_ones();
    counts_follow_parity_and_end();
    collisions_are_seen_80_counts_far();
    digits_are_exactly_those_of_the_form();
    windows_hold_at_both_ends_of_the_counts();
    used_counts_move_with_the_last_count();
    a_device_beyond_the_largest_count_takes_nothing();
    a_sliced_walk_gives_the_same_verdict();
    a_reserved_value_is_answered_without_a_walk();
    a_stored_unit_wakes_up_as_it_was();
    credit_passes_32_bits();
    an_entry_in_slices_is_applied_once();
    a_value_that_was_used_before_costs_a_few_steps_at_any_count();
    the_slots_change_no_verdict();
    return failures == 0 ? 0 : 1;
}
