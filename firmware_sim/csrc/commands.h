/* The console's commands and replies (rules H8 to H22). No reply holds the key. */
#ifndef PAYGO_COMMANDS_H
#define PAYGO_COMMANDS_H

#include "firmware.h"

/*
 * Runs the command in firmware->console.line, which is cut up in doing so. Afterwards firmware->reply says what is
 * answered, or something is being stored, whose answer follows.
 */
void paygo_command(paygo_firmware *firmware, const paygo_reader *storage, paygo_outputs *outputs);

/* Whether a line is an entry, which waits while another one is judged. It is not cut up. */
bool paygo_is_entry(const char *line);

/* The whole line of firmware->reply, to `text`, which keeps the piece of it that is due. */
void paygo_say(const paygo_firmware *firmware, const paygo_reader *storage, paygo_text *text);

/* What the console calls a position of the operator's switch, in flash. */
const char *paygo_switch_name(paygo_switch position);

/* What it calls a battery's chemistry (paygo_chemistry), in flash. */
const char *paygo_chemistry_name(uint8_t chemistry);

/* The number before the oldest event that may be in the log. */
uint32_t paygo_firmware_before_log(const paygo_firmware *firmware);

#endif
