/* What the unit says: lines with marks in them that stand for what it knows. */
#include "commands.h"

#include <stddef.h>
#include <string.h>

/*
 * A line is a text in flash in which a mark, '%' and a letter or digit, stands for:
 *
 *     %S  serial number
 *
 *     %a  V at the battery            %A  last count                  %0  "+" of #SETUP+
 *     %b  A out of the battery        %B  wrong entries in a row      %1  field of a setup that is wrong
 *     %c  V of the panel              %C  this start                  %2  operator's switch
 *     %d  A of the panel              %D  s of the unit's clock       %3  whether the output is on, ON or OFF
 *     %e  W of the panel              %E  s of credit                 %4  the same, true or false
 *     %f  A of the load               %F  s that an entry is answered %5  whether the battery may be charged
 *     %g  state of charge                                             %6  whether PAYG is disabled
 *     %h  degrees Celsius             %H  start of the event          %7  alert of the event
 *     %i  value of the event          %I  number of the event         %8  RAISED or CLEARED
 *     %G  Ah of the battery                                           %9  unit of the event's value
 *                                                                     %:  chemistry of the battery
 *                                                                     %;  stage of the charge
 *                                                                     %<  name of the board
 */
#define MARK '%'
#define TELEMETRY \
    "TELEMETRY;{\"serial_number\":\"%S\",\"data\":{\"battery_voltage\":%a,\"battery_current\":%b,\"panel_voltage\":%c" \
    ",\"panel_current\":%d,\"panel_power\":%e,\"load_current\":%f,\"temperature\":%h00,\"state_of_charge\":%g" \
    ",\"output\":%4,\"charging\":%5,\"charge_stage\":\"%;\",\"load_switch\":\"%2\",\"payg_disabled\":%6"
#define TELEMETRY_CREDIT ",\"active_seconds_left\":%E"
#define TELEMETRY_END \
    ",\"token_count\":%A,\"wrong_entries\":%B,\"boot\":%C,\"clock\":%D,\"firmware_version\":\"" PAYGO_FIRMWARE_VERSION "\"}}"

/* %a ... %i, as a whole number. */
static int32_t reading(const paygo_firmware *firmware, const paygo_event *event, char mark)
{
    static const uint8_t places[] PAYGO_FLASH = {
        PAYGO_MEASURED(battery_mv), PAYGO_MEASURED(battery_ma), PAYGO_MEASURED(panel_mv), PAYGO_MEASURED(panel_ma),
        0, /* %e */                 PAYGO_MEASURED(load_ma),    0, /* %g */               PAYGO_MEASURED(temperature_dc),
    };
    const paygo_measured *measured = &firmware->charger.measured;
    if (mark == 'e') {
        return (int32_t)measured->panel_mv * measured->panel_ma / 1000; /* mW */
    }
    if (mark == 'g') {
        return paygo_gauge_permille(&firmware->gauge, firmware->charger.capacity_ah);
    }
    if (mark == 'i') {
        return event->value;
    }
    return paygo_charger_number(measured, paygo_flash_byte(&places[mark - 'a']));
}

/* %A ... %I, without %E and %F. */
static uint32_t number(const paygo_firmware *firmware, const paygo_event *event, char mark)
{
    const paygo_unit *unit = &firmware->live.unit;
    switch (mark) {
    case 'A':
        return unit->window.count;
    case 'B':
        return unit->wrong_entries;
    case 'C':
        return firmware->live.boot;
    case 'D':
        return unit->clock;
    case 'G':
        return firmware->live.capacity_ah;
    case 'H':
        return event->boot;
    default:
        return event->seq;
    }
}

const char *paygo_switch_name(paygo_switch position)
{
    return paygo_text_word(PAYGO_IN_FLASH("AUTO\0ON\0OFF"), (uint8_t)position);
}

const char *paygo_chemistry_name(uint8_t chemistry)
{
    return paygo_text_word(PAYGO_IN_FLASH("FLOODED\0AGM\0GEL\0LFP"), chemistry);
}

/* %0 ... %<, in flash. */
static const char *word(const paygo_firmware *firmware, const paygo_event *event, char mark)
{
    const char *words = PAYGO_IN_FLASH("false\0true");
    uint8_t place;
    switch (mark) {
    case '0':
        words = PAYGO_IN_FLASH("\0+");
        place = firmware->setup_plus;
        break;
    case '1':
        return firmware->wrong_field;
    case '2':
        return paygo_switch_name((paygo_switch)firmware->live.load_switch);
    case '3':
        words = PAYGO_IN_FLASH("OFF\0ON");
        place = paygo_firmware_output(firmware);
        break;
    case '4':
        place = paygo_firmware_output(firmware);
        break;
    case '5':
        place = firmware->charger.law.charge != 0;
        break;
    case '6':
        place = firmware->live.unit.unlocked;
        break;
    case '7':
        return paygo_alert_name((paygo_alert)event->alert);
    case '8':
        words = PAYGO_IN_FLASH("CLEARED\0RAISED");
        place = event->raised;
        break;
    case '9':
        return paygo_alert_unit((paygo_alert)event->alert);
    case ':':
        return paygo_chemistry_name(firmware->live.chemistry);
    case ';':
        words = PAYGO_IN_FLASH("BULK\0ABSORPTION\0FLOAT\0EQUALISE");
        place = (uint8_t)firmware->charger.law.stage;
        break;
    default:
        words = PAYGO_IN_FLASH("legacy\0protected");
        place = firmware->charger.board;
        break;
    }
    return paygo_text_word(words, place);
}

static void say_mark(const paygo_firmware *firmware, const paygo_event *event, char mark, paygo_text *text)
{
    if (mark == 'S') {
        paygo_text_string(text, firmware->factory.serial);
    } else if (mark >= 'a') {
        const uint8_t decimals = mark == 'i' ? 0 : mark == 'h' ? 1 : 3;
        paygo_text_signed(text, reading(firmware, event, mark), decimals, mark == 'b');
    } else if (mark == 'E' || mark == 'F') {
        const paygo_seconds *seconds = mark == 'E' ? &firmware->live.unit.credit : &firmware->answer_seconds;
        paygo_text_number(text, seconds->low, seconds->high);
    } else if (mark >= 'A') {
        paygo_text_number(text, number(firmware, event, mark), 0);
    } else {
        paygo_text_flash(text, word(firmware, event, mark));
    }
}

static void say_line(const paygo_firmware *firmware, const paygo_event *event, const char *line, paygo_text *text)
{
    char character = paygo_flash_char(line);
    while (character != '\0') {
        if (character == MARK) {
            line++;
            say_mark(firmware, event, paygo_flash_char(line), text);
        } else {
            paygo_text_char(text, character);
        }
        line++;
        character = paygo_flash_char(line);
    }
}

/* What each reply begins with, by its paygo_reply, and behind them what some of them begin with in other cases. */
#define LINES \
    "\0INVALID\0SETUP%0;OK\0TOKEN;VALID;%F\0STATUS;ACTIVE;%E\0" TELEMETRY "\0LOAD;%2;%3\0ALERTS;%I\0LOG;%I\0" \
    "INFO;%S;" PAYGO_FIRMWARE_MODEL ";%<;" PAYGO_FIRMWARE_VERSION ";%A;%C\0ACK;%H;%I\0BATTERY;%:;%G\0" \
    "ALERT;%7;%8;%i;%9;%H;%I\0" \
    "SETUP%0;ERROR;%1\0BATTERY;ERROR;%1\0ACK;UNKNOWN\0STATUS;PAYG_DISABLED\0STATUS;INACTIVE\0" \
    "TOKEN;WAIT;%F\0TOKEN;INVALID\0TOKEN;ALREADY_USED\0TOKEN;PAYG_DISABLED"

enum {
    SETUP_ERROR = PAYGO_REPLY_EVENT + 1,
    BATTERY_ERROR,
    UNKNOWN,
    DISABLED,
    INACTIVE,
    TOKEN_WAIT,
    TOKEN_INVALID,
    TOKEN_USED,
    TOKEN_DISABLED
};

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
    if (firmware->live.unit.unlocked) {
        return TOKEN_DISABLED;
    }
    return PAYGO_REPLY_TOKEN;
}

/* Which of the lines firmware->reply begins with. */
static uint8_t line_of(const paygo_firmware *firmware)
{
    uint8_t place = (uint8_t)firmware->reply;
    switch (firmware->reply) {
    case PAYGO_REPLY_TOKEN:
        place = token_line(firmware);
        break;
    case PAYGO_REPLY_SETUP: /* H10, H14 */
        if (firmware->wrong_field != NULL) {
            place = SETUP_ERROR;
        }
        break;
    case PAYGO_REPLY_BATTERY: /* H28 */
        if (firmware->wrong_field != NULL) {
            place = BATTERY_ERROR;
        }
        break;
    case PAYGO_REPLY_ACKNOWLEDGE: /* H21 */
        if (firmware->event.seq == 0) {
            place = UNKNOWN;
        }
        break;
    case PAYGO_REPLY_STATUS: /* H13 */
        if (firmware->live.unit.unlocked) {
            place = DISABLED;
        } else if (!paygo_unit_active(&firmware->live.unit)) {
            place = INACTIVE;
        }
        break;
    default:
        break;
    }
    return place;
}

/* Of alerts and of events there are no more. */
#define LISTED_MOST PAYGO_ALERTS
typedef char all_listed[PAYGO_EVENTS <= LISTED_MOST ? 1 : -1];

/* The i-th alert, if it is active, or the i-th event of the log, if it can be read. */
static bool listed(const paygo_firmware *firmware, const paygo_reader *storage, uint8_t i, paygo_event *event)
{
    const uint32_t seq = paygo_firmware_before_log(firmware) + i + 1U;
    if (firmware->reply == PAYGO_REPLY_LOG) {
        return seq <= firmware->live.event_seq && paygo_storage_event(storage, seq, event);
    }
    event->alert = i;
    event->value = paygo_alert_value(firmware, (paygo_alert)i);
    return paygo_firmware_alert(firmware, (paygo_alert)i);
}

/* Counts the active alerts, or the events of the log, and says each if there is a line for that. Each stands in `event`. */
static uint8_t list(const paygo_firmware *firmware, const paygo_reader *storage, const char *line, paygo_event *event,
                    paygo_text *text)
{
    uint8_t count = 0;
    uint8_t i;
    for (i = 0; i < LISTED_MOST; i++) {
        if (listed(firmware, storage, i, event)) {
            count++;
            if (line != NULL) {
                say_line(firmware, event, line, text);
            }
        }
    }
    return count;
}

void paygo_say(const paygo_firmware *firmware, const paygo_reader *storage, paygo_text *text)
{
    const char *each = firmware->reply == PAYGO_REPLY_LOG      ? PAYGO_IN_FLASH(";%I,%7,%8,%i,%9,%H")
                       : firmware->reply == PAYGO_REPLY_ALERTS ? PAYGO_IN_FLASH(";%7,%i,%9") : NULL;
    paygo_event event = firmware->event;
    if (each != NULL) {
        event.seq = list(firmware, storage, NULL, &event, text);
    }
    paygo_text_begin(text);
    say_line(firmware, &event, paygo_text_word(PAYGO_IN_FLASH(LINES), line_of(firmware)), text);
    if (firmware->reply == PAYGO_REPLY_TELEMETRY) {
        if (!firmware->live.unit.unlocked) {
            say_line(firmware, &event, PAYGO_IN_FLASH(TELEMETRY_CREDIT), text);
        }
        say_line(firmware, &event, PAYGO_IN_FLASH(TELEMETRY_END), text);
    }
    if (each != NULL) {
        (void)list(firmware, storage, each, &event, text);
    }
    paygo_text_end(text, firmware->console.checked);
}
