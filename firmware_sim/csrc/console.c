/* Lines from bytes: bounded, resynchronising at every '#'. */
#include "console.h"

#include "crc.h"

#define CHECK_LENGTH 5U /* '*' and four digits */

int8_t paygo_hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return (int8_t)(digit - '0');
    }
    if (digit >= 'A' && digit <= 'F') {
        return (int8_t)(digit - 'A' + 10);
    }
    return -1;
}

/* H6: whether the line, which has a '*', ends in the right check. */
static bool check_good(const char *line, uint8_t length)
{
    const char *stated;
    uint16_t crc;
    uint8_t i;
    if (length < CHECK_LENGTH) {
        return false;
    }
    stated = line + length - CHECK_LENGTH;
    if (*stated != '*') {
        return false;
    }
    crc = paygo_crc16(line, (uint16_t)(length - CHECK_LENGTH));
    for (i = 1; i < CHECK_LENGTH; i++) {
        if (stated[i] != paygo_crc16_digit(crc)) {
            return false;
        }
        crc = (uint16_t)((uint32_t)crc << 4);
    }
    return true;
}

static bool has_check(const char *line)
{
    while (*line != '\0' && *line != '*') {
        line++;
    }
    return *line == '*';
}

static paygo_console_event complete(paygo_console *console)
{
    console->in_line = false;
    if (console->spoilt) {
        return PAYGO_CONSOLE_BAD;
    }
    console->line[console->length] = '\0';
    if (!has_check(console->line)) {
        return console->checked ? PAYGO_CONSOLE_BAD : PAYGO_CONSOLE_LINE;
    }
    if (!check_good(console->line, console->length)) {
        return PAYGO_CONSOLE_BAD;
    }
    console->checked = true;
    console->length = (uint8_t)(console->length - CHECK_LENGTH);
    console->line[console->length] = '\0';
    return PAYGO_CONSOLE_LINE;
}

paygo_console_event paygo_console_byte(paygo_console *console, char byte)
{
    console->silence_ms = 0;
    if (byte == '#') {
        console->in_line = true;
        console->spoilt = false;
        console->length = 0;
        return PAYGO_CONSOLE_NOTHING;
    }
    if (!console->in_line) {
        return PAYGO_CONSOLE_NOTHING;
    }
    if (byte == '\n' || byte == '\r') {
        return complete(console);
    }
    if (byte < ' ' || byte > '~' || console->length >= PAYGO_LINE_MAX) {
        console->spoilt = true;
        return PAYGO_CONSOLE_NOTHING;
    }
    console->line[console->length] = byte;
    console->length++;
    return PAYGO_CONSOLE_NOTHING;
}

/* H2: a name and one ';' are complete after a short silence. */
static uint16_t silence_needed(const paygo_console *console)
{
    uint8_t name = 0;
    while (name < console->length && console->line[name] != ';') {
        name++;
    }
    return name + 1U == console->length && !console->spoilt ? PAYGO_SHORT_SILENCE_MS : PAYGO_SILENCE_MS;
}

paygo_console_event paygo_console_silence(paygo_console *console, uint16_t elapsed_ms)
{
    if (!console->in_line) {
        return PAYGO_CONSOLE_NOTHING;
    }
    if (elapsed_ms >= paygo_console_due_ms(console)) {
        return complete(console);
    }
    console->silence_ms = (uint16_t)(console->silence_ms + elapsed_ms);
    return PAYGO_CONSOLE_NOTHING;
}

uint16_t paygo_console_due_ms(const paygo_console *console)
{
    if (!console->in_line) {
        return PAYGO_NEVER_MS;
    }
    return (uint16_t)(silence_needed(console) - console->silence_ms);
}

uint8_t paygo_console_fields(char *text, char separator, char *fields[], uint8_t most)
{
    uint8_t count = 0;
    for (;;) {
        if (count == most) {
            return (uint8_t)(most + 1U);
        }
        fields[count] = text;
        count++;
        while (*text != separator) {
            if (*text == '\0') {
                return count;
            }
            text++;
        }
        *text = '\0';
        text++;
    }
}
