/*
 * A unit on a terminal of a POSIX system: the console is standard input and output, storage a file (PAYGO_STORAGE names
 * it), the sensors show a charged battery at rest, and what the output does is told on standard error. The shortest port
 * there is, to begin your own with.
 */
#define _POSIX_C_SOURCE 200809L
#include "hal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_SLEEP_MS 1000U

static int storage;
static uint32_t waited_at_ms;
static bool ended; /* nobody types any more */
static bool output;

static void stop(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* Runs over every 49 days, which a difference does not mind. */
static uint32_t now_ms(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        stop("clock");
    }
    return (uint32_t)((uint64_t)now.tv_sec * 1000U + (uint64_t)now.tv_nsec / 1000000U);
}

void hal_init(void)
{
    const char *path = getenv("PAYGO_STORAGE");
    storage = open(path != NULL ? path : "unit.storage", O_RDWR | O_CREAT, 0600);
    if (storage < 0) {
        stop("storage");
    }
    const uint8_t erased = 0xff; /* a file has zeros where nothing was written, a memory chip has not */
    for (off_t at = lseek(storage, 0, SEEK_END); at < (off_t)PAYGO_STORAGE_BYTES; ++at) {
        if (pwrite(storage, &erased, 1, at) != 1) {
            stop("storage");
        }
    }
    waited_at_ms = now_ms();
}

uint32_t hal_first_boot(void)
{
    return 1U + (((uint32_t)time(NULL) * UINT32_C(2654435761)) ^ (uint32_t)getpid()) / 2U;
}

paygo_board hal_board(void)
{
    return PAYGO_BOARD_LEGACY;
}

uint8_t hal_read(void *context, uint16_t offset)
{
    uint8_t byte = 0;
    (void)context;
    if (pread(storage, &byte, 1, (off_t)offset) != 1) {
        stop("storage");
    }
    return byte;
}

void hal_write(const paygo_write *write)
{
    if (pwrite(storage, write->bytes, write->length, (off_t)write->offset) != (ssize_t)write->length ||
        fsync(storage) != 0) {
        stop("storage");
    }
}

/* Takes what was typed, as far as there is room; the rest waits in the terminal. */
static void listen(int sleep_ms)
{
    struct pollfd console = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    char typed[PORT_RX_BYTES];
    if (ended || poll(&console, 1, sleep_ms) <= 0) {
        return;
    }
    const ssize_t length = read(STDIN_FILENO, typed, PORT_RX_BYTES - port_received());
    ended = length <= 0;
    for (ssize_t i = 0; i < length; ++i) {
        port_receive(typed[i]);
    }
}

void hal_wait(uint32_t wire_due_ms, uint32_t world_due_ms, paygo_inputs *inputs)
{
    uint32_t sleep_ms = wire_due_ms < world_due_ms ? wire_due_ms : world_due_ms;
    if (ended && sleep_ms > 0) {
        exit(EXIT_SUCCESS); /* all is answered and stored */
    }
    if (sleep_ms > LONGEST_SLEEP_MS) {
        sleep_ms = LONGEST_SLEEP_MS;
    }
    if (port_received() == 0) {
        listen((int)sleep_ms);
    }
    const uint32_t now = now_ms();
    inputs->world_ms = inputs->wire_ms = now - waited_at_ms;
    waited_at_ms = now;
    inputs->measured.battery_mv = 12700;
    inputs->measured.temperature_dc = inputs->measured.board_dc = 250;
    inputs->key = '\0';
}

void hal_act(const paygo_outputs *outputs)
{
    if (outputs->output != output) {
        output = outputs->output;
        (void)fprintf(stderr, "output %s\n", output ? "on" : "off");
    }
}

void hal_say(const char *bytes, uint16_t length)
{
    while (length > 0) {
        const ssize_t said = write(STDOUT_FILENO, bytes, length);
        if (said < 0) {
            stop("console");
        }
        bytes += said;
        length = (uint16_t)(length - said);
    }
}

/* Bytes come in hal_wait and not in an interrupt: there is nothing to keep out. */
void hal_lock(void)
{
}

void hal_unlock(void)
{
}
