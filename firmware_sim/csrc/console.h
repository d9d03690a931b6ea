/* Console bytes to command lines (rules H1 to H6). */
#ifndef PAYGO_CONSOLE_H
#define PAYGO_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

/* The longest command, from behind its '#' to before its line end; a full setup with its check has 123 characters. */
#define PAYGO_LINE_MAX 128U

/* Wire time after which a command without a line end is complete (H2). */
#define PAYGO_SILENCE_MS 1000U
#define PAYGO_SHORT_SILENCE_MS 50U

/* A wire time that nothing waits for. What is longer than this counts as this. */
#define PAYGO_NEVER_MS UINT16_MAX

typedef struct {
    uint16_t silence_ms;
    uint8_t length;
    bool in_line;
    bool spoilt;    /* too long, or a byte that no command has */
    bool checked;   /* the host has used the check (H6) */
    char line[PAYGO_LINE_MAX + 1U];
} paygo_console;

typedef enum {
    PAYGO_CONSOLE_NOTHING, /* no command is complete */
    PAYGO_CONSOLE_LINE,    /* console->line is a command, its check verified and cut off, ended by a NUL */
    PAYGO_CONSOLE_BAD      /* a command came that has to be answered #INVALID */
} paygo_console_event;

/* What an upper-case hexadecimal digit stands for, -1 for anything else. */
int8_t paygo_hex_value(char digit);

/* Takes one byte. */
paygo_console_event paygo_console_byte(paygo_console *console, char byte);

/* Takes `elapsed_ms` of wire time in which no byte came. */
paygo_console_event paygo_console_silence(paygo_console *console, uint16_t elapsed_ms);

/* Wire time until the silence completes a command; PAYGO_NEVER_MS when none is begun. */
uint16_t paygo_console_due_ms(const paygo_console *console);

/* Cuts a text into at most `most` fields at its separators. Returns how many there are, or most + 1 when there are more. */
uint8_t paygo_console_fields(char *text, char separator, char *fields[], uint8_t most);

#endif
