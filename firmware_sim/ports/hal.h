/*
 * What a port supplies, so that main.c makes the firmware run on a chip. A new port is one file with these functions.
 *
 * main.c calls them from its loop, one at a time, in this order:
 *
 *     hal_init, hal_first_boot, hal_board, hal_read (many times), then for ever:
 *     hal_wait, and until the firmware is not busy: hal_act, hal_say, hal_write, hal_read.
 *
 * The console's receive interrupt hands each byte to port_receive. Nothing else is called from an interrupt.
 */
#ifndef PAYGO_HAL_H
#define PAYGO_HAL_H

#include "firmware.h"

/* Console bytes that may wait for the firmware; what comes beyond is lost, as in a UART. */
#define PORT_RX_BYTES 64U

/* Clocks, console (115200 8N1), storage, sensors, keypad. The customer's output is off and the charge switch open. */
void hal_init(void);

/* What the first start of this unit's life is called, 1 ... 2^31: random, from a serial number or an ADC's noise. */
uint32_t hal_first_boot(void);

/* What this is: which voltages and currents it stands, and which batteries it charges (law.h). */
paygo_board hal_board(void);

/* A byte of storage. PAYGO_STORAGE_BYTES are there; those that were never written are 0xff. `context` is NULL. */
uint8_t hal_read(void *context, uint16_t offset);

/*
 * Writes a piece of a record, at most PAYGO_WRITE_BYTES, and returns once every byte would survive a power cut. Bytes are
 * written in their order, and a cut in between harms no byte outside offset ... offset + length - 1. What is in storage
 * then is read back by the firmware; nothing has to be checked here.
 */
void hal_write(const paygo_write *write);

/*
 * Sleeps until a console byte came (port_received() > 0), a key was pressed, or the sooner of the two times has passed
 * (on a board they are of the same clock), and at most a second, so that the battery stays protected. Then it fills
 * world_ms and wire_ms (both the time since the last call), what was measured with the highest since the last call, what
 * a clock chip says, and the key. It leaves the other inputs alone; what it never fills, as without a clock chip, is 0.
 */
void hal_wait(uint32_t wire_due_ms, uint32_t world_due_ms, paygo_inputs *inputs);

/*
 * Sets the output, the charge switch and the light as they are to be now. Called after every step. While outputs->charge
 * the port keeps the battery at outputs->target_mv at most, faster than steps come; the output it opens by itself where
 * a short circuit would not wait.
 */
void hal_act(const paygo_outputs *outputs);

/* Sends console bytes. It may wait until there is room for them. */
void hal_say(const char *bytes, uint16_t length);

/* Keeps the console's interrupt out for some instructions; lets it in again. Calls are not nested. */
void hal_lock(void);
void hal_unlock(void);

/* The console bytes that wait for the firmware; main.c has them. */
typedef struct {
    volatile uint8_t length;
    char bytes[PORT_RX_BYTES];
} port_received_bytes;

extern port_received_bytes port_rx;

/* Takes a console byte, in an interrupt or under hal_lock. Here, since an interrupt that calls nothing saves little. */
static inline void port_receive(char byte)
{
    const uint8_t length = port_rx.length;
    if (length < PORT_RX_BYTES) {
        port_rx.bytes[length] = byte;
        port_rx.length = (uint8_t)(length + 1U);
    }
}

/* How many console bytes wait for the firmware. */
static inline uint8_t port_received(void)
{
    return port_rx.length;
}

#endif
