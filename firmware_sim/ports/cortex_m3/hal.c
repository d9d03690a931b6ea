/*
 * A Cortex-M3 on QEMU's lm3s6965evb: console on UART0, rig on UART1, storage in a file of the PC, by semihosting, since
 * that board has no model of a flash controller. A board's port has its flash driver in hal_read and hal_write.
 */
#include "rig.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define RCGC1 REGISTER(0x400FE104U)
#define RCGC2 REGISTER(0x400FE108U)
#define NVIC_ENABLE REGISTER(0xE000E100U)

/* UART n begins at UART0 + n * 0x1000. */
#define UART0 0x4000C000U
#define UART1 0x4000D000U
#define UART_DATA 0x00U
#define UART_FLAGS 0x18U
#define UART_WHOLE 0x24U
#define UART_FRACTION 0x28U
#define UART_LINE 0x2CU
#define UART_CONTROL 0x30U
#define UART_MASK 0x38U
#define UART_CLEAR 0x44U
#define RX_EMPTY 0x10U
#define TX_FULL 0x20U
#define RX_INTERRUPTS 0x50U /* bytes are there; some are there and no more come */

#define SYS_OPEN 0x01U
#define SYS_WRITE 0x05U
#define SYS_READ 0x06U
#define SYS_SEEK 0x0AU
#define SYS_EXIT 0x18U
#define OPEN_READ_WRITE 3U /* "r+b" */
#define EXIT_POWER_FAILED UINT32_C(0x20026)
#define EXIT_CRASHED UINT32_C(0x20023)

static const char storage_name[] = "storage";
static uint32_t storage;

void fault_handler(void);
void console_handler(void);
void link_handler(void);

static uint32_t semihost(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

__attribute__((noreturn)) static void stop(uint32_t why)
{
    for (;;) {
        (void)semihost(SYS_EXIT, (const void *)(uintptr_t)why);
    }
}

void fault_handler(void)
{
    stop(EXIT_CRASHED);
}

/* What does not work here is a fault of the set-up, of which the rig has to hear. */
static void expect(bool right)
{
    if (!right) {
        stop(EXIT_CRASHED);
    }
}

void console_handler(void)
{
    REGISTER(UART0 + UART_CLEAR) = RX_INTERRUPTS;
    while ((REGISTER(UART0 + UART_FLAGS) & RX_EMPTY) == 0) {
        port_receive((char)(REGISTER(UART0 + UART_DATA) & 0xffU));
    }
}

void link_handler(void)
{
    REGISTER(UART1 + UART_CLEAR) = RX_INTERRUPTS;
    while ((REGISTER(UART1 + UART_FLAGS) & RX_EMPTY) == 0) {
        rig_receive((uint8_t)(REGISTER(UART1 + UART_DATA) & 0xffU));
    }
}

/* 115200 8N1 from 12 MHz: 12000000 / 16 / 115200 = 6 + 33 / 64. */
static void open_uart(uint32_t base)
{
    REGISTER(base + UART_WHOLE) = 6;
    REGISTER(base + UART_FRACTION) = 33;
    REGISTER(base + UART_LINE) = 0x70; /* 8 bits, FIFOs */
    REGISTER(base + UART_MASK) = RX_INTERRUPTS;
    REGISTER(base + UART_CONTROL) = 0x301; /* on, both ways */
}

void hal_init(void)
{
    const uint32_t arguments[] = {(uint32_t)(uintptr_t)storage_name, OPEN_READ_WRITE, sizeof storage_name - 1U};
    storage = semihost(SYS_OPEN, arguments);
    expect(storage != UINT32_MAX);
    RCGC1 |= 3U; /* clocks of both UARTs, */
    RCGC2 |= 9U; /* and of their pins' ports A and D */
    open_uart(UART0);
    open_uart(UART1);
    NVIC_ENABLE = 1U << 5 | 1U << 6;
}

static void seek(uint16_t offset)
{
    const uint32_t arguments[] = {storage, offset};
    expect(semihost(SYS_SEEK, arguments) == 0);
}

uint8_t hal_read(void *context, uint16_t offset)
{
    uint8_t byte;
    const uint32_t arguments[] = {storage, (uint32_t)(uintptr_t)&byte, 1};
    (void)context;
    seek(offset);
    expect(semihost(SYS_READ, arguments) == 0);
    return byte;
}

/* Byte by byte, so that a power cut that the rig has planned falls behind the byte that it names. */
void hal_write(const paygo_write *write)
{
    uint16_t at_byte;
    uint8_t i;
    const bool cut = rig_cut(&at_byte);
    seek(write->offset);
    for (i = 0; i < write->length && (!cut || write->at + i < at_byte); i++) {
        const uint32_t arguments[] = {storage, (uint32_t)(uintptr_t)(write->bytes + i), 1};
        expect(semihost(SYS_WRITE, arguments) == 0);
    }
    if (cut && (write->rest == 0 || write->at + i >= at_byte)) {
        stop(EXIT_POWER_FAILED);
    }
    if (write->rest == 0) {
        rig_stored();
    }
}

static void send(uint32_t base, uint8_t byte)
{
    while ((REGISTER(base + UART_FLAGS) & TX_FULL) != 0) {
    }
    REGISTER(base + UART_DATA) = byte;
}

void hal_say(const char *bytes, uint16_t length)
{
    uint16_t i;
    for (i = 0; i < length; i++) {
        send(UART0, (uint8_t)bytes[i]);
    }
    rig_said(length);
}

void rig_send(const uint8_t answer[RIG_ANSWER_BYTES])
{
    uint8_t i;
    for (i = 0; i < RIG_ANSWER_BYTES; i++) {
        send(UART1, answer[i]);
    }
}

/* An interrupt that is kept out still ends the wait. */
void rig_sleep(void)
{
    __asm__ volatile("wfi\n\tcpsie i\n\tisb\n\tcpsid i" ::: "memory");
}

void hal_lock(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}

void hal_unlock(void)
{
    __asm__ volatile("cpsie i" ::: "memory");
}
