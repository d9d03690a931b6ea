/* CRC-16/CCITT-FALSE and CRC-32, bit by bit: no tables, since flash is scarcer than time. */
#include "crc.h"

uint16_t paygo_crc16(const char *text, uint16_t length)
{
    uint16_t crc = 0xffff;
    uint16_t i;
    uint8_t bit;
    for (i = 0; i < length; i++) {
        crc = (uint16_t)(crc ^ ((uint16_t)(uint8_t)text[i] << 8));
        for (bit = 0; bit < 8; bit++) {
            crc = (uint16_t)((crc & 0x8000U) != 0 ? ((uint32_t)crc << 1) ^ 0x1021U : (uint32_t)crc << 1);
        }
    }
    return crc;
}

uint32_t paygo_crc32(const uint8_t *bytes, uint16_t length)
{
    uint32_t crc = UINT32_C(0xffffffff);
    uint16_t i;
    uint8_t bit;
    for (i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (bit = 0; bit < 8; bit++) {
            crc = (crc & 1U) != 0 ? (crc >> 1) ^ UINT32_C(0xedb88320) : crc >> 1;
        }
    }
    return ~crc;
}
