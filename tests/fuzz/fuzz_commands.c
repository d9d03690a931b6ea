/* libFuzzer: command lines to a unit that is blank, set up or corrupt; its replies, its alerts and what it stores. */
#include "commands.h"
#include "input.h"

#define KEY "a29ab82edc5fbbc41ec9530f6dac86b1"

typedef struct {
    paygo_firmware firmware;
    paygo_outputs outputs;
    uint8_t image[PAYGO_STORAGE_BYTES];
} board;

static uint8_t read_image(void *context, uint16_t offset)
{
    return ((const uint8_t *)context)[offset];
}

static void check_outputs(const paygo_outputs *outputs)
{
    require(outputs->tx_length <= PAYGO_TX_BYTES && (outputs->tx_length == 0 || outputs->write.length == 0));
    require((uint32_t)outputs->write.offset + outputs->write.length <= PAYGO_STORAGE_BYTES);
    require(outputs->busy || outputs->walking || (outputs->tx_length == 0 && outputs->write.length == 0));
}

#define REPLY_MOST 1024U

/* The reply in pieces of so many characters. */
static uint16_t say(paygo_firmware *firmware, const paygo_reader *storage, char said[REPLY_MOST], uint8_t size)
{
    paygo_text part = {NULL, size, 0, 0, 0, true};
    uint16_t at = 0;
    while (part.cut) {
        require(at + size < REPLY_MOST);
        part.bytes = said + at;
        part.skip = at;
        paygo_say(firmware, storage, &part);
        at = (uint16_t)(at + part.length);
    }
    said[at] = '\0';
    return at;
}

/* A reply is one whole line, no NUL and never the key; and in small pieces it is the same. */
static void check_reply(paygo_firmware *firmware, const paygo_reader *storage)
{
    char said[REPLY_MOST], again[REPLY_MOST];
    const uint16_t length = say(firmware, storage, said, 200);
    require(length > 2 && strlen(said) == length && said[0] == '#' && strcmp(said + length - 2, "\r\n") == 0);
    require(strchr(said, '\n') == said + length - 1 && strchr(said + 1, '#') == NULL);
    require(strstr(said, KEY) == NULL);
    require(say(firmware, storage, again, 7) == length && strcmp(said, again) == 0);
}

/* Does what the outputs ask for, until nothing is being stored or said. */
static void finish(board *unit, paygo_inputs *inputs)
{
    inputs->rx_length = 0;
    inputs->wire_ms = 0;
    inputs->world_ms = 0;
    inputs->key = 0;
    while (unit->firmware.saving || unit->firmware.judged_for != PAYGO_AFTER_NOTHING || unit->firmware.reply != PAYGO_REPLY_NONE) {
        const paygo_write write = unit->outputs.write;
        memcpy(unit->image + write.offset, write.bytes, write.length);
        inputs->write_done = write.length > 0;
        if (unit->firmware.reply != PAYGO_REPLY_NONE) {
            check_reply(&unit->firmware, &inputs->storage);
        }
        paygo_firmware_step(&unit->firmware, inputs, &unit->outputs);
        check_outputs(&unit->outputs);
    }
    inputs->write_done = false;
}

static void step(board *unit, paygo_inputs *inputs)
{
    paygo_firmware_step(&unit->firmware, inputs, &unit->outputs);
    check_outputs(&unit->outputs);
    finish(unit, inputs);
}

/* A command: a reply now, or a record and a reply after it; and never both. */
static void command(board *unit, const char *line, size_t length, paygo_inputs *inputs)
{
    const paygo_storage_state before = unit->firmware.storage;
    bool entry;
    memcpy(unit->firmware.console.line, line, length);
    unit->firmware.console.line[length] = '\0';
    entry = paygo_is_entry(unit->firmware.console.line);
    memset(&unit->outputs, 0, sizeof unit->outputs);
    paygo_command(&unit->firmware, &inputs->storage, &unit->outputs);
    require((unit->firmware.saving || unit->firmware.judged_for != PAYGO_AFTER_NOTHING) == (unit->firmware.reply == PAYGO_REPLY_NONE));
    require(entry || unit->firmware.judged_for == PAYGO_AFTER_NOTHING);
    if (!unit->firmware.saving) {
        require(unit->firmware.storage == before);
        finish(unit, inputs);
    } else {
        require(before != PAYGO_STORAGE_CORRUPT);
        finish(unit, inputs);
        require(unit->firmware.storage == PAYGO_STORAGE_READY);
    }
}

static void check_alerts(const paygo_firmware *firmware)
{
    uint8_t i;
    for (i = 0; i < PAYGO_ALERTS; i++) {
        const paygo_alert alert = (paygo_alert)i;
        require(*paygo_word((uint8_t)(PAYGO_WORDS_OF_ALERTS + i)) != 0 && *paygo_word((uint8_t)(PAYGO_WORDS_OF_UNITS + i)) != 0);
        require(paygo_firmware_alert(firmware, alert) == ((paygo_firmware_alerts(firmware) >> i & 1U) != 0));
        if (alert == PAYGO_ALERT_STORAGE_FAULT) {
            require(paygo_alert_value(firmware, alert) == 1);
            require(paygo_firmware_alert(firmware, alert) == (firmware->storage == PAYGO_STORAGE_CORRUPT));
        }
    }
    for (i = 0; i < PAYGO_CHEMISTRIES; i++) {
        require(*paygo_word((uint8_t)(PAYGO_WORDS_OF_CHEMISTRY + i)) != 0);
        require(i == PAYGO_LFP || paygo_charger_fits(&firmware->charger, i));
    }
    for (i = PAYGO_SWITCH_AUTO; i <= PAYGO_SWITCH_OFF; i++) {
        require(*paygo_word((uint8_t)(PAYGO_WORDS_OF_SWITCH + i)) != 0);
    }
    require(!paygo_firmware_output(firmware) || paygo_unit_active(&firmware->live.unit) || firmware->test_s > 0);
    require(!paygo_firmware_output(firmware) || !paygo_firmware_alert(firmware, PAYGO_ALERT_BATTERY_OVERVOLTAGE));
}

/* Every line that the unit can say, whatever its state is. */
static void check_replies(paygo_firmware *firmware, const paygo_reader *storage)
{
    uint8_t reply;
    for (reply = PAYGO_REPLY_INVALID; reply <= PAYGO_REPLY_EVENT; reply++) {
        const bool has_event = paygo_firmware_oldest_event(firmware, storage, &firmware->event);
        if (reply != PAYGO_REPLY_EVENT || has_event) {
            firmware->reply = (paygo_reply)reply;
            check_reply(firmware, storage);
        }
    }
    firmware->reply = PAYGO_REPLY_NONE;
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
        const uint8_t chemistry = (uint8_t)(length % PAYGO_CHEMISTRIES);
        paygo_firmware_battery(&unit->firmware, &inputs->storage, chemistry, 40);
        require(unit->firmware.saving == (unit->firmware.wrong_field == PAYGO_WRONG_NOTHING));
        if (unit->firmware.saving) {
            finish(unit, inputs);
            require(unit->firmware.live.chemistry == chemistry && unit->firmware.charger.chemistry == chemistry);
        }
        require(paygo_firmware_change(&unit->firmware) == &unit->firmware.next);
        paygo_firmware_save(&unit->firmware, PAYGO_AFTER_NOTHING);
        finish(unit, inputs);
        paygo_firmware_boot(&woken, (paygo_board)unit->firmware.charger.board, &inputs->storage, 1);
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
    inputs.storage.read = read_image;
    inputs.storage.context = unit.image;
    paygo_firmware_boot(&unit.firmware, (kind & 0x40U) != 0 ? PAYGO_BOARD_PROTECTED : PAYGO_BOARD_LEGACY, &inputs.storage, 1U + kind);
    unit.firmware.console.checked = (kind & 0x20U) != 0;
    inputs.measured.battery_mv = 12600;
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
            while (left > 0 && *at >= '0' && *at <= '9' && decivolts < 1000) {
                decivolts = decivolts * 10 + (int32_t)(take(&at, &left, 1) - '0');
            }
            inputs.measured.battery_mv = (int16_t)(decivolts < 320 ? decivolts * 100 : INT16_MAX);
            inputs.measured.battery_ma = (int16_t)(decivolts - 120);
            inputs.world_ms = PAYGO_LONGEST_STEP_MS;
            inputs.wire_ms = PAYGO_EVENT_REPEAT_MS;
            step(&unit, &inputs);
        } else if (length > 0 && data[0] == '@') { /* an entry on the keypad */
            check_entry(&unit, (const char *)data + 1, length - 1U, &inputs);
        } else if (memchr(data, '\0', length) == NULL) {
            command(&unit, (const char *)data, length, &inputs);
        }
        check_alerts(&unit.firmware);
        check_replies(&unit.firmware, &inputs.storage);
        data += whole;
        size -= whole;
    }
    return 0;
}
