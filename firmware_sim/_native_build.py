"""Builds firmware_sim._native, the firmware with the brain in it as the simulator sees it (cffi, stable ABI)."""

from pathlib import Path
from runpy import run_path

from cffi import FFI

CSRC = Path("firmware_sim/csrc")
PORTS = Path("firmware_sim/ports")

# By path: the package itself cannot be imported before its own extension is built.
core = run_path("paygo_core/_native_build.py")

CDEF = (
    core["CODEC_CDEF"]
    + """
#define PAYGO_STORAGE_BYTES ...
#define PAYGO_FACTORY_BYTES ...
#define PAYGO_CLOCKS_AT ...
#define PAYGO_CLOCK_BYTES ...
#define PAYGO_CLOCKS ...
#define PAYGO_SLOTS_AT ...
#define PAYGO_SLOT_BYTES ...
#define PAYGO_STATES ...
#define PAYGO_EVENTS_AT ...
#define PAYGO_EVENT_BYTES ...
#define PAYGO_EVENT_PLACES ...
#define PAYGO_TX_BYTES ...
#define PAYGO_LONGEST_STEP_MS ...

typedef enum { PAYGO_DARK, PAYGO_GREEN, PAYGO_RED, ... } paygo_colour;
typedef enum { PAYGO_STORAGE_BLANK, PAYGO_STORAGE_READY, PAYGO_STORAGE_CORRUPT, ... } paygo_storage_state;
typedef struct { uint16_t offset; uint8_t length; uint8_t at; uint8_t rest; uint8_t bytes[...]; } paygo_write;
typedef struct { ...; } paygo_reader;
typedef struct { paygo_unit unit; uint32_t boot; ...; } paygo_saved;
typedef struct { uint16_t count; paygo_config config; ...; } paygo_factory;
typedef struct {
    int16_t battery_mv;
    int16_t battery_ma;
    uint16_t panel_mv;
    int16_t panel_ma;
    int16_t load_ma;
    int16_t temperature_dc;
    int16_t board_dc;
    uint16_t battery_peak_mv;
    uint16_t panel_peak_mv;
    uint16_t output_peak_mv;
    uint16_t load_peak_ma;
} paygo_measured;
typedef enum { PAYGO_BOARD_LEGACY, PAYGO_BOARD_PROTECTED, ... } paygo_board;
typedef struct {
    uint32_t world_ms;
    uint32_t wire_ms;
    paygo_measured measured;
    uint32_t rtc_s;
    char key;
    bool write_done;
    const char *rx;
    uint16_t rx_length;
    paygo_reader storage;
} paygo_inputs;
typedef struct {
    bool output;
    bool charge;
    uint16_t target_mv;
    uint16_t limit_ma;
    bool busy;
    bool walking;
    paygo_colour light;
    paygo_colour blinking;
    uint8_t blinks;
    uint16_t rx_taken;
    const char *tx;
    uint8_t tx_length;
    uint32_t wire_due_ms;
    uint32_t world_due_ms;
    paygo_write write;
} paygo_outputs;
typedef struct { paygo_storage_state storage; paygo_factory factory; paygo_saved live; ...; } paygo_firmware;

void paygo_firmware_step(paygo_firmware *firmware, const paygo_inputs *inputs, paygo_outputs *outputs);
void paygo_firmware_boot(paygo_firmware *firmware, paygo_board board, const paygo_reader *storage, uint32_t first_boot);
void paygo_read_from_image(paygo_reader *reader, const uint8_t *image);

typedef struct { paygo_firmware firmware; ...; } paygo_woken;
typedef struct { paygo_colour colour; uint8_t blinks; } paygo_woken_answer;
void paygo_woken_begin(paygo_woken *woken);
#define PAYGO_FOR_EVER ...
uint64_t paygo_woken_seconds_left(paygo_woken *woken, uint32_t at_s);
paygo_woken_answer paygo_woken_enter(paygo_woken *woken, uint32_t at_s, const char *digits, size_t length);
void paygo_woken_hear(paygo_woken *woken, const char *bytes, uint16_t length);
void paygo_woken_restart(paygo_woken *woken, uint32_t at_s);
"""
)

READ_FROM_IMAGE = """
#include "woken.h"

#include <string.h>

static uint8_t read_image(void *context, uint16_t offset)
{
    return ((const uint8_t *)context)[offset];
}

static void paygo_read_from_image(paygo_reader *reader, const uint8_t *image)
{
    reader->read = read_image;
    reader->context = (void *)image;
}
"""

ffibuilder = FFI()
ffibuilder.cdef(CDEF)
ffibuilder.set_source(
    "firmware_sim._native",
    READ_FROM_IMAGE,
    sources=[
        *core["SOURCES"],
        str(core["CSRC"] / "slots.c"),
        *(str(path) for path in sorted(CSRC.glob("*.c"))),
        str(PORTS / "woken.c"),
    ],
    include_dirs=[str(core["CSRC"]), str(CSRC), str(PORTS)],
    depends=[str(path) for room in (core["CSRC"], CSRC, PORTS) for path in sorted(room.glob("*.h"))],
    extra_compile_args=["-std=c99", "-O2"],
)
