/* The console's commands and replies (rules H8 to H22). No reply holds the key. */
#ifndef PAYGO_COMMANDS_H
#define PAYGO_COMMANDS_H

#include "firmware.h"

/* Runs a command line, which is cut up in doing so. Replies go to `text`, unless they follow a write. */
void paygo_command(paygo_firmware *firmware, char *line, paygo_outputs *outputs, paygo_text *text);

/* #INVALID. */
void paygo_reply_invalid(const paygo_firmware *firmware, paygo_text *text);

/* The reply that was held back until a write was complete. */
void paygo_reply_after(const paygo_firmware *firmware, paygo_after after, paygo_text *text);

/* The unsolicited line for an event (H20). */
void paygo_send_event(const paygo_firmware *firmware, const paygo_event *event, paygo_text *text);

/* The oldest event that was not acknowledged, or NULL. */
paygo_event *paygo_oldest_event(paygo_saved *saved);

#endif
