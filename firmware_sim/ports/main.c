/* The loop that every port shares: waits, steps the firmware until it is not busy, does what the outputs say. */
#include "apart.h"
#include "hal.h"

#include <stddef.h>
#include <string.h>

static paygo_firmware firmware;
static paygo_inputs inputs;
static paygo_outputs outputs;
static char received[PORT_RX_BYTES];
static volatile uint8_t received_length;

void port_receive(char byte)
{
    const uint8_t length = received_length;
    if (length < PORT_RX_BYTES) {
        received[length] = byte;
        received_length = (uint8_t)(length + 1U);
    }
}

uint8_t port_received(void)
{
    return received_length;
}

/* Forgets the bytes that the firmware has taken. */
static void taken(uint16_t length)
{
    if (length > 0) {
        hal_lock();
        received_length = (uint8_t)(received_length - length);
        memmove(received, received + length, received_length);
        hal_unlock();
    }
}

/* The same moment again: no time passes, and what was told once is not told anew. */
static PAYGO_APART void again(void)
{
    const size_t peaks = offsetof(paygo_measured, battery_peak_mv);
    inputs.world_ms = inputs.wire_ms = 0;
    inputs.key = '\0';
    memset((uint8_t *)&inputs.measured + peaks, 0, sizeof inputs.measured - peaks);
}

/*
 * One or more steps: the first with what was waited for, the others until everything is stored, said and taken. While an
 * entry is judged there is one at a time, so that keys, bytes and readings come in between.
 */
static void run(void)
{
    inputs.write_done = false;
    do {
        inputs.rx = received;
        inputs.rx_length = port_received();
        paygo_firmware_step(&firmware, &inputs, &outputs);
        taken(outputs.rx_taken);
        hal_act(&outputs);
        hal_say(outputs.tx, outputs.tx_length);
        inputs.write_done = outputs.write.length > 0;
        if (inputs.write_done) {
            hal_write(&outputs.write);
        }
        again();
    } while (outputs.busy || (!outputs.walking && outputs.rx_taken > 0 && port_received() > 0));
}

int main(void)
{
    uint32_t first_boot;
    hal_init();
    inputs.storage.read = hal_read;
    first_boot = hal_first_boot();
    paygo_firmware_boot(&firmware, hal_board(), &inputs.storage, first_boot);
    for (;;) {
        hal_wait(outputs.wire_due_ms, outputs.world_due_ms, &inputs); /* both 0 at first */
        run();
    }
}
