/* CRC-16/CCITT-FALSE and CRC-32, bit by bit: no tables, since flash is scarcer than time. */
#include "crc.h"

uint16_t paygo_crc16_byte(uint16_t crc, uint8_t byte)
{
    uint8_t bit;
    crc = (uint16_t)(crc ^ ((uint16_t)byte << 8));
    for (bit = 0; bit < 8; bit++) {
        crc = (uint16_t)((crc & 0x8000U) != 0 ? ((uint32_t)crc << 1) ^ 0x1021U : (uint32_t)crc << 1);
    }
    return crc;
}

uint16_t paygo_crc16(const char *text, uint16_t length)
{
    uint16_t crc = 0xffff;
    uint16_t i;
    for (i = 0; i < length; i++) {
        crc = paygo_crc16_byte(crc, (uint8_t)text[i]);
    }
    return crc;
}

char paygo_crc16_digit(uint16_t crc)
{
    const uint8_t digit = (uint8_t)(crc >> 12);
    return (char)(digit < 10U ? '0' + digit : 'A' + digit - 10);
}

uint32_t paygo_crc32_byte(uint32_t crc, uint8_t byte)
{
    uint8_t bit;
    crc ^= byte;
    for (bit = 0; bit < 8; bit++) {
        crc = (crc & 1U) != 0 ? (crc >> 1) ^ UINT32_C(0xedb88320) : crc >> 1;
    }
    return crc;
}

uint32_t paygo_crc32(const uint8_t *bytes, uint16_t length)
{
    uint32_t crc = UINT32_C(0xffffffff);
    uint16_t i;
    for (i = 0; i < length; i++) {
        crc = paygo_crc32_byte(crc, bytes[i]);
    }
    return ~crc;
}
