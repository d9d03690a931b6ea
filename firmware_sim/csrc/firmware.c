/* The step: time, protections, storage, entries, alerts, outputs. */
#include "apart.h"
#include "commands.h"

#include <string.h>

/* World time that was held is counted in parts, so that each fits into 16 bits. */
#define LONGEST_PASS_MS 60000U

/* The sooner of two times. */
static PAYGO_APART uint16_t sooner(uint16_t due, uint32_t other)
{
    return other < due ? (uint16_t)other : due;
}

/* Whether the bit of an alert is set. */
static bool has(unsigned bits, paygo_alert alert)
{
    return (bits >> (uint8_t)alert & 1U) != 0;
}

void paygo_firmware_boot(paygo_firmware *firmware, paygo_board board, const paygo_reader *storage, uint32_t first_boot)
{
    paygo_saved *live = &firmware->live;
    memset(firmware, 0, sizeof *firmware);
    firmware->charger.board = (uint8_t)board;
    firmware->storage = paygo_storage_read(storage, &firmware->factory, live, &firmware->journal);
    if (firmware->storage != PAYGO_STORAGE_READY) {
        paygo_saved_init(live, 0);
        live->chemistry = PAYGO_LFP; /* which battery it is cannot be known: what harms none that the board charges */
    }
    firmware->boot = live->boot == 0 ? first_boot : live->boot + 1U;
    /* A restart ends no alert: otherwise switching off and on would lift a protection. */
    paygo_charger_begin(&firmware->charger, live->chemistry, live->capacity_ah, live->active);
    firmware->witness.tampered = has(live->active, PAYGO_ALERT_CLOCK_TAMPER);
    firmware->witness.last_s = live->rtc_s;
}

uint16_t paygo_firmware_alerts(const paygo_firmware *firmware)
{
    uint16_t alerts = (uint16_t)firmware->charger.law.alerts;
    if (firmware->storage == PAYGO_STORAGE_CORRUPT) {
        alerts |= 1U << PAYGO_ALERT_STORAGE_FAULT;
    }
    if (firmware->witness.tampered) {
        alerts |= 1U << PAYGO_ALERT_CLOCK_TAMPER;
    }
    return alerts;
}

bool paygo_firmware_alert(const paygo_firmware *firmware, paygo_alert alert)
{
    return has(paygo_firmware_alerts(firmware), alert);
}

int32_t paygo_alert_value(const paygo_firmware *firmware, paygo_alert alert)
{
    if (alert == PAYGO_ALERT_CLOCK_TAMPER) {
        return firmware->witness.off_s;
    }
    return alert == PAYGO_ALERT_STORAGE_FAULT ? 1 : paygo_charger_value(&firmware->charger, alert);
}

/* Credit or a test activation, and the operator's switch. */
static bool output_wanted(const paygo_firmware *firmware)
{
    return firmware->started && firmware->storage == PAYGO_STORAGE_READY &&
           firmware->live.load_switch != PAYGO_SWITCH_OFF &&
           (firmware->test_s > 0 || paygo_unit_active(&firmware->live.unit));
}

bool paygo_firmware_output(const paygo_firmware *firmware)
{
    return output_wanted(firmware) && !paygo_law_blocks(&firmware->charger.law);
}

static void begin_record(paygo_firmware *firmware, paygo_record_kind kind, paygo_after after)
{
    paygo_record_begin(&firmware->record, kind, &firmware->journal, firmware->event.seq);
    firmware->after = after;
    firmware->saving = true;
    firmware->piece_due = true;
    if (kind == PAYGO_RECORD_SLOT || kind == PAYGO_RECORD_CLOCK) {
        firmware->wakes_at = firmware->live.unit.clock + PAYGO_CLOCK_AHEAD_S;
    }
}

paygo_saved *paygo_firmware_change(paygo_firmware *firmware)
{
    firmware->next = firmware->live;
    return &firmware->next;
}

void paygo_firmware_save(paygo_firmware *firmware, paygo_after after)
{
    const bool blank = firmware->storage == PAYGO_STORAGE_BLANK;
    firmware->next.rtc_s = firmware->witness.last_s;
    firmware->next.active = paygo_firmware_alerts(firmware);
    begin_record(firmware, blank ? PAYGO_RECORD_FACTORY : PAYGO_RECORD_SLOT, after);
}

static PAYGO_APART void blink(paygo_firmware *firmware, paygo_outputs *outputs, paygo_colour colour, uint8_t blinks)
{
    paygo_light_blink(&firmware->light, colour, blinks);
    outputs->blinking = colour;
    outputs->blinks = blinks;
}

/* H24. */
static void blink_answer(paygo_firmware *firmware, paygo_outputs *outputs)
{
    paygo_colour colour = PAYGO_GREEN;
    uint8_t blinks = 2;
    switch (firmware->answer_type) {
    case PAYGO_COUNTER_SYNC:
        blinks = 3;
        break;
    case PAYGO_DISABLE_PAYG:
        blinks = 5;
        break;
    case PAYGO_ALREADY_USED:
        blinks = 1;
        break;
    case PAYGO_INVALID:
        colour = PAYGO_RED;
        blinks = firmware->answer_reason == PAYGO_REASON_WAITING ? 1 : 10;
        break;
    case PAYGO_ADD_TIME:
    case PAYGO_SET_TIME:
    default:
        break;
    }
    blink(firmware, outputs, colour, blinks);
}

static bool is_test_code(const paygo_firmware *firmware, const char *digits, size_t length)
{
    const char *code = firmware->factory.test_code;
    return length > 0 && strlen(code) == length && memcmp(code, digits, length) == 0;
}

/* The place for one more test activation: that of the one which is forgotten first. */
static PAYGO_APART uint16_t *next_test(paygo_saved *saved)
{
    uint16_t *found = saved->tests;
    uint16_t *test;
    for (test = found + 1; test < saved->tests + PAYGO_TESTS; test++) {
        if (*test < *found) {
            found = test;
        }
    }
    return found;
}

static void answer(paygo_firmware *firmware, paygo_token_type type, paygo_reason reason)
{
    firmware->answer_type = type;
    firmware->answer_reason = reason;
}

/* An entry that is not looked at before so many seconds have passed. */
static PAYGO_APART void answer_wait(paygo_firmware *firmware, uint16_t seconds)
{
    answer(firmware, PAYGO_INVALID, PAYGO_REASON_WAITING);
    firmware->answer_seconds.low = seconds;
    firmware->answer_seconds.high = 0;
}

/* H22: a test activation, if there is no wait and if it is not one too many. Returns whether it has to be stored. */
static bool enter_test(paygo_firmware *firmware)
{
    const paygo_unit *unit = &firmware->live.unit;
    uint16_t *test = next_test(&firmware->next);
    uint16_t wait = unit->wait;
    if (wait < *test) {
        wait = *test;
    }
    if (wait > 0) {
        answer_wait(firmware, wait);
        return false;
    }
    answer(firmware, PAYGO_ADD_TIME, PAYGO_REASON_ACCEPTED);
    firmware->answer_seconds = unit->credit;
    if (firmware->answer_seconds.high == 0 && firmware->answer_seconds.low < PAYGO_TEST_S) {
        firmware->answer_seconds.low = PAYGO_TEST_S;
    }
    *test = PAYGO_TEST_HOUR_S;
    firmware->test_entered = true;
    return true;
}

/* What is answered to the command whose effect is stored now, or could not be stored. */
static paygo_reply reply_after(paygo_after after)
{
    return (paygo_reply)(after & (PAYGO_AFTER_KEYPAD_ENTRY - 1));
}

/* An entry is being judged, in slices (H3). */
static bool judging(const paygo_firmware *firmware)
{
    return firmware->judged_for != PAYGO_AFTER_NOTHING;
}

/* Nothing is being stored or said: the next command, entry, event or clock may come. */
static bool is_free(const paygo_firmware *firmware)
{
    return !firmware->saving && firmware->reply == PAYGO_REPLY_NONE;
}

/* Whether a verdict has changed something that has to be stored before it is answered (H12). */
static bool changes(const paygo_entry *entry)
{
    return entry->counts && entry->decoder.verdict.type != PAYGO_ALREADY_USED;
}

/* What follows of an entry or a command whose effect is stored, could not be stored, or was none. */
static PAYGO_APART void conclude(paygo_firmware *firmware, paygo_outputs *outputs, paygo_after after)
{
    if (after == PAYGO_AFTER_CONSOLE_ENTRY || after == PAYGO_AFTER_KEYPAD_ENTRY) {
        blink_answer(firmware, outputs);
    }
    firmware->reply = reply_after(after);
}

/* Walks a part of the entry that is being judged. Once it is judged, and nothing else is under way, it is applied. */
static void judge(paygo_firmware *firmware, paygo_outputs *outputs)
{
    const paygo_after from = firmware->judged_for;
    const paygo_verdict *verdict = &firmware->entry.decoder.verdict;
    if (!judging(firmware)) {
        if (firmware->storage == PAYGO_STORAGE_READY) {
            (void)paygo_slots_run(&firmware->slots, &firmware->factory.config, &firmware->live.unit.window,
                                  PAYGO_WALK_STEPS);
        }
        return;
    }
    if (!paygo_unit_run(&firmware->entry, PAYGO_WALK_STEPS) || !is_free(firmware)) {
        return;
    }
    firmware->judged_for = PAYGO_AFTER_NOTHING;
    paygo_unit_finish(&firmware->entry, &paygo_firmware_change(firmware)->unit);
    answer(firmware, verdict->type, verdict->reason);
    firmware->answer_seconds = firmware->next.unit.credit;
    if (verdict->reason == PAYGO_REASON_WAITING) {
        answer_wait(firmware, firmware->next.unit.wait);
    }
    paygo_slots_keep(&firmware->slots, &firmware->entry.decoder);
    if (changes(&firmware->entry)) {
        paygo_firmware_save(firmware, from);
        return;
    }
    conclude(firmware, outputs, from);
}

bool paygo_firmware_enter(paygo_firmware *firmware, paygo_outputs *outputs, const char *digits, size_t length,
                          paygo_after after)
{
    if (firmware->storage == PAYGO_STORAGE_CORRUPT) {
        answer(firmware, PAYGO_INVALID, PAYGO_REASON_ACCEPTED);
        blink_answer(firmware, outputs);
        return true;
    }
    if (!is_test_code(firmware, digits, length)) {
        paygo_unit_begin(&firmware->entry, &firmware->live.unit, &firmware->factory.config, firmware->live.unit.clock,
                         digits, length);
        paygo_slots_resume(&firmware->slots, &firmware->entry.decoder);
        firmware->judged_for = after;
        return false;
    }
    (void)paygo_firmware_change(firmware);
    if (!enter_test(firmware)) {
        blink_answer(firmware, outputs);
        return true;
    }
    paygo_firmware_save(firmware, after);
    return false;
}

/* World time: whole seconds to the unit's clock and to the control law (H26), everything to the gauge. */
static PAYGO_APART void pass_time(paygo_firmware *firmware, uint32_t rtc_s, uint16_t world_ms)
{
    const uint16_t elapsed = (uint16_t)(firmware->rest_ms + world_ms);
    const uint8_t seconds = (uint8_t)(elapsed / 1000U);
    firmware->rest_ms = elapsed % 1000U;
    paygo_saved_tick(&firmware->live, seconds);
    firmware->test_s = (uint8_t)(seconds < firmware->test_s ? firmware->test_s - seconds : 0);
    paygo_witness_update(&firmware->witness, rtc_s, seconds);
    paygo_charger_pass(&firmware->charger, seconds, output_wanted(firmware));
    paygo_gauge_update(&firmware->gauge, &firmware->charger, world_ms);
}

/* A slot is stored: what was being stored is the truth now (H12). Its clock went on meanwhile. */
static void slot_stored(paygo_firmware *firmware, paygo_outputs *outputs)
{
    const paygo_after after = firmware->after;
    const uint32_t clock = firmware->live.unit.clock;
    firmware->live = firmware->next;
    firmware->started = true;
    if (after == PAYGO_AFTER_SETUP) {
        firmware->storage = PAYGO_STORAGE_READY;
    } else {
        paygo_unit_tick(&firmware->live.unit, clock);
    }
    if (firmware->test_entered) {
        firmware->test_s = PAYGO_TEST_S;
        firmware->test_entered = false;
    }
    if (after == PAYGO_AFTER_ACKNOWLEDGE) {
        firmware->repeat_ms = 0;
    }
    if (after == PAYGO_AFTER_SETUP || after == PAYGO_AFTER_BATTERY) {
        paygo_charger_replace(&firmware->charger, firmware->live.chemistry, firmware->live.capacity_ah);
        firmware->gauge.started = false;
    }
    conclude(firmware, outputs, after);
}

/* A record is stored. Some are followed by a slot, which makes them count. */
static void record_stored(paygo_firmware *firmware, paygo_outputs *outputs)
{
    firmware->saving = false;
    switch (firmware->record.kind) {
    case PAYGO_RECORD_FACTORY:
        paygo_saved_init(&firmware->next, firmware->factory.count);
        firmware->next.boot = firmware->boot;
        begin_record(firmware, PAYGO_RECORD_SLOT, PAYGO_AFTER_SETUP);
        break;
    case PAYGO_RECORD_EVENT:
        paygo_firmware_save(firmware, firmware->after);
        break;
    case PAYGO_RECORD_SLOT:
        slot_stored(firmware, outputs);
        break;
    case PAYGO_RECORD_CLOCK:
    default:
        break;
    }
}

/* Nothing can be stored any more (H27): no light that could not be counted, and no answer that it was. */
static PAYGO_APART void storage_failed(paygo_firmware *firmware, paygo_outputs *outputs)
{
    firmware->saving = false;
    if (firmware->record.kind == PAYGO_RECORD_FACTORY) {
        memset(&firmware->factory, 0, sizeof firmware->factory); /* it is as blank as it was */
    } else {
        firmware->storage = PAYGO_STORAGE_CORRUPT;
    }
    firmware->test_entered = false;
    firmware->wrong_field = PAYGO_WRONG_STORAGE;
    answer(firmware, PAYGO_INVALID, PAYGO_REASON_ACCEPTED);
    conclude(firmware, outputs, firmware->after);
    if (firmware->reply == PAYGO_REPLY_LOAD || firmware->reply == PAYGO_REPLY_ACKNOWLEDGE) {
        firmware->reply = PAYGO_REPLY_INVALID;
    }
}

/* How many events nobody has acknowledged, at most PAYGO_EVENTS. */
static uint8_t events_waiting(const paygo_saved *saved)
{
    return (uint8_t)((uint8_t)saved->event_seq - (uint8_t)saved->acked_seq);
}

/* Gives firmware->event the next number, in the log that is being stored, and begins to store it. */
static PAYGO_APART void begin_event(paygo_firmware *firmware, paygo_after after)
{
    paygo_saved *next = &firmware->next;
    next->event_seq++;
    firmware->event.seq = next->event_seq;
    if (events_waiting(next) > PAYGO_EVENTS) {
        next->acked_seq++;
    }
    begin_record(firmware, PAYGO_RECORD_EVENT, after);
}

/* An event that does not hold at its place gets the next number, and with it the next place. */
static bool event_elsewhere(paygo_firmware *firmware)
{
    paygo_record *record = &firmware->record;
    const uint8_t tries = (uint8_t)(record->tries + 1U);
    if (record->kind != PAYGO_RECORD_EVENT || tries >= PAYGO_EVENT_PLACES) {
        return false;
    }
    begin_event(firmware, firmware->after);
    record->tries = tries;
    return true;
}

/* What the record that is being stored is made of. */
static PAYGO_APART void *content(paygo_firmware *firmware)
{
    switch (firmware->record.kind) {
    case PAYGO_RECORD_FACTORY:
        return &firmware->factory;
    case PAYGO_RECORD_SLOT:
        return &firmware->next;
    case PAYGO_RECORD_CLOCK:
        return &firmware->wakes_at;
    case PAYGO_RECORD_EVENT:
    default:
        return &firmware->event;
    }
}

/* A piece is written. The last one is followed by reading the record back. */
static void piece_written(paygo_firmware *firmware, const paygo_reader *storage, paygo_outputs *outputs)
{
    paygo_record *record = &firmware->record;
    if (record->at < record->length) {
        firmware->piece_due = true;
    } else if (paygo_record_stored(record, content(firmware), storage, &firmware->journal)) {
        record_stored(firmware, outputs);
    } else if (event_elsewhere(firmware) || paygo_record_elsewhere(record)) {
        firmware->piece_due = true;
    } else {
        storage_failed(firmware, outputs);
    }
}

bool paygo_firmware_oldest_event(const paygo_firmware *firmware, const paygo_reader *storage, paygo_event *event)
{
    const paygo_saved *live = &firmware->live;
    uint32_t seq = live->acked_seq;
    while (seq < live->event_seq) {
        seq++;
        if (paygo_storage_event(storage, seq, event)) {
            return true;
        }
    }
    return false;
}

/* Whether there is room for one more event. Those that cannot be read any more take none. */
static bool event_fits(paygo_firmware *firmware, const paygo_reader *storage)
{
    paygo_saved *live = &firmware->live;
    if (events_waiting(live) >= PAYGO_EVENTS) {
        if (paygo_firmware_oldest_event(firmware, storage, &firmware->event)) {
            return false;
        }
        live->acked_seq = live->event_seq;
    }
    return true;
}

/* Begins to store that an alert began or ended, in what is stored next. */
static PAYGO_APART void change_alert(paygo_firmware *firmware, paygo_alert alert, uint16_t bit, int32_t value,
                                     paygo_after after)
{
    paygo_event *event = &firmware->event;
    firmware->next.reported ^= bit;
    event->alert = (uint8_t)alert;
    event->raised = (firmware->next.reported & bit) != 0;
    event->value = value;
    event->boot = firmware->boot;
    if (event->raised) {
        firmware->latched &= (uint16_t)~bit;
    }
    begin_event(firmware, after);
}

/* Alerts whose value is a peak, which is never below 0. */
#define OF_PEAKS \
    (1U << PAYGO_ALERT_PANEL_OVERVOLTAGE | 1U << PAYGO_ALERT_OUTPUT_OVERVOLTAGE | 1U << PAYGO_ALERT_BATTERY_DISCONNECTED | \
     1U << PAYGO_ALERT_SHORT_CIRCUIT)

/* With what an alert is told that began or ended. */
static PAYGO_APART int32_t value_to_tell(const paygo_firmware *firmware, paygo_alert alert, uint16_t bit)
{
    const uint16_t latched = firmware->latched_value[alert];
    if ((firmware->live.reported & bit) != 0 && alert != PAYGO_ALERT_BATTERY_REFUSED) {
        return paygo_alert_value(firmware, alert);
    }
    return (bit & OF_PEAKS) != 0 ? (int32_t)latched : (int16_t)latched;
}

/* H20: records an alert that began or ended. One that ends before it could be recorded is recorded all the same. */
static bool save_event(paygo_firmware *firmware, const paygo_reader *storage)
{
    const uint16_t reported = firmware->live.reported;
    const uint16_t active = paygo_firmware_alerts(firmware);
    uint16_t bits = (uint16_t)(active & ~(reported | firmware->latched));
    uint16_t bit = 1;
    uint8_t alert;
    firmware->latched |= bits;
    for (alert = 0; bits != 0; alert++, bits >>= 1) {
        if ((bits & 1U) != 0) {
            firmware->latched_value[alert] = (uint16_t)paygo_alert_value(firmware, (paygo_alert)alert);
        }
    }
    bits = (uint16_t)((reported & ~active) | (firmware->latched & ~reported));
    if (bits == 0 || !event_fits(firmware, storage)) {
        return false;
    }
    for (alert = 0; (bits & bit) == 0; alert++) {
        bit = (uint16_t)(bit << 1);
    }
    (void)paygo_firmware_change(firmware);
    change_alert(firmware, (paygo_alert)alert, bit, value_to_tell(firmware, (paygo_alert)alert, bit), PAYGO_AFTER_NOTHING);
    return true;
}

/* Alerts that another chemistry might lift. */
#define OF_CHEMISTRY \
    (1U << PAYGO_ALERT_BATTERY_OVERVOLTAGE | 1U << PAYGO_ALERT_OVERTEMPERATURE | 1U << PAYGO_ALERT_UNDERTEMPERATURE)

void paygo_firmware_battery(paygo_firmware *firmware, const paygo_reader *storage, uint8_t chemistry,
                            uint16_t capacity_ah)
{
    paygo_saved *next;
    if (!paygo_charger_fits(&firmware->charger, chemistry)) {
        firmware->wrong_field = PAYGO_WRONG_BOARD;
        firmware->latched |= 1U << PAYGO_ALERT_BATTERY_REFUSED;
        firmware->latched_value[PAYGO_ALERT_BATTERY_REFUSED] = capacity_ah;
    } else if (((uint16_t)firmware->charger.law.alerts & OF_CHEMISTRY) != 0) {
        firmware->wrong_field = PAYGO_WRONG_ALERT;
    } else if (!event_fits(firmware, storage) || (firmware->live.reported & 1U << PAYGO_ALERT_BATTERY_REPLACED) != 0) {
        firmware->wrong_field = PAYGO_WRONG_LOG;
    } else {
        firmware->wrong_field = PAYGO_WRONG_NOTHING;
        next = paygo_firmware_change(firmware);
        next->chemistry = chemistry;
        next->capacity_ah = capacity_ah;
        change_alert(firmware, PAYGO_ALERT_BATTERY_REPLACED, 1U << PAYGO_ALERT_BATTERY_REPLACED, (int32_t)capacity_ah, PAYGO_AFTER_BATTERY);
    }
}

/*
 * The clock of a unit is stored ahead while something is left that time takes away, so that a power cut gains nothing (T36).
 * In how many seconds, which may have passed; INT32_MAX: for now not.
 */
static PAYGO_APART int32_t clock_due_s(paygo_firmware *firmware)
{
    const paygo_unit *unit = &firmware->live.unit;
    if ((paygo_unit_active(unit) && !unit->unlocked) || unit->wait > 0 || *next_test(&firmware->live) > 0) {
        return (int32_t)(firmware->wakes_at - PAYGO_SAVE_MARGIN_S - unit->clock);
    }
    return INT32_MAX;
}

/*
 * Stores what has to be: first a start, which is counted, and once more, since a second slot follows the first of a unit's
 * life (storage.c); then what happens. An alert that came or went and could not be recorded, since the log is full, is kept
 * over a restart all the same.
 */
static void save_what_is_due(paygo_firmware *firmware, const paygo_reader *storage)
{
    const bool starts = !firmware->started || firmware->journal.sequence < 2;
    if (!starts && save_event(firmware, storage)) {
        return;
    }
    if (starts || firmware->live.active != paygo_firmware_alerts(firmware)) {
        paygo_firmware_change(firmware)->boot = firmware->boot;
        paygo_firmware_save(firmware, PAYGO_AFTER_NOTHING);
    } else if (clock_due_s(firmware) <= 0) {
        begin_record(firmware, PAYGO_RECORD_CLOCK, PAYGO_AFTER_NOTHING);
    }
}

/* Takes console bytes until a command is complete. While something is being stored they wait (H3). */
static void read_console(paygo_firmware *firmware, const paygo_inputs *inputs, uint16_t wire_ms, paygo_outputs *outputs)
{
    paygo_console_event event = PAYGO_CONSOLE_NOTHING;
    if (!is_free(firmware) || (firmware->command_waiting && judging(firmware))) {
        return;
    }
    if (firmware->command_waiting) {
        firmware->command_waiting = false;
        paygo_command(firmware, &inputs->storage, outputs);
        return;
    }
    if (inputs->rx_length == 0) {
        event = paygo_console_silence(&firmware->console, wire_ms);
    }
    while (event == PAYGO_CONSOLE_NOTHING && outputs->rx_taken < inputs->rx_length) {
        event = paygo_console_byte(&firmware->console, inputs->rx[outputs->rx_taken]);
        outputs->rx_taken++;
    }
    if (event == PAYGO_CONSOLE_LINE && judging(firmware) && paygo_is_entry(firmware->console.line)) {
        firmware->command_waiting = true;
    } else if (event == PAYGO_CONSOLE_LINE) {
        paygo_command(firmware, &inputs->storage, outputs);
    } else if (event == PAYGO_CONSOLE_BAD) {
        firmware->reply = PAYGO_REPLY_INVALID;
    }
}

static void read_keypad(paygo_firmware *firmware, char pressed, uint16_t wire_ms, paygo_outputs *outputs)
{
    const bool ready = firmware->storage == PAYGO_STORAGE_READY;
    const uint8_t length = paygo_digits_length(PAYGO_STANDARD, firmware->factory.config.restricted_digits);
    const char key = firmware->entry_waiting ? '\0' : pressed; /* the digits that wait stay as they are */
    switch (paygo_keypad_update(&firmware->keypad, key, length, wire_ms)) {
    case PAYGO_KEYPAD_ENTRY:
        if (ready) {
            firmware->entry_waiting = true;
        } else {
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
    if (firmware->entry_waiting && is_free(firmware) && !judging(firmware)) {
        firmware->entry_waiting = false;
        (void)paygo_firmware_enter(firmware, outputs, firmware->keypad.digits, firmware->keypad.length, PAYGO_AFTER_KEYPAD_ENTRY);
    }
}

/* H20: the oldest event that nobody acknowledged, to a host that knows events (H7). */
static void send_event(paygo_firmware *firmware, const paygo_reader *storage)
{
    if (firmware->extended_host && firmware->repeat_ms == 0 && is_free(firmware) && events_waiting(&firmware->live) > 0) {
        firmware->repeat_ms = PAYGO_EVENT_REPEAT_MS;
        if (paygo_firmware_oldest_event(firmware, storage, &firmware->event)) {
            firmware->reply = PAYGO_REPLY_EVENT;
        }
    }
}

/* Says the next piece of the reply that is under way. */
static PAYGO_APART void speak(paygo_firmware *firmware, const paygo_reader *storage, paygo_outputs *outputs)
{
    paygo_text text;
    if (firmware->reply == PAYGO_REPLY_NONE) {
        return;
    }
    text.bytes = (char *)outputs->write.bytes;
    text.size = PAYGO_TX_BYTES;
    text.skip = firmware->said;
    paygo_say(firmware, storage, &text);
    outputs->tx_length = text.length;
    firmware->said = (uint16_t)(firmware->said + text.length);
    if (!text.cut) {
        firmware->reply = PAYGO_REPLY_NONE;
        firmware->said = 0;
    }
}

static uint32_t wire_due_ms(const paygo_firmware *firmware)
{
    uint16_t due = paygo_console_due_ms(&firmware->console);
    if (firmware->extended_host && events_waiting(&firmware->live) > 0) {
        due = sooner(due, firmware->repeat_ms);
    }
    if (firmware->light.blinks > 0) {
        due = sooner(due, PAYGO_BLINK_MS);
    }
    if (firmware->keypad.entering) {
        due = sooner(due, PAYGO_KEY_TIMEOUT_MS - firmware->keypad.idle_ms);
    }
    return due < PAYGO_NEVER_MS ? due : UINT32_MAX;
}

/* Credit or a test that ends, a clock to be stored, a step of the law, a comparison of clocks. */
static uint32_t world_due_ms(paygo_firmware *firmware, uint32_t rtc_s)
{
    const paygo_unit *unit = &firmware->live.unit;
    uint16_t due_s = paygo_charger_due_s(&firmware->charger);
    if (firmware->storage == PAYGO_STORAGE_READY) {
        if (!unit->unlocked && unit->credit.high == 0 && unit->credit.low > 0) {
            due_s = sooner(due_s, unit->credit.low);
        }
        if (firmware->test_s > 0) {
            due_s = sooner(due_s, firmware->test_s);
        }
        if (!firmware->saving) {
            due_s = sooner(due_s, (uint32_t)clock_due_s(firmware));
        }
        if (rtc_s != 0) {
            due_s = sooner(due_s, PAYGO_WITNESS_S - firmware->witness.counted_s);
        }
    }
    return due_s * UINT32_C(1000) - firmware->rest_ms;
}

/* Time waits while something is said, and is counted from its end on. */
static void hold(paygo_firmware *firmware, const paygo_inputs *inputs)
{
    const uint16_t held_ms = firmware->held_wire_ms;
    firmware->held_wire_ms = (uint16_t)(held_ms + sooner((uint16_t)(PAYGO_NEVER_MS - held_ms), inputs->wire_ms));
    firmware->held_world_ms += inputs->world_ms;
}

/* Everything but what is being said, which must not change under way. */
static void live(paygo_firmware *firmware, const paygo_inputs *inputs, paygo_outputs *outputs)
{
    const uint16_t wire_ms = firmware->held_wire_ms;
    uint32_t world_ms = firmware->held_world_ms;
    firmware->held_wire_ms = 0;
    firmware->held_world_ms = 0;
    paygo_charger_measure(&firmware->charger, &inputs->measured);
    do {
        const uint16_t part_ms = sooner(LONGEST_PASS_MS, world_ms);
        world_ms -= part_ms;
        pass_time(firmware, inputs->rtc_s, part_ms);
    } while (world_ms > 0);
    paygo_light_update(&firmware->light, wire_ms);
    firmware->repeat_ms = (uint16_t)(wire_ms < firmware->repeat_ms ? firmware->repeat_ms - wire_ms : 0);
    if (firmware->saving && inputs->write_done) {
        piece_written(firmware, &inputs->storage, outputs);
    }
    if (is_free(firmware) && firmware->storage == PAYGO_STORAGE_READY) {
        save_what_is_due(firmware, &inputs->storage);
    }
    read_keypad(firmware, inputs->key, wire_ms, outputs);
    read_console(firmware, inputs, wire_ms, outputs);
    judge(firmware, outputs);
    send_event(firmware, &inputs->storage);
}

void paygo_firmware_step(paygo_firmware *firmware, const paygo_inputs *inputs, paygo_outputs *outputs)
{
    const paygo_law *law = &firmware->charger.law;
    memset(outputs, 0, sizeof *outputs);
    outputs->tx = (const char *)outputs->write.bytes;
    hold(firmware, inputs);
    if (firmware->reply == PAYGO_REPLY_NONE) {
        live(firmware, inputs, outputs);
    }
    speak(firmware, &inputs->storage, outputs);
    if (firmware->piece_due) {
        paygo_record_piece(&firmware->record, content(firmware), &firmware->journal, &outputs->write);
        firmware->piece_due = false;
    }
    outputs->output = paygo_firmware_output(firmware);
    outputs->charge = law->charge != 0;
    outputs->target_mv = (uint16_t)law->target_mv;
    outputs->limit_ma = (uint16_t)law->limit_ma;
    if (firmware->saving || outputs->tx_length > 0) {
        outputs->busy = true;
    }
    outputs->light = paygo_light_now(&firmware->light);
    if (judging(firmware) || firmware->command_waiting) {
        outputs->walking = true; /* at once */
    } else {
        outputs->wire_due_ms = wire_due_ms(firmware);
    }
    outputs->world_due_ms = world_due_ms(firmware, inputs->rtc_s);
}
