/*
 * An AVR with our firmware in it, run by libsimavr: the rig and the console's wire are pipes.
 *
 *     simavr_host program.elf mcu storage-bytes
 *
 * Requests on standard input: an operation, a length in 2 bytes, so many bytes. Numbers are little-endian.
 *
 *     E  the EEPROM's first bytes, before the start
 *     C  console bytes for the chip
 *     P  a power cut: 1 or 0, whole writes before it (4), bytes of the write that are still written (4)
 *     V  an ADC channel (1) and its mV (2)
 *     F  a frame for the SPI (none: only runs); answered when the chip has sent its last answer
 *     T  microseconds (4); answered when the chip has run for so long
 *
 * A reply on standard output: A answered, X the power failed, D the chip crashed or hangs; writes since the last reply
 * (2), console bytes (2), answers (2), EEPROM bytes (2; 0: unchanged); then these. The program ends with its input.
 */
#include <simavr/avr_adc.h>
#include <simavr/avr_eeprom.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_spi.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define CLOCK_HZ 16000000U
#define READY_PIN 6
#define STORING_PIN 7
#define ANSWER_BYTES 24U
#define FRAME_BYTES 37U
#define LAST 0x80U
#define CYCLES_PER_BYTE 160U                  /* of the SPI: 100 000 bytes a second */
#define LONGEST_RUN (600ULL * CLOCK_HZ)       /* a chip that answers nothing for so long hangs */
#define EECR_ADDRESS 0x3f
#define PORTD_ADDRESS 0x2BU
#define EEPROM_STARTS 6U                      /* EEMPE and EEPE: a byte's write begins */

static avr_t *avr;
static avr_irq_t *spi_in, *uart_in;
static uint32_t storage_bytes;

static uint8_t console[65536];  /* for the chip */
static uint32_t console_length, console_sent;
static bool uart_full;

static uint8_t said[65536];
static uint32_t said_length;

static uint8_t frame[FRAME_BYTES];
static uint32_t frame_length, frame_sent;

static uint8_t answers[64 * ANSWER_BYTES];
static uint32_t answers_length;
static bool ready, answered;

static bool storing, cut_planned, power_failed, stored;
static uint32_t cut_after, cut_at, written, writes;

static void stop(const char *why)
{
    fprintf(stderr, "simavr_host: %s\n", why);
    exit(1);
}

static void on_said(avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)context;
    if (said_length < sizeof said) {
        said[said_length++] = (uint8_t)value;
    }
}

static void on_room(avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)value;
    (void)context;
    uart_full = false;
    while (!uart_full && console_sent < console_length) {
        avr_raise_irq(uart_in, console[console_sent++]);
    }
}

static void on_full(avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)value;
    (void)context;
    uart_full = true;
}

/* The chip's byte of an exchange. */
static void on_spi(avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)context;
    if (ready && answers_length < sizeof answers) {
        answers[answers_length++] = (uint8_t)value;
        if (answers_length % ANSWER_BYTES == 0) {
            answered = (answers[answers_length - ANSWER_BYTES + 1U] & LAST) != 0;
        }
    }
}

/* The rig is the SPI's master: it clocks a frame in, and an answer out while the chip's pin says that one is ready. */
static avr_cycle_count_t on_clock(avr_t *chip, avr_cycle_count_t when, void *context)
{
    (void)chip;
    (void)context;
    if (ready) {
        avr_raise_irq(spi_in, 0);
    } else if (frame_sent < frame_length) {
        avr_raise_irq(spi_in, frame[frame_sent++]);
    } else {
        return 0;
    }
    return when + CYCLES_PER_BYTE;
}

static void start_clock(void)
{
    avr_cycle_timer_register(avr, CYCLES_PER_BYTE, on_clock, NULL);
}

static void on_ready(avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)context;
    ready = value != 0;
    if (ready) {
        start_clock();
    }
}

/* A write begins or ends. */
static void on_storing(avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)context;
    if ((value != 0) == storing) {
        return;
    }
    storing = value != 0;
    if (storing) {
        writes++;
        written = 0;
        power_failed = cut_planned && cut_after == 0 && cut_at == 0;
    } else if (cut_planned) {
        power_failed = cut_after == 0;
        cut_after--;
    }
}

/* A byte is programmed. The power fails behind it if it is the last one that a planned cut leaves. */
static void on_eeprom(avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)context;
    if ((value & EEPROM_STARTS) == EEPROM_STARTS) {
        stored = true;
        written++;
        if (storing && cut_planned && cut_after == 0 && written == cut_at) {
            power_failed = true;
        }
    }
}

/* No sleep is slept: the next event is now. */
static void on_sleep(avr_t *chip, avr_cycle_count_t cycles)
{
    (void)chip;
    (void)cycles;
}

static void quiet(avr_t *chip, const int level, const char *format, va_list arguments)
{
    (void)chip;
    if (level <= LOG_ERROR) {
        vfprintf(stderr, format, arguments);
    }
}

static void make_chip(const char *program, const char *mcu)
{
    elf_firmware_t firmware;
    uint32_t flags = 0;
    avr_global_logger_set(quiet);
    memset(&firmware, 0, sizeof firmware);
    if (elf_read_firmware(program, &firmware) != 0) {
        stop("the program cannot be read");
    }
    avr = avr_make_mcu_by_name(mcu);
    if (avr == NULL) {
        stop("libsimavr does not know this chip");
    }
    avr_init(avr);
    avr->frequency = CLOCK_HZ;
    avr_load_firmware(avr, &firmware);
    avr->frequency = CLOCK_HZ;
    avr->vcc = avr->avcc = avr->aref = 5000;
    avr->sleep = on_sleep;
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    spi_in = avr_io_getirq(avr, AVR_IOCTL_SPI_GETIRQ(0), SPI_IRQ_INPUT);
    if (spi_in == NULL) {
        spi_in = avr_io_getirq(avr, AVR_IOCTL_SPI_GETIRQ('0'), SPI_IRQ_INPUT);
    }
    uart_in = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    if (spi_in == NULL || uart_in == NULL) {
        stop("this chip has no SPI or no UART");
    }
    avr_irq_register_notify(spi_in - SPI_IRQ_INPUT + SPI_IRQ_OUTPUT, on_spi, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_said, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), on_room, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), on_full, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), READY_PIN), on_ready, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), STORING_PIN), on_storing, NULL);
    avr_irq_register_notify(avr_iomem_getirq(avr, EECR_ADDRESS, NULL, AVR_IOMEM_IRQ_ALL), on_eeprom, NULL);
}

/* Runs until the last answer or until a cycle, the power's failure or a crash. Returns the reply's first letter. */
static char run(avr_cycle_count_t until, bool until_answered)
{
    const avr_cycle_count_t longest = avr->cycle + LONGEST_RUN;
    while (until_answered ? !answered || ready : avr->cycle < until) {
        const int state = avr_run(avr);
        if (power_failed) {
            return 'X';
        }
        if (state == cpu_Done || state == cpu_Crashed || avr->cycle > longest) {
            return 'D';
        }
    }
    answered = false;
    return 'A';
}

static void put(uint32_t number)
{
    putchar((int)(number & 0xffU));
    putchar((int)(number >> 8 & 0xffU));
}

static void reply(char letter)
{
    avr_eeprom_desc_t image = {NULL, 0, storage_bytes};
    const uint32_t image_length = stored ? storage_bytes : 0;
    putchar(letter);
    put(writes);
    put(said_length);
    put(answers_length);
    put(image_length);
    (void)fwrite(said, 1, said_length, stdout);
    (void)fwrite(answers, 1, answers_length, stdout);
    if (image_length > 0) {
        avr_ioctl(avr, AVR_IOCTL_EEPROM_GET, &image);
        (void)fwrite(image.ee, 1, image_length, stdout);
    }
    if (fflush(stdout) != 0) {
        exit(0); /* nobody listens any more */
    }
    writes = said_length = answers_length = 0;
    stored = false;
}

static uint32_t number(const uint8_t *bytes, uint8_t size)
{
    uint32_t value = 0;
    while (size > 0) {
        size--;
        value = value << 8 | bytes[size];
    }
    return value;
}

static void obey(int operation, const uint8_t *bytes, uint32_t length)
{
    avr_eeprom_desc_t image = {(uint8_t *)bytes, 0, length};
    switch (operation) {
    case 'E':
        avr_ioctl(avr, AVR_IOCTL_EEPROM_SET, &image);
        break;
    case 'C':
        memmove(console, console + console_sent, console_length - console_sent);
        console_length -= console_sent;
        console_sent = 0;
        if (length > sizeof console - console_length) {
            stop("too many console bytes");
        }
        memcpy(console + console_length, bytes, length);
        console_length += length;
        if (!uart_full) {
            on_room(NULL, 0, NULL);
        }
        break;
    case 'P':
        cut_planned = length == 9 && bytes[0] != 0;
        cut_after = number(bytes + 1, 4);
        cut_at = number(bytes + 5, 4);
        break;
    case 'V':
        avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, bytes[0]), number(bytes + 1, 2));
        break;
    case 'O':
        said[0] = avr->data[PORTD_ADDRESS];
        said_length = 1;
        reply('A');
        break;
    case 'F':
        frame_length = length < FRAME_BYTES ? length : FRAME_BYTES;
        frame_sent = 0;
        memcpy(frame, bytes, frame_length);
        start_clock();
        reply(run(0, true));
        break;
    case 'T':
        reply(run(avr->cycle + (avr_cycle_count_t)number(bytes, 4) * (CLOCK_HZ / 1000000U), false));
        break;
    default:
        stop("there is no such operation");
    }
}

int main(int count, char **words)
{
    static uint8_t bytes[65536];
    int operation;
    if (count != 4) {
        stop("needs a program, a chip and the size of its storage");
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive its owner */
    storage_bytes = (uint32_t)strtoul(words[3], NULL, 10);
    make_chip(words[1], words[2]);
    while ((operation = getchar()) != EOF) {
        uint8_t size[2];
        if (fread(size, 1, 2, stdin) != 2 || fread(bytes, 1, number(size, 2), stdin) != number(size, 2)) {
            break;
        }
        obey(operation, bytes, number(size, 2));
    }
    return 0;
}
