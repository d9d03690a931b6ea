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

/* At least so many digits. */
static void say_number(paygo_text *text, uint32_t number, uint8_t least)
{
    char digits[10];
    uint8_t count = 0;
    do {
        digits[count] = (char)('0' + (char)(number % 10U));
        number /= 10U;
        count++;
    } while (number > 0 || count < least);
    while (count > 0) {
        count--;
        paygo_text_char(text, digits[count]);
    }
}

void paygo_text_number(paygo_text *text, uint32_t number)
{
    say_number(text, number, 1);
}

void paygo_text_seconds(paygo_text *text, uint64_t seconds)
{
    const uint32_t most = UINT32_C(1000000000);
    uint32_t above = 0;
    while (seconds >= most) {
        seconds -= most;
        above++;
    }
    if (above > 0) {
        paygo_text_number(text, above);
    }
    say_number(text, (uint32_t)seconds, above > 0 ? 9 : 1);
}

/* Says the sign. Returns the rest. */
static uint32_t magnitude(paygo_text *text, int32_t number, bool negated)
{
    const bool below = number < 0;
    if (number != 0 && below != negated) {
        paygo_text_char(text, '-');
    }
    return below ? UINT32_C(0) - (uint32_t)number : (uint32_t)number;
}

void paygo_text_signed(paygo_text *text, int32_t number)
{
    paygo_text_number(text, magnitude(text, number, false));
}

void paygo_text_thousandths(paygo_text *text, int32_t number, bool negated)
{
    const uint32_t size = magnitude(text, number, negated);
    paygo_text_number(text, size / 1000U);
    paygo_text_char(text, '.');
    say_number(text, size % 1000U, 3);
}

void paygo_text_begin(paygo_text *text, const char *word)
{
    (void)say(text, '#');
    paygo_text_flash(text, word);
}

void paygo_text_field(paygo_text *text, const char *field)
{
    paygo_text_char(text, ';');
    paygo_text_flash(text, field);
}

void paygo_text_number_field(paygo_text *text, uint32_t number)
{
    paygo_text_char(text, ';');
    paygo_text_number(text, number);
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
