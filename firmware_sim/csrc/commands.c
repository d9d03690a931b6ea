/* The console's commands. */
#include "commands.h"

#include <string.h>

#define SETUP_PLUS_FIELDS 9U

/* Whether a text is a word with a character behind it, which may be its end. */
static bool begins(const char *text, uint8_t word, char behind)
{
    const char *expected = paygo_word(word);
    char character = paygo_flash_char(expected);
    while (character != '\0') {
        if (*text != character) {
            return false;
        }
        text++;
        expected++;
        character = paygo_flash_char(expected);
    }
    return *text == behind;
}

/* Which of so many words a text is; `count`: none. */
static uint8_t which(const char *text, uint8_t first, uint8_t count)
{
    uint8_t i;
    for (i = 0; i < count && !begins(text, (uint8_t)(first + i), '\0'); i++) {
    }
    return i;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A decimal number of 1 to 10 digits. Returns how many they are; 0: it is none. */
static uint8_t parse_number(const char *field, uint32_t *number)
{
    uint32_t value = 0;
    uint8_t length = 0;
    while (is_digit(field[length]) && length < 10U) {
        const uint8_t digit = (uint8_t)(field[length] - '0');
        if (value > UINT32_MAX / 10U) {
            return 0;
        }
        value = value * 10U + digit;
        if (value < digit) {
            return 0;
        }
        length++;
    }
    *number = value;
    return field[length] == '\0' ? length : 0;
}

static uint8_t parse_short(const char *field, uint8_t least, uint16_t most, uint16_t *number)
{
    uint32_t parsed;
    const uint8_t length = parse_number(field, &parsed);
    if (length == 0 || parsed < least || parsed > most) {
        return 0;
    }
    *number = (uint16_t)parsed;
    return length;
}

static bool parse_serial(const char *field, char serial[PAYGO_SERIAL_MAX + 1U])
{
    uint8_t length = 0;
    char c;
    do {
        const char letter = (char)(field[length] | 0x20);
        c = field[length];
        if (c != '\0' && c != '_' && !(c >= '-' && c <= ':') && !(letter >= 'a' && letter <= 'z')) {
            return false;
        }
        serial[length] = c;
        length++;
    } while (c != '\0' && length <= PAYGO_SERIAL_MAX);
    return c == '\0' && length > 1U;
}

static bool parse_key(const char *field, uint8_t key[16])
{
    uint8_t i;
    for (i = 0; i < 32U; i++) {
        const char c = field[i];
        const int8_t nibble = paygo_hex_value(c >= 'a' ? (char)(c - 'a' + 'A') : c);
        if (nibble < 0) {
            return false;
        }
        key[i / 2U] = (uint8_t)((uint32_t)key[i / 2U] << 4 | (uint8_t)nibble);
    }
    return field[32] == '\0';
}

static bool parse_test_code(const char *field, char code[PAYGO_TEST_CODE_MAX + 1U])
{
    uint8_t length = 0;
    while (is_digit(field[length]) && length < PAYGO_TEST_CODE_MAX) {
        code[length] = field[length];
        length++;
    }
    return field[length] == '\0';
}

/* "<jump>,<sync jump>,<older>", or nothing for the standard windows (T12). */
static bool parse_windows(char *field, paygo_config *config)
{
    char *numbers[3];
    uint16_t older;
    if (*field == '\0') {
        return true;
    }
    if (paygo_console_fields(field, ',', numbers, 3) != 3 ||
        parse_short(numbers[0], 1, UINT16_MAX, &config->max_jump) == 0 ||
        parse_short(numbers[1], 1, UINT16_MAX, &config->max_sync_jump) == 0 ||
        parse_short(numbers[2], 0, PAYGO_MAX_OLDER_WINDOW, &older) == 0) {
        return false;
    }
    config->older_window = (uint8_t)older;
    return true;
}

/* Fills the factory data, which are zero, from the fields behind the name. Returns the first that is wrong. */
static paygo_wrong_field parse_setup(char *fields[], bool plus, paygo_factory *factory)
{
    paygo_config *config = &factory->config;
    uint16_t number;
    uint8_t digits;
    factory->count = 1;
    config->max_count = UINT16_MAX;
    config->max_jump = 64;
    config->max_sync_jump = 100;
    config->older_window = 16;
    config->time_divider = 1;
    if (!parse_serial(fields[0], factory->serial)) {
        return PAYGO_WRONG_SERIAL;
    }
    digits = parse_number(fields[1], &config->starting_code);
    if (digits == 0 || digits > 9 || config->starting_code == 0) {
        return PAYGO_WRONG_STARTING_CODE;
    }
    if (!parse_key(fields[2], config->secret_key)) {
        return PAYGO_WRONG_KEY;
    }
    if (!plus) {
        return PAYGO_WRONG_NOTHING;
    }
    if (parse_short(fields[3], 0, UINT16_MAX, &factory->count) == 0) {
        return PAYGO_WRONG_COUNT;
    }
    if (parse_short(fields[4], 1, 255, &number) == 0) {
        return PAYGO_WRONG_DIVIDER;
    }
    config->time_divider = (uint8_t)number;
    if (parse_short(fields[5], 0, 1, &number) != 1) {
        return PAYGO_WRONG_RESTRICTED;
    }
    config->restricted_digits = number == 1;
    if (!parse_test_code(fields[6], factory->test_code)) {
        return PAYGO_WRONG_TEST_CODE;
    }
    return parse_windows(fields[7], config) ? PAYGO_WRONG_NOTHING : PAYGO_WRONG_WINDOWS;
}

/* H10, H14. The factory data goes first: an interrupted setup leaves a unit without it, or with all of it. */
static void setup(paygo_firmware *firmware, char *fields[], bool plus)
{
    firmware->setup_plus = plus;
    if (firmware->storage == PAYGO_STORAGE_CORRUPT) {
        firmware->wrong_field = PAYGO_WRONG_STORAGE;
    } else if (firmware->storage == PAYGO_STORAGE_READY) {
        firmware->wrong_field = PAYGO_WRONG_PROVISIONED;
    } else {
        firmware->wrong_field = (uint8_t)parse_setup(fields, plus, &firmware->factory);
        if (firmware->wrong_field == PAYGO_WRONG_NOTHING) {
            paygo_firmware_save(firmware, PAYGO_AFTER_SETUP);
            return;
        }
        memset(&firmware->factory, 0, sizeof firmware->factory);
    }
    firmware->reply = PAYGO_REPLY_SETUP;
}

static void set_load(paygo_firmware *firmware, const char *position)
{
    const uint8_t to = which(position, PAYGO_WORDS_OF_SWITCH, PAYGO_SWITCH_OFF + 1U);
    if (to > PAYGO_SWITCH_OFF) {
        firmware->reply = PAYGO_REPLY_INVALID;
        return;
    }
    paygo_firmware_change(firmware)->load_switch = to;
    paygo_firmware_save(firmware, PAYGO_AFTER_LOAD);
}

/* H28. */
static void set_battery(paygo_firmware *firmware, const paygo_reader *storage, char *fields[])
{
    uint16_t capacity_ah;
    const uint8_t chemistry = which(fields[0], PAYGO_WORDS_OF_CHEMISTRY, PAYGO_CHEMISTRIES);
    if (chemistry == PAYGO_CHEMISTRIES) {
        firmware->wrong_field = PAYGO_WRONG_CHEMISTRY;
    } else if (parse_short(fields[1], 1, PAYGO_BATTERY_AH_MAX, &capacity_ah) == 0) {
        firmware->wrong_field = PAYGO_WRONG_CAPACITY;
    } else {
        paygo_firmware_battery(firmware, storage, chemistry, capacity_ah);
    }
    if (firmware->wrong_field != PAYGO_WRONG_NOTHING) {
        firmware->reply = PAYGO_REPLY_BATTERY;
    }
}

/*
 * H21. What is answered stands in firmware->event; its number is 0 when nothing is known of that event. Of one that has
 * left the log, no more than its number is known.
 */
static void acknowledge(paygo_firmware *firmware, const paygo_reader *storage, char *fields[])
{
    const paygo_saved *live = &firmware->live;
    paygo_event *event = &firmware->event;
    uint32_t boot, seq;
    if (parse_number(fields[0], &boot) == 0 || parse_number(fields[1], &seq) == 0) {
        firmware->reply = PAYGO_REPLY_INVALID;
        return;
    }
    if (seq > live->acked_seq) {
        if (paygo_firmware_oldest_event(firmware, storage, event) && event->seq == seq && event->boot == boot) {
            paygo_firmware_change(firmware)->acked_seq = seq;
            paygo_firmware_save(firmware, PAYGO_AFTER_ACKNOWLEDGE);
            return;
        }
        seq = 0;
    } else if (paygo_storage_event(storage, seq, event) ? event->boot != boot : boot - 1U >= live->boot) {
        seq = 0;
    }
    event->boot = boot;
    event->seq = seq;
    firmware->reply = PAYGO_REPLY_ACKNOWLEDGE;
}

bool paygo_is_entry(const char *line)
{
    return begins(line, PAYGO_WORD_TOKEN, ';');
}

/* In which states of the storage a command is known (H9). */
#define BLANK (1U << PAYGO_STORAGE_BLANK)
#define READY (1U << PAYGO_STORAGE_READY)
#define SET_UP (READY | (1U << PAYGO_STORAGE_CORRUPT))

/* A query has one field, its name; an empty one may follow (H1). */
typedef struct {
    uint8_t name;
    uint8_t fields;
    uint8_t known;
    uint8_t reply; /* of a query */
} grammar;

enum { SETUP, TOKEN, STATUS, SETUP_PLUS, LOAD, ACK, SET_BATTERY, BATTERY, INFO, TELEMETRY, ALERTS, LOG, COMMANDS };

static const grammar commands[COMMANDS] PAYGO_FLASH = {
    {PAYGO_WORD_SETUP, 4, BLANK, PAYGO_REPLY_NONE},
    {PAYGO_WORD_TOKEN, 2, SET_UP, PAYGO_REPLY_NONE},
    {PAYGO_WORD_STATUS, 1, SET_UP, PAYGO_REPLY_STATUS},
    {PAYGO_WORD_SETUP_PLUS, SETUP_PLUS_FIELDS, BLANK | SET_UP, PAYGO_REPLY_NONE},
    {PAYGO_WORD_LOAD, 2, READY, PAYGO_REPLY_NONE},
    {PAYGO_WORD_ACK, 3, READY, PAYGO_REPLY_NONE},
    {PAYGO_WORD_BATTERY, 3, READY, PAYGO_REPLY_NONE},
    {PAYGO_WORD_BATTERY, 1, READY, PAYGO_REPLY_BATTERY},
    {PAYGO_WORD_INFO, 1, BLANK | SET_UP, PAYGO_REPLY_INFO},
    {PAYGO_WORD_TELEMETRY, 1, SET_UP, PAYGO_REPLY_TELEMETRY},
    {PAYGO_WORD_ALERTS, 1, SET_UP, PAYGO_REPLY_ALERTS},
    {PAYGO_WORD_LOG, 1, SET_UP, PAYGO_REPLY_LOG},
};

/* The command that the fields are, or COMMANDS. */
static uint8_t command_of(const paygo_firmware *firmware, char *fields[], uint8_t count)
{
    uint8_t command;
    for (command = 0; command < COMMANDS; command++) {
        const grammar *at = &commands[command];
        const uint8_t wanted = paygo_flash_byte(&at->fields);
        if (begins(fields[0], paygo_flash_byte(&at->name), '\0') &&
            (count == wanted || (count == 2 && wanted == 1 && *fields[1] == '\0')) &&
            (paygo_flash_byte(&at->known) & 1U << firmware->storage) != 0) {
            break;
        }
    }
    return command;
}

void paygo_command(paygo_firmware *firmware, const paygo_reader *storage, paygo_outputs *outputs)
{
    char *fields[SETUP_PLUS_FIELDS];
    const uint8_t count = paygo_console_fields(firmware->console.line, ';', fields, SETUP_PLUS_FIELDS);
    const uint8_t command = command_of(firmware, fields, count);
    switch (command) {
    case SETUP:
    case SETUP_PLUS:
        setup(firmware, fields + 1, command == SETUP_PLUS);
        break;
    case TOKEN:
        if (paygo_firmware_enter(firmware, outputs, fields[1], strlen(fields[1]), PAYGO_AFTER_CONSOLE_ENTRY)) {
            firmware->reply = PAYGO_REPLY_TOKEN;
        }
        break;
    case LOAD:
        set_load(firmware, fields[1]);
        break;
    case ACK:
        acknowledge(firmware, storage, fields + 1);
        break;
    case SET_BATTERY:
        set_battery(firmware, storage, fields + 1);
        break;
    case COMMANDS:
        firmware->reply = PAYGO_REPLY_INVALID;
        break;
    default:
        firmware->wrong_field = PAYGO_WRONG_NOTHING;
        firmware->reply = (paygo_reply)paygo_flash_byte(&commands[command].reply);
        break;
    }
    if (command > STATUS && firmware->reply != PAYGO_REPLY_INVALID) { /* H7 */
        firmware->extended_host = true;
    }
}
