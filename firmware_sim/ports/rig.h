/*
 * The chip on a test rig: sensors, keypad, lights, switches and the clock are at the other end of an I/O link, so that
 * time passes as the rig says. The console and the storage are the chip's own.
 *
 * In lock step: the chip says with an answer that it listens. The rig sends a frame; the chip steps the firmware until
 * it is not busy, sends an answer each time its outputs change and a last one when it is done, and sleeps until the
 * next frame. Numbers are little-endian, signed ones in two's complement.
 *
 * A frame, RIG_FRAME_BYTES: 0xA5; how many console bytes belong to it (the chip waits for them); the key or 0;
 * world ms and wire ms, 3 bytes each; what is measured as paygo_measured has it, 2 bytes each; the clock chip's
 * seconds, 4; CRC-16.
 *
 * A plan, as long, with zeros before its CRC-16: 0xA6; 1 if the power shall fail in a write; what the first start of
 * the unit's life is called, 4; how many writes before it are whole, 4; how many bytes of it are written, 4; the board,
 * 1. The first frame after a start is a plan.
 *
 * An answer, RIG_ANSWER_BYTES: 0x5A; flags (1 output, 2 charge, 128 last of this frame); light; the colour of a
 * pattern that began; its blinks; 0; the writes and the console bytes since the frame, 2 each; wire_due_ms and
 * world_due_ms, 4 each; target_mv and limit_ma, 2 each; CRC-16.
 */
#ifndef PAYGO_RIG_H
#define PAYGO_RIG_H

#include "hal.h"

#define RIG_FRAME_BYTES 37U
#define RIG_ANSWER_BYTES 24U

/* What the port supplies besides console and storage: sends an answer, and returns when it is out. */
void rig_send(const uint8_t answer[RIG_ANSWER_BYTES]);

/* Called under hal_lock: sleeps until there was an interrupt, and lets it in. */
void rig_sleep(void);

/* What rig.c supplies besides hal_first_boot, hal_board, hal_wait and hal_act: takes a byte of a frame, in an interrupt. */
void rig_receive(uint8_t byte);

/* The port tells what it said, and when a record is whole. */
void rig_said(uint16_t length);
void rig_stored(void);

/* Whether the power shall fail in the record that is being written, and after how many bytes of it. */
bool rig_cut(uint16_t *at_byte);

#endif
