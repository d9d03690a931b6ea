/* The token core on a chip, with marks for make chip-budgets: how long a step takes, a wrong token, a value used before. */
#include "slots.h"

#include <string.h>

#define STEPS 100U

#ifdef __AVR__
#include <avr/io.h>
#define MARK(n) (GPIOR0 = (n))
#define SAY(byte) (GPIOR1 = (byte))
#define STOP() (GPIOR2 = 1)
#else
/* QEMU's lm3s6965evb: SysTick counts down, the first UART's data register takes what is said. */
#define SYSTICK ((volatile uint32_t *)0xe000e010)
#define UART ((volatile uint32_t *)0x4000c000)
#define MARK(n) mark(n)
#define SAY(byte) say((uint8_t)(byte))
#define STOP() stop()
static void say(uint8_t byte)
{
    UART[0] = (uint32_t)"0123456789abcdef"[byte >> 4];
    UART[0] = (uint32_t)"0123456789abcdef"[byte & 15];
}
static void mark(uint8_t number)
{
    const uint32_t now = SYSTICK[2];
    UART[0] = '\n';
    UART[0] = 'm';
    say(number);
    say((uint8_t)(now >> 16));
    say((uint8_t)(now >> 8));
    say((uint8_t)now);
    UART[0] = '\n';
}
static void stop(void)
{
    register uint32_t operation __asm__("r0") = 0x18;       /* SYS_EXIT */
    register uint32_t reason __asm__("r1") = 0x20026;       /* ADP_Stopped_ApplicationExit */
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(reason));
}
#endif

static const paygo_config config = {
    {0xa2, 0x9a, 0xb8, 0x2e, 0xdc, 0x5f, 0xbb, 0xc4, 0x1e, 0xc9, 0x53, 0x0f, 0x6d, 0xac, 0x86, 0xb1},
    123456789, 65535, 64, 100, 16, 1, false, false};

static void tell_number(uint32_t number)
{
    SAY((uint8_t)(number >> 24));
    SAY((uint8_t)(number >> 16));
    SAY((uint8_t)(number >> 8));
    SAY((uint8_t)number);
}

static void chain(void)
{
    static paygo_walk walk;
    paygo_key_load(&walk.key, config.secret_key);
    paygo_walk_start(&walk, PAYGO_STANDARD, config.starting_code, 123456789);
    MARK(1);
    paygo_walk_by(&walk, STEPS);
    MARK(2);
    tell_number((uint32_t)walk.code);
}

#ifdef __AVR__
static paygo_slots slots;

static void enter(uint8_t number, paygo_window *window, uint32_t token)
{
    static paygo_decoder decoder;
    MARK(number);
    paygo_decode_begin(&decoder, &config, window, PAYGO_STANDARD, token);
    paygo_slots_resume(&slots, &decoder);
    while (!paygo_decode_run(&decoder, 16)) {
    }
    MARK((uint8_t)(number + 1U));
    SAY((uint8_t)decoder.verdict.type);
    *window = decoder.verdict.window;
    paygo_slots_keep(&slots, &decoder);
    while (!paygo_slots_run(&slots, &config, window, 16)) {
    }
}

static void tokens(void)
{
    static const uint16_t counts[] = {520, 1000, 5000};
    static const uint32_t right[] = {RIGHT_TOKENS}; /* of one value, from count RIGHT_COUNT on */
    paygo_window window;
    uint8_t i;
    for (i = 0; i < 3; i++) {
        window = paygo_window_at(counts[i]);
        enter((uint8_t)(10U + 2U * i), &window, WRONG_TOKEN);
    }
    window = paygo_window_at(RIGHT_COUNT);
    for (i = 0; i < sizeof right / sizeof right[0]; i++) {
        enter((uint8_t)(20U + 2U * i), &window, right[i]);
    }
}
#endif

int main(void)
{
#ifndef __AVR__
    SYSTICK[1] = 0xffffff;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5;
#endif
    chain();
#ifdef __AVR__
    tokens();
#else
    MARK(3);
    __asm__ volatile(".syntax unified\n movs r0, #250\n lsls r0, r0, #2\n 1: subs r0, r0, #1\n bne 1b" : : : "r0", "cc");
    MARK(4);
#endif
    STOP();
    return 0;
}

#ifndef __AVR__
const uint32_t vectors[2] __attribute__((section(".vectors"), used)) = {0x20008000, (uint32_t)main};
#endif
