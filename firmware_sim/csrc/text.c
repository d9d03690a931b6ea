/* Building console lines. */
#include "text.h"

#include "crc.h"

#define NUMBER_BYTES 6U

/* A character that no check covers. Returns whether it is said now. */
static bool say(paygo_text *text, char character)
{
    if (text->skip > 0) {
        text->skip--;
        return false;
    }
    if (text->length >= text->size) {
        text->cut = true;
        return false;
    }
    text->bytes[text->length] = character;
    text->length++;
    return true;
}

void paygo_text_char(paygo_text *text, char character)
{
    if (say(text, character)) {
        text->crc = paygo_crc16_byte(text->crc, (uint8_t)character);
    }
}

void paygo_text_string(paygo_text *text, const char *string)
{
    while (*string != '\0') {
        paygo_text_char(text, *string);
        string++;
    }
}

void paygo_text_flash(paygo_text *text, const char *string)
{
    char character = paygo_flash_char(string);
    while (character != '\0') {
        paygo_text_char(text, character);
        string++;
        character = paygo_flash_char(string);
    }
}

const char *paygo_text_word(const char *words, uint8_t place)
{
    for (; place > 0; words++) {
        if (paygo_flash_char(words) == '\0') {
            place--;
        }
    }
    return words;
}

/* Divided by ten byte by byte, as on paper: long division would cost more flash than the rest of this file. */
static void say_decimal(paygo_text *text, uint32_t low, uint16_t high, uint8_t decimals)
{
    const uint8_t least = (uint8_t)(decimals > 0 ? decimals + 2U : 1U);
    uint8_t bytes[NUMBER_BYTES];
    char digits[16];
    uint8_t count = 0;
    uint8_t i, left;
    bytes[4] = (uint8_t)(high & 0xffU);
    bytes[5] = (uint8_t)(high >> 8);
    for (i = 0; i < 4U; i++) {
        bytes[i] = (uint8_t)(low & 0xffU);
        low >>= 8;
    }
    i = NUMBER_BYTES;
    do {
        uint16_t rest = 0;
        left = 0;
        while (i > 0) {
            i--;
            rest = (uint16_t)(rest << 8 | bytes[i]);
            bytes[i] = (uint8_t)(rest / 10U);
            rest %= 10U;
            left |= bytes[i];
        }
        i = NUMBER_BYTES;
        digits[count] = (char)('0' + (char)rest);
        count++;
        if (count == decimals) {
            digits[count] = '.';
            count++;
        }
    } while (left > 0 || count < least);
    while (count > 0) {
        count--;
        paygo_text_char(text, digits[count]);
    }
}

void paygo_text_number(paygo_text *text, uint32_t low, uint16_t high)
{
    say_decimal(text, low, high, 0);
}

void paygo_text_signed(paygo_text *text, int32_t number, uint8_t decimals, bool negated)
{
    const bool below = number < 0;
    if (number != 0 && below != negated) {
        paygo_text_char(text, '-');
    }
    say_decimal(text, below ? UINT32_C(0) - (uint32_t)number : (uint32_t)number, 0, decimals);
}

void paygo_text_begin(paygo_text *text)
{
    (void)say(text, '#');
}

void paygo_text_end(paygo_text *text, bool check)
{
    if (check) {
        uint16_t crc = text->crc;
        uint8_t i;
        (void)say(text, '*');
        for (i = 0; i < 4U; i++) {
            const uint8_t digit = (uint8_t)(crc >> 12);
            (void)say(text, (char)(digit < 10U ? '0' + digit : 'A' + digit - 10));
            crc = (uint16_t)(crc << 4);
        }
    }
    (void)say(text, '\r');
    (void)say(text, '\n');
}
