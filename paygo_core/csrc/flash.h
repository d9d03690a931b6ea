/*
 * Constants stay in flash on chips that would otherwise hold a copy of them in RAM (AVR). What points to such a constant
 * is for the functions below only, and for the firmware's paygo_word.
 */
#ifndef PAYGO_FLASH_H
#define PAYGO_FLASH_H

#ifdef __AVR__
#include <avr/pgmspace.h>
#define PAYGO_FLASH PROGMEM
#define PAYGO_IN_FLASH(text) PSTR(text)
#define paygo_flash_char(at) ((char)pgm_read_byte(at))
#define paygo_flash_byte(at) ((uint8_t)pgm_read_byte(at))
#define paygo_flash_word(at) ((uint16_t)pgm_read_word(at))
#else
#define PAYGO_FLASH
#define PAYGO_IN_FLASH(text) (text)
#define paygo_flash_char(at) (*(at))
#define paygo_flash_byte(at) (*(at))
#define paygo_flash_word(at) (*(at))
#endif

#endif
