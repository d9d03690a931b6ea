/* Tokens as text, in either digit set. */
#include "digits.h"

uint8_t paygo_digits_length(paygo_form form, bool restricted)
{
    (void)form;
    if (restricted) {
        return PAYGO_IS_EXTENDED(form) ? 20 : 15;
    }
    return PAYGO_FORM(form);
}

uint8_t paygo_digits_write(paygo_form form, bool restricted, paygo_code token, char text[PAYGO_MAX_DIGITS])
{
    const uint8_t length = paygo_digits_length(form, restricted);
    uint8_t i = length;
    while (i > 0) {
        i--;
        if (restricted) {
            text[i] = (char)('1' + (char)(token & 3U));
            token >>= 2;
        } else {
            text[i] = (char)('0' + (char)(token % 10U));
            token /= 10U;
        }
    }
    return length;
}

paygo_digits_result paygo_digits_read(paygo_form form, bool restricted, const char *text, size_t length,
                                      paygo_code *token)
{
    const char first = restricted ? '1' : '0';
    const uint8_t largest = restricted ? 3 : 9;
    paygo_code value = 0;
    size_t i;
    if (length != paygo_digits_length(form, restricted)) {
        return PAYGO_DIGITS_LENGTH;
    }
    for (i = 0; i < length; i++) {
        const uint8_t digit = (uint8_t)(text[i] - first);
        paygo_code next = digit;
        uint8_t times;
        if (digit > largest) {
            return PAYGO_DIGITS_SET;
        }
        for (times = 0; times <= largest; times++) { /* multiplied, on a machine that cannot */
            next += value;
        }
        value = next;
    }
    if (value > paygo_largest_code(form)) {
        return PAYGO_DIGITS_RANGE;
    }
    *token = value;
    return PAYGO_DIGITS_TOKEN;
}
