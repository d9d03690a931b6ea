/* The console's commands and replies. */
#include "commands.h"

#include <string.h>

#define SETUP_PLUS_FIELDS 9U

static void end(const paygo_firmware *firmware, paygo_text *text)
{
    paygo_text_end(text, firmware->console.checked);
}

static void reply(const paygo_firmware *firmware, paygo_text *text, const char *name, const char *field)
{
    paygo_text_begin(text, name);
    paygo_text_field(text, field);
    end(firmware, text);
}

void paygo_reply_invalid(const paygo_firmware *firmware, paygo_text *text)
{
    paygo_text_begin(text, "INVALID");
    end(firmware, text);
}

/* A decimal number of 1 to 10 digits, at most `most`. */
static bool parse_number(const char *field, uint32_t most, uint32_t *number)
{
    uint64_t value = 0;
    const char *at = field;
    while (*at >= '0' && *at <= '9' && at - field < 10) {
        value = value * 10U + (uint64_t)(*at - '0');
        at++;
    }
    *number = (uint32_t)value;
    return at != field && *at == '\0' && value <= most;
}

static bool number_between(const char *field, uint32_t least, uint32_t most, uint32_t *number)
{
    return parse_number(field, most, number) && *number >= least;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool parse_serial(const char *field, char serial[PAYGO_SERIAL_MAX + 1U])
{
    const size_t length = strlen(field);
    size_t i;
    if (length == 0 || length > PAYGO_SERIAL_MAX) {
        return false;
    }
    for (i = 0; i < length; i++) {
        if (!is_letter(field[i]) && !is_digit(field[i]) && strchr("-_./:", field[i]) == NULL) {
            return false;
        }
    }
    memcpy(serial, field, length + 1U);
    return true;
}

static bool parse_key(const char *field, uint8_t key[16])
{
    size_t i;
    if (strlen(field) != 32) {
        return false;
    }
    for (i = 0; i < 32; i++) {
        const char c = field[i];
        uint8_t nibble;
        if (is_digit(c)) {
            nibble = (uint8_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            nibble = (uint8_t)(c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            nibble = (uint8_t)(c - 'A' + 10);
        } else {
            return false;
        }
        key[i / 2] = (uint8_t)((uint32_t)key[i / 2] << 4 | nibble);
    }
    return true;
}

static bool parse_test_code(const char *field, char code[PAYGO_TEST_CODE_MAX + 1U])
{
    size_t length = 0;
    while (is_digit(field[length]) && length < PAYGO_TEST_CODE_MAX) {
        length++;
    }
    if (field[length] != '\0') {
        return false;
    }
    memcpy(code, field, length + 1U);
    return true;
}

/* "<jump>,<sync jump>,<older>", or nothing for the standard windows (T12). */
static bool parse_windows(char *field, paygo_config *config)
{
    char *second, *third;
    uint32_t jump, sync_jump, older;
    if (*field == '\0') {
        return true;
    }
    second = strchr(field, ',');
    third = second == NULL ? NULL : strchr(second + 1, ',');
    if (third == NULL) {
        return false;
    }
    *second = '\0';
    *third = '\0';
    if (!number_between(field, 1, UINT16_MAX, &jump) || !number_between(second + 1, 1, UINT16_MAX, &sync_jump) ||
        !parse_number(third + 1, PAYGO_MAX_OLDER_WINDOW, &older)) {
        return false;
    }
    config->max_jump = (uint16_t)jump;
    config->max_sync_jump = (uint16_t)sync_jump;
    config->older_window = (uint8_t)older;
    return true;
}

/* Fills the factory data from the fields behind the name. Returns NULL, or the name of the first field that is wrong. */
static const char *parse_setup(char *fields[], bool plus, paygo_factory *factory)
{
    paygo_config *config = &factory->config;
    uint32_t number;
    memset(factory, 0, sizeof *factory);
    factory->count = 1;
    config->max_count = UINT16_MAX;
    config->max_jump = 64;
    config->max_sync_jump = 100;
    config->older_window = 16;
    config->time_divider = 1;
    if (!parse_serial(fields[0], factory->serial)) {
        return "serial";
    }
    if (strlen(fields[1]) > 9 || !number_between(fields[1], 1, UINT32_C(999999999), &config->starting_code)) {
        return "starting_code";
    }
    if (!parse_key(fields[2], config->secret_key)) {
        return "key";
    }
    if (!plus) {
        return NULL;
    }
    if (!parse_number(fields[3], UINT16_MAX, &number)) {
        return "count";
    }
    factory->count = (uint16_t)number;
    if (!number_between(fields[4], 1, 255, &number)) {
        return "divider";
    }
    config->time_divider = (uint8_t)number;
    if (strlen(fields[5]) != 1 || !parse_number(fields[5], 1, &number)) {
        return "restricted";
    }
    config->restricted_digits = number == 1;
    if (!parse_test_code(fields[6], factory->test_code)) {
        return "test_code";
    }
    return parse_windows(fields[7], config) ? NULL : "windows";
}

static const char *setup_name(const paygo_firmware *firmware)
{
    return firmware->setup_plus ? "SETUP+" : "SETUP";
}

/* H10, H14. The factory data goes first: an interrupted setup leaves a unit without it, or with all of it. */
static void setup(paygo_firmware *firmware, char *fields[], bool plus, paygo_outputs *outputs, paygo_text *text)
{
    const char *wrong;
    firmware->setup_plus = plus;
    if (firmware->storage == PAYGO_STORAGE_CORRUPT) {
        wrong = "storage";
    } else if (firmware->storage == PAYGO_STORAGE_READY) {
        wrong = "provisioned";
    } else {
        wrong = parse_setup(fields, plus, &firmware->factory);
        if (wrong != NULL) {
            memset(&firmware->factory, 0, sizeof firmware->factory);
        }
    }
    if (wrong != NULL) {
        paygo_text_begin(text, setup_name(firmware));
        paygo_text_field(text, "ERROR");
        paygo_text_field(text, wrong);
        end(firmware, text);
        return;
    }
    paygo_storage_write_factory(&firmware->factory, &outputs->write);
    firmware->after = PAYGO_AFTER_FACTORY;
    firmware->saving = true;
}

/* H11. */
static void reply_entry(const paygo_firmware *firmware, paygo_text *text)
{
    const paygo_answer *answer = &firmware->answer;
    paygo_text_begin(text, "TOKEN");
    if (answer->verdict.reason == PAYGO_REASON_WAITING) {
        paygo_text_field(text, "WAIT");
        paygo_text_number_field(text, answer->wait_seconds);
    } else if (answer->verdict.type == PAYGO_INVALID) {
        paygo_text_field(text, "INVALID");
    } else if (answer->verdict.type == PAYGO_ALREADY_USED) {
        paygo_text_field(text, "ALREADY_USED");
    } else if (answer->seconds_left == PAYGO_FOR_EVER) {
        paygo_text_field(text, "PAYG_DISABLED");
    } else {
        paygo_text_field(text, "VALID");
        paygo_text_number_field(text, answer->seconds_left);
    }
    end(firmware, text);
}

/* H13. */
static void reply_status(const paygo_firmware *firmware, paygo_text *text)
{
    const uint64_t left = paygo_unit_seconds_left(&firmware->live.unit);
    paygo_text_begin(text, "STATUS");
    if (left == PAYGO_FOR_EVER) {
        paygo_text_field(text, "PAYG_DISABLED");
    } else if (left == 0) {
        paygo_text_field(text, "INACTIVE");
    } else {
        paygo_text_field(text, "ACTIVE");
        paygo_text_number_field(text, left);
    }
    end(firmware, text);
}

static const char *switch_name(paygo_switch position)
{
    switch (position) {
    case PAYGO_SWITCH_ON:
        return "ON";
    case PAYGO_SWITCH_OFF:
        return "OFF";
    case PAYGO_SWITCH_AUTO:
    default:
        return "AUTO";
    }
}

static void member(paygo_text *text, const char *name)
{
    paygo_text_string(text, ",\"");
    paygo_text_string(text, name);
    paygo_text_string(text, "\":");
}

static void milli_member(paygo_text *text, const char *name, int64_t thousandths)
{
    member(text, name);
    paygo_text_thousandths(text, thousandths);
}

static void number_member(paygo_text *text, const char *name, uint64_t number)
{
    member(text, name);
    paygo_text_number(text, number);
}

static void flag_member(paygo_text *text, const char *name, bool flag)
{
    member(text, name);
    paygo_text_string(text, flag ? "true" : "false");
}

static void string_member(paygo_text *text, const char *name, const char *string)
{
    member(text, name);
    paygo_text_char(text, '"');
    paygo_text_string(text, string);
    paygo_text_char(text, '"');
}

/* H15: the simple form of OpenPAYGO Metrics, where a current into the battery is negative. */
static void reply_telemetry(const paygo_firmware *firmware, paygo_text *text)
{
    const paygo_inputs *measured = &firmware->measured;
    const paygo_unit *unit = &firmware->live.unit;
    const int64_t panel_uw = (int64_t)measured->panel_mv * measured->panel_ma;
    paygo_text_begin(text, "TELEMETRY;{\"serial_number\":\"");
    paygo_text_string(text, firmware->factory.serial);
    paygo_text_string(text, "\",\"data\":{\"battery_voltage\":");
    paygo_text_thousandths(text, measured->battery_mv);
    milli_member(text, "battery_current", -(int64_t)measured->battery_ma);
    milli_member(text, "panel_voltage", measured->panel_mv);
    milli_member(text, "panel_current", measured->panel_ma);
    milli_member(text, "panel_power", panel_uw / 1000);
    milli_member(text, "load_current", measured->load_ma);
    milli_member(text, "temperature", (int64_t)measured->temperature_dc * 100);
    milli_member(text, "state_of_charge", paygo_gauge_permille(&firmware->gauge));
    flag_member(text, "output", paygo_firmware_output(firmware));
    flag_member(text, "charging", !firmware->charge_stop.active);
    string_member(text, "load_switch", switch_name(firmware->live.load_switch));
    flag_member(text, "payg_disabled", unit->unlocked);
    if (!unit->unlocked) {
        number_member(text, "active_seconds_left", paygo_unit_seconds_left(unit));
    }
    number_member(text, "token_count", unit->window.count);
    number_member(text, "wrong_entries", unit->wrong_entries);
    number_member(text, "boot", firmware->live.boot);
    number_member(text, "clock", unit->clock);
    string_member(text, "firmware_version", PAYGO_FIRMWARE_VERSION);
    paygo_text_string(text, "}}");
    end(firmware, text);
}

/* H16. */
static void reply_load(const paygo_firmware *firmware, paygo_text *text)
{
    paygo_text_begin(text, "LOAD");
    paygo_text_field(text, switch_name(firmware->live.load_switch));
    paygo_text_field(text, paygo_firmware_output(firmware) ? "ON" : "OFF");
    end(firmware, text);
}

static bool set_load(paygo_firmware *firmware, const char *position, paygo_outputs *outputs)
{
    uint8_t i;
    for (i = PAYGO_SWITCH_AUTO; i <= PAYGO_SWITCH_OFF; i++) {
        if (strcmp(position, switch_name((paygo_switch)i)) == 0) {
            firmware->next = firmware->live;
            firmware->next.load_switch = (paygo_switch)i;
            paygo_firmware_save(firmware, outputs, PAYGO_AFTER_LOAD);
            return true;
        }
    }
    return false;
}

/* H17. */
static void reply_alerts(const paygo_firmware *firmware, paygo_text *text)
{
    uint8_t active = 0;
    uint8_t i;
    for (i = 0; i < PAYGO_ALERTS; i++) {
        if (paygo_firmware_alert(firmware, (paygo_alert)i)) {
            active++;
        }
    }
    paygo_text_begin(text, "ALERTS");
    paygo_text_number_field(text, active);
    for (i = 0; i < PAYGO_ALERTS; i++) {
        const paygo_alert alert = (paygo_alert)i;
        if (paygo_firmware_alert(firmware, alert)) {
            paygo_text_field(text, paygo_alert_name(alert));
            paygo_text_char(text, ',');
            paygo_text_signed(text, paygo_alert_value(firmware, alert));
            paygo_text_char(text, ',');
            paygo_text_string(text, paygo_alert_unit(alert));
        }
    }
    end(firmware, text);
}

static const char *change_name(const paygo_event *event)
{
    return event->raised ? "RAISED" : "CLEARED";
}

/* H18. */
static void reply_log(const paygo_firmware *firmware, paygo_text *text)
{
    uint8_t i;
    paygo_text_begin(text, "LOG");
    paygo_text_number_field(text, firmware->live.event_count);
    for (i = 0; i < firmware->live.event_count; i++) {
        const paygo_event *event = &firmware->live.events[i];
        const paygo_alert alert = (paygo_alert)event->alert;
        paygo_text_number_field(text, event->seq);
        paygo_text_char(text, ',');
        paygo_text_string(text, paygo_alert_name(alert));
        paygo_text_char(text, ',');
        paygo_text_string(text, change_name(event));
        paygo_text_char(text, ',');
        paygo_text_signed(text, event->value);
        paygo_text_char(text, ',');
        paygo_text_string(text, paygo_alert_unit(alert));
        paygo_text_char(text, ',');
        paygo_text_number(text, event->boot);
    }
    end(firmware, text);
}

/* H19. */
static void reply_info(const paygo_firmware *firmware, paygo_text *text)
{
    paygo_text_begin(text, "INFO");
    paygo_text_field(text, firmware->factory.serial);
    paygo_text_field(text, PAYGO_FIRMWARE_MODEL);
    paygo_text_field(text, PAYGO_FIRMWARE_BOARD);
    paygo_text_field(text, PAYGO_FIRMWARE_VERSION);
    paygo_text_number_field(text, firmware->live.unit.window.count);
    paygo_text_number_field(text, firmware->live.boot);
    end(firmware, text);
}

void paygo_send_event(const paygo_firmware *firmware, const paygo_event *event, paygo_text *text)
{
    const paygo_alert alert = (paygo_alert)event->alert;
    paygo_text_begin(text, "ALERT");
    paygo_text_field(text, paygo_alert_name(alert));
    paygo_text_field(text, change_name(event));
    paygo_text_char(text, ';');
    paygo_text_signed(text, event->value);
    paygo_text_field(text, paygo_alert_unit(alert));
    paygo_text_number_field(text, event->boot);
    paygo_text_number_field(text, event->seq);
    end(firmware, text);
}

paygo_event *paygo_oldest_event(paygo_saved *saved)
{
    uint8_t i;
    for (i = 0; i < saved->event_count; i++) {
        if (!saved->events[i].acknowledged) {
            return &saved->events[i];
        }
    }
    return NULL;
}

static void reply_acknowledge(const paygo_firmware *firmware, const paygo_event *event, paygo_text *text)
{
    paygo_text_begin(text, "ACK");
    paygo_text_number_field(text, event->boot);
    paygo_text_number_field(text, event->seq);
    end(firmware, text);
}

/* Whether that event was acknowledged before. Of one that has left the log, no more than its number is known. */
static bool acknowledged_before(const paygo_saved *saved, uint32_t boot, uint32_t seq)
{
    uint8_t i;
    for (i = 0; i < saved->event_count; i++) {
        if (saved->events[i].seq == seq) {
            return saved->events[i].boot == boot && saved->events[i].acknowledged;
        }
    }
    return seq > 0 && seq <= saved->event_seq && boot > 0 && boot <= saved->boot;
}

/* H21. */
static void acknowledge(paygo_firmware *firmware, uint32_t boot, uint32_t seq, paygo_outputs *outputs, paygo_text *text)
{
    paygo_event *event;
    firmware->next = firmware->live;
    event = paygo_oldest_event(&firmware->next);
    firmware->acknowledged.boot = boot;
    firmware->acknowledged.seq = seq;
    if (event != NULL && event->seq == seq && event->boot == boot) {
        event->acknowledged = true;
        paygo_firmware_save(firmware, outputs, PAYGO_AFTER_ACKNOWLEDGE);
    } else if (acknowledged_before(&firmware->live, boot, seq)) {
        reply_acknowledge(firmware, &firmware->acknowledged, text);
    } else {
        reply(firmware, text, "ACK", "UNKNOWN");
    }
}

void paygo_reply_after(const paygo_firmware *firmware, paygo_after after, paygo_text *text)
{
    switch (after) {
    case PAYGO_AFTER_SETUP:
        reply(firmware, text, setup_name(firmware), "OK");
        break;
    case PAYGO_AFTER_CONSOLE_ENTRY:
        reply_entry(firmware, text);
        break;
    case PAYGO_AFTER_LOAD:
        reply_load(firmware, text);
        break;
    case PAYGO_AFTER_ACKNOWLEDGE:
        reply_acknowledge(firmware, &firmware->acknowledged, text);
        break;
    case PAYGO_AFTER_FACTORY:
    case PAYGO_AFTER_KEYPAD_ENTRY:
    case PAYGO_AFTER_NOTHING:
    default:
        break;
    }
}

/* A query: its name, and nothing or one empty field behind it (H1). */
static bool is_query(const char *name, char *fields[], uint8_t count)
{
    return strcmp(fields[0], name) == 0 && (count == 1 || (count == 2 && *fields[1] == '\0'));
}

void paygo_command(paygo_firmware *firmware, char *line, paygo_outputs *outputs, paygo_text *text)
{
    char *fields[SETUP_PLUS_FIELDS];
    const uint8_t count = paygo_console_fields(line, fields, SETUP_PLUS_FIELDS);
    const char *name = fields[0];
    const bool ready = firmware->storage != PAYGO_STORAGE_BLANK;
    bool extended = true; /* H7 */
    uint32_t boot, seq;
    if (strcmp(name, "SETUP+") == 0 && count == SETUP_PLUS_FIELDS) {
        setup(firmware, fields + 1, true, outputs, text);
    } else if (is_query("INFO", fields, count)) {
        reply_info(firmware, text);
    } else if (strcmp(name, "SETUP") == 0 && count == 4 && !ready) {
        setup(firmware, fields + 1, false, outputs, text);
        extended = false;
    } else if (!ready) { /* H9 */
        paygo_reply_invalid(firmware, text);
        extended = false;
    } else if (strcmp(name, "TOKEN") == 0 && count == 2) {
        if (paygo_firmware_enter(firmware, outputs, fields[1], strlen(fields[1]), PAYGO_AFTER_CONSOLE_ENTRY)) {
            reply_entry(firmware, text);
        }
        extended = false;
    } else if (is_query("STATUS", fields, count)) {
        reply_status(firmware, text);
        extended = false;
    } else if (is_query("TELEMETRY", fields, count)) {
        reply_telemetry(firmware, text);
    } else if (is_query("ALERTS", fields, count)) {
        reply_alerts(firmware, text);
    } else if (is_query("LOG", fields, count)) {
        reply_log(firmware, text);
    } else if (firmware->storage == PAYGO_STORAGE_READY && strcmp(name, "LOAD") == 0 && count == 2 &&
               set_load(firmware, fields[1], outputs)) {
        /* the reply follows the write */
    } else if (firmware->storage == PAYGO_STORAGE_READY && strcmp(name, "ACK") == 0 && count == 3 &&
               parse_number(fields[1], UINT32_MAX, &boot) && parse_number(fields[2], UINT32_MAX, &seq)) {
        acknowledge(firmware, boot, seq, outputs, text);
    } else {
        paygo_reply_invalid(firmware, text);
        extended = false;
    }
    if (extended) {
        firmware->extended_host = true;
    }
}
