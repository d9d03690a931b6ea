/* The loop that every port shares: waits, steps the firmware until it is not busy, does what the outputs say. */
#include "apart.h"
#include "hal.h"

#include <stddef.h>
#include <string.h>

/* What a step is given, and what it says. */
typedef struct {
    paygo_inputs inputs;
    paygo_outputs outputs;
} turn;

static paygo_firmware firmware;
port_received_bytes port_rx;

/* Forgets the bytes that the firmware has taken. */
static void taken(uint8_t length)
{
    uint8_t left, i;
    hal_lock();
    left = (uint8_t)(port_rx.length - length);
    for (i = 0; i < left; i++) {
        port_rx.bytes[i] = port_rx.bytes[i + length];
    }
    port_rx.length = left;
    hal_unlock();
}

/* The same moment again: no time passes, and what was told once is not told anew. */
static void again(paygo_inputs *inputs)
{
    const size_t peaks = offsetof(paygo_measured, battery_peak_mv);
    inputs->world_ms = inputs->wire_ms = 0;
    inputs->key = '\0';
    memset((uint8_t *)&inputs->measured + peaks, 0, sizeof inputs->measured - peaks);
}

/*
 * One or more steps: the first with what was waited for, the others until everything is stored, said and taken. While an
 * entry is judged there is one at a time, so that keys, bytes and readings come in between.
 */
static void run(turn *now)
{
    paygo_inputs *inputs = &now->inputs;
    paygo_outputs *outputs = &now->outputs;
    inputs->write_done = false;
    do {
        inputs->rx = port_rx.bytes;
        inputs->rx_length = port_received();
        paygo_firmware_step(&firmware, inputs, outputs);
        taken((uint8_t)outputs->rx_taken);
        hal_act(outputs);
        hal_say(outputs->tx, outputs->tx_length);
        inputs->write_done = outputs->write.length > 0;
        if (inputs->write_done) {
            hal_write(&outputs->write);
        }
        again(inputs);
    } while (outputs->busy || (!outputs->walking && outputs->rx_taken > 0 && port_received() > 0));
}

int main(void)
{
    turn now;
    uint32_t first_boot;
    memset(&now, 0, sizeof now);
    hal_init();
    now.inputs.storage.read = hal_read;
    first_boot = hal_first_boot();
    paygo_firmware_boot(&firmware, hal_board(), &now.inputs.storage, first_boot);
    for (;;) {
        hal_wait(now.outputs.wire_due_ms, now.outputs.world_due_ms, &now.inputs); /* both 0 at first */
        run(&now);
    }
}
