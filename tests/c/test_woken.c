/*
 * Units that are woken (firmware_sim/ports/woken.c) beside such that are awake all the time, and beside the brain alone:
 * the same lights, credit, waits and stored clocks, whatever is typed and whenever the power is cut.
 */
#include "check.h"
#include "woken.c"

#define HISTORIES 24
#define DEEDS 150
#define TEST_CODE "4711"

static const char SETUP[] = "#SETUP+;SLT220000001;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;1;1;0;" TEST_CODE ";\n";

/* Storage of its own and a firmware that is stepped as on a board, its law included. */
typedef struct {
    paygo_firmware firmware;
    paygo_inputs inputs;
    paygo_outputs outputs;
    uint8_t image[PAYGO_STORAGE_BYTES];
    paygo_woken_answer seen;
} board;

static uint32_t state;

static uint32_t drawn(uint32_t below)
{
    state = state * 1664525U + 1013904223U;
    return (state >> 8) % below;
}

static void step(board *unit, uint32_t world_ms, uint32_t wire_ms, char key, const char *line)
{
    unit->inputs.world_ms = world_ms;
    unit->inputs.wire_ms = wire_ms;
    unit->inputs.key = key;
    unit->inputs.rx = line;
    unit->inputs.rx_length = (uint16_t)strlen(line);
    unit->seen.blinks = 0;
    do {
        paygo_outputs *outputs = &unit->outputs;
        paygo_firmware_step(&unit->firmware, &unit->inputs, outputs);
        memcpy(unit->image + outputs->write.offset, outputs->write.bytes, outputs->write.length);
        unit->inputs.write_done = outputs->write.length > 0;
        unit->inputs.world_ms = unit->inputs.wire_ms = 0;
        unit->inputs.key = 0;
        unit->inputs.rx += outputs->rx_taken;
        unit->inputs.rx_length = (uint16_t)(unit->inputs.rx_length - outputs->rx_taken);
        if (outputs->blinks > 0) {
            unit->seen.colour = outputs->blinking;
            unit->seen.blinks = outputs->blinks;
        }
    } while (unit->outputs.busy || unit->outputs.walking || unit->inputs.rx_length > 0);
}

static void switch_on(board *unit)
{
    memset(&unit->inputs, 0, sizeof unit->inputs);
    unit->inputs.measured.battery_mv = 12800;
    unit->inputs.measured.output_peak_mv = 12800;
    unit->inputs.measured.temperature_dc = unit->inputs.measured.board_dc = 250;
    unit->inputs.storage.read = read_image;
    unit->inputs.storage.context = unit->image;
    paygo_firmware_boot(&unit->firmware, PAYGO_BOARD_LEGACY, &unit->inputs.storage, 1);
    step(unit, 0, 0, 0, "");
}

static void live_for(board *unit, uint32_t seconds)
{
    while (seconds > 0) {
        uint32_t ms = PAYGO_LONGEST_STEP_MS;
        ms = seconds * 1000U < ms ? seconds * 1000U : ms;
        ms = unit->outputs.world_due_ms < ms ? unit->outputs.world_due_ms : ms;
        CHECK(ms >= 1000U);
        step(unit, ms, 0, 0, "");
        seconds -= ms / 1000U;
    }
}

static void type(board *unit, const char *keys)
{
    step(unit, 0, PAYGO_NEVER_MS, 0, "");
    step(unit, 0, 0, '*', "");
    for (; *keys != '\0'; keys++) {
        step(unit, 0, 0, *keys, "");
    }
}

static void check_alike(const paygo_woken *woken, const board *awake)
{
    const paygo_saved *one = &woken->firmware.live, *other = &awake->firmware.live;
    CHECK(one->unit.clock == other->unit.clock);
    CHECK(one->unit.credit.low == other->unit.credit.low && one->unit.credit.high == other->unit.credit.high);
    CHECK(one->unit.wait == other->unit.wait && one->unit.wrong_entries == other->unit.wrong_entries);
    CHECK(one->unit.unlocked == other->unit.unlocked);
    CHECK(memcmp(&one->unit.window, &other->unit.window, sizeof one->unit.window) == 0);
    CHECK(memcmp(one->tests, other->tests, sizeof one->tests) == 0);
    CHECK(woken->firmware.test_s == awake->firmware.test_s);
    CHECK(one->boot == other->boot && one->active == other->active && one->event_seq == other->event_seq);
    CHECK(woken->firmware.wakes_at == awake->firmware.wakes_at);
}

/* What is typed next: a token, good or used or wrong, or a test activation. Returns its keys behind the star. */
static const char *next_keys(const paygo_config *config, uint16_t *count, char keys[PAYGO_MAX_DIGITS + 1], bool tests)
{
    static const uint16_t values[] = {1, 0, 7, PAYGO_VALUE_COUNTER_SYNC, PAYGO_VALUE_DISABLE_PAYG};
    const uint32_t lot = drawn(tests ? 12U : 10U);
    uint64_t token;
    uint8_t length;
    if (lot >= 10) {
        return TEST_CODE "#";
    }
    if (lot < 6) {
        const uint16_t value = values[drawn(20) == 0 ? 1U + drawn(4) : 0];
        const paygo_token_type type = value == PAYGO_VALUE_COUNTER_SYNC ? PAYGO_COUNTER_SYNC
                                      : value == PAYGO_VALUE_DISABLE_PAYG    ? PAYGO_DISABLE_PAYG
                                      : drawn(3) == 0                   ? PAYGO_SET_TIME
                                                                        : PAYGO_ADD_TIME;
        *count = paygo_next_count(config, (uint16_t)(*count + drawn(3)), type);
        token = paygo_encode(config, PAYGO_STANDARD, *count, value);
    } else if (lot < 8) {
        token = paygo_encode(config, PAYGO_STANDARD, *count, 1);
    } else {
        token = drawn(999999999U);
    }
    length = paygo_digits_write(PAYGO_STANDARD, false, token, keys);
    keys[length] = '\0';
    return keys;
}

/* What the lights say of an answer of the brain (H24). */
static paygo_woken_answer lights(const paygo_verdict *verdict)
{
    paygo_woken_answer answer = {PAYGO_GREEN, 2};
    if (verdict->type == PAYGO_INVALID) {
        answer.colour = PAYGO_RED;
        answer.blinks = verdict->reason == PAYGO_REASON_WAITING ? 1 : 10;
    } else if (verdict->type == PAYGO_ALREADY_USED) {
        answer.blinks = 1;
    } else if (verdict->type == PAYGO_COUNTER_SYNC) {
        answer.blinks = 3;
    } else if (verdict->type == PAYGO_DISABLE_PAYG) {
        answer.blinks = 5;
    }
    return answer;
}

static void check_seen(paygo_woken_answer answer, paygo_woken_answer expected)
{
    CHECK(answer.colour == expected.colour && answer.blinks == expected.blinks);
}

/* A unit that was just set up, and the draws from their beginning. */
static void set_up(paygo_woken *woken, uint32_t seed)
{
    state = seed;
    paygo_woken_begin(woken);
    paygo_woken_hear(woken, SETUP, (uint16_t)strlen(SETUP));
}

/* With power cuts and test activations, beside a unit that is awake. */
static void test_awake(uint32_t seed)
{
    static paygo_woken woken;
    static board awake;
    const paygo_config *config = &woken.firmware.factory.config;
    char keys[PAYGO_MAX_DIGITS + 1];
    uint16_t count = 1;
    uint32_t now = 0, i;
    set_up(&woken, seed);
    memset(awake.image, 0xff, sizeof awake.image);
    switch_on(&awake);
    step(&awake, 0, 0, 0, SETUP);
    check_alike(&woken, &awake);
    for (i = 0; i < DEEDS; i++) {
        const uint32_t seconds = drawn(drawn(2) == 0 ? 700 : 40000);
        now += seconds;
        live_for(&awake, seconds);
        if (drawn(3) == 0) {
            const paygo_unit before = awake.firmware.live.unit, *after = &awake.firmware.live.unit;
            paygo_woken_restart(&woken, now);
            switch_on(&awake);
            CHECK(after->clock <= before.clock + PAYGO_CLOCK_AHEAD_S);
            CHECK(after->wait >= before.wait);
            if (!before.unlocked) {
                CHECK(after->credit.low <= before.credit.low);
                CHECK(after->credit.low + PAYGO_CLOCK_AHEAD_S >= before.credit.low);
            }
        } else if (drawn(4) == 0) {
            paygo_woken_sleep(&woken, now);
        } else {
            const char *typed = next_keys(config, &count, keys, true);
            const paygo_woken_answer answer = paygo_woken_enter(&woken, now, typed, strlen(typed));
            type(&awake, typed);
            check_seen(answer, awake.seen);
        }
        check_alike(&woken, &awake);
    }
    CHECK(count > 20);
}

/* Without power cuts, beside the brain alone; sometimes at a time that has passed. */
static void test_brain(uint32_t seed)
{
    static paygo_woken woken;
    paygo_unit brain;
    const paygo_config *config = &woken.firmware.factory.config;
    char keys[PAYGO_MAX_DIGITS + 1];
    uint16_t count = 1;
    uint32_t now = 0, i;
    set_up(&woken, seed);
    paygo_unit_init(&brain, 1);
    for (i = 0; i < DEEDS; i++) {
        const char *typed = next_keys(config, &count, keys, false);
        const uint32_t at = now + drawn(3) * drawn(100000);
        const uint32_t late = at > 50 && drawn(9) == 0 ? at - 50U : at;
        const paygo_verdict verdict = paygo_unit_enter(&brain, config, late, typed, strlen(typed)).verdict;
        check_seen(paygo_woken_enter(&woken, late, typed, strlen(typed)), lights(&verdict));
        CHECK(paygo_unit_seconds_left(&woken.firmware.live.unit) == paygo_unit_seconds_left(&brain));
        CHECK(woken.firmware.live.unit.wait == brain.wait);
        now = at;
    }
}

int main(void)
{
    uint32_t seed;
    for (seed = 1; seed <= HISTORIES; seed++) {
        test_awake(seed);
        test_brain(seed);
    }
    return failures == 0 ? 0 : 1;
}
