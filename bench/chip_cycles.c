/* Runs an AVR's program in simavr: prints "mark N CYCLES" for each write to GPIOR0, "say BYTE" for each to GPIOR1. */
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define GPIOR0 0x3e
#define GPIOR1 0x4a
#define GPIOR2 0x4b

static bool stopped;

static void on_mark(avr_t *avr, avr_io_addr_t address, uint8_t value, void *context)
{
    (void)address;
    (void)context;
    printf("mark %u %llu\n", value, (unsigned long long)avr->cycle);
}

static void on_say(avr_t *avr, avr_io_addr_t address, uint8_t value, void *context)
{
    (void)avr;
    (void)address;
    (void)context;
    printf("say %u\n", value);
}

static void on_stop(avr_t *avr, avr_io_addr_t address, uint8_t value, void *context)
{
    (void)avr;
    (void)address;
    (void)value;
    (void)context;
    stopped = true;
}

int main(int count, char **arguments)
{
    static elf_firmware_t program;
    avr_t *avr = count == 2 ? avr_make_mcu_by_name("atmega328p") : NULL;
    if (avr == NULL || elf_read_firmware(arguments[1], &program) != 0) {
        return 1;
    }
    avr_init(avr);
    avr->log = 0;
    program.frequency = 16000000;
    avr_load_firmware(avr, &program);
    avr_register_io_write(avr, GPIOR0, on_mark, NULL);
    avr_register_io_write(avr, GPIOR1, on_say, NULL);
    avr_register_io_write(avr, GPIOR2, on_stop, NULL);
    while (!stopped) {
        const int state = avr_run(avr);
        if (state == cpu_Done || state == cpu_Crashed) {
            return 1;
        }
    }
    return 0;
}
