/* The firmware by itself, as a board links it: checks, the console's limits, a torn journal, and noise. */
#include "commands.h"
#include "crc.h"
#include "check.h"

#include <stdio.h>
#include <string.h>

static const char SETUP[] = "#SETUP+;SLT220000001;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;1;1;0;;\n";
static const char WEEK[] = "#TOKEN;016609796\n";
static const char WRONG[] = "#TOKEN;123456789\n";

/* A board: the firmware, its storage, and the outputs of the last step. */
typedef struct {
    paygo_firmware firmware;
    paygo_inputs inputs;
    paygo_outputs outputs;
    uint8_t image[PAYGO_STORAGE_BYTES];
    char said[4096];
    uint16_t said_length;
    uint32_t writes;
    uint32_t cut_write; /* which write the supply fails in, from 1; 0: none */
    uint16_t cut_byte;
    uint16_t stuck_at;
    uint8_t stuck_low; /* bits of that byte that are 0 for ever */
    bool worn;         /* nothing can be written any more */
    bool powered;
} board;

static uint8_t read_image(void *context, uint16_t offset)
{
    CHECK(offset < PAYGO_STORAGE_BYTES);
    return ((const uint8_t *)context)[offset];
}

/* A worn cell. */
static void stick(board *unit)
{
    unit->image[unit->stuck_at] = (uint8_t)(unit->image[unit->stuck_at] & ~unit->stuck_low);
}

static void store(board *unit)
{
    const paygo_write *write = &unit->outputs.write;
    uint16_t length = write->length;
    CHECK((uint32_t)write->offset + length <= PAYGO_STORAGE_BYTES);
    unit->writes += write->at == 0 ? 1U : 0U;
    if (unit->writes == unit->cut_write && (unit->cut_byte <= write->at + length || write->rest == 0)) {
        const uint16_t left = (uint16_t)(unit->cut_byte > write->at ? unit->cut_byte - write->at : 0);
        length = left < length ? left : length;
        unit->powered = false;
    }
    if (!unit->worn) {
        memcpy(unit->image + write->offset, write->bytes, length);
    }
    stick(unit);
}

static void hear(board *unit)
{
    CHECK(unit->outputs.tx_length <= PAYGO_TX_BYTES);
    if (unit->said_length + unit->outputs.tx_length < sizeof unit->said) {
        memcpy(unit->said + unit->said_length, unit->outputs.tx, unit->outputs.tx_length);
        unit->said_length = (uint16_t)(unit->said_length + unit->outputs.tx_length);
        unit->said[unit->said_length] = '\0';
    }
}

/* One step, and the steps that finish what it began. */
static void run(board *unit, uint32_t world_ms, uint32_t wire_ms, const char *sent)
{
    const char *rest = sent;
    unit->inputs.world_ms = world_ms;
    unit->inputs.wire_ms = wire_ms;
    while (unit->powered) {
        unit->inputs.rx = rest;
        unit->inputs.rx_length = (uint16_t)strlen(rest);
        paygo_firmware_step(&unit->firmware, &unit->inputs, &unit->outputs);
        hear(unit);
        rest += unit->outputs.rx_taken;
        unit->inputs.world_ms = 0;
        unit->inputs.wire_ms = 0;
        unit->inputs.key = 0;
        unit->inputs.write_done = unit->outputs.write.length > 0;
        if (unit->inputs.write_done) {
            store(unit);
        } else if (!unit->outputs.busy && !unit->outputs.walking && (*rest == '\0' || unit->outputs.rx_taken == 0)) {
            break;
        }
    }
    unit->inputs.write_done = false;
}

static const char *ask(board *unit, const char *sent)
{
    unit->said_length = 0;
    unit->said[0] = '\0';
    run(unit, 0, 0, sent);
    return unit->said;
}

static void power_on(board *unit)
{
    memset(&unit->inputs, 0, sizeof unit->inputs);
    unit->inputs.measured.battery_mv = 12500;
    unit->inputs.measured.temperature_dc = 250;
    unit->inputs.storage.read = read_image;
    unit->inputs.storage.context = unit->image;
    unit->powered = true;
    paygo_firmware_boot(&unit->firmware, PAYGO_BOARD_LEGACY, &unit->inputs.storage, 1);
    run(unit, 0, 0, "");
}

static void new_board(board *unit)
{
    memset(unit, 0, sizeof *unit);
    memset(unit->image, 0xff, sizeof unit->image);
    power_on(unit);
}

static void ready_board(board *unit)
{
    new_board(unit);
    CHECK(strcmp(ask(unit, SETUP), "#SETUP+;OK\r\n") == 0);
}

/* How long the record of the factory data is. */
#define FACTORY_RECORD 76U

static void checks_give_the_catalogued_values(void)
{
    static const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
    static const uint8_t zeros[32] = {0};
    CHECK(paygo_crc16("123456789", 9) == 0x29b1); /* H6 */
    CHECK(paygo_crc16("", 0) == 0xffff);
    CHECK(paygo_crc16("A", 1) == 0xb915);
    CHECK(paygo_crc16("STATUS;", 7) == 0xd8f7);
    CHECK(paygo_crc32(digits, 9) == UINT32_C(0xcbf43926));
    CHECK(paygo_crc32(zeros, 0) == 0);
    CHECK(paygo_crc32(zeros, 32) == UINT32_C(0x190a55ad));
}

/* A command of `length` characters. */
static paygo_console_event command_of(paygo_console *console, uint16_t length)
{
    uint16_t i;
    CHECK(paygo_console_byte(console, '#') == PAYGO_CONSOLE_NOTHING);
    for (i = 0; i < length; i++) {
        CHECK(paygo_console_byte(console, 'A') == PAYGO_CONSOLE_NOTHING);
    }
    return paygo_console_byte(console, '\n');
}

static void a_line_has_at_most_128_characters(void)
{
    paygo_console console;
    char *fields[3];
    char line[] = "A;;B;C";
    memset(&console, 0, sizeof console);
    CHECK(command_of(&console, 128) == PAYGO_CONSOLE_LINE); /* H4 */
    CHECK(strlen(console.line) == 128);
    CHECK(command_of(&console, 129) == PAYGO_CONSOLE_BAD);
    CHECK(command_of(&console, 60000) == PAYGO_CONSOLE_BAD);
    CHECK(command_of(&console, 0) == PAYGO_CONSOLE_LINE);
    CHECK(console.length == 0);
    CHECK(paygo_console_byte(&console, '\n') == PAYGO_CONSOLE_NOTHING); /* H5 */
    CHECK(paygo_console_silence(&console, UINT16_MAX) == PAYGO_CONSOLE_NOTHING);
    CHECK(paygo_console_due_ms(&console) == PAYGO_NEVER_MS);
    CHECK(paygo_console_fields(line, ';', fields, 3) == 4);
}

/* Every time that a step can tell of counts, however long; none comes around to a short one. */
static void the_longest_time_is_no_short_one(void)
{
    paygo_gauge gauge = {false, 0, 0};
    paygo_charger charger;
    paygo_light light = {PAYGO_DARK, 0, 0};
    paygo_keypad keypad;
    paygo_console console;
    memset(&keypad, 0, sizeof keypad);
    memset(&console, 0, sizeof console);
    memset(&charger, 0, sizeof charger);
    paygo_charger_begin(&charger, PAYGO_LFP, 18, 0);
    charger.capacity_ah = 1;
    charger.measured.battery_ma = 29000;
    paygo_gauge_update(&gauge, &charger, UINT16_MAX);
    CHECK(paygo_gauge_permille(&gauge, 1) == 527); /* from 0 at 0 V: 29 A for 65.5 s */
    paygo_gauge_update(&gauge, &charger, UINT16_MAX);
    CHECK(paygo_gauge_permille(&gauge, 1) == 1000);
    charger.measured.battery_ma = -29000;
    paygo_gauge_update(&gauge, &charger, UINT16_MAX);
    CHECK(paygo_gauge_permille(&gauge, 1) == 472);
    paygo_gauge_update(&gauge, &charger, UINT16_MAX);
    CHECK(paygo_gauge_permille(&gauge, 1) == 0);
    paygo_light_blink(&light, PAYGO_GREEN, 10);
    paygo_light_update(&light, 3 * PAYGO_BLINK_MS - 1U);
    CHECK(light.blinks == 9);
    CHECK(paygo_light_now(&light) == PAYGO_GREEN);
    paygo_light_update(&light, UINT16_MAX);
    CHECK(paygo_light_now(&light) == PAYGO_DARK);
    (void)paygo_keypad_update(&keypad, '*', 9, 0);
    (void)paygo_keypad_update(&keypad, 0, 9, PAYGO_KEY_TIMEOUT_MS - 1U);
    CHECK(keypad.entering);
    (void)paygo_keypad_update(&keypad, 0, 9, UINT16_MAX);
    CHECK(!keypad.entering);
    CHECK(paygo_console_byte(&console, '#') == PAYGO_CONSOLE_NOTHING);
    CHECK(paygo_console_silence(&console, PAYGO_SILENCE_MS - 1U) == PAYGO_CONSOLE_NOTHING);
    CHECK(paygo_console_silence(&console, UINT16_MAX) == PAYGO_CONSOLE_LINE); /* H2 */
}

static void a_line_is_the_same_in_pieces(void)
{
    char bytes[4];
    char whole[16];
    uint16_t said = 0;
    paygo_text text = {NULL, 3, 0, 0, 0, true};
    text.bytes = bytes;
    bytes[3] = '!';
    while (text.cut) {
        text.skip = said;
        paygo_text_begin(&text);
        paygo_text_string(&text, "STATUS");
        paygo_text_char(&text, ';');
        paygo_text_end(&text, true);
        CHECK(text.length > 0 && text.length <= 3 && bytes[3] == '!');
        CHECK((size_t)said + text.length < sizeof whole);
        memcpy(whole + said, bytes, text.length);
        said = (uint16_t)(said + text.length);
    }
    CHECK(said == 15);
    CHECK(memcmp(whole, "#STATUS;*D8F7\r\n", 15) == 0); /* H6: the check is that of the whole line */
}

static void readings_at_the_ends_of_their_numbers_are_told(void)
{
    static board unit;
    static const int16_t ends[] = {INT16_MIN, INT16_MAX, 0};
    size_t i;
    ready_board(&unit);
    for (i = 0; i < sizeof ends / sizeof ends[0]; i++) { /* H15 */
        unit.inputs.measured.battery_mv = ends[i];
        unit.inputs.measured.battery_ma = ends[i];
        unit.inputs.measured.panel_mv = (uint16_t)ends[i];
        unit.inputs.measured.panel_ma = ends[i];
        unit.inputs.measured.load_ma = ends[i];
        unit.inputs.measured.temperature_dc = ends[i];
        unit.inputs.measured.board_dc = ends[i];
        unit.inputs.measured.battery_peak_mv = (uint16_t)ends[i];
        unit.inputs.measured.panel_peak_mv = (uint16_t)ends[i];
        unit.inputs.measured.output_peak_mv = (uint16_t)ends[i];
        unit.inputs.measured.load_peak_ma = (uint16_t)ends[i];
        run(&unit, 1000, 0, "");
        CHECK(strstr(ask(&unit, "#TELEMETRY;\n"), "}}\r\n") != NULL);
        if (ends[i] == INT16_MIN) {
            CHECK(strstr(unit.said, "\"battery_current\":32.768,") != NULL);
            CHECK(strstr(unit.said, "\"panel_power\":-1073.741,") != NULL);
            CHECK(strstr(unit.said, "\"temperature\":-3276.800,") != NULL);
        }
    }
}

/* H12, T36: the supply fails at every byte of every write of the setup and of an entry. */
static void a_torn_write_leaves_the_state_before_it(void)
{
    static board unit;
    uint32_t write;
    uint16_t cut;
    for (write = 1; write <= 4; write++) {
        for (cut = 0; cut <= PAYGO_FACTORY_BYTES; cut++) {
            bool set_up;
            new_board(&unit);
            unit.cut_write = write;
            unit.cut_byte = cut;
            (void)ask(&unit, SETUP);
            if (unit.powered) {
                (void)ask(&unit, WEEK);
            }
            CHECK(!unit.powered);
            set_up = write > 1 || cut >= FACTORY_RECORD;
            power_on(&unit);
            CHECK(strncmp(ask(&unit, "#INFO;\n"), set_up ? "#INFO;SLT" : "#INFO;;", 7) == 0);
            CHECK((strcmp(ask(&unit, SETUP), "#SETUP+;OK\r\n") == 0) == !set_up);
            (void)ask(&unit, WEEK);
            CHECK(strcmp(unit.said, write == 4 && cut >= PAYGO_SLOT_BYTES
                                        ? "#TOKEN;ALREADY_USED\r\n"
                                        : "#TOKEN;VALID;604800\r\n") == 0);
            CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;ALREADY_USED\r\n") == 0);
        }
    }
}

/* Puts bytes into a stored record and makes its check right, as no firmware of ours would. */
static void forge(uint8_t *record, uint16_t used, uint16_t at, uint32_t value, uint8_t bytes)
{
    uint32_t crc;
    uint8_t i;
    for (i = 0; i < bytes; i++) {
        record[at + i] = (uint8_t)(value >> (8U * i));
    }
    crc = paygo_crc32(record, used);
    for (i = 0; i < 4; i++) {
        record[used + i] = (uint8_t)(crc >> (8U * i));
    }
}

/* Factory data that no setup writes are none: a unit is never built on a divider of 0. */
static void impossible_factory_data_make_a_unit_safe(void)
{
    static const struct {
        uint8_t at, bytes;
        uint32_t value;
    } forged[] = {{61, 4, 0}, {61, 4, 1000000000}, {65, 2, 0}, {67, 2, 0}, {69, 1, 32}, {70, 1, 0}};
    static board unit;
    size_t i;
    ready_board(&unit);
    forge(unit.image, 72, 71, 1, 1);
    power_on(&unit);
    CHECK(unit.firmware.storage == PAYGO_STORAGE_READY);
    CHECK(unit.firmware.factory.config.restricted_digits);
    for (i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        ready_board(&unit);
        forge(unit.image, 72, forged[i].at, forged[i].value, forged[i].bytes);
        power_on(&unit);
        CHECK(unit.firmware.storage == PAYGO_STORAGE_CORRUPT);
        CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;INVALID\r\n") == 0);
        CHECK(!unit.outputs.output);
    }
}

/* A slot that no unit can have stored is passed over for the one before it. */
static void an_impossible_slot_is_none(void)
{
    static const struct {
        uint8_t at;
        uint32_t value;
    } forged[] = {{0, 0}, {19, 1}, {26, 3}, {31, PAYGO_EVENTS + 1U}, {35, 1}, {55, PAYGO_CHEMISTRIES}, {56, 0}, {57, 2}};
    static board unit;
    size_t i;
    for (i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        uint8_t *slot;
        uint32_t boot;
        ready_board(&unit);
        boot = unit.firmware.live.boot;
        power_on(&unit);
        CHECK(unit.firmware.live.boot == boot + 1U);
        slot = unit.image + PAYGO_SLOTS_AT + unit.firmware.journal.slot * PAYGO_SLOT_BYTES;
        forge(slot, PAYGO_SLOT_BYTES - 4U, forged[i].at, forged[i].value, i == 0 ? 4 : 1);
        power_on(&unit);
        CHECK(unit.firmware.storage == PAYGO_STORAGE_READY);
        CHECK(unit.firmware.live.boot == boot + 1U); /* counted on from the slot before */
    }
}

/* A test activation that would be remembered for more than an hour, as no unit has stored it, is so for an hour. */
static void an_impossible_test_is_forgotten_in_an_hour(void)
{
    static board unit;
    uint8_t *slot;
    ready_board(&unit);
    slot = unit.image + PAYGO_SLOTS_AT + unit.firmware.journal.slot * PAYGO_SLOT_BYTES;
    forge(slot, PAYGO_SLOT_BYTES - 4U, 43, 0xffff, 2);
    power_on(&unit);
    CHECK(unit.firmware.storage == PAYGO_STORAGE_READY);
    CHECK(unit.firmware.live.tests[0] > 0 && unit.firmware.live.tests[0] <= PAYGO_TEST_HOUR_S);
    CHECK(unit.firmware.live.tests[1] == 0);
}

static void there_is_no_alert_beyond_the_last(void)
{
    static board unit;
    ready_board(&unit);
    run(&unit, 10000, 0, "");
    unit.inputs.measured.battery_mv = 17000;
    run(&unit, 10000, 0, "");
    CHECK(paygo_firmware_alert(&unit.firmware, PAYGO_ALERT_BATTERY_OVERVOLTAGE)); /* H17 */
    CHECK(!paygo_firmware_alert(&unit.firmware, PAYGO_ALERTS));
}

/* The port does every write that is asked for, as a slow one. */
static void finish(board *unit)
{
    while (unit->outputs.write.length > 0) {
        store(unit);
        unit->inputs.write_done = true;
        paygo_firmware_step(&unit->firmware, &unit->inputs, &unit->outputs);
        unit->inputs.write_done = false;
    }
}

/* H12: writes that take several steps. Nothing is told, and neither credit nor light is there, until all are done. */
static void a_slow_write_holds_everything_back(void)
{
    static board unit;
    uint8_t pieces = 0;
    ready_board(&unit);
    unit.said_length = 0;
    unit.inputs.rx = WEEK;
    unit.inputs.rx_length = (uint16_t)strlen(WEEK);
    paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
    CHECK(unit.outputs.rx_taken == strlen(WEEK));
    unit.inputs.rx = "#STATUS;\n";
    unit.inputs.rx_length = 9;
    unit.inputs.world_ms = 100;
    unit.inputs.wire_ms = 100;
    while (unit.outputs.write.length > 0) {
        const paygo_write write = unit.outputs.write;
        uint8_t i;
        for (i = 0; i < 2; i++) {
            paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
            CHECK(unit.outputs.busy);
            CHECK(unit.outputs.rx_taken == 0); /* H3 */
            CHECK(unit.outputs.tx_length == 0);
            CHECK(unit.outputs.write.length == 0);
            CHECK(!unit.outputs.output);
            CHECK(unit.outputs.blinks == 0);
        }
        unit.outputs.write = write;
        store(&unit);
        pieces++;
        unit.inputs.write_done = true;
        paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
        unit.inputs.write_done = false;
    }
    CHECK(pieces == (PAYGO_SLOT_BYTES + PAYGO_WRITE_BYTES - 1U) / PAYGO_WRITE_BYTES);
    CHECK(unit.outputs.output);
    CHECK(unit.outputs.blinks == 2);
    CHECK(unit.outputs.rx_taken == 0); /* one reply at a time */
    hear(&unit);
    run(&unit, 0, 0, "#STATUS;\n");
    CHECK(strcmp(unit.said, "#TOKEN;VALID;604800\r\n#STATUS;ACTIVE;604799\r\n") == 0);
}

/* H3, H26: while a long walk goes on, the console answers, the keypad listens and a protection trips. */
static void everything_goes_on_while_an_entry_is_judged(void)
{
    static board unit;
    uint16_t steps = 0;
    new_board(&unit);
    CHECK(strcmp(ask(&unit, "#SETUP+;S;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;30000;1;0;;\n"), "#SETUP+;OK\r\n") == 0);
    unit.said_length = 0;
    unit.inputs.rx = "#TOKEN;123456789\n#STATUS;\n#TOKEN;12\n";
    unit.inputs.rx_length = (uint16_t)strlen(unit.inputs.rx);
    unit.inputs.measured.battery_mv = 17000;
    unit.inputs.world_ms = unit.inputs.wire_ms = 10;
    do {
        unit.inputs.key = (char)(steps == 5 ? '#' : 0);
        paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
        hear(&unit);
        unit.inputs.rx += unit.outputs.rx_taken;
        unit.inputs.rx_length = (uint16_t)(unit.inputs.rx_length - unit.outputs.rx_taken);
        unit.inputs.write_done = unit.outputs.write.length > 0; /* of the event that the protection is */
        if (unit.inputs.write_done) {
            store(&unit);
        }
        steps++;
        CHECK(steps != 6 || (unit.outputs.blinking == PAYGO_RED && unit.outputs.blinks == 1));
        CHECK(steps < 110 || unit.firmware.judged_for == PAYGO_AFTER_NOTHING || unit.firmware.charger.law.overvoltage.active != 0);
    } while (unit.firmware.judged_for != PAYGO_AFTER_NOTHING && steps < 10000);
    CHECK(steps > 400 && steps < 600); /* 30 064 counts, 64 at a time */
    CHECK(strncmp(unit.said, "#STATUS;INACTIVE\r\n#ALERT;BATTERY_OVERVOLTAGE;", 45) == 0);
    CHECK(strstr(unit.said, "#TOKEN;") == NULL);
    unit.inputs.world_ms = unit.inputs.wire_ms = 0;
    while (unit.outputs.busy || unit.outputs.walking) {
        unit.inputs.write_done = unit.outputs.write.length > 0;
        if (unit.inputs.write_done) {
            store(&unit);
        }
        paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
        hear(&unit);
    }
    CHECK(strstr(unit.said, "1;1\r\n#TOKEN;INVALID\r\n#TOKEN;INVALID\r\n") != NULL);
    CHECK(unit.firmware.live.unit.wrong_entries == 1);
}

/* H3: time that passes while a reply is said is counted, and the reply is that of one moment. */
static void a_reply_is_of_one_moment(void)
{
    static board unit;
    uint16_t pieces = 0;
    ready_board(&unit);
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;VALID;604800\r\n") == 0);
    unit.said_length = 0;
    unit.inputs.rx = "#TELEMETRY;\n";
    unit.inputs.rx_length = 12;
    do {
        paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
        hear(&unit);
        unit.inputs.rx_length = 0;
        unit.inputs.world_ms = 7000;
        pieces++;
    } while (unit.outputs.tx_length == PAYGO_TX_BYTES);
    CHECK(pieces > 5);
    CHECK(strstr(unit.said, "\"active_seconds_left\":604800,") != NULL);
    CHECK(strstr(unit.said, "}}\r\n") != NULL);
    unit.inputs.world_ms = 0;
    run(&unit, 0, 0, "");
    CHECK(paygo_unit_seconds_left(&unit.firmware.live.unit) == 604800U - 7U * (pieces - 1U));
}

/* H27: a bit that is stuck anywhere moves records to the next place, or ends in a unit without light, never in credit. */
static void stuck_bits_give_nothing(void)
{
    static board unit;
    uint16_t at;
    uint16_t faults = 0;
    for (at = 0; at < PAYGO_STORAGE_BYTES; at++) {
        uint8_t i;
        bool set_up;
        new_board(&unit);
        unit.stuck_at = at;
        unit.stuck_low = 0xff;
        set_up = strcmp(ask(&unit, SETUP), "#SETUP+;OK\r\n") == 0;
        if (!set_up) {
            CHECK(at < PAYGO_FACTORY_BYTES);
            CHECK(strcmp(unit.said, "#SETUP+;ERROR;storage\r\n") == 0);
            power_on(&unit);
            CHECK(strcmp(ask(&unit, WEEK), "#INVALID\r\n") == 0); /* H9: blank */
            faults++;
            continue;
        }
        for (i = 0; i < PAYGO_STATES; i++) {
            (void)ask(&unit, "#LOAD;ON\n");
            CHECK(strcmp(unit.said, "#LOAD;ON;OFF\r\n") == 0);
        }
        CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;VALID;604800\r\n") == 0);
        for (i = 0; i < PAYGO_CLOCKS; i++) {
            run(&unit, 27000, 0, "");
            unit.inputs.measured.battery_mv = i % 2U == 0 ? 17000 : 12500;
            run(&unit, 60000, 0, "");
        }
        CHECK(unit.firmware.storage == PAYGO_STORAGE_READY);
        power_on(&unit);
        CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;ALREADY_USED\r\n") == 0);
        CHECK(paygo_unit_seconds_left(&unit.firmware.live.unit) + 300U >= 604800U - 32U * 87U);
        CHECK(paygo_unit_seconds_left(&unit.firmware.live.unit) <= 604800U - 32U * 87U);
    }
    CHECK(faults > 30); /* the others want a 0 there */
    CHECK(faults < PAYGO_FACTORY_BYTES);
}

/* H27: when no place is left, the answer is no, the light is off, and who the unit is can still be asked. */
static void storage_that_takes_nothing_ends_in_a_fault(void)
{
    static board unit;
    ready_board(&unit);
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;VALID;604800\r\n") == 0);
    CHECK(unit.outputs.output);
    unit.worn = true;
    CHECK(strcmp(ask(&unit, "#LOAD;ON\n"), "#INVALID\r\n") == 0);
    CHECK(!unit.outputs.output);
    CHECK(strcmp(ask(&unit, "#ALERTS;\n"), "#ALERTS;1;STORAGE_FAULT,1,1\r\n") == 0);
    CHECK(strncmp(ask(&unit, "#INFO;\n"), "#INFO;SLT220000001;", 19) == 0);
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;INVALID\r\n") == 0);
    power_on(&unit);
    CHECK(!unit.outputs.output);
    CHECK(strncmp(ask(&unit, "#INFO;\n"), "#INFO;SLT220000001;", 19) == 0);
    unit.worn = false;
    power_on(&unit);
    CHECK(unit.outputs.output); /* what was stored before is what it was */
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;ALREADY_USED\r\n") == 0);
}

/* T36: a flickering supply gives no light: the output is on only after the start is stored. */
static void no_light_before_the_start_is_stored(void)
{
    static board unit;
    static paygo_write write;
    uint8_t i;
    ready_board(&unit);
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;VALID;604800\r\n") == 0);
    CHECK(unit.outputs.output);
    paygo_firmware_boot(&unit.firmware, PAYGO_BOARD_LEGACY, &unit.inputs.storage, 1);
    for (i = 0; i < 5; i++) {
        unit.inputs.world_ms = 1000;
        paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
        write = i == 0 ? unit.outputs.write : write;
        CHECK(unit.outputs.busy);
        CHECK(!unit.outputs.output);
    }
    unit.outputs.write = write;
    finish(&unit);
    CHECK(unit.outputs.output);
}

/*
 * T36: at every moment, also before a write is done, what is stored would wake up with no more credit than there is, and
 * with at most 300 s less.
 */
static void the_stored_clock_is_always_ahead(void)
{
    static board unit;
    static paygo_firmware woken;
    uint32_t step_s;
    for (step_s = 1; step_s <= PAYGO_LONGEST_STEP_MS / 1000U; step_s++) {
        uint32_t i;
        ready_board(&unit);
        CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;VALID;604800\r\n") == 0);
        for (i = 0; i < 2000; i += step_s) {
            uint64_t left;
            unit.inputs.world_ms = step_s * 1000U;
            paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
            left = paygo_unit_seconds_left(&unit.firmware.live.unit);
            paygo_firmware_boot(&woken, PAYGO_BOARD_LEGACY, &unit.inputs.storage, 1);
            CHECK(paygo_unit_seconds_left(&woken.live.unit) <= left);
            CHECK(paygo_unit_seconds_left(&woken.live.unit) + PAYGO_CLOCK_AHEAD_S >= left);
            unit.inputs.world_ms = 0;
            finish(&unit);
        }
    }
}

/* T36: the supply fails 10 000 times right before the clock is stored: no second of light that was not paid. */
static void cuts_just_before_a_save_give_no_light(void)
{
    static board unit;
    uint32_t light = 0;
    uint32_t charged = 0;
    uint16_t count = 0;
    uint16_t cuts;
    ready_board(&unit);
    for (cuts = 0; cuts < 10000; cuts++) {
        if (!paygo_unit_active(&unit.firmware.live.unit)) {
            char line[32] = "#TOKEN;";
            uint32_t token;
            uint8_t place;
            count = (uint16_t)(count + 2U);
            token = (uint32_t)paygo_encode(&unit.firmware.factory.config, PAYGO_STANDARD, count, 7);
            for (place = 16; place > 7; place--) {
                line[place - 1U] = (char)('0' + token % 10U);
                token /= 10U;
            }
            line[16] = '\n';
            CHECK(strcmp(ask(&unit, line), "#TOKEN;VALID;604800\r\n") == 0);
            charged += UINT32_C(604800);
            continue;
        }
        unit.cut_write = unit.writes + 1U;
        unit.cut_byte = 0;
        while (unit.powered && unit.outputs.output) { /* until it is cut, or the credit was over before */
            const uint32_t due_ms = unit.outputs.world_due_ms;
            CHECK(due_ms > 0 && due_ms <= 270000 && due_ms % 1000U == 0);
            run(&unit, due_ms, 0, "");
            light += due_ms / 1000U;
        }
        unit.cut_write = 0;
        power_on(&unit);
        CHECK(light + (uint32_t)paygo_unit_seconds_left(&unit.firmware.live.unit) <= charged);
    }
    CHECK(light >= charged / 10U * 8U); /* 30 s of each 300 are lost: a cut costs as little as can be */
    CHECK(charged >= 5U * UINT32_C(604800));
}

/* A keypad entry that waits for a write is the one that was typed, whatever is pressed meanwhile. */
static void an_entry_that_waits_stays_as_it_was_typed(void)
{
    static board unit;
    static paygo_write write;
    const char *keys = "*016609796*1111";
    ready_board(&unit);
    unit.inputs.rx = WRONG;
    unit.inputs.rx_length = (uint16_t)strlen(WRONG);
    do {
        paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
        unit.inputs.rx_length = 0;
    } while (unit.outputs.walking);
    CHECK(unit.outputs.busy);
    write = unit.outputs.write;
    unit.inputs.rx_length = 0;
    while (*keys != '\0') {
        unit.inputs.key = *keys++;
        paygo_firmware_step(&unit.firmware, &unit.inputs, &unit.outputs);
    }
    unit.inputs.key = 0;
    unit.outputs.write = write;
    finish(&unit);
    run(&unit, 0, 0, "");
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;ALREADY_USED\r\n") == 0);
    CHECK(unit.firmware.live.unit.wrong_entries == 0);
}

/* T35, T36: neither power cycling nor a clock that stands still shortens a wait. */
static void a_wait_survives_any_number_of_starts(void)
{
    static board unit;
    uint8_t i;
    ready_board(&unit);
    for (i = 0; i < 3; i++) {
        (void)ask(&unit, WRONG);
    }
    for (i = 0; i < 100; i++) {
        power_on(&unit);
        CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;WAIT;120\r\n") == 0);
    }
}

/* T36: what was waited before a power cut counts, but for the last minutes. */
static void a_wait_goes_on_after_a_power_cut(void)
{
    static board unit;
    uint32_t waited;
    uint8_t i;
    ready_board(&unit);
    for (i = 0; i < 5; i++) {
        (void)ask(&unit, WRONG);
        for (waited = 0; i < 4 && paygo_unit_wait_left(&unit.firmware.live.unit) > 0; waited++) {
            run(&unit, 1000, 0, "");
        }
    }
    CHECK(paygo_unit_wait_left(&unit.firmware.live.unit) == 480);
    for (waited = 0; waited < 400; waited++) {
        run(&unit, 1000, 0, "");
    }
    CHECK(paygo_unit_wait_left(&unit.firmware.live.unit) == 80);
    power_on(&unit);
    CHECK(paygo_unit_wait_left(&unit.firmware.live.unit) >= 80);
    CHECK(paygo_unit_wait_left(&unit.firmware.live.unit) <= 80 + PAYGO_CLOCK_AHEAD_S);
}

/* H25: the chip is believed to the edge of what it may differ by, and no further. */
static void a_witness_tells_at_its_edges(void)
{
    static const struct {
        uint32_t moved_s;
        bool tampered;
    } rows[] = {{540, false}, {539, true}, {660, false}, {661, true}, {600, false}, {0, true}, {UINT32_MAX - 8U, true}};
    size_t i;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        paygo_witness witness;
        memset(&witness, 0, sizeof witness);
        paygo_witness_update(&witness, 7, 60000); /* nothing to compare with yet */
        paygo_witness_update(&witness, 0, 60000); /* no reading is no evidence */
        paygo_witness_update(&witness, 7, 599);
        CHECK(!witness.tampered);
        paygo_witness_update(&witness, 7U + rows[i].moved_s, 1);
        CHECK(witness.tampered == rows[i].tampered);
        paygo_witness_update(&witness, 6U + rows[i].moved_s, 0); /* one second back is enough */
        CHECK(witness.tampered);
        paygo_witness_update(&witness, 6U + rows[i].moved_s, 599);
        CHECK(witness.tampered);
    }
    {
        paygo_witness witness;
        memset(&witness, 0, sizeof witness);
        witness.last_s = 100; /* as stored */
        paygo_witness_update(&witness, 100, 0);
        CHECK(!witness.tampered);
        paygo_witness_update(&witness, 99, 0);
        CHECK(witness.tampered);
        CHECK(witness.off_s == -1);
        paygo_witness_update(&witness, 699, 600);
        CHECK(!witness.tampered);
        paygo_witness_update(&witness, 700, 60000);
        CHECK(witness.tampered);
        CHECK(witness.off_s < -PAYGO_WITNESS_SLACK_S);
    }
}

/* T36, H25: fifty years after the first start the unit counts, stores and answers as on the first day. */
static void fifty_years_do_not_overflow(void)
{
    static board unit;
    const uint32_t years_50 = UINT32_C(50) * 366U * 86400U;
    ready_board(&unit);
    unit.firmware.live.unit.clock = years_50 - 40U;
    unit.firmware.wakes_at = years_50 - 40U + PAYGO_CLOCK_AHEAD_S;
    unit.inputs.rtc_s = UINT32_MAX - 10000U;
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;VALID;604800\r\n") == 0);
    run(&unit, 30000, 0, "");
    CHECK(strcmp(ask(&unit, "#STATUS;\n"), "#STATUS;ACTIVE;604770\r\n") == 0);
    CHECK(unit.outputs.output);
    run(&unit, 30000, 0, "");
    CHECK(strstr(ask(&unit, "#TELEMETRY;\n"), "\"clock\":1581120020,") != NULL);
    power_on(&unit);
    CHECK(strcmp(ask(&unit, "#STATUS;\n"), "#STATUS;ACTIVE;604500\r\n") == 0);
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;ALREADY_USED\r\n") == 0);
}

/* The step's word on how long a chip may sleep is kept: nothing changes before, and something does then. */
static void nothing_changes_before_it_is_due(void)
{
    static board unit;
    uint32_t slept_ms = 0;
    ready_board(&unit);
    run(&unit, 1000, 0, "");
    CHECK(unit.outputs.world_due_ms == 3600000); /* neither credit nor a clock chip, and it is dark */
    unit.inputs.measured.panel_mv = 15000;
    run(&unit, 1000, 0, "");
    CHECK(unit.outputs.world_due_ms == 60000); /* the stages of a charge */
    unit.inputs.measured.battery_mv = 17000;
    run(&unit, 0, 0, "");
    CHECK(unit.outputs.world_due_ms == 1000); /* H26 */
    run(&unit, 999, 0, "");
    CHECK(unit.outputs.world_due_ms == 1);
    CHECK(unit.firmware.charger.law.overvoltage.active == 0);
    run(&unit, 1, 0, "");
    CHECK(unit.firmware.charger.law.overvoltage.active != 0);
    unit.inputs.measured.battery_mv = 12500;
    run(&unit, 29000, 0, "");
    CHECK(unit.outputs.world_due_ms == 1000); /* while a protection counts */
    CHECK(unit.firmware.charger.law.overvoltage.active != 0);
    run(&unit, 1000, 0, "");
    CHECK(unit.firmware.charger.law.overvoltage.active == 0);
    unit.inputs.measured.panel_mv = 0;
    unit.inputs.measured.battery_mv = 13000;
    run(&unit, 60000, 0, "");
    CHECK(strcmp(ask(&unit, WEEK), "#TOKEN;VALID;604800\r\n") == 0);
    while (paygo_unit_active(&unit.firmware.live.unit) && slept_ms < UINT32_C(700000000)) {
        const uint32_t writes = unit.writes;
        const uint32_t due = unit.outputs.world_due_ms;
        CHECK(due > 0 && due <= 270000); /* T36: the next store of the clock */
        run(&unit, due - 1U, 0, "");
        CHECK(unit.writes == writes);
        CHECK(unit.outputs.output);
        run(&unit, 1, 0, "");
        slept_ms += due;
        CHECK(unit.writes == writes + 1U || !unit.outputs.output);
    }
    CHECK(slept_ms == UINT32_C(604800000));
}

static uint32_t random_state;

static uint32_t random_number(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % below;
}

static int16_t random_reading(void)
{
    switch (random_number(8)) {
    case 0:
        return (int16_t)(INT16_MIN + (int16_t)random_number(2));
    case 1:
        return (int16_t)(INT16_MAX - (int16_t)random_number(2));
    case 2:
        return (int16_t)(16000 + (int16_t)random_number(2000));
    case 3:
        return (int16_t)(11100 - (int16_t)random_number(2000));
    default:
        return (int16_t)(12600 + (int16_t)random_number(600));
    }
}

/* What a host could send: good lines, good lines with a byte changed, and noise. */
static uint16_t random_bytes(char *bytes, uint16_t room)
{
    static const char *const lines[] = {
        "#STATUS;\n", "#STATUS;", "#INFO;\n", "#TELEMETRY;\r\n", "#ALERTS;\n", "#LOG;\n", "#LOAD;OFF\n", "#LOAD;ON\n",
        "#ACK;1;1\n", "#ACK;2;3\n", "#TOKEN;12345\n", "#TOKEN;016609796\n", "#TOKEN;123456789\n", "#TOKEN;552995789\n", "#STATUS;*D8F7\n",
        "#SETUP+;SLT220000001;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;1;1;0;12345;64,100,16\n",
        "#SETUP;S;123456789;a29ab82edc5fbbc41ec9530f6dac86b1\n", "#SETUP+;;;;;;;;\n", "#BATTERY;GEL;40\n", "#BATTERY;LFP;500\n", "#BATTERY;\n", "#ACK;4294967295;4294967295\n",
    };
    uint16_t length;
    uint16_t i;
    if (random_number(4) == 0) {
        length = (uint16_t)random_number(room);
        for (i = 0; i < length; i++) {
            bytes[i] = (char)(uint8_t)random_number(256);
        }
        return length;
    }
    {
        const char *line = lines[random_number((uint32_t)(sizeof lines / sizeof lines[0]))];
        length = (uint16_t)strlen(line);
        memcpy(bytes, line, length);
    }
    if (random_number(3) == 0) {
        bytes[random_number(length)] = (char)(uint8_t)random_number(256);
    }
    return length;
}

/* What holds after every step, whatever came in. */
static void check_outputs(const paygo_firmware *firmware, const paygo_inputs *inputs, const paygo_outputs *outputs)
{
    const bool started = firmware->started && firmware->storage == PAYGO_STORAGE_READY;
    CHECK(outputs->tx_length <= PAYGO_TX_BYTES);
    CHECK(outputs->tx_length == 0 || (outputs->busy && outputs->write.length == 0));
    CHECK(outputs->rx_taken <= inputs->rx_length);
    CHECK((uint32_t)outputs->write.offset + outputs->write.length <= PAYGO_STORAGE_BYTES);
    CHECK(outputs->write.length == 0 || outputs->busy);
    CHECK(!outputs->output || (started && (paygo_unit_active(&firmware->live.unit) || firmware->test_s > 0)));
    CHECK(firmware->test_s <= PAYGO_TEST_S);
    CHECK(!outputs->output || firmware->live.load_switch != PAYGO_SWITCH_OFF);
    CHECK(!outputs->output || !paygo_law_blocks(&firmware->charger.law));
    CHECK(firmware->live.unit.window.floor <= firmware->live.unit.window.count);
    CHECK(firmware->live.event_seq - firmware->live.acked_seq <= PAYGO_EVENTS);
    CHECK(firmware->console.length <= PAYGO_LINE_MAX);
    CHECK(firmware->keypad.length <= PAYGO_MAX_DIGITS);
    CHECK(firmware->charger.capacity_ah >= 1 && firmware->charger.capacity_ah <= PAYGO_BATTERY_AH_MAX);
    CHECK(paygo_gauge_permille(&firmware->gauge, firmware->charger.capacity_ah) >= 0);
    CHECK(paygo_gauge_permille(&firmware->gauge, firmware->charger.capacity_ah) <= 1000);
}

/* Noise on every input, with slow writes and power cuts: bounded outputs, no replay, no credit but what was paid. */
static uint16_t noise_breaks_nothing(uint32_t seed, uint32_t steps)
{
    static const char keys[] = "0123456789*#";
    static board unit;
    uint64_t credit = 0;
    uint16_t count = 0;
    bool ready = false;
    uint8_t write_left = 0;
    uint32_t i;
    random_state = seed;
    new_board(&unit);
    for (i = 0; i < steps; i++) {
        char bytes[300];
        paygo_inputs *inputs = &unit.inputs;
        const uint64_t before = credit;
        if (random_number(500) == 0) {
            const paygo_write *write = &unit.outputs.write;
            if (write_left > 0) { /* torn */
                memcpy(unit.image + write->offset, write->bytes, random_number(write->length + 1U));
            }
            write_left = 0;
            power_on(&unit);
        }
        inputs->rx = bytes;
        inputs->rx_length = random_number(3) == 0 ? random_bytes(bytes, sizeof bytes) : 0;
        /* a write takes no more time than the margin it has */
        inputs->world_ms =
            write_left == 0 && random_number(4) == 0 ? random_number(PAYGO_LONGEST_STEP_MS + 1U) : random_number(100);
        inputs->wire_ms = random_number(1200);
        inputs->key = (char)(random_number(3) == 0 ? keys[random_number(12)] : 0);
        inputs->measured.battery_mv = random_reading();
        inputs->measured.battery_ma = random_reading();
        inputs->measured.panel_mv = (uint16_t)random_reading();
        inputs->measured.panel_ma = random_reading();
        inputs->measured.load_ma = random_reading();
        inputs->measured.temperature_dc = random_reading();
        inputs->rtc_s = random_number(3) == 0 ? random_number(UINT32_MAX) : (uint32_t)unit.firmware.live.unit.clock;
        inputs->write_done = write_left == 1;
        if (write_left == 1) {
            memcpy(unit.image + unit.outputs.write.offset, unit.outputs.write.bytes, unit.outputs.write.length);
        }
        {
            static paygo_write kept;
            kept = unit.outputs.write;
            paygo_firmware_step(&unit.firmware, inputs, &unit.outputs);
            check_outputs(&unit.firmware, inputs, &unit.outputs);
            if (write_left > 0) {
                write_left--;
            }
            if (unit.outputs.write.length > 0) {
                CHECK(write_left == 0);
                write_left = (uint8_t)(1U + random_number(3));
            } else if (write_left > 0) {
                unit.outputs.write = kept; /* still being written */
            }
        }
        ready = ready || unit.firmware.storage == PAYGO_STORAGE_READY;
        CHECK(unit.firmware.storage != PAYGO_STORAGE_CORRUPT);
        CHECK(!ready || unit.firmware.storage == PAYGO_STORAGE_READY);
        credit = unit.firmware.storage == PAYGO_STORAGE_READY ? paygo_unit_seconds_left(&unit.firmware.live.unit) : 0;
        CHECK(credit <= before || unit.firmware.live.unit.window.count != count); /* T11 */
        CHECK(unit.firmware.storage != PAYGO_STORAGE_READY || unit.firmware.live.unit.window.count >= count); /* T17 */
        count = unit.firmware.storage == PAYGO_STORAGE_READY ? unit.firmware.live.unit.window.count : 0;
    }
    CHECK(ready);
    CHECK(unit.firmware.live.event_seq > 0); /* the noise got somewhere */
    CHECK(unit.firmware.live.boot > 5);
    return count;
}

int main(void)
{
    uint32_t seed;
    uint16_t accepted = 0;
    checks_give_the_catalogued_values();
    a_line_has_at_most_128_characters();
    the_longest_time_is_no_short_one();
    a_line_is_the_same_in_pieces();
    readings_at_the_ends_of_their_numbers_are_told();
    impossible_factory_data_make_a_unit_safe();
    an_impossible_slot_is_none();
    an_impossible_test_is_forgotten_in_an_hour();
    there_is_no_alert_beyond_the_last();
    a_torn_write_leaves_the_state_before_it();
    a_slow_write_holds_everything_back();
    a_reply_is_of_one_moment();
    everything_goes_on_while_an_entry_is_judged();
    stuck_bits_give_nothing();
    storage_that_takes_nothing_ends_in_a_fault();
    no_light_before_the_start_is_stored();
    the_stored_clock_is_always_ahead();
    an_entry_that_waits_stays_as_it_was_typed();
    a_wait_survives_any_number_of_starts();
    a_wait_goes_on_after_a_power_cut();
    cuts_just_before_a_save_give_no_light();
    a_witness_tells_at_its_edges();
    fifty_years_do_not_overflow();
    nothing_changes_before_it_is_due();
    for (seed = 1; seed <= 8; seed++) {
        const uint16_t count = noise_breaks_nothing(seed * UINT32_C(2654435761), 50000);
        accepted = (uint16_t)(accepted + (count > 1 ? 1U : 0U));
    }
    CHECK(accepted > 4); /* a noise that sets the unit up with another key never gets a token accepted */
    return failures == 0 ? 0 : 1;
}
