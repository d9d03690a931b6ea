/* What the unit says: words and lines, with characters in them that stand for what it knows, or for other words. */
#include "commands.h"

#include <stddef.h>
#include <string.h>

/*
 * A character from 0x80 on stands for something: up to 0xa0 for what `facts` has at that place, beyond for the word
 * at that place. Words may hold words, no deeper than DEEPEST.
 */
#define FACTS 0x80U
#define WORDS 0xa1U
#define DEEPEST 2U

#define SERIAL "\x80"
#define BATTERY_VOLTS "\x81"
#define BATTERY_AMPERES "\x82" /* out of the battery */
#define PANEL_VOLTS "\x83"
#define PANEL_AMPERES "\x84"
#define PANEL_WATTS "\x85"
#define LOAD_AMPERES "\x86"
#define CELSIUS "\x87"
#define STATE_OF_CHARGE "\x88"
#define EVENT_VALUE "\x89"
#define LAST_COUNT "\x8a"
#define WRONG_ENTRIES "\x8b"
#define THIS_START "\x8c"
#define CLOCK "\x8d"
#define CREDIT "\x8e"
#define ANSWER_SECONDS "\x8f" /* of credit, or to wait */
#define CAPACITY "\x90"
#define EVENT_START "\x91"
#define EVENT_NUMBER "\x92" /* or how many are listed */
#define PLUS "\x93"
#define WRONG_FIELD "\x94"
#define SWITCH "\x95"
#define ON_OR_OFF "\x96" /* the output */
#define IS_ON "\x97"     /* the same, true or false */
#define CHARGES "\x98"
#define UNLOCKED "\x99"
#define ALERT "\x9a"
#define RAISED "\x9b"
#define UNIT "\x9c"
#define CHEMISTRY "\x9d"
#define STAGE "\x9e"
#define BOARD "\x9f"
#define CREDIT_MEMBER "\xa0"

/* Words, in their order: what lines hold most, the names of commands (commands.h), and what else lines share. */
#define NEXT "\xa2"
#define IS "\xa3"
#define VOLTAGE_IS "\xa4"
#define CURRENT_IS "\xa5"
#define PANEL "\xa6"
#define SETUP "\xa7"
#define TOKEN "\xa8"
#define STATUS "\xa9"
#define LOAD "\xaa"
#define ACK "\xab"
#define BATTERY "\xac"
#define INFO "\xad"
#define TELEMETRY "\xae"
#define ALERTS "\xaf"
#define LOG "\xb0"
#define INVALID "\xb1"
#define DISABLED "\xb2"
#define ERROR "\xb3"
#define BATTERY_NAME "\xb4"
#define OVERVOLTAGE "\xb5"
#define TEMPERATURE "\xb6"
#define FAULT "\xb7"

static const char words[] PAYGO_FLASH =
    "SETUP+\0,\"\0\":\0_voltage\":\0_current\":\0,\"panel\0"
    "SETUP\0TOKEN\0STATUS\0LOAD\0ACK\0BATTERY\0INFO\0TELEMETRY\0ALERTS\0LOG\0"
    "INVALID\0PAYG_DISABLED\0;ERROR;" WRONG_FIELD "\0BATTERY_\0OVERVOLTAGE\0TEMPERATURE\0_FAULT\0"
    /* in the order of their values */
    "OFF\0ON\0" "false\0true\0" "\0+\0" "CLEARED\0RAISED\0" "AUTO\0ON\0OFF\0" "FLOODED\0AGM\0GEL\0LFP\0"
    "BULK\0ABSORPTION\0FLOAT\0EQUALISE\0" "legacy\0protected\0"
    NEXT "active_seconds_left" IS CREDIT "\0\0"
    "\0serial\0starting_code\0key\0count\0divider\0restricted\0test_code\0windows\0storage\0provisioned\0chemistry\0"
    "capacity\0board\0alert\0log\0"
    BATTERY_NAME OVERVOLTAGE "\0" BATTERY_NAME "UNDERVOLTAGE\0STORAGE" FAULT "\0CLOCK_TAMPER\0PANEL_" OVERVOLTAGE "\0OUTPUT_"
    OVERVOLTAGE "\0" BATTERY_NAME "DISCONNECTED\0OVERCURRENT\0SHORT_CIRCUIT\0OVER" TEMPERATURE "\0UNDER" TEMPERATURE "\0"
    "CHARGER" FAULT "\0SENSOR" FAULT "\0" BATTERY_NAME "REPLACED\0" BATTERY_NAME "REFUSED\0"
    "mV\0mV\0" "1\0s\0mV\0mV\0mV\0mA\0mA\0" "C\0" "C\0mA\0mV\0" "Ah\0" "Ah\0"
    /* what each reply is, by its paygo_reply, */
    INVALID "\0"
    SETUP PLUS ";OK\0"
    TOKEN ";VALID;" ANSWER_SECONDS "\0"
    STATUS ";ACTIVE;" CREDIT "\0"
    TELEMETRY ";{\"serial_number" IS "\"" SERIAL "\"" NEXT "data" IS "{\"battery" VOLTAGE_IS BATTERY_VOLTS
    NEXT "battery" CURRENT_IS BATTERY_AMPERES PANEL VOLTAGE_IS PANEL_VOLTS PANEL CURRENT_IS PANEL_AMPERES
    PANEL "_power" IS PANEL_WATTS NEXT "load" CURRENT_IS LOAD_AMPERES NEXT "temperature" IS CELSIUS "00"
    NEXT "state_of_charge" IS STATE_OF_CHARGE NEXT "output" IS IS_ON NEXT "charging" IS CHARGES
    NEXT "charge_stage" IS "\"" STAGE "\"" NEXT "load_switch" IS "\"" SWITCH "\"" NEXT "payg_disabled" IS UNLOCKED
    CREDIT_MEMBER NEXT "token_count" IS LAST_COUNT NEXT "wrong_entries" IS WRONG_ENTRIES NEXT "boot" IS THIS_START
    NEXT "clock" IS CLOCK NEXT "firmware_version" IS "\"" PAYGO_FIRMWARE_VERSION "\"}}\0"
    LOAD ";" SWITCH ";" ON_OR_OFF "\0"
    ALERTS ";" EVENT_NUMBER "\0"
    LOG ";" EVENT_NUMBER "\0"
    INFO ";" SERIAL ";" PAYGO_FIRMWARE_MODEL ";" BOARD ";" PAYGO_FIRMWARE_VERSION ";" LAST_COUNT ";" THIS_START "\0"
    ACK ";" EVENT_START ";" EVENT_NUMBER "\0"
    BATTERY ";" CHEMISTRY ";" CAPACITY "\0"
    "ALERT;" ALERT ";" RAISED ";" EVENT_VALUE ";" UNIT ";" EVENT_START ";" EVENT_NUMBER "\0"
    /* and what some of them are in other cases, */
    SETUP PLUS ERROR "\0"
    BATTERY ERROR "\0"
    ACK ";UNKNOWN\0"
    STATUS ";" DISABLED "\0"
    STATUS ";INACTIVE\0"
    TOKEN ";WAIT;" ANSWER_SECONDS "\0"
    TOKEN ";" INVALID "\0"
    TOKEN ";ALREADY_USED\0"
    TOKEN ";" DISABLED "\0"
    /* and each alert or event that is listed. */
    ";" ALERT "," EVENT_VALUE "," UNIT "\0"
    ";" EVENT_NUMBER "," ALERT "," RAISED "," EVENT_VALUE "," UNIT "," EVENT_START;

enum {
    REPLY_LINES = PAYGO_WORDS_OF_LINES - 1, /* there is none for PAYGO_REPLY_NONE */
    SETUP_ERROR = REPLY_LINES + PAYGO_REPLY_EVENT + 1,
    BATTERY_ERROR,
    ACK_UNKNOWN,
    STATUS_DISABLED,
    STATUS_INACTIVE,
    TOKEN_WAIT,
    TOKEN_INVALID,
    TOKEN_USED,
    TOKEN_DISABLED,
    EACH_ALERT,
    EACH_EVENT
};

/* How a fact is said. */
enum {
    TEXT,
    NUMBER_8,
    NUMBER_16,
    NUMBER_32,
    SECONDS,
    THOUSANDTHS, /* of what is measured */
    TURNED_THOUSANDTHS,
    TENTHS,
    POWER,
    PERMILLE,
    VALUE
    /* beyond: as one of the words from there on */
};

/* Where it is in a paygo_firmware, or of what is measured its place there. A word's number is a byte; 0: the output. */
typedef struct {
    uint16_t at;
    uint8_t as;
} fact;

#define AT(member) offsetof(paygo_firmware, member)

static const fact facts[] PAYGO_FLASH = {
    {AT(factory.serial), TEXT},
    {PAYGO_MEASURED(battery_mv), THOUSANDTHS},
    {PAYGO_MEASURED(battery_ma), TURNED_THOUSANDTHS},
    {PAYGO_MEASURED(panel_mv), THOUSANDTHS},
    {PAYGO_MEASURED(panel_ma), THOUSANDTHS},
    {0, POWER},
    {PAYGO_MEASURED(load_ma), THOUSANDTHS},
    {PAYGO_MEASURED(temperature_dc), TENTHS},
    {0, PERMILLE},
    {0, VALUE},
    {AT(live.unit.window.count), NUMBER_16},
    {AT(live.unit.wrong_entries), NUMBER_8},
    {AT(live.boot), NUMBER_32},
    {AT(live.unit.clock), NUMBER_32},
    {AT(live.unit.credit), SECONDS},
    {AT(answer_seconds), SECONDS},
    {AT(live.capacity_ah), NUMBER_16},
    {AT(event.boot), NUMBER_32},
    {AT(event.seq), NUMBER_32},
    {AT(setup_plus), PAYGO_WORDS_OF_PLUS},
    {AT(wrong_field), PAYGO_WORDS_OF_FIELDS},
    {AT(live.load_switch), PAYGO_WORDS_OF_SWITCH},
    {0, PAYGO_WORDS_OF_OUTPUT},
    {0, PAYGO_WORDS_OF_TRUTH},
    {AT(charger.law.charge), PAYGO_WORDS_OF_TRUTH},
    {AT(live.unit.unlocked), PAYGO_WORDS_OF_TRUTH},
    {AT(event.alert), PAYGO_WORDS_OF_ALERTS},
    {AT(event.raised), PAYGO_WORDS_OF_RAISED},
    {AT(event.alert), PAYGO_WORDS_OF_UNITS},
    {AT(live.chemistry), PAYGO_WORDS_OF_CHEMISTRY},
    {AT(charger.law.stage), PAYGO_WORDS_OF_STAGE},
    {AT(charger.board), PAYGO_WORDS_OF_BOARD},
    {AT(live.unit.unlocked), PAYGO_WORDS_OF_CREDIT},
};

const char *paygo_word(uint8_t place)
{
    const char *word = words;
    for (; place > 0; word++) {
        if (paygo_flash_char(word) == '\0') {
            place--;
        }
    }
    return word;
}

/* As a whole number. */
static int32_t reading(const paygo_firmware *firmware, uint8_t as, uint8_t place)
{
    const paygo_measured *measured = &firmware->charger.measured;
    switch (as) {
    case POWER:
        return (int32_t)measured->panel_mv * measured->panel_ma / 1000; /* mW */
    case PERMILLE:
        return paygo_gauge_permille(&firmware->gauge, firmware->charger.capacity_ah);
    case VALUE:
        return firmware->event.value;
    default:
        return paygo_charger_number(measured, place);
    }
}

/* Says a fact, or returns the word that says it; 0, which is in no line: it is said. */
static uint8_t say_fact(const paygo_firmware *firmware, const fact *told, paygo_text *text)
{
    const uint16_t at = paygo_flash_word(&told->at);
    const uint8_t as = paygo_flash_byte(&told->as);
    const void *from = (const uint8_t *)firmware + at;
    const uint8_t byte = *(const uint8_t *)from;
    if (as == PAYGO_WORDS_OF_TRUTH || as == PAYGO_WORDS_OF_OUTPUT) {
        return (uint8_t)(as + (at == 0 ? paygo_firmware_output(firmware) : byte != 0));
    }
    if (as > VALUE) {
        return (uint8_t)(as + byte);
    }
    if (as >= THOUSANDTHS) {
        const uint8_t decimals = as == VALUE ? 0 : as == TENTHS ? 1 : 3;
        paygo_text_signed(text, reading(firmware, as, (uint8_t)at), decimals, as == TURNED_THOUSANDTHS);
    } else if (as == TEXT) {
        paygo_text_string(text, from);
    } else {
        const uint16_t high = as == SECONDS ? ((const paygo_seconds *)from)->high : 0;
        const uint32_t low = as == NUMBER_8 ? byte : as == NUMBER_16 ? *(const uint16_t *)from : *(const uint32_t *)from;
        paygo_text_number(text, low, high, 0);
    }
    return 0;
}

static void say_line(const paygo_firmware *firmware, uint8_t place, paygo_text *text)
{
    const char *rest[DEEPEST];
    const char *line = paygo_word(place);
    uint8_t depth = 0;
    while (!text->cut) {
        const uint8_t character = (uint8_t)paygo_flash_char(line);
        line++;
        if (character == '\0') {
            if (depth == 0) {
                return;
            }
            depth--;
            line = rest[depth];
        } else if (character < FACTS) {
            paygo_text_char(text, (char)character);
        } else {
            const uint8_t word = character < WORDS ? say_fact(firmware, &facts[character - FACTS], text)
                                                   : (uint8_t)(character - WORDS);
            if (word != 0) {
                rest[depth] = line;
                depth++;
                line = paygo_word(word);
            }
        }
    }
}

/* H11. */
static uint8_t token_line(const paygo_firmware *firmware)
{
    if (firmware->answer_reason == PAYGO_REASON_WAITING) {
        return TOKEN_WAIT;
    }
    if (firmware->answer_type == PAYGO_INVALID) {
        return TOKEN_INVALID;
    }
    if (firmware->answer_type == PAYGO_ALREADY_USED) {
        return TOKEN_USED;
    }
    return firmware->live.unit.unlocked ? TOKEN_DISABLED : REPLY_LINES + PAYGO_REPLY_TOKEN;
}

/* What firmware->reply is. */
static uint8_t line_of(const paygo_firmware *firmware)
{
    const uint8_t line = (uint8_t)(REPLY_LINES + firmware->reply);
    switch (firmware->reply) {
    case PAYGO_REPLY_TOKEN:
        return token_line(firmware);
    case PAYGO_REPLY_SETUP: /* H10, H14 */
        return firmware->wrong_field != 0 ? SETUP_ERROR : line;
    case PAYGO_REPLY_BATTERY: /* H28 */
        return firmware->wrong_field != 0 ? BATTERY_ERROR : line;
    case PAYGO_REPLY_ACKNOWLEDGE: /* H21 */
        return firmware->event.seq == 0 ? ACK_UNKNOWN : line;
    case PAYGO_REPLY_STATUS: /* H13 */
        if (firmware->live.unit.unlocked) {
            return STATUS_DISABLED;
        }
        return paygo_unit_active(&firmware->live.unit) ? line : STATUS_INACTIVE;
    default:
        return line;
    }
}

/* Of alerts and of events there are no more. */
#define LISTED_MOST PAYGO_ALERTS
typedef char all_listed[PAYGO_EVENTS <= LISTED_MOST ? 1 : -1];

/*
 * Counts the active alerts, or the events of the log that can be read, and says each if there is a line for that. Each
 * stands in firmware->event, which nothing else needs while one of these replies is said.
 */
static uint8_t list(paygo_firmware *firmware, const paygo_reader *storage, uint8_t line, paygo_text *text)
{
    uint32_t seq = firmware->live.event_seq - PAYGO_EVENTS; /* below 0 if there are fewer; none is number 0 */
    paygo_event *event = &firmware->event;
    uint8_t count = 0;
    uint8_t i;
    for (i = 0; i < LISTED_MOST; i++) {
        bool listed;
        if (firmware->reply == PAYGO_REPLY_LOG) {
            seq++;
            listed = seq <= firmware->live.event_seq && paygo_storage_event(storage, seq, event);
        } else {
            event->alert = i;
            event->value = paygo_alert_value(firmware, (paygo_alert)i);
            listed = paygo_firmware_alert(firmware, (paygo_alert)i);
        }
        if (listed) {
            count++;
            if (line != 0) {
                say_line(firmware, line, text);
            }
        }
    }
    return count;
}

void paygo_say(paygo_firmware *firmware, const paygo_reader *storage, paygo_text *text)
{
    const uint8_t each = firmware->reply == PAYGO_REPLY_LOG      ? EACH_EVENT
                         : firmware->reply == PAYGO_REPLY_ALERTS ? EACH_ALERT : 0;
    if (each != 0) {
        firmware->event.seq = list(firmware, storage, 0, text);
    }
    paygo_text_begin(text);
    say_line(firmware, line_of(firmware), text);
    if (each != 0) {
        (void)list(firmware, storage, each, text);
    }
    paygo_text_end(text, firmware->console.checked);
}
