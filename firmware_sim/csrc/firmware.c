/* The step: time, protections, storage, entries, alerts, outputs. */
#include "commands.h"

#include <string.h>

/* Limits of EPEVER-style tables: charging limit, low-voltage disconnect and reconnect, boost reconnect. */
const paygo_limits paygo_standard_limits = {
    {16000, 15000, 1000, 30000},
    {11100, 12600, 5000, 60000},
    {16000, 13200, 1000, 60000},
};

/* The clock is stored before it comes this close to the time at which the stored state would wake up. */
#define SAVE_MARGIN_S 30U

static bool was_raised(const paygo_saved *saved, paygo_alert alert)
{
    return ((uint32_t)saved->reported >> (uint8_t)alert & 1U) != 0;
}

void paygo_firmware_boot(paygo_firmware *firmware, paygo_read read, void *context, uint32_t first_boot)
{
    memset(firmware, 0, sizeof *firmware);
    firmware->first_boot = first_boot;
    firmware->limits = &paygo_standard_limits;
    firmware->storage =
        paygo_storage_read(read, context, &firmware->factory, &firmware->live, &firmware->journal);
    if (firmware->storage != PAYGO_STORAGE_READY) {
        memset(&firmware->factory, 0, sizeof firmware->factory);
        memset(&firmware->live, 0, sizeof firmware->live);
    }
    /* A restart ends no alert: otherwise switching off and on would lift a protection. */
    firmware->overvoltage.active = was_raised(&firmware->live, PAYGO_ALERT_BATTERY_OVERVOLTAGE);
    firmware->charge_stop.active = firmware->overvoltage.active;
    firmware->undervoltage.active = was_raised(&firmware->live, PAYGO_ALERT_BATTERY_UNDERVOLTAGE);
    firmware->witness.tampered = was_raised(&firmware->live, PAYGO_ALERT_CLOCK_TAMPER);
    firmware->witness.last_s = firmware->live.rtc_s;
}

bool paygo_firmware_alert(const paygo_firmware *firmware, paygo_alert alert)
{
    switch (alert) {
    case PAYGO_ALERT_BATTERY_OVERVOLTAGE:
        return firmware->overvoltage.active;
    case PAYGO_ALERT_BATTERY_UNDERVOLTAGE:
        return firmware->undervoltage.active;
    case PAYGO_ALERT_STORAGE_FAULT:
        return firmware->storage == PAYGO_STORAGE_CORRUPT;
    case PAYGO_ALERT_CLOCK_TAMPER:
        return firmware->witness.tampered;
    case PAYGO_ALERTS:
    default:
        return false;
    }
}

const char *paygo_alert_name(paygo_alert alert)
{
    switch (alert) {
    case PAYGO_ALERT_BATTERY_OVERVOLTAGE:
        return "BATTERY_OVERVOLTAGE";
    case PAYGO_ALERT_BATTERY_UNDERVOLTAGE:
        return "BATTERY_UNDERVOLTAGE";
    case PAYGO_ALERT_CLOCK_TAMPER:
        return "CLOCK_TAMPER";
    case PAYGO_ALERT_STORAGE_FAULT:
    case PAYGO_ALERTS:
    default:
        return "STORAGE_FAULT";
    }
}

const char *paygo_alert_unit(paygo_alert alert)
{
    switch (alert) {
    case PAYGO_ALERT_BATTERY_OVERVOLTAGE:
    case PAYGO_ALERT_BATTERY_UNDERVOLTAGE:
        return "mV";
    case PAYGO_ALERT_CLOCK_TAMPER:
        return "s";
    case PAYGO_ALERT_STORAGE_FAULT:
    case PAYGO_ALERTS:
    default:
        return "1";
    }
}

int32_t paygo_alert_value(const paygo_firmware *firmware, paygo_alert alert)
{
    switch (alert) {
    case PAYGO_ALERT_BATTERY_OVERVOLTAGE:
    case PAYGO_ALERT_BATTERY_UNDERVOLTAGE:
        return firmware->measured.battery_mv;
    case PAYGO_ALERT_CLOCK_TAMPER:
        return firmware->witness.off_s;
    case PAYGO_ALERT_STORAGE_FAULT:
    case PAYGO_ALERTS:
    default:
        return 1;
    }
}

bool paygo_firmware_output(const paygo_firmware *firmware)
{
    const bool lit = paygo_unit_active(&firmware->live.unit) || firmware->test_s > 0;
    return firmware->started && firmware->storage == PAYGO_STORAGE_READY && lit && firmware->live.load_switch != PAYGO_SWITCH_OFF &&
           !firmware->overvoltage.active && !firmware->undervoltage.active;
}

void paygo_firmware_save(paygo_firmware *firmware, paygo_outputs *outputs, paygo_after after)
{
    firmware->after = after;
    firmware->saving = true;
    firmware->next.rtc_s = firmware->witness.last_s;
    firmware->wakes_at = firmware->next.unit.clock + PAYGO_CLOCK_AHEAD_S;
    paygo_storage_write_saved(&firmware->next, &firmware->journal, &outputs->write);
}

static void blink(paygo_firmware *firmware, paygo_outputs *outputs, paygo_colour colour, uint8_t blinks)
{
    paygo_light_blink(&firmware->light, colour, blinks);
    outputs->blinking = colour;
    outputs->blinks = blinks;
}

/* H24. */
static void blink_answer(paygo_firmware *firmware, paygo_outputs *outputs)
{
    const paygo_verdict *verdict = &firmware->answer.verdict;
    switch (verdict->type) {
    case PAYGO_ADD_TIME:
    case PAYGO_SET_TIME:
        blink(firmware, outputs, PAYGO_GREEN, 2);
        break;
    case PAYGO_COUNTER_SYNC:
        blink(firmware, outputs, PAYGO_GREEN, 3);
        break;
    case PAYGO_DISABLE_PAYG:
        blink(firmware, outputs, PAYGO_GREEN, 5);
        break;
    case PAYGO_ALREADY_USED:
        blink(firmware, outputs, PAYGO_GREEN, 1);
        break;
    case PAYGO_INVALID:
    default:
        blink(firmware, outputs, PAYGO_RED, verdict->reason == PAYGO_REASON_WAITING ? 1 : 10);
        break;
    }
}

static bool is_test_code(const paygo_firmware *firmware, const char *digits, size_t length)
{
    const char *code = firmware->factory.test_code;
    return length > 0 && strlen(code) == length && memcmp(code, digits, length) == 0;
}

/* The place for one more test activation: that of the one which is forgotten first. */
static uint8_t next_test(const paygo_saved *saved)
{
    uint8_t found = 0;
    uint8_t i;
    for (i = 1; i < PAYGO_TESTS; i++) {
        if (saved->tests[i] < saved->tests[found]) {
            found = i;
        }
    }
    return found;
}

/* H22: a test activation, if there is no wait and if it is not one too many. Returns whether it has to be stored. */
static bool enter_test(paygo_firmware *firmware)
{
    paygo_answer *answer = &firmware->answer;
    const paygo_unit *unit = &firmware->live.unit;
    const uint8_t place = next_test(&firmware->live);
    const uint64_t wait = paygo_unit_wait_left(unit);
    const uint64_t left = paygo_unit_seconds_left(unit);
    memset(answer, 0, sizeof *answer);
    answer->wait_seconds = wait > firmware->live.tests[place] ? wait : firmware->live.tests[place];
    if (answer->wait_seconds > 0) {
        answer->verdict.type = PAYGO_INVALID;
        answer->verdict.reason = PAYGO_REASON_WAITING;
        return false;
    }
    answer->verdict.type = PAYGO_ADD_TIME;
    answer->seconds_left = left > PAYGO_TEST_S ? left : PAYGO_TEST_S;
    firmware->next.tests[place] = PAYGO_TEST_HOUR_S;
    firmware->test_entered = true;
    return true;
}

/* Whether an entry has changed something that has to be stored before it is answered (H12). */
static bool enter_token(paygo_firmware *firmware, const char *digits, size_t length)
{
    paygo_answer *answer = &firmware->answer;
    *answer = paygo_unit_enter(&firmware->next.unit, &firmware->factory.config, firmware->live.unit.clock, digits, length);
    return answer->verdict.type != PAYGO_ALREADY_USED && answer->verdict.reason != PAYGO_REASON_WAITING &&
           answer->verdict.reason != PAYGO_REASON_LENGTH && answer->verdict.reason != PAYGO_REASON_DIGITS;
}

bool paygo_firmware_enter(paygo_firmware *firmware, paygo_outputs *outputs, const char *digits, size_t length,
                          paygo_after after)
{
    if (firmware->storage == PAYGO_STORAGE_CORRUPT) {
        memset(&firmware->answer, 0, sizeof firmware->answer);
        firmware->answer.verdict.type = PAYGO_INVALID;
        blink_answer(firmware, outputs);
        return true;
    }
    firmware->next = firmware->live;
    if (!(is_test_code(firmware, digits, length) ? enter_test(firmware) : enter_token(firmware, digits, length))) {
        blink_answer(firmware, outputs);
        return true;
    }
    paygo_firmware_save(firmware, outputs, after);
    return false;
}

/* World time: whole seconds to the unit's clock, everything to protections and gauge. */
static void pass_time(paygo_firmware *firmware, const paygo_inputs *inputs)
{
    const paygo_limits *limits = firmware->limits;
    const uint32_t elapsed = firmware->rest_ms + inputs->world_ms;
    const uint32_t seconds = elapsed / 1000U;
    uint8_t i;
    firmware->rest_ms = elapsed % 1000U;
    paygo_unit_tick(&firmware->live.unit, firmware->live.unit.clock + seconds);
    firmware->test_s = (uint8_t)(seconds < firmware->test_s ? firmware->test_s - seconds : 0);
    for (i = 0; i < PAYGO_TESTS; i++) {
        uint16_t *left = &firmware->live.tests[i];
        *left = (uint16_t)(seconds < *left ? *left - seconds : 0);
    }
    paygo_witness_update(&firmware->witness, inputs->rtc_s, seconds);
    paygo_guard_update(&firmware->overvoltage, &limits->overvoltage, inputs->battery_mv, inputs->world_ms);
    paygo_guard_update(&firmware->undervoltage, &limits->undervoltage, inputs->battery_mv, inputs->world_ms);
    paygo_guard_update(&firmware->charge_stop, &limits->charge_stop, inputs->battery_mv, inputs->world_ms);
    paygo_gauge_update(&firmware->gauge, inputs->battery_mv, inputs->battery_ma, inputs->world_ms);
    paygo_light_update(&firmware->light, inputs->wire_ms);
    firmware->repeat_ms = inputs->wire_ms < firmware->repeat_ms ? firmware->repeat_ms - inputs->wire_ms : 0;
}

/* The write is complete: what was being stored is the truth now (H12). Its clock went on meanwhile. */
static void stored(paygo_firmware *firmware, paygo_outputs *outputs, paygo_text *text)
{
    const paygo_after after = firmware->after;
    const uint64_t clock = firmware->live.unit.clock;
    firmware->saving = false;
    firmware->after = PAYGO_AFTER_NOTHING;
    if (after == PAYGO_AFTER_FACTORY) {
        memset(&firmware->next, 0, sizeof firmware->next);
        paygo_unit_init(&firmware->next.unit, firmware->factory.count);
        firmware->next.boot = firmware->first_boot;
        paygo_firmware_save(firmware, outputs, PAYGO_AFTER_SETUP);
        return;
    }
    firmware->live = firmware->next;
    firmware->started = true;
    if (after == PAYGO_AFTER_SETUP) {
        firmware->storage = PAYGO_STORAGE_READY;
    } else {
        paygo_unit_tick(&firmware->live.unit, clock);
    }
    if (after == PAYGO_AFTER_CONSOLE_ENTRY || after == PAYGO_AFTER_KEYPAD_ENTRY) {
        blink_answer(firmware, outputs);
        firmware->test_s = firmware->test_entered ? PAYGO_TEST_S : firmware->test_s;
        firmware->test_entered = false;
    }
    if (after == PAYGO_AFTER_ACKNOWLEDGE) {
        firmware->repeat_ms = 0;
    }
    paygo_reply_after(firmware, after, text);
}

/* The first store after a start counts the start; a second one follows the first of a unit's life (storage.c). */
static bool save_start(paygo_firmware *firmware, paygo_outputs *outputs)
{
    if (firmware->started && firmware->journal.sequence >= 2) {
        return false;
    }
    firmware->next = firmware->live;
    if (!firmware->started) {
        firmware->next.boot = firmware->live.boot == 0 ? firmware->first_boot : firmware->live.boot + 1U;
    }
    paygo_firmware_save(firmware, outputs, PAYGO_AFTER_NOTHING);
    return true;
}

/* Room for one more event, if need be in the place of the oldest acknowledged one. */
static paygo_event *new_event(paygo_saved *saved)
{
    uint8_t i;
    if (saved->event_count < PAYGO_EVENTS) {
        saved->event_count++;
    } else {
        for (i = 0; i < PAYGO_EVENTS && !saved->events[i].acknowledged; i++) {
        }
        if (i == PAYGO_EVENTS) {
            return NULL;
        }
        memmove(&saved->events[i], &saved->events[i + 1U], (PAYGO_EVENTS - 1U - i) * sizeof saved->events[0]);
    }
    return &saved->events[saved->event_count - 1U];
}

/* H20: records an alert that began or ended. One that ends before it could be recorded is recorded all the same. */
static bool save_event(paygo_firmware *firmware, paygo_outputs *outputs)
{
    uint8_t i;
    for (i = 0; i < PAYGO_ALERTS; i++) {
        const paygo_alert alert = (paygo_alert)i;
        const uint8_t bit = (uint8_t)(1U << i);
        const bool active = paygo_firmware_alert(firmware, alert);
        const bool reported = (firmware->live.reported & bit) != 0;
        paygo_event *event;
        if (active && !reported && (firmware->latched & bit) == 0) {
            firmware->latched |= bit;
            firmware->latched_value[i] = paygo_alert_value(firmware, alert);
        }
        if (reported ? active : (firmware->latched & bit) == 0) {
            continue;
        }
        firmware->next = firmware->live;
        event = new_event(&firmware->next);
        if (event == NULL) {
            continue;
        }
        firmware->next.event_seq++;
        firmware->next.reported ^= bit;
        event->alert = i;
        event->raised = !reported;
        event->acknowledged = false;
        event->value = reported ? paygo_alert_value(firmware, alert) : firmware->latched_value[i];
        event->boot = firmware->live.boot;
        event->seq = firmware->next.event_seq;
        firmware->latched &= (uint8_t)~bit;
        paygo_firmware_save(firmware, outputs, PAYGO_AFTER_NOTHING);
        return true;
    }
    return false;
}

/* Whether something is left that time takes away. */
static bool clock_matters(const paygo_firmware *firmware)
{
    const paygo_unit *unit = &firmware->live.unit;
    return (paygo_unit_active(unit) && !unit->unlocked) || paygo_unit_wait_left(unit) > 0 ||
           firmware->live.tests[next_test(&firmware->live)] > 0;
}

/* The clock of a unit whose credit or wait runs is stored ahead, so that a power cut gains nothing (T36). */
static bool save_clock(paygo_firmware *firmware, paygo_outputs *outputs)
{
    const paygo_unit *unit = &firmware->live.unit;
    if (!clock_matters(firmware) || unit->clock + SAVE_MARGIN_S < firmware->wakes_at) {
        return false;
    }
    firmware->next = firmware->live;
    paygo_firmware_save(firmware, outputs, PAYGO_AFTER_NOTHING);
    return true;
}

static void act_on_line(paygo_firmware *firmware, paygo_console_event event, paygo_outputs *outputs, paygo_text *text)
{
    if (event == PAYGO_CONSOLE_LINE) {
        paygo_command(firmware, firmware->console.line, outputs, text);
    } else if (event == PAYGO_CONSOLE_BAD) {
        paygo_reply_invalid(firmware, text);
    }
}

/* Takes console bytes until a command is complete. While something is being stored they wait (H3). */
static void read_console(paygo_firmware *firmware, const paygo_inputs *inputs, paygo_outputs *outputs, paygo_text *text)
{
    paygo_console_event event = PAYGO_CONSOLE_NOTHING;
    if (firmware->saving) {
        return;
    }
    if (inputs->rx_length == 0) {
        event = paygo_console_silence(&firmware->console, inputs->wire_ms);
    }
    while (event == PAYGO_CONSOLE_NOTHING && outputs->rx_taken < inputs->rx_length) {
        event = paygo_console_byte(&firmware->console, inputs->rx[outputs->rx_taken]);
        outputs->rx_taken++;
    }
    act_on_line(firmware, event, outputs, text);
}

static void read_keypad(paygo_firmware *firmware, const paygo_inputs *inputs, paygo_outputs *outputs)
{
    const bool ready = firmware->storage == PAYGO_STORAGE_READY;
    const uint8_t length = paygo_digits_length(PAYGO_STANDARD, firmware->factory.config.restricted_digits);
    const char key = firmware->entry_waiting ? '\0' : inputs->key; /* the digits that wait stay as they are */
    switch (paygo_keypad_update(&firmware->keypad, key, length, inputs->wire_ms)) {
    case PAYGO_KEYPAD_ENTRY:
        firmware->entry_waiting = ready;
        if (!ready) {
            blink(firmware, outputs, PAYGO_RED, 10);
        }
        break;
    case PAYGO_KEYPAD_STATE:
        if (ready && is_test_code(firmware, firmware->keypad.digits, firmware->keypad.length)) {
            firmware->entry_waiting = true;
            break;
        }
        blink(firmware, outputs, ready && paygo_unit_active(&firmware->live.unit) ? PAYGO_GREEN : PAYGO_RED, 1);
        break;
    case PAYGO_KEYPAD_NOTHING:
    default:
        break;
    }
    if (firmware->entry_waiting && !firmware->saving) {
        firmware->entry_waiting = false;
        (void)paygo_firmware_enter(firmware, outputs, firmware->keypad.digits, firmware->keypad.length, PAYGO_AFTER_KEYPAD_ENTRY);
    }
}

/* H20: the oldest event that nobody acknowledged, to a host that knows events (H7). */
static void send_event(paygo_firmware *firmware, paygo_text *text)
{
    const paygo_event *event = paygo_oldest_event(&firmware->live);
    if (firmware->extended_host && event != NULL && firmware->repeat_ms == 0 && !firmware->saving) {
        paygo_send_event(firmware, event, text);
        firmware->repeat_ms = PAYGO_EVENT_REPEAT_MS;
    }
}

static uint32_t wire_due_ms(paygo_firmware *firmware)
{
    uint32_t due = paygo_console_due_ms(&firmware->console);
    if (firmware->extended_host && paygo_oldest_event(&firmware->live) != NULL && firmware->repeat_ms < due) {
        due = firmware->repeat_ms;
    }
    if (firmware->light.blinks > 0 && PAYGO_BLINK_MS < due) {
        due = PAYGO_BLINK_MS;
    }
    if (firmware->keypad.entering && PAYGO_KEY_TIMEOUT_MS - firmware->keypad.idle_ms < due) {
        due = PAYGO_KEY_TIMEOUT_MS - firmware->keypad.idle_ms;
    }
    return due;
}

static uint32_t sooner(uint32_t one, uint32_t other)
{
    return one < other ? one : other;
}

/* So many whole seconds of world time from now, of which a part has passed; times beyond six weeks are that long. */
static uint32_t in_seconds(const paygo_firmware *firmware, uint64_t seconds)
{
    return (uint32_t)(seconds < UINT32_C(4000000) ? seconds : UINT32_C(4000000)) * 1000U - firmware->rest_ms;
}

/* Credit or a test that ends, a clock to be stored, a protection that trips or clears, a comparison of clocks. */
static uint32_t world_due_ms(const paygo_firmware *firmware)
{
    const paygo_limits *limits = firmware->limits;
    const paygo_unit *unit = &firmware->live.unit;
    const int32_t battery_mv = firmware->measured.battery_mv;
    uint32_t due = paygo_guard_due_ms(&firmware->overvoltage, &limits->overvoltage, battery_mv);
    due = sooner(due, paygo_guard_due_ms(&firmware->undervoltage, &limits->undervoltage, battery_mv));
    due = sooner(due, paygo_guard_due_ms(&firmware->charge_stop, &limits->charge_stop, battery_mv));
    if (firmware->storage != PAYGO_STORAGE_READY) {
        return due;
    }
    if (paygo_unit_active(unit) && !unit->unlocked) {
        due = sooner(due, in_seconds(firmware, paygo_unit_seconds_left(unit)));
    }
    if (firmware->test_s > 0) {
        due = sooner(due, in_seconds(firmware, firmware->test_s));
    }
    if (clock_matters(firmware) && !firmware->saving) {
        due = sooner(due, in_seconds(firmware, firmware->wakes_at - SAVE_MARGIN_S - unit->clock));
    }
    if (firmware->measured.rtc_s != 0) {
        due = sooner(due, in_seconds(firmware, PAYGO_WITNESS_S - firmware->witness.counted_s));
    }
    return due;
}

void paygo_firmware_step(paygo_firmware *firmware, const paygo_inputs *inputs, paygo_outputs *outputs)
{
    paygo_text text;
    memset(outputs, 0, sizeof *outputs);
    text.bytes = outputs->tx;
    text.size = PAYGO_TX_BYTES;
    text.length = 0;
    text.line = 0;
    firmware->measured = *inputs;
    pass_time(firmware, inputs);
    if (firmware->saving && inputs->write_done) {
        stored(firmware, outputs, &text);
    }
    if (!firmware->saving && firmware->storage == PAYGO_STORAGE_READY) {
        (void)(save_start(firmware, outputs) || save_event(firmware, outputs) || save_clock(firmware, outputs));
    }
    read_keypad(firmware, inputs, outputs);
    read_console(firmware, inputs, outputs, &text);
    send_event(firmware, &text);
    outputs->output = paygo_firmware_output(firmware);
    outputs->charge = !firmware->charge_stop.active;
    outputs->busy = firmware->saving;
    outputs->light = paygo_light_now(&firmware->light);
    outputs->tx_length = text.length;
    outputs->wire_due_ms = wire_due_ms(firmware);
    outputs->world_due_ms = world_due_ms(firmware);
}
