/* Building console lines. */
#include "text.h"

#include "crc.h"

#include <string.h>

#define CRC_START 0xffffU
#define DIGITS 15U /* of 2^48 */

/* A character that no check covers. */
static void say(paygo_text *text, char character)
{
    if (text->skip > 0) {
        text->skip--;
    } else if (text->length >= text->size) {
        text->cut = true;
    } else {
        text->bytes[text->length] = character;
        text->length++;
    }
}

void paygo_text_char(paygo_text *text, char character)
{
    text->crc = paygo_crc16_byte(text->crc, (uint8_t)character);
    say(text, character);
}

void paygo_text_string(paygo_text *text, const char *string)
{
    while (*string != '\0') {
        paygo_text_char(text, *string);
        string++;
    }
}

/* Bit by bit into decimal digits, the lowest first: division would cost more flash than the rest of this file. */
void paygo_text_number(paygo_text *text, uint32_t low, uint16_t high, uint8_t decimals)
{
    uint8_t digits[DIGITS];
    uint8_t count = (uint8_t)(decimals + 1U);
    uint8_t bit, i;
    memset(digits, 0, sizeof digits);
    for (bit = 0; bit < 48U; bit++) {
        bool carry = (high & 0x8000U) != 0;
        high = (uint16_t)((uint32_t)high << 1);
        if ((low & UINT32_C(0x80000000)) != 0) {
            high |= 1U;
        }
        low <<= 1;
        for (i = 0; i < count; i++) {
            uint8_t digit = (uint8_t)(2U * digits[i] + carry);
            carry = digit > 9U;
            if (carry) {
                digit = (uint8_t)(digit - 10U);
            }
            digits[i] = digit;
        }
        if (carry) {
            digits[count] = 1;
            count++;
        }
    }
    while (count > 0) {
        if (count == decimals) {
            paygo_text_char(text, '.');
        }
        count--;
        paygo_text_char(text, (char)('0' + digits[count]));
    }
}

void paygo_text_signed(paygo_text *text, int32_t number, uint8_t decimals, bool negated)
{
    uint32_t size = (uint32_t)number;
    bool minus = negated;
    if (number < 0) {
        size = UINT32_C(0) - size;
        minus = !minus;
    }
    if (minus && size != 0) {
        paygo_text_char(text, '-');
    }
    paygo_text_number(text, size, 0, decimals);
}

void paygo_text_begin(paygo_text *text)
{
    text->crc = CRC_START;
    text->length = 0;
    text->cut = false;
    say(text, '#');
}

void paygo_text_end(paygo_text *text, bool check)
{
    if (check) {
        uint16_t crc = text->crc;
        uint8_t i;
        say(text, '*');
        for (i = 0; i < 4U; i++) {
            say(text, paygo_crc16_digit(crc));
            crc = (uint16_t)((uint32_t)crc << 4);
        }
    }
    say(text, '\r');
    say(text, '\n');
}
