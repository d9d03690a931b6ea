/* libFuzzer: console bytes to lines and back, beside a line reader that keeps everything; and the checks. */
#include "console.h"
#include "crc.h"
#include "input.h"
#include "text.h"

#include <stdio.h>

#define ESCAPE 0x1b /* in the input: what follows is a silence, in steps of 4 ms */
#define MOST_FIELDS 9U
#define ROOM 600U

/* What came since the last '#', as a reader without limits would know it. */
typedef struct {
    char bytes[8192];
    size_t length;
    bool in_line;
    bool checked;
    uint64_t silence_ms;
} model;

/* H6 once more, a byte at a time. */
static uint16_t check_of(const char *text, size_t length)
{
    uint32_t crc = 0xffffU;
    size_t i;
    for (i = 0; i < length; i++) {
        crc = (crc >> 8 | crc << 8) & 0xffffU;
        crc ^= (uint8_t)text[i];
        crc ^= (crc & 0xffU) >> 4;
        crc = (crc ^ crc << 12) & 0xffffU;
        crc ^= (crc & 0xffU) << 5;
    }
    return (uint16_t)crc;
}

static void check_crcs(const uint8_t *data, size_t size)
{
    uint8_t bytes[4096 + 4];
    uint16_t crc16;
    uint32_t crc32;
    const uint16_t length = (uint16_t)(size < 4096 ? size : 4096);
    uint8_t i;
    memcpy(bytes, data, length);
    crc16 = paygo_crc16((const char *)bytes, length);
    require(length == 0 || (paygo_hex_value((char)bytes[0]) >= 0) ==
                               (bytes[0] != '\0' && strchr("0123456789ABCDEF", bytes[0]) != NULL));
    require(crc16 == check_of((const char *)bytes, length));
    require(paygo_hex_value(paygo_crc16_digit(crc16)) == crc16 >> 12);
    bytes[length] = (uint8_t)(crc16 >> 8);
    bytes[length + 1U] = (uint8_t)(crc16 & 0xffU);
    require(paygo_crc16((const char *)bytes, (uint16_t)(length + 2U)) == 0);
    crc32 = paygo_crc32(bytes, length);
    for (i = 0; i < 4; i++) {
        bytes[length + i] = (uint8_t)(crc32 >> (8U * i));
    }
    crc32 = paygo_crc32(bytes, (uint16_t)(length + 4U));
    if (length > 0) {
        require(paygo_crc16((const char *)bytes, 1) == paygo_crc16_byte(UINT16_MAX, bytes[0]));
        require(paygo_crc32(bytes, 1) == ~paygo_crc32_byte(UINT32_MAX, bytes[0]));
    }
    require(crc32 == UINT32_C(0x2144df1c)); /* the residue of this CRC, whatever the bytes were */
}

/* H2 to H6 for a whole line: what it is, and how long without its check. */
static paygo_console_event expected(model *line, size_t *length)
{
    size_t i;
    char check[8];
    *length = line->length;
    for (i = 0; i < line->length; i++) {
        if (line->bytes[i] < ' ' || line->bytes[i] > '~') {
            return PAYGO_CONSOLE_BAD;
        }
    }
    if (line->length > PAYGO_LINE_MAX) {
        return PAYGO_CONSOLE_BAD;
    }
    if (memchr(line->bytes, '*', line->length) == NULL) {
        return line->checked ? PAYGO_CONSOLE_BAD : PAYGO_CONSOLE_LINE;
    }
    if (line->length < 5) {
        return PAYGO_CONSOLE_BAD;
    }
    *length = line->length - 5;
    (void)snprintf(check, sizeof check, "*%04X", (unsigned)check_of(line->bytes, *length));
    if (memcmp(check, line->bytes + *length, 5) != 0) {
        return PAYGO_CONSOLE_BAD;
    }
    line->checked = true;
    return PAYGO_CONSOLE_LINE;
}

/* A line that is cut into fields, built again from them and sent with a check arrives as it was. */
static void check_round_trip(const paygo_console *heard)
{
    char line[PAYGO_LINE_MAX + 1U];
    char *fields[MOST_FIELDS];
    char sent[ROOM];
    paygo_text text = {NULL, UINT8_MAX, 0, 0, 0, false};
    paygo_console again;
    paygo_console_event event = PAYGO_CONSOLE_NOTHING;
    size_t separators = 0;
    uint16_t i;
    uint8_t count;
    text.bytes = sent;
    memcpy(line, heard->line, heard->length + 1U);
    for (i = 0; i < heard->length; i++) {
        separators += line[i] == ';' ? 1U : 0U;
    }
    count = paygo_console_fields(line, ';', fields, MOST_FIELDS);
    require(count == (separators < MOST_FIELDS ? separators + 1U : MOST_FIELDS + 1U));
    if (count > MOST_FIELDS || heard->length + 5U > PAYGO_LINE_MAX) {
        return;
    }
    paygo_text_begin(&text);
    for (i = 0; i < count; i++) {
        paygo_text_string(&text, i > 0 ? ";" : "");
        paygo_text_string(&text, fields[i]);
    }
    require(text.length == heard->length + 1U);
    paygo_text_end(&text, true);
    memset(&again, 0, sizeof again);
    for (i = 0; i + 1U < text.length; i++) {
        require(event == PAYGO_CONSOLE_NOTHING);
        event = paygo_console_byte(&again, sent[i]);
    }
    require(event == PAYGO_CONSOLE_LINE && again.checked && strcmp(again.line, heard->line) == 0);
}

static void check_event(const paygo_console *console, model *line, paygo_console_event event)
{
    size_t length;
    require(line->in_line && event == expected(line, &length));
    line->in_line = false;
    if (event == PAYGO_CONSOLE_LINE) {
        require(console->length == length && strlen(console->line) == length);
        require(memcmp(console->line, line->bytes, length) == 0);
        check_round_trip(console);
    }
}

static void hear(paygo_console *console, model *line, char byte)
{
    const paygo_console_event event = paygo_console_byte(console, byte);
    line->silence_ms = 0;
    if (byte == '#') {
        line->in_line = true;
        line->length = 0;
    } else if (line->in_line && (byte == '\r' || byte == '\n')) {
        check_event(console, line, event);
        return;
    } else if (line->in_line) {
        line->bytes[line->length] = byte;
        line->length++;
    }
    require(event == PAYGO_CONSOLE_NOTHING);
}

static void be_silent(paygo_console *console, model *line, uint16_t elapsed_ms)
{
    const uint16_t due_ms = paygo_console_due_ms(console);
    const paygo_console_event event = paygo_console_silence(console, elapsed_ms);
    require((due_ms == PAYGO_NEVER_MS) == !line->in_line);
    line->silence_ms += elapsed_ms;
    if (!line->in_line) {
        require(event == PAYGO_CONSOLE_NOTHING);
    } else if (elapsed_ms >= due_ms) {
        require(line->silence_ms >= PAYGO_SHORT_SILENCE_MS);
        check_event(console, line, event);
    } else {
        require(event == PAYGO_CONSOLE_NOTHING && line->silence_ms < PAYGO_SILENCE_MS);
    }
}

static void say_numbers(paygo_text *text, uint32_t number, int32_t narrow)
{
    paygo_text_begin(text);
    paygo_text_string(text, "N;");
    paygo_text_number(text, number, 0, 0);
    paygo_text_char(text, ',');
    paygo_text_number(text, number % 1000U, 0, 0);
    paygo_text_char(text, ',');
    paygo_text_signed(text, narrow, 0, false);
    paygo_text_char(text, ',');
    paygo_text_signed(text, narrow, 3, false);
    paygo_text_char(text, ',');
    paygo_text_signed(text, narrow, 3, true);
    paygo_text_string(text, "behind");
    paygo_text_number(text, number, (uint16_t)(number >> 7), 0);
    paygo_text_string(text, "end");
}

/* Numbers as snprintf writes them, in pieces of any size, of which nothing is touched beyond its end. */
static void check_numbers(uint32_t number, uint8_t size, bool check)
{
    char bytes[ROOM];
    char all[ROOM];
    char whole[ROOM];
    paygo_text text = {NULL, size, 0, 0, 0, true};
    const int32_t narrow = (int32_t)(number & INT32_MAX) - (int32_t)(number >> 31 != 0 ? INT32_MAX : 0);
    const uint32_t magnitude = narrow < 0 ? UINT32_C(0) - (uint32_t)narrow : (uint32_t)narrow;
    uint16_t crc;
    uint16_t at = 0;
    int length;
    text.bytes = bytes;
    length = snprintf(whole, sizeof whole, "#N;%lu,%u,%ld,%s%lu.%03u,%s%lu.%03ubehind%lluend", (unsigned long)number,
                      (unsigned)(number % 1000U), (long)narrow, narrow < 0 ? "-" : "", (unsigned long)(magnitude / 1000U),
                      (unsigned)(magnitude % 1000U), narrow > 0 ? "-" : "", (unsigned long)(magnitude / 1000U),
                      (unsigned)(magnitude % 1000U), (unsigned long long)(uint16_t)(number >> 7) << 32 | number);
    crc = paygo_crc16(whole + 1, (uint16_t)(length - 1));
    if (check) {
        length += snprintf(whole + length, sizeof whole - (size_t)length, "*%04X", (unsigned)crc);
    }
    (void)snprintf(whole + length, sizeof whole - (size_t)length, "\r\n");
    while (text.cut) {
        memset(bytes, '!', sizeof bytes);
        text.skip = at;
        say_numbers(&text, number, narrow);
        paygo_text_end(&text, check);
        require(text.length > 0 && text.length <= size && bytes[size] == '!');
        memcpy(all + at, bytes, text.length);
        at = (uint16_t)(at + text.length);
    }
    require(at == strlen(whole) && memcmp(all, whole, at) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static paygo_console console;
    static model line;
    if (size > 4096) {
        return 0;
    }
    memset(&console, 0, sizeof console);
    memset(&line, 0, sizeof line);
    check_crcs(data, size);
    if (size > 2) {
        const uint8_t *at = data;
        size_t left = size;
        const uint8_t room = (uint8_t)(1U + take(&at, &left, 1) % UINT8_MAX);
        check_numbers((uint32_t)take(&at, &left, 4), room, (room & 1U) != 0);
    }
    while (size > 0) {
        const uint8_t byte = (uint8_t)take(&data, &size, 1);
        if (byte == ESCAPE) {
            const uint32_t steps = (uint32_t)take(&data, &size, 1);
            be_silent(&console, &line, (uint16_t)(steps == 255 ? UINT16_MAX : steps * 4U));
        } else {
            hear(&console, &line, (char)byte);
        }
        require(console.length <= PAYGO_LINE_MAX && console.checked == line.checked);
    }
    return 0;
}
