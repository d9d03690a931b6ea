/* libFuzzer: command lines to a unit that is blank, set up or corrupt; its replies, its alerts and what it stores. */
#include "commands.h"
#include "input.h"

#include <stdio.h>

#define KEY "a29ab82edc5fbbc41ec9530f6dac86b1"

typedef struct {
    paygo_firmware firmware;
    paygo_outputs outputs;
    uint8_t image[PAYGO_STORAGE_BYTES];
} board;

static void read_image(void *context, uint16_t offset, uint8_t *bytes, uint16_t length)
{
    memcpy(bytes, (const uint8_t *)context + offset, length);
}

static void check_outputs(const paygo_outputs *outputs)
{
    require(outputs->tx_length <= PAYGO_TX_BYTES);
    require((uint32_t)outputs->write.offset + outputs->write.length <= PAYGO_STORAGE_BYTES);
    require(outputs->tx_length == 0 || (outputs->tx[0] == '#' && outputs->tx[outputs->tx_length - 1U] == '\n'));
}

/* A reply is whole lines, no NUL and never the key. */
static void check_reply(const paygo_text *text)
{
    char said[PAYGO_TX_BYTES + 1U];
    require(text->length > 2 && text->length < text->size);
    memcpy(said, text->bytes, text->length);
    said[text->length] = '\0';
    require(said[0] == '#' && strcmp(said + text->length - 2, "\r\n") == 0);
    require(strstr(said, KEY) == NULL);
}

/* Does what the outputs ask for, until nothing is being stored. */
static void finish(board *unit, paygo_inputs *inputs)
{
    inputs->rx_length = 0;
    inputs->wire_ms = 0;
    inputs->world_ms = 0;
    inputs->key = 0;
    while (unit->firmware.saving) {
        const paygo_write write = unit->outputs.write;
        memcpy(unit->image + write.offset, write.bytes, write.length);
        inputs->write_done = true;
        paygo_firmware_step(&unit->firmware, inputs, &unit->outputs);
        check_outputs(&unit->outputs);
        require(!unit->firmware.saving || unit->outputs.write.length > 0);
    }
    inputs->write_done = false;
}

static void step(board *unit, paygo_inputs *inputs)
{
    paygo_firmware_step(&unit->firmware, inputs, &unit->outputs);
    check_outputs(&unit->outputs);
    finish(unit, inputs);
}

/* A command: a reply now, or a write and a reply after it; and never both. */
static void command(board *unit, const char *line, size_t length, paygo_inputs *inputs)
{
    char copy[PAYGO_LINE_MAX + 1U];
    char said[PAYGO_TX_BYTES];
    paygo_text text = {said, PAYGO_TX_BYTES, 0, 0};
    const paygo_storage_state before = unit->firmware.storage;
    memcpy(copy, line, length);
    copy[length] = '\0';
    memset(&unit->outputs, 0, sizeof unit->outputs);
    paygo_command(&unit->firmware, copy, &unit->outputs, &text);
    require(unit->firmware.saving == (unit->outputs.write.length > 0));
    require(unit->firmware.saving == (text.length == 0));
    if (!unit->firmware.saving) {
        check_reply(&text);
        require(unit->firmware.storage == before);
    } else {
        require(before != PAYGO_STORAGE_CORRUPT);
        finish(unit, inputs);
        require(unit->firmware.storage == PAYGO_STORAGE_READY);
    }
}

static void check_alerts(const paygo_firmware *firmware)
{
    uint8_t i;
    for (i = 0; i <= PAYGO_ALERTS; i++) {
        const paygo_alert alert = (paygo_alert)i;
        require(strlen(paygo_alert_name(alert)) > 0 && strlen(paygo_alert_unit(alert)) > 0);
        require(i < PAYGO_ALERTS || !paygo_firmware_alert(firmware, alert));
        if (alert == PAYGO_ALERT_STORAGE_FAULT) {
            require(paygo_alert_value(firmware, alert) == 1);
            require(paygo_firmware_alert(firmware, alert) == (firmware->storage == PAYGO_STORAGE_CORRUPT));
        }
    }
    require(!paygo_firmware_output(firmware) || paygo_unit_active(&firmware->live.unit) || firmware->test_s > 0);
    require(!paygo_firmware_output(firmware) || !paygo_firmware_alert(firmware, PAYGO_ALERT_BATTERY_OVERVOLTAGE));
}

/* Every line that the unit says of its own accord or after a write, whatever its state is. */
static void check_replies(paygo_firmware *firmware)
{
    char said[PAYGO_TX_BYTES];
    paygo_text text = {said, PAYGO_TX_BYTES, 0, 0};
    const paygo_event *event = paygo_oldest_event(&firmware->live);
    uint8_t after;
    paygo_reply_invalid(firmware, &text);
    check_reply(&text);
    for (after = PAYGO_AFTER_NOTHING; after <= PAYGO_AFTER_ACKNOWLEDGE; after++) {
        text.length = 0;
        paygo_reply_after(firmware, (paygo_after)after, &text);
        if (text.length > 0) {
            check_reply(&text);
        }
    }
    if (event != NULL) {
        require(!event->acknowledged);
        text.length = 0;
        paygo_send_event(firmware, event, &text);
        check_reply(&text);
    }
}

/* An entry as the keypad makes one, and a store without a reason: both leave a unit that wakes up in the same state. */
static void check_entry(board *unit, const char *digits, size_t length, paygo_inputs *inputs)
{
    paygo_firmware woken;
    memset(&unit->outputs, 0, sizeof unit->outputs);
    if (unit->firmware.storage == PAYGO_STORAGE_BLANK) {
        return;
    }
    if (!paygo_firmware_enter(&unit->firmware, &unit->outputs, digits, length, PAYGO_AFTER_KEYPAD_ENTRY)) {
        finish(unit, inputs);
    }
    if (unit->firmware.storage == PAYGO_STORAGE_READY) {
        unit->firmware.next = unit->firmware.live;
        paygo_firmware_save(&unit->firmware, &unit->outputs, PAYGO_AFTER_NOTHING);
        finish(unit, inputs);
        paygo_firmware_boot(&woken, read_image, unit->image, 1);
        require(woken.storage == PAYGO_STORAGE_READY);
        require(same_window(&woken.live.unit.window, &unit->firmware.live.unit.window));
        require(woken.live.event_seq == unit->firmware.live.event_seq);
        require(paygo_unit_seconds_left(&woken.live.unit) <= paygo_unit_seconds_left(&unit->firmware.live.unit));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char setup[] = "SETUP+;SLT220000001;123456789;" KEY ";1;1;0;;";
    static board unit;
    paygo_inputs inputs;
    const uint8_t kind = (uint8_t)take(&data, &size, 1);
    memset(&unit, 0, sizeof unit);
    memset(&inputs, 0, sizeof inputs);
    memset(unit.image, 0xff, sizeof unit.image);
    if (kind % 4U == 3U) {
        memset(unit.image, 0, sizeof unit.image); /* something was stored, and none of it can be read */
    }
    paygo_firmware_boot(&unit.firmware, read_image, unit.image, 1U + kind);
    unit.firmware.console.checked = (kind & 0x20U) != 0;
    inputs.battery_mv = 12600;
    if (kind % 2U == 0) {
        command(&unit, setup, sizeof setup - 1U, &inputs);
    }
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end == NULL ? size : (size_t)(end - data);
        const size_t whole = end == NULL ? length : length + 1U;
        if (length > PAYGO_LINE_MAX) {
            length = PAYGO_LINE_MAX;
        }
        if (length > 0 && data[0] == '!') { /* time passes at a voltage: "!160" is 16.0 V */
            const uint8_t *at = data + 1;
            size_t left = length - 1U;
            int32_t decivolts = 0;
            while (left > 0 && *at >= '0' && *at <= '9' && decivolts < 100000) {
                decivolts = decivolts * 10 + (int32_t)(take(&at, &left, 1) - '0');
            }
            inputs.battery_mv = decivolts * 100;
            inputs.battery_ma = decivolts - 120;
            inputs.world_ms = PAYGO_LONGEST_STEP_MS;
            inputs.wire_ms = PAYGO_EVENT_REPEAT_MS;
            step(&unit, &inputs);
        } else if (length > 0 && data[0] == '@') { /* an entry on the keypad */
            check_entry(&unit, (const char *)data + 1, length - 1U, &inputs);
        } else if (memchr(data, '\0', length) == NULL) {
            command(&unit, (const char *)data, length, &inputs);
        }
        check_alerts(&unit.firmware);
        check_replies(&unit.firmware);
        data += whole;
        size -= whole;
    }
    return 0;
}
