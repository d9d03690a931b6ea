/* The console's commands and replies. */
#include "commands.h"

#include <string.h>

#define SETUP_PLUS_FIELDS 9U

/* A decimal number of 1 to 10 digits, at most `most`. */
static bool parse_number(const char *field, uint32_t most, uint32_t *number)
{
    const char *at = field;
    *number = 0;
    while (*at >= '0' && *at <= '9' && at - field < 10) {
        const uint32_t digit = (uint32_t)(*at - '0');
        if (*number > UINT32_MAX / 10U || *number * 10U > UINT32_MAX - digit) {
            return false;
        }
        *number = *number * 10U + digit;
        at++;
    }
    return at != field && *at == '\0' && *number <= most;
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
        if (!is_letter(field[i]) && !is_digit(field[i]) && field[i] != '_' && !(field[i] >= '-' && field[i] <= '/') &&
            field[i] != ':') {
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

/*
 * Fills the factory data from the fields behind the name. Returns NULL, or the name of the first field that is wrong, in
 * flash.
 */
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
        return PAYGO_IN_FLASH("serial");
    }
    if (strlen(fields[1]) > 9 || !number_between(fields[1], 1, UINT32_C(999999999), &config->starting_code)) {
        return PAYGO_IN_FLASH("starting_code");
    }
    if (!parse_key(fields[2], config->secret_key)) {
        return PAYGO_IN_FLASH("key");
    }
    if (!plus) {
        return NULL;
    }
    if (!parse_number(fields[3], UINT16_MAX, &number)) {
        return PAYGO_IN_FLASH("count");
    }
    factory->count = (uint16_t)number;
    if (!number_between(fields[4], 1, 255, &number)) {
        return PAYGO_IN_FLASH("divider");
    }
    config->time_divider = (uint8_t)number;
    if (strlen(fields[5]) != 1 || !parse_number(fields[5], 1, &number)) {
        return PAYGO_IN_FLASH("restricted");
    }
    config->restricted_digits = number == 1;
    if (!parse_test_code(fields[6], factory->test_code)) {
        return PAYGO_IN_FLASH("test_code");
    }
    return parse_windows(fields[7], config) ? NULL : PAYGO_IN_FLASH("windows");
}

/* H10, H14. The factory data goes first: an interrupted setup leaves a unit without it, or with all of it. */
static void setup(paygo_firmware *firmware, char *fields[], bool plus)
{
    firmware->setup_plus = plus;
    if (firmware->storage == PAYGO_STORAGE_CORRUPT) {
        firmware->wrong_field = PAYGO_IN_FLASH("storage");
    } else if (firmware->storage == PAYGO_STORAGE_READY) {
        firmware->wrong_field = PAYGO_IN_FLASH("provisioned");
    } else {
        firmware->wrong_field = parse_setup(fields, plus, &firmware->factory);
        if (firmware->wrong_field == NULL) {
            paygo_firmware_save(firmware, PAYGO_AFTER_SETUP);
            return;
        }
        memset(&firmware->factory, 0, sizeof firmware->factory);
    }
    firmware->reply = PAYGO_REPLY_SETUP;
}

static void say_setup(const paygo_firmware *firmware, paygo_text *text)
{
    paygo_text_begin(text, PAYGO_IN_FLASH("SETUP"));
    if (firmware->setup_plus) {
        paygo_text_char(text, '+');
    }
    if (firmware->wrong_field == NULL) {
        paygo_text_field(text, PAYGO_IN_FLASH("OK"));
    } else {
        paygo_text_field(text, PAYGO_IN_FLASH("ERROR"));
        paygo_text_field(text, firmware->wrong_field);
    }
}

static void seconds_field(paygo_text *text, uint64_t seconds)
{
    paygo_text_char(text, ';');
    paygo_text_seconds(text, seconds);
}

/* H11. */
static void say_token(const paygo_firmware *firmware, paygo_text *text)
{
    const paygo_answer *answer = &firmware->answer;
    paygo_text_begin(text, PAYGO_IN_FLASH("TOKEN"));
    if (answer->verdict.reason == PAYGO_REASON_WAITING) {
        paygo_text_field(text, PAYGO_IN_FLASH("WAIT"));
        seconds_field(text, answer->wait_seconds);
    } else if (answer->verdict.type == PAYGO_INVALID) {
        paygo_text_field(text, PAYGO_IN_FLASH("INVALID"));
    } else if (answer->verdict.type == PAYGO_ALREADY_USED) {
        paygo_text_field(text, PAYGO_IN_FLASH("ALREADY_USED"));
    } else if (answer->seconds_left == PAYGO_FOR_EVER) {
        paygo_text_field(text, PAYGO_IN_FLASH("PAYG_DISABLED"));
    } else {
        paygo_text_field(text, PAYGO_IN_FLASH("VALID"));
        seconds_field(text, answer->seconds_left);
    }
}

/* H13. */
static void say_status(const paygo_firmware *firmware, paygo_text *text)
{
    const uint64_t left = paygo_unit_seconds_left(&firmware->live.unit);
    paygo_text_begin(text, PAYGO_IN_FLASH("STATUS"));
    if (left == PAYGO_FOR_EVER) {
        paygo_text_field(text, PAYGO_IN_FLASH("PAYG_DISABLED"));
    } else if (left == 0) {
        paygo_text_field(text, PAYGO_IN_FLASH("INACTIVE"));
    } else {
        paygo_text_field(text, PAYGO_IN_FLASH("ACTIVE"));
        seconds_field(text, left);
    }
}

/* In flash. */
static const char *switch_name(paygo_switch position)
{
    switch (position) {
    case PAYGO_SWITCH_ON:
        return PAYGO_IN_FLASH("ON");
    case PAYGO_SWITCH_OFF:
        return PAYGO_IN_FLASH("OFF");
    case PAYGO_SWITCH_AUTO:
    default:
        return PAYGO_IN_FLASH("AUTO");
    }
}

static void member(paygo_text *text, const char *name)
{
    paygo_text_flash(text, PAYGO_IN_FLASH(",\""));
    paygo_text_flash(text, name);
    paygo_text_flash(text, PAYGO_IN_FLASH("\":"));
}

static void milli_member(paygo_text *text, const char *name, int32_t thousandths)
{
    member(text, name);
    paygo_text_thousandths(text, thousandths, false);
}

static void number_member(paygo_text *text, const char *name, uint32_t number)
{
    member(text, name);
    paygo_text_number(text, number);
}

static void flag_member(paygo_text *text, const char *name, bool flag)
{
    member(text, name);
    paygo_text_flash(text, flag ? PAYGO_IN_FLASH("true") : PAYGO_IN_FLASH("false"));
}

static void string_member(paygo_text *text, const char *name, const char *string)
{
    member(text, name);
    paygo_text_char(text, '"');
    paygo_text_flash(text, string);
    paygo_text_char(text, '"');
}

/* Volts and amperes beyond 1000 are taken as 1000, so that their product has room. */
static int32_t within_1000(int32_t thousandths)
{
    const int32_t most = 1000000;
    return thousandths > most ? most : thousandths < -most ? -most : thousandths;
}

/* mW of mV and mA. */
static int32_t power(int32_t mv, int32_t ma)
{
    mv = within_1000(mv);
    ma = within_1000(ma);
    return mv * (ma / 1000) + mv * (ma % 1000) / 1000;
}

static void say_temperature(paygo_text *text, int32_t tenths)
{
    uint32_t size = (uint32_t)tenths;
    member(text, PAYGO_IN_FLASH("temperature"));
    if (tenths < 0) {
        paygo_text_char(text, '-');
        size = UINT32_C(0) - size;
    }
    paygo_text_number(text, size / 10U);
    paygo_text_char(text, '.');
    paygo_text_number(text, size % 10U);
    paygo_text_flash(text, PAYGO_IN_FLASH("00"));
}

/* H15: the simple form of OpenPAYGO Metrics, where a current into the battery is negative. */
static void say_telemetry(const paygo_firmware *firmware, paygo_text *text)
{
    const paygo_measured *measured = &firmware->measured;
    const paygo_unit *unit = &firmware->live.unit;
    paygo_text_begin(text, PAYGO_IN_FLASH("TELEMETRY;{\"serial_number\":\""));
    paygo_text_string(text, firmware->factory.serial);
    paygo_text_flash(text, PAYGO_IN_FLASH("\",\"data\":{\"battery_voltage\":"));
    paygo_text_thousandths(text, measured->battery_mv, false);
    member(text, PAYGO_IN_FLASH("battery_current"));
    paygo_text_thousandths(text, measured->battery_ma, true);
    milli_member(text, PAYGO_IN_FLASH("panel_voltage"), measured->panel_mv);
    milli_member(text, PAYGO_IN_FLASH("panel_current"), measured->panel_ma);
    milli_member(text, PAYGO_IN_FLASH("panel_power"), power(measured->panel_mv, measured->panel_ma));
    milli_member(text, PAYGO_IN_FLASH("load_current"), measured->load_ma);
    say_temperature(text, measured->temperature_dc);
    milli_member(text, PAYGO_IN_FLASH("state_of_charge"), paygo_gauge_permille(&firmware->gauge));
    flag_member(text, PAYGO_IN_FLASH("output"), paygo_firmware_output(firmware));
    flag_member(text, PAYGO_IN_FLASH("charging"), !firmware->charge_stop.active);
    string_member(text, PAYGO_IN_FLASH("load_switch"), switch_name(firmware->live.load_switch));
    flag_member(text, PAYGO_IN_FLASH("payg_disabled"), unit->unlocked);
    if (!unit->unlocked) {
        member(text, PAYGO_IN_FLASH("active_seconds_left"));
        paygo_text_seconds(text, paygo_unit_seconds_left(unit));
    }
    number_member(text, PAYGO_IN_FLASH("token_count"), unit->window.count);
    number_member(text, PAYGO_IN_FLASH("wrong_entries"), unit->wrong_entries);
    number_member(text, PAYGO_IN_FLASH("boot"), firmware->live.boot);
    number_member(text, PAYGO_IN_FLASH("clock"), (uint32_t)unit->clock);
    string_member(text, PAYGO_IN_FLASH("firmware_version"), PAYGO_IN_FLASH(PAYGO_FIRMWARE_VERSION));
    paygo_text_flash(text, PAYGO_IN_FLASH("}}"));
}

/* H16. */
static void say_load(const paygo_firmware *firmware, paygo_text *text)
{
    paygo_text_begin(text, PAYGO_IN_FLASH("LOAD"));
    paygo_text_field(text, switch_name(firmware->live.load_switch));
    paygo_text_field(text, paygo_firmware_output(firmware) ? PAYGO_IN_FLASH("ON") : PAYGO_IN_FLASH("OFF"));
}

/* Whether a text is the one in flash. */
static bool is(const char *text, const char *in_flash)
{
    char expected;
    do {
        expected = paygo_flash_char(in_flash);
        if (*text != expected) {
            return false;
        }
        text++;
        in_flash++;
    } while (expected != '\0');
    return true;
}

static bool set_load(paygo_firmware *firmware, const char *position)
{
    uint8_t i;
    for (i = PAYGO_SWITCH_AUTO; i <= PAYGO_SWITCH_OFF; i++) {
        if (is(position, switch_name((paygo_switch)i))) {
            firmware->next = firmware->live;
            firmware->next.load_switch = (paygo_switch)i;
            paygo_firmware_save(firmware, PAYGO_AFTER_LOAD);
            return true;
        }
    }
    return false;
}

static void say_value(paygo_text *text, int32_t value, paygo_alert alert, char between)
{
    paygo_text_char(text, between);
    paygo_text_signed(text, value);
    paygo_text_char(text, between);
    paygo_text_flash(text, paygo_alert_unit(alert));
}

/* H17. */
static void say_alerts(const paygo_firmware *firmware, paygo_text *text)
{
    uint8_t active = 0;
    uint8_t i;
    for (i = 0; i < PAYGO_ALERTS; i++) {
        active = (uint8_t)(active + (paygo_firmware_alert(firmware, (paygo_alert)i) ? 1U : 0U));
    }
    paygo_text_begin(text, PAYGO_IN_FLASH("ALERTS"));
    paygo_text_number_field(text, active);
    for (i = 0; i < PAYGO_ALERTS; i++) {
        const paygo_alert alert = (paygo_alert)i;
        if (paygo_firmware_alert(firmware, alert)) {
            paygo_text_field(text, paygo_alert_name(alert));
            say_value(text, paygo_alert_value(firmware, alert), alert, ',');
        }
    }
}

/* In flash. */
static const char *change_name(const paygo_event *event)
{
    return event->raised ? PAYGO_IN_FLASH("RAISED") : PAYGO_IN_FLASH("CLEARED");
}

/* The number before the oldest event that may be in the log. */
static uint32_t before_log(const paygo_firmware *firmware)
{
    const uint32_t last = firmware->live.event_seq;
    return last > PAYGO_EVENTS ? last - PAYGO_EVENTS : 0;
}

/* H18. */
static void say_log(const paygo_firmware *firmware, const paygo_reader *storage, paygo_text *text)
{
    const uint32_t before = before_log(firmware);
    const uint32_t last = firmware->live.event_seq;
    paygo_event event;
    uint32_t seq;
    uint8_t readable = 0;
    for (seq = before; seq < last; seq++) {
        readable = (uint8_t)(readable + (paygo_storage_event(storage, seq + 1U, &event) ? 1U : 0U));
    }
    paygo_text_begin(text, PAYGO_IN_FLASH("LOG"));
    paygo_text_number_field(text, readable);
    for (seq = before; seq < last; seq++) {
        if (paygo_storage_event(storage, seq + 1U, &event)) {
            paygo_text_number_field(text, event.seq);
            paygo_text_char(text, ',');
            paygo_text_flash(text, paygo_alert_name((paygo_alert)event.alert));
            paygo_text_char(text, ',');
            paygo_text_flash(text, change_name(&event));
            say_value(text, event.value, (paygo_alert)event.alert, ',');
            paygo_text_char(text, ',');
            paygo_text_number(text, event.boot);
        }
    }
}

/* H19. */
static void say_info(const paygo_firmware *firmware, paygo_text *text)
{
    paygo_text_begin(text, PAYGO_IN_FLASH("INFO;"));
    paygo_text_string(text, firmware->factory.serial);
    paygo_text_field(text, PAYGO_IN_FLASH(PAYGO_FIRMWARE_MODEL));
    paygo_text_field(text, PAYGO_IN_FLASH(PAYGO_FIRMWARE_BOARD));
    paygo_text_field(text, PAYGO_IN_FLASH(PAYGO_FIRMWARE_VERSION));
    paygo_text_number_field(text, firmware->live.unit.window.count);
    paygo_text_number_field(text, firmware->live.boot);
}

/* H20. */
static void say_event(const paygo_event *event, paygo_text *text)
{
    paygo_text_begin(text, PAYGO_IN_FLASH("ALERT"));
    paygo_text_field(text, paygo_alert_name((paygo_alert)event->alert));
    paygo_text_field(text, change_name(event));
    say_value(text, event->value, (paygo_alert)event->alert, ';');
    paygo_text_number_field(text, event->boot);
    paygo_text_number_field(text, event->seq);
}

static void say_acknowledge(const paygo_firmware *firmware, paygo_text *text)
{
    paygo_text_begin(text, PAYGO_IN_FLASH("ACK"));
    if (firmware->acknowledged_seq == 0) {
        paygo_text_field(text, PAYGO_IN_FLASH("UNKNOWN"));
        return;
    }
    paygo_text_number_field(text, firmware->acknowledged_boot);
    paygo_text_number_field(text, firmware->acknowledged_seq);
}

/* Whether that event was acknowledged before. Of one that has left the log, no more than its number is known. */
static bool acknowledged_before(const paygo_firmware *firmware, const paygo_reader *storage, uint32_t boot, uint32_t seq)
{
    const paygo_saved *live = &firmware->live;
    paygo_event event;
    if (seq == 0 || seq > live->acked_seq || boot == 0 || boot > live->boot) {
        return false;
    }
    return seq <= before_log(firmware) || !paygo_storage_event(storage, seq, &event) || event.boot == boot;
}

/* H21. */
static void acknowledge(paygo_firmware *firmware, const paygo_reader *storage, uint32_t boot, uint32_t seq)
{
    paygo_event event;
    firmware->acknowledged_boot = boot;
    firmware->acknowledged_seq = seq;
    if (paygo_firmware_oldest_event(firmware, storage, &event) && event.seq == seq && event.boot == boot) {
        firmware->next = firmware->live;
        firmware->next.acked_seq = seq;
        paygo_firmware_save(firmware, PAYGO_AFTER_ACKNOWLEDGE);
        return;
    }
    if (!acknowledged_before(firmware, storage, boot, seq)) {
        firmware->acknowledged_seq = 0;
    }
    firmware->reply = PAYGO_REPLY_ACKNOWLEDGE;
}

void paygo_say(const paygo_firmware *firmware, const paygo_reader *storage, paygo_text *text)
{
    switch (firmware->reply) {
    case PAYGO_REPLY_NONE:
        return;
    case PAYGO_REPLY_SETUP:
        say_setup(firmware, text);
        break;
    case PAYGO_REPLY_TOKEN:
        say_token(firmware, text);
        break;
    case PAYGO_REPLY_STATUS:
        say_status(firmware, text);
        break;
    case PAYGO_REPLY_TELEMETRY:
        say_telemetry(firmware, text);
        break;
    case PAYGO_REPLY_LOAD:
        say_load(firmware, text);
        break;
    case PAYGO_REPLY_ALERTS:
        say_alerts(firmware, text);
        break;
    case PAYGO_REPLY_LOG:
        say_log(firmware, storage, text);
        break;
    case PAYGO_REPLY_INFO:
        say_info(firmware, text);
        break;
    case PAYGO_REPLY_ACKNOWLEDGE:
        say_acknowledge(firmware, text);
        break;
    case PAYGO_REPLY_EVENT:
        say_event(&firmware->event, text);
        break;
    case PAYGO_REPLY_INVALID:
    default:
        paygo_text_begin(text, PAYGO_IN_FLASH("INVALID"));
        break;
    }
    paygo_text_end(text, firmware->console.checked);
}

bool paygo_is_entry(const char *line)
{
    const char *name = PAYGO_IN_FLASH("TOKEN;");
    while (paygo_flash_char(name) != '\0') {
        if (*line != paygo_flash_char(name)) {
            return false;
        }
        line++;
        name++;
    }
    return true;
}

/* A query: its name, and nothing or one empty field behind it (H1). */
static bool is_query(const char *name, char *fields[], uint8_t count)
{
    return (count == 1 || (count == 2 && *fields[1] == '\0')) && is(fields[0], name);
}

/* Runs a query. Returns what is answered, PAYGO_REPLY_NONE if it is none. */
static paygo_reply query(char *fields[], uint8_t count)
{
    if (is_query(PAYGO_IN_FLASH("STATUS"), fields, count)) {
        return PAYGO_REPLY_STATUS;
    }
    if (is_query(PAYGO_IN_FLASH("TELEMETRY"), fields, count)) {
        return PAYGO_REPLY_TELEMETRY;
    }
    if (is_query(PAYGO_IN_FLASH("ALERTS"), fields, count)) {
        return PAYGO_REPLY_ALERTS;
    }
    if (is_query(PAYGO_IN_FLASH("LOG"), fields, count)) {
        return PAYGO_REPLY_LOG;
    }
    return PAYGO_REPLY_NONE;
}

/* Runs a command that changes something. Returns whether it is one. */
static bool change(paygo_firmware *firmware, const paygo_reader *storage, char *fields[], uint8_t count)
{
    uint32_t boot, seq;
    if (firmware->storage != PAYGO_STORAGE_READY) {
        return false;
    }
    if (count == 2 && is(fields[0], PAYGO_IN_FLASH("LOAD"))) {
        return set_load(firmware, fields[1]);
    }
    if (count == 3 && is(fields[0], PAYGO_IN_FLASH("ACK")) && parse_number(fields[1], UINT32_MAX, &boot) &&
        parse_number(fields[2], UINT32_MAX, &seq)) {
        acknowledge(firmware, storage, boot, seq);
        return true;
    }
    return false;
}

void paygo_command(paygo_firmware *firmware, const paygo_reader *storage, paygo_outputs *outputs)
{
    char *fields[SETUP_PLUS_FIELDS];
    const uint8_t count = paygo_console_fields(firmware->console.line, fields, SETUP_PLUS_FIELDS);
    const bool ready = firmware->storage != PAYGO_STORAGE_BLANK;
    bool extended = true; /* H7 */
    paygo_reply answer;
    if (count == SETUP_PLUS_FIELDS && is(fields[0], PAYGO_IN_FLASH("SETUP+"))) {
        setup(firmware, fields + 1, true);
    } else if (is_query(PAYGO_IN_FLASH("INFO"), fields, count)) {
        firmware->reply = PAYGO_REPLY_INFO;
    } else if (!ready && count == 4 && is(fields[0], PAYGO_IN_FLASH("SETUP"))) {
        setup(firmware, fields + 1, false);
        extended = false;
    } else if (ready && count == 2 && is(fields[0], PAYGO_IN_FLASH("TOKEN"))) {
        if (paygo_firmware_enter(firmware, outputs, fields[1], strlen(fields[1]), PAYGO_AFTER_CONSOLE_ENTRY)) {
            firmware->reply = PAYGO_REPLY_TOKEN;
        }
        extended = false;
    } else {
        answer = ready ? query(fields, count) : PAYGO_REPLY_NONE; /* H9 */
        extended = answer != PAYGO_REPLY_STATUS;
        if (answer != PAYGO_REPLY_NONE) {
            firmware->reply = answer;
        } else if (!ready || !change(firmware, storage, fields, count)) {
            firmware->reply = PAYGO_REPLY_INVALID;
            extended = false;
        }
    }
    if (extended) {
        firmware->extended_host = true;
    }
}
