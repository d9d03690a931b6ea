/* Checks: of console lines (CRC-16/CCITT-FALSE, rule H6) and of stored bytes (CRC-32). */
#ifndef PAYGO_CRC_H
#define PAYGO_CRC_H

#include <stdint.h>

/* Polynomial 0x1021, start 0xFFFF, no reflection: "123456789" gives 0x29B1. */
uint16_t paygo_crc16(const char *text, uint16_t length);

/* How the console writes its highest four bits: an upper-case hexadecimal digit. */
char paygo_crc16_digit(uint16_t crc);

/* The CRC of Ethernet and zip: "123456789" gives 0xCBF43926. */
uint32_t paygo_crc32(const uint8_t *bytes, uint16_t length);

/* The same, byte by byte: they begin with all bits set; paygo_crc32 is the last value with all bits turned. */
uint16_t paygo_crc16_byte(uint16_t crc, uint8_t byte);
uint32_t paygo_crc32_byte(uint32_t crc, uint8_t byte);

#endif
