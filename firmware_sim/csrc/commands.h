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
void paygo_say(paygo_firmware *firmware, const paygo_reader *storage, paygo_text *text);

/* The words of the console: the names of commands, and behind a few that only replies have, those of some numbers. */
enum {
    PAYGO_WORD_SETUP_PLUS,
    PAYGO_WORD_SETUP = 6, /* in between are some that only replies have */
    PAYGO_WORD_TOKEN,
    PAYGO_WORD_STATUS,
    PAYGO_WORD_LOAD,
    PAYGO_WORD_ACK,
    PAYGO_WORD_BATTERY,
    PAYGO_WORD_INFO,
    PAYGO_WORD_TELEMETRY,
    PAYGO_WORD_ALERTS,
    PAYGO_WORD_LOG,
    PAYGO_WORDS_OF_OUTPUT = 23,                                          /* off or on */
    PAYGO_WORDS_OF_TRUTH = PAYGO_WORDS_OF_OUTPUT + 2,
    PAYGO_WORDS_OF_PLUS = PAYGO_WORDS_OF_TRUTH + 2,                      /* of one of the two setups */
    PAYGO_WORDS_OF_RAISED = PAYGO_WORDS_OF_PLUS + 2,                     /* cleared or raised */
    PAYGO_WORDS_OF_SWITCH = PAYGO_WORDS_OF_RAISED + 2,                   /* a paygo_switch */
    PAYGO_WORDS_OF_CHEMISTRY = PAYGO_WORDS_OF_SWITCH + PAYGO_SWITCH_OFF + 1, /* a paygo_chemistry */
    PAYGO_WORDS_OF_STAGE = PAYGO_WORDS_OF_CHEMISTRY + PAYGO_CHEMISTRIES, /* a paygo_stage */
    PAYGO_WORDS_OF_BOARD = PAYGO_WORDS_OF_STAGE + PAYGO_EQUALISE + 1,    /* a paygo_board */
    PAYGO_WORDS_OF_CREDIT = PAYGO_WORDS_OF_BOARD + 2,                    /* of telemetry; without it if unlocked */
    PAYGO_WORDS_OF_FIELDS = PAYGO_WORDS_OF_CREDIT + 2,                   /* a paygo_wrong_field */
    PAYGO_WORDS_OF_ALERTS = PAYGO_WORDS_OF_FIELDS + PAYGO_WRONG_LOG + 1, /* a paygo_alert */
    PAYGO_WORDS_OF_UNITS = PAYGO_WORDS_OF_ALERTS + PAYGO_ALERTS,         /* of a paygo_alert's value */
    PAYGO_WORDS_OF_LINES = PAYGO_WORDS_OF_UNITS + PAYGO_ALERTS
};

/* One of them, in flash. It may stand for more than its characters say (replies.c). */
const char *paygo_word(uint8_t place);

#endif
