/*
 * The firmware of a pay-as-you-go solar control unit, as a function of its state.
 *
 * A port reads the storage and calls paygo_firmware_boot once at power-on, and then paygo_firmware_step for ever: with
 * what it measured, the key that was pressed, the bytes that came over the console and how much time has passed; it
 * then does what the outputs say. Nothing blocks. There is no heap and no global state.
 *
 * Two times run. World time is the customer's: credit, waits, battery. Wire time is the console's and the keypad's:
 * silences, time-outs, blinks. On a board they are the same; a simulator may scale world time.
 *
 * Storage: when a step asks for a write, the port does it and says so with `write_done` in a later step. A record takes
 * several writes, so that no write is long. Until it is in storage, and was read back, the firmware takes no further
 * entry, gives no answer that depends on it, and reads no further console bytes. Replies come in pieces too: while a
 * step's outputs are busy, the port steps again, with the time that has passed.
 */
#ifndef PAYGO_FIRMWARE_H
#define PAYGO_FIRMWARE_H

#include "console.h"
#include "gauge.h"
#include "panel.h"
#include "slots.h"
#include "storage.h"
#include "text.h"
#include "witness.h"

#define PAYGO_FIRMWARE_VERSION "0.1.0"
#define PAYGO_FIRMWARE_MODEL "PAYGO-SIM"

/* How many counts a step walks at most while it judges an entry, about 20 ms of an AVR at 16 MHz. */
#define PAYGO_WALK_STEPS 64U

/* A piece of a reply. */
#define PAYGO_TX_BYTES PAYGO_PIECE_BYTES

/* The longest step in world time that keeps the promises made about power cuts; a longer one does if it was not due. */
#define PAYGO_LONGEST_STEP_MS UINT32_C(30000)

/* The clock is stored before it comes this close to the time at which the stored state would wake up. */
#define PAYGO_SAVE_MARGIN_S 30U

/* How long a test activation gives light (H22). */
#define PAYGO_TEST_S 60U

/* How often an event is sent until it is acknowledged (H20), in wire time. */
#define PAYGO_EVENT_REPEAT_MS 3000U

typedef struct {
    paygo_reader storage;   /* how the port reads what it has written */
    uint32_t world_ms;      /* world time since the last step, at most PAYGO_LONGEST_STEP_MS or what world_due_ms was */
    uint32_t wire_ms;       /* wire time since the last step */
    paygo_measured measured;
    uint32_t rtc_s;         /* the clock chip's seconds, from any epoch; 0: the board has none (H25) */
    char key;               /* '0' ... '9', '*', '#', or 0 */
    bool write_done;        /* the write of an earlier step is complete */
    const char *rx;         /* console bytes that were not taken yet */
    uint16_t rx_length;
} paygo_inputs;

typedef struct {
    bool output;            /* the customer's output */
    bool charge;            /* the switch between panel and battery; while it is closed, */
    uint16_t target_mv;     /* the battery is kept at this at most, by pulse width or by a converter, */
    uint16_t limit_ma;      /* and the charge current at this, where the board can */
    bool busy;              /* a write or a reply is under way: step again, after a write with write_done */
    bool walking;           /* an entry is being judged: step again as soon as other things are done; time may pass */
    paygo_colour light;     /* lit now */
    paygo_colour blinking;  /* a pattern that began in this step, or PAYGO_DARK */
    uint8_t blinks;
    uint16_t rx_taken;      /* how many of rx were taken; offer the rest again */
    const char *tx;         /* a piece of a reply, in write.bytes: a step that says something writes nothing */
    uint8_t tx_length;
    /*
     * Times until which nothing changes by itself: as long as the readings stay, no key is pressed and no byte comes, the
     * chip may sleep so long. UINT32_MAX: for ever.
     */
    uint32_t wire_due_ms;
    uint32_t world_due_ms;
    paygo_write write;
} paygo_outputs;

/* What is being said. */
typedef enum {
    PAYGO_REPLY_NONE,
    PAYGO_REPLY_INVALID,
    PAYGO_REPLY_SETUP,
    PAYGO_REPLY_TOKEN,
    PAYGO_REPLY_STATUS,
    PAYGO_REPLY_TELEMETRY,
    PAYGO_REPLY_LOAD,
    PAYGO_REPLY_ALERTS,
    PAYGO_REPLY_LOG,
    PAYGO_REPLY_INFO,
    PAYGO_REPLY_ACKNOWLEDGE,
    PAYGO_REPLY_BATTERY,
    PAYGO_REPLY_EVENT
} paygo_reply;

/* What is done once the record under way is stored: mostly, that a reply is said. */
typedef enum {
    PAYGO_AFTER_NOTHING = PAYGO_REPLY_NONE,
    PAYGO_AFTER_SETUP = PAYGO_REPLY_SETUP,
    PAYGO_AFTER_CONSOLE_ENTRY = PAYGO_REPLY_TOKEN,
    PAYGO_AFTER_LOAD = PAYGO_REPLY_LOAD,
    PAYGO_AFTER_ACKNOWLEDGE = PAYGO_REPLY_ACKNOWLEDGE,
    PAYGO_AFTER_BATTERY = PAYGO_REPLY_BATTERY,
    PAYGO_AFTER_KEYPAD_ENTRY = 16 /* of which nothing is said: its low bits are PAYGO_REPLY_NONE */
} paygo_after;

/* Why a setup or a battery is refused. */
typedef enum {
    PAYGO_WRONG_NOTHING,
    PAYGO_WRONG_SERIAL,
    PAYGO_WRONG_STARTING_CODE,
    PAYGO_WRONG_KEY,
    PAYGO_WRONG_COUNT,
    PAYGO_WRONG_DIVIDER,
    PAYGO_WRONG_RESTRICTED,
    PAYGO_WRONG_TEST_CODE,
    PAYGO_WRONG_WINDOWS,
    PAYGO_WRONG_STORAGE,
    PAYGO_WRONG_PROVISIONED,
    PAYGO_WRONG_CHEMISTRY,
    PAYGO_WRONG_CAPACITY,
    PAYGO_WRONG_BOARD,
    PAYGO_WRONG_ALERT,
    PAYGO_WRONG_LOG
} paygo_wrong_field;

/*
 * The caller owns it and looks inside only for telemetry and tests. What is used most comes first: an AVR reaches 64
 * bytes of a struct at no cost.
 */
typedef struct {
    paygo_event event;       /* of a record of an event, or told, or acknowledged */
    paygo_token_type answer_type; /* of the entry that is being stored or answered, */
    paygo_reason answer_reason;
    paygo_seconds answer_seconds; /* of credit, or to wait; meaningless while the unit is unlocked */
    uint32_t boot;           /* what this start is called */
    paygo_reply reply;       /* what is being said */
    paygo_after after;
    paygo_after judged_for;  /* where the entry came from that is being judged, in slices (H3); PAYGO_AFTER_NOTHING: none is */
    paygo_record record;     /* which record is being stored, and how far */
    paygo_storage_state storage;
    bool saving;
    bool piece_due;          /* the record's next piece has to be written */
    bool started;            /* this start is stored: only then may the output be on */
    bool entry_waiting;      /* a keypad entry came while something was being stored or judged */
    bool command_waiting;    /* the console's line holds an entry that came while another was judged */
    bool test_entered;       /* what is being stored is a test activation */
    bool setup_plus;         /* which of the two setups is being answered */
    bool extended_host;      /* H7 */
    uint8_t test_s;          /* of light that a test activation still gives (H22) */
    uint16_t latched;        /* bit i: alert i rose and could not be recorded yet */
    uint8_t wrong_field;     /* of a setup or a battery, a paygo_wrong_field */
    uint16_t rest_ms;        /* world time that does not make a whole second yet */
    uint16_t said;           /* how many characters of a reply were said */
    uint16_t repeat_ms;      /* wire time until the oldest event is sent again */
    paygo_charger charger;
    paygo_slots slots;
    paygo_entry entry;
    paygo_saved live;        /* what is stored, plus the clock since then */
    paygo_gauge gauge;
    paygo_keypad keypad;
    uint32_t wakes_at;       /* s: the clock that the stored state would wake up with */
    paygo_console console;
    uint16_t latched_value[PAYGO_ALERTS]; /* the low half of its value */
    paygo_factory factory;
    paygo_saved next;        /* what is being stored */
    paygo_witness witness;   /* H25 */
    paygo_journal journal;
    uint16_t held_wire_ms;   /* wire time that passed while something was said, and waits to be counted, */
    uint32_t held_world_ms;  /* and world time */
    paygo_light light;
} paygo_firmware;

/*
 * Power-on: reads the storage and forgets everything else. `board` is what the firmware runs on. `first_boot`, 1 ... 2^31, is what the first start of a unit's
 * life is called; later starts count on from what is stored. It should be random (an ADC's noise, a chip's serial
 * number), so that nobody takes the events of a unit whose storage was replaced for those of its former life.
 */
void paygo_firmware_boot(paygo_firmware *firmware, paygo_board board, const paygo_reader *storage, uint32_t first_boot);

/* One step. `outputs` is written completely. */
void paygo_firmware_step(paygo_firmware *firmware, const paygo_inputs *inputs, paygo_outputs *outputs);

/* The alerts that are active now, bit i: alert i, and whether one is. */
uint16_t paygo_firmware_alerts(const paygo_firmware *firmware);
bool paygo_firmware_alert(const paygo_firmware *firmware, paygo_alert alert);

/* What is measured for it now. */
int32_t paygo_alert_value(const paygo_firmware *firmware, paygo_alert alert);

/*
 * Whether the customer's output is on: credit or a test activation, and no protection, and the operator's switch not
 * off.
 */
bool paygo_firmware_output(const paygo_firmware *firmware);

/*
 * H28: another battery, which is an event as well. Begins to store both, or says in firmware->wrong_field why not.
 */
void paygo_firmware_battery(paygo_firmware *firmware, const paygo_reader *storage, uint8_t chemistry,
                            uint16_t capacity_ah);

/* Makes firmware->next a copy of what is stored, to be changed. */
paygo_saved *paygo_firmware_change(paygo_firmware *firmware);

/*
 * Begins to store firmware->next, or in a blank unit the factory data and then the first state; what `after` says follows
 * once that is complete.
 */
void paygo_firmware_save(paygo_firmware *firmware, paygo_after after);

/*
 * An entry from the console or the keypad. Returns whether it is answered already; otherwise it is
 * being judged or stored.
 */
bool paygo_firmware_enter(paygo_firmware *firmware, paygo_outputs *outputs, const char *digits, size_t length,
                          paygo_after after);

/* The oldest event that nobody has acknowledged. Returns false when there is none. */
bool paygo_firmware_oldest_event(const paygo_firmware *firmware, const paygo_reader *storage, paygo_event *event);

#endif
