/* Building console lines. */
#include "text.h"

#include "crc.h"

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

/* Divided by ten as 16-bit digits are on paper: 64-bit division would cost more flash than the rest of this file. */
static void say_decimal(paygo_text *text, uint64_t number, uint8_t decimals)
{
    const uint8_t least = (uint8_t)(decimals > 0 ? decimals + 2U : 1U);
    uint32_t high = (uint32_t)(number >> 32);
    uint32_t low = (uint32_t)number;
    char digits[21];
    uint8_t count = 0;
    do {
        const uint32_t upper = (high % 10U) << 16 | low >> 16;
        const uint32_t lower = (upper % 10U) << 16 | (low & 0xffffU);
        high /= 10U;
        low = (upper / 10U) << 16 | lower / 10U;
        digits[count] = (char)('0' + (char)(lower % 10U));
        count++;
        if (count == decimals) {
            digits[count] = '.';
            count++;
        }
    } while ((high | low) > 0 || count < least);
    while (count > 0) {
        count--;
        paygo_text_char(text, digits[count]);
    }
}

void paygo_text_number(paygo_text *text, uint64_t number)
{
    say_decimal(text, number, 0);
}

void paygo_text_signed(paygo_text *text, int32_t number, uint8_t decimals, bool negated)
{
    const bool below = number < 0;
    if (number != 0 && below != negated) {
        paygo_text_char(text, '-');
    }
    say_decimal(text, below ? UINT32_C(0) - (uint32_t)number : (uint32_t)number, decimals);
}

void paygo_text_begin(paygo_text *text)
{
    (void)say(text, '#');
}

void paygo_text_end(paygo_text *text, bool check)
{
    if (check) {
        uint8_t shift = 16;
        (void)say(text, '*');
        while (shift > 0) {
            uint8_t digit;
            shift = (uint8_t)(shift - 4U);
            digit = (uint8_t)((uint32_t)text->crc >> shift & 15U);
            (void)say(text, (char)(digit < 10U ? '0' + digit : 'A' + digit - 10));
        }
    }
    (void)say(text, '\r');
    (void)say(text, '\n');
}
