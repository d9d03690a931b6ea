/* Building console lines. */
#include "text.h"

#include "crc.h"

void paygo_text_char(paygo_text *text, char character)
{
    if (text->length < text->size) {
        text->bytes[text->length] = character;
        text->length++;
    }
}

void paygo_text_string(paygo_text *text, const char *string)
{
    while (*string != '\0') {
        paygo_text_char(text, *string);
        string++;
    }
}

void paygo_text_number(paygo_text *text, uint64_t number)
{
    char digits[20];
    uint8_t count = 0;
    do {
        digits[count] = (char)('0' + (char)(number % 10U));
        number /= 10U;
        count++;
    } while (number > 0);
    while (count > 0) {
        count--;
        paygo_text_char(text, digits[count]);
    }
}

static uint64_t magnitude(paygo_text *text, int64_t number)
{
    if (number >= 0) {
        return (uint64_t)number;
    }
    paygo_text_char(text, '-');
    return UINT64_C(0) - (uint64_t)number;
}

void paygo_text_signed(paygo_text *text, int32_t number)
{
    paygo_text_number(text, magnitude(text, number));
}

void paygo_text_thousandths(paygo_text *text, int64_t number)
{
    const uint64_t size = magnitude(text, number);
    const uint16_t rest = (uint16_t)(size % 1000U);
    paygo_text_number(text, size / 1000U);
    paygo_text_char(text, '.');
    paygo_text_char(text, (char)('0' + (char)(rest / 100U)));
    paygo_text_char(text, (char)('0' + (char)(rest / 10U % 10U)));
    paygo_text_char(text, (char)('0' + (char)(rest % 10U)));
}

void paygo_text_begin(paygo_text *text, const char *word)
{
    text->line = text->length;
    paygo_text_char(text, '#');
    paygo_text_string(text, word);
}

void paygo_text_field(paygo_text *text, const char *field)
{
    paygo_text_char(text, ';');
    paygo_text_string(text, field);
}

void paygo_text_number_field(paygo_text *text, uint64_t number)
{
    paygo_text_char(text, ';');
    paygo_text_number(text, number);
}

void paygo_text_end(paygo_text *text, bool check)
{
    if (check && text->length > text->line) { /* otherwise not even the '#' fitted */
        static const char hex[] = "0123456789ABCDEF";
        const uint16_t from = (uint16_t)(text->line + 1U);
        const uint16_t crc = paygo_crc16(text->bytes + from, (uint16_t)(text->length - from));
        paygo_text_char(text, '*');
        paygo_text_char(text, hex[crc >> 12]);
        paygo_text_char(text, hex[(crc >> 8) & 15U]);
        paygo_text_char(text, hex[(crc >> 4) & 15U]);
        paygo_text_char(text, hex[crc & 15U]);
    }
    paygo_text_string(text, "\r\n");
}
