/* Sleep, power cuts and storage of a unit in memory. */
#include "woken.h"

#include <string.h>

/* From one stored clock to the next, as long as the clock matters. */
#define BETWEEN_CLOCKS_S (PAYGO_CLOCK_AHEAD_S - PAYGO_SAVE_MARGIN_S)

static uint8_t read_image(void *context, uint16_t offset)
{
    return ((const uint8_t *)context)[offset];
}

static void begin_inputs(paygo_inputs *inputs, paygo_woken *woken)
{
    memset(inputs, 0, sizeof *inputs);
    inputs->rx = "";
    inputs->storage.read = read_image;
    inputs->storage.context = woken->image;
}

/* Steps it, without time, until it has nothing more to do, and tells the pattern of the lights that began, if one did. */
static void run(paygo_woken *woken, paygo_inputs *inputs, paygo_woken_answer *seen)
{
    paygo_outputs outputs;
    do {
        paygo_firmware_step(&woken->firmware, inputs, &outputs);
        memcpy(woken->image + outputs.write.offset, outputs.write.bytes, outputs.write.length);
        inputs->write_done = outputs.write.length > 0;
        inputs->rx += outputs.rx_taken;
        inputs->rx_length = (uint16_t)(inputs->rx_length - outputs.rx_taken);
        inputs->wire_ms = 0;
        inputs->key = '\0';
        if (outputs.blinks > 0) {
            seen->colour = outputs.blinking;
            seen->blinks = outputs.blinks;
        }
    } while (outputs.busy || outputs.walking || outputs.rx_taken > 0);
}

static void power_on(paygo_woken *woken)
{
    paygo_woken_answer unseen;
    paygo_inputs inputs;
    begin_inputs(&inputs, woken);
    paygo_firmware_boot(&woken->firmware, PAYGO_BOARD_LEGACY, &inputs.storage, 1);
    run(woken, &inputs, &unseen);
}

void paygo_woken_begin(paygo_woken *woken)
{
    memset(woken->image, 0xff, sizeof woken->image);
    woken->world_s = 0;
    power_on(woken);
}

static void pass(paygo_woken *woken, uint32_t seconds)
{
    paygo_firmware *firmware = &woken->firmware;
    paygo_saved_tick(&firmware->live, seconds);
    firmware->test_s = (uint8_t)(seconds < firmware->test_s ? firmware->test_s - seconds : 0);
    woken->world_s += seconds;
}

/* How long something is left that time takes away. */
static uint32_t matters_s(const paygo_saved *saved)
{
    const paygo_unit *unit = &saved->unit;
    uint32_t left = paygo_unit_wait_left(unit);
    uint8_t i;
    if (!unit->unlocked && (unit->credit.high > 0 || unit->credit.low > left)) {
        left = unit->credit.high > 0 ? UINT32_MAX : unit->credit.low;
    }
    for (i = 0; i < PAYGO_TESTS; i++) {
        left = saved->tests[i] > left ? saved->tests[i] : left;
    }
    return left;
}

void paygo_woken_sleep(paygo_woken *woken, uint32_t until_s)
{
    const paygo_firmware *firmware = &woken->firmware;
    const uint32_t seconds = until_s > woken->world_s ? until_s - woken->world_s : 0;
    const uint32_t matters = matters_s(&firmware->live);
    const uint32_t last = seconds < matters ? seconds : matters - 1U;
    const uint32_t clock = firmware->live.unit.clock + PAYGO_SAVE_MARGIN_S;
    const uint32_t due = firmware->wakes_at > clock ? firmware->wakes_at - clock : 0;
    if (firmware->storage == PAYGO_STORAGE_READY && matters > 0 && due <= last) {
        paygo_woken_answer unseen;
        paygo_inputs inputs;
        begin_inputs(&inputs, woken);
        pass(woken, last - (last - due) % BETWEEN_CLOCKS_S);
        run(woken, &inputs, &unseen);
    }
    if (until_s > woken->world_s) {
        pass(woken, until_s - woken->world_s);
    }
}

uint64_t paygo_woken_seconds_left(paygo_woken *woken, uint32_t at_s)
{
    paygo_woken_sleep(woken, at_s);
    return paygo_unit_seconds_left(&woken->firmware.live.unit);
}

paygo_woken_answer paygo_woken_enter(paygo_woken *woken, uint32_t at_s, const char *digits, size_t length)
{
    paygo_woken_answer answer = {PAYGO_DARK, 0};
    paygo_inputs inputs;
    paygo_woken_sleep(woken, at_s);
    begin_inputs(&inputs, woken);
    inputs.wire_ms = PAYGO_NEVER_MS;
    run(woken, &inputs, &answer);
    inputs.key = '*';
    run(woken, &inputs, &answer);
    for (; length > 0; digits++, length--) {
        inputs.key = *digits;
        run(woken, &inputs, &answer);
    }
    return answer;
}

void paygo_woken_hear(paygo_woken *woken, const char *bytes, uint16_t length)
{
    paygo_woken_answer unseen;
    paygo_inputs inputs;
    begin_inputs(&inputs, woken);
    inputs.rx = bytes;
    inputs.rx_length = length;
    run(woken, &inputs, &unseen);
}

void paygo_woken_restart(paygo_woken *woken, uint32_t at_s)
{
    paygo_woken_sleep(woken, at_s);
    power_on(woken);
}
