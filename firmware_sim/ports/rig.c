/* Frames to inputs and outputs to answers, for ports on a test rig. */
#include "rig.h"

#include "crc.h"

#define FRAME_START 0xA5U
#define PLAN_START 0xA6U
#define ANSWER_START 0x5AU
#define LAST 0x80U
#define CRC_BYTES 2U
#define MEASURED (sizeof(paygo_measured) / sizeof(int16_t))

static uint8_t frame[RIG_FRAME_BYTES];
static volatile uint8_t frame_length;
static bool running; /* a frame is not answered yet */

static uint8_t flags;
static uint8_t light;
static uint16_t target_mv;
static uint16_t limit_ma;
static uint8_t board;
static uint16_t writes;
static uint16_t said;

static bool cut_planned;
static uint32_t cut_after; /* writes before the one that is cut */
static uint32_t cut_at;    /* bytes of it that are still written */

void rig_receive(uint8_t byte)
{
    const uint8_t length = frame_length;
    if (length < RIG_FRAME_BYTES && (length > 0 || byte == FRAME_START || byte == PLAN_START)) {
        frame[length] = byte;
        frame_length = (uint8_t)(length + 1U);
    }
}

static uint32_t get(uint8_t at, uint8_t size)
{
    uint32_t number = 0;
    while (size > 0) {
        size--;
        number = number << 8 | frame[at + size];
    }
    return number;
}

/* Two's complement. */
static int16_t get_signed(uint8_t at)
{
    const int32_t number = (int32_t)get(at, 2);
    return (int16_t)(number <= INT16_MAX ? number : number - INT32_C(65536));
}

static bool frame_good(void)
{
    return get(RIG_FRAME_BYTES - CRC_BYTES, CRC_BYTES) == paygo_crc16((const char *)frame, RIG_FRAME_BYTES - CRC_BYTES);
}

/* Waits for a good frame or plan, and for the console bytes that belong to it. Returns which. */
static uint8_t receive(void)
{
    hal_lock();
    for (;;) {
        if (frame_length == RIG_FRAME_BYTES) {
            if (!frame_good()) {
                frame_length = 0;
            } else if (frame[0] == PLAN_START || port_received() >= frame[1]) {
                break;
            }
        }
        rig_sleep();
    }
    hal_unlock();
    return frame[0];
}

static void put(uint8_t *at, uint32_t number)
{
    uint8_t i;
    for (i = 0; i < 4U; i++) {
        at[i] = (uint8_t)(number >> (8U * i));
    }
}

static void answer(uint8_t last, paygo_colour blinking, uint8_t blinks, uint32_t wire_due_ms, uint32_t world_due_ms)
{
    uint8_t bytes[RIG_ANSWER_BYTES] = {ANSWER_START};
    uint16_t crc;
    bytes[1] = (uint8_t)(flags | last);
    bytes[2] = light;
    bytes[3] = (uint8_t)blinking;
    bytes[4] = blinks;
    put(bytes + 6, (uint32_t)said << 16 | writes);
    put(bytes + 10, wire_due_ms);
    put(bytes + 14, world_due_ms);
    put(bytes + 18, (uint32_t)limit_ma << 16 | target_mv);
    crc = paygo_crc16((const char *)bytes, RIG_ANSWER_BYTES - CRC_BYTES);
    bytes[22] = (uint8_t)(crc & 0xffU);
    bytes[23] = (uint8_t)(crc >> 8);
    rig_send(bytes);
}

/* Takes a plan and answers it. */
static uint32_t plan(void)
{
    const uint32_t first_boot = get(2, 4);
    cut_planned = frame[1] != 0;
    cut_after = get(6, 4);
    cut_at = get(10, 4);
    board = frame[14];
    frame_length = 0; /* the next frame may come as soon as this one is answered */
    answer(LAST, PAYGO_DARK, 0, 0, 0);
    return first_boot;
}

uint32_t hal_first_boot(void)
{
    answer(LAST, PAYGO_DARK, 0, 0, 0);
    while (receive() != PLAN_START) {
        frame_length = 0;
    }
    return plan();
}

paygo_board hal_board(void)
{
    return (paygo_board)board;
}

void hal_wait(uint32_t wire_due_ms, uint32_t world_due_ms, paygo_inputs *inputs)
{
    uint8_t i;
    if (running) { /* the rig says how time passes */
        answer(LAST, PAYGO_DARK, 0, wire_due_ms, world_due_ms);
    }
    while (receive() == PLAN_START) {
        (void)plan();
    }
    inputs->key = (char)frame[2];
    inputs->world_ms = get(3, 3);
    inputs->wire_ms = get(6, 3);
    for (i = 0; i < MEASURED; i++) {
        (&inputs->measured.battery_mv)[i] = get_signed((uint8_t)(9U + 2U * i));
    }
    inputs->rtc_s = get(31, 4);
    frame_length = 0; /* the next frame may come as soon as this one is answered */
    writes = said = 0;
    running = true;
}

void hal_act(const paygo_outputs *outputs)
{
    const uint8_t now = (uint8_t)((outputs->output ? 1U : 0U) | (outputs->charge ? 2U : 0U));
    target_mv = outputs->target_mv;
    limit_ma = outputs->limit_ma;
    if (now != flags || (uint8_t)outputs->light != light || outputs->blinks > 0) {
        flags = now;
        light = (uint8_t)outputs->light;
        answer(0, outputs->blinking, outputs->blinks, 0, 0);
    }
}

void rig_said(uint16_t length)
{
    said = (uint16_t)(said + length);
}

void rig_stored(void)
{
    writes++;
    cut_after--;
}

bool rig_cut(uint16_t *at_byte)
{
    *at_byte = (uint16_t)(cut_at < UINT16_MAX ? cut_at : UINT16_MAX);
    return cut_planned && cut_after == 0;
}
