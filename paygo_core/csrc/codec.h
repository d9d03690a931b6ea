/* Making tokens and judging them: which token a count and a value give, and which tokens a device accepts. */
#ifndef PAYGO_CODEC_H
#define PAYGO_CODEC_H

#include "digits.h"

/* Values with a meaning of their own (rules T7 to T9). */
#define PAYGO_MAX_UNITS 995U
#define PAYGO_VALUE_RESERVED_LOW 996U
#define PAYGO_VALUE_RESERVED_HIGH 997U
#define PAYGO_VALUE_DISABLE_PAYG 998U
#define PAYGO_VALUE_COUNTER_SYNC 999U

/* The used counts are a 32-bit mask, so that an older token can be at most 30 counts back. */
#define PAYGO_MAX_OLDER_WINDOW 31U

/* What identifies a device and bounds what it accepts. The caller fills every field. */
typedef struct {
    uint8_t secret_key[16];
    uint32_t starting_code;     /* 1 ... 999 999 999 */
    uint16_t max_count;         /* no token above this count is made or accepted; 65 535 unless the model's limit is lower */
    uint16_t max_jump;          /* how far above the last count a token may lie: 64 */
    uint16_t max_sync_jump;     /* the same for counter synchronisation: 100 */
    uint8_t older_window;       /* how far below it an unused ADD_TIME may lie: 16; at most PAYGO_MAX_OLDER_WINDOW */
    uint8_t time_divider;       /* units a day: 1 ... 255 */
    bool restricted_digits;     /* the digits 1 to 4 only */
    bool strict_waits;          /* waits from the first wrong entry on (T33) instead of the third (T32) */
} paygo_config;

/* What a device remembers of the tokens that it took (rule T11). */
typedef struct {
    uint16_t count; /* L, the highest accepted count */
    uint16_t floor; /* F, nothing at or below it is admitted any more */
    uint32_t used;  /* bit i: the even count L - i was accepted */
} paygo_window;

/* A place on a chain from which a walk can go on, since the chain of a value never changes. */
typedef struct {
    paygo_code code;
    uint16_t count; /* 0: no checkpoint */
} paygo_checkpoint;

/* How far below a count its encoding notes one, so that every count that can collide lies above it. */
#define PAYGO_CHECKPOINT_BACK 128U

/* The numbers that the whole ecosystem uses. */
typedef uint8_t paygo_token_type;
enum {
    PAYGO_ADD_TIME = 1,
    PAYGO_SET_TIME = 2,
    PAYGO_DISABLE_PAYG = 3,
    PAYGO_COUNTER_SYNC = 4,
    PAYGO_INVALID = 10,
    PAYGO_ALREADY_USED = 11
};

/* Why a token got its type. */
typedef uint8_t paygo_reason;
enum {
    PAYGO_REASON_ACCEPTED = 0,
    PAYGO_REASON_LENGTH = 1,         /* not an entry: length (T22) */
    PAYGO_REASON_DIGITS = 2,         /* not an entry: digit set (T22) */
    PAYGO_REASON_RANGE = 3,          /* beyond the largest code (T21) */
    PAYGO_REASON_RESERVED = 4,       /* value 996 or 997 (T8) */
    PAYGO_REASON_NO_MATCH = 5,       /* no count within the windows gives it (T16) */
    PAYGO_REASON_USED = 6,           /* its count was accepted before (T15) */
    PAYGO_REASON_OLDER_THAN_SET = 7, /* at or below the floor: a later SET_TIME, unlock, sync or the provisioning voids it (T15) */
    PAYGO_REASON_TOO_OLD = 8,        /* an ADD_TIME further back than the window (T15) */
    PAYGO_REASON_OVERTAKEN = 9,      /* a SET_TIME, unlock or sync below the last count (T15) */
    PAYGO_REASON_WAITING = 10        /* not judged: the wait after wrong entries runs (T35) */
};

typedef struct {
    paygo_token_type type;
    paygo_reason reason;
    uint16_t count;      /* the count that gave the token; meaningful unless type is PAYGO_INVALID */
    paygo_value value;   /* raw units, 998 or 999; meaningful unless type is PAYGO_INVALID */
    paygo_window window; /* after the token; as before it unless it was accepted */
} paygo_verdict;

/* A device provisioned at this count: everything up to it is void. */
paygo_window paygo_window_at(uint16_t count);

/* Whether a token may carry this value: not reserved, and below the modulus of the form (T8, T25). */
bool paygo_value_allowed(paygo_form form, uint32_t value);

/*
 * The new count for a token of this type after the server's `count`: the next of the type's parity.
 * 0 when it would lie above config->max_count (T10).
 */
uint16_t paygo_next_count(const paygo_config *config, uint16_t count, paygo_token_type type);

/* The token at `count` (1 ... 65 535) with an allowed `value` (T5). */
paygo_code paygo_encode(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value);

/* Whether another count within 80 of `count` gives the same token: such a count must not be issued (T18). */
#ifndef PAYGO_NO_EXTENDED
bool paygo_collides(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value);
#endif

/*
 * The same token from a checkpoint of its chain (cache.h): the walk begins at `point`, if that lies at or below `count`,
 * and `point` then is where the next token of this value should begin.
 */
paygo_code paygo_encode_from(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value,
                           paygo_checkpoint *point);

/*
 * The highest count of a checkpoint from which a device at the last count `count` may begin: everything that it can still
 * admit lies above it. older_window below the last count, 64 for a counter synchronisation; 0: there is none.
 */
paygo_steps paygo_checkpoint_place(const paygo_config *config, uint16_t count, paygo_value value);

/* The judging of one token, which can be cut into slices: a wrong token walks last count + max_jump steps. */
typedef struct {
    const paygo_config *config;
    paygo_code start;       /* of the chain, at count 0 */
    uint16_t stop;          /* the count up to which it goes: first that whose checkpoint is noted in passing, then `last` */
    uint16_t last;          /* the count at which the walk ends */
    uint16_t first;         /* the count at which the walk began; what lies below is walked only if nothing matches above */
    bool done;
    bool refused;           /* not accepted, whatever the rest of the walk tells: USED, too old, or no match at all */
    paygo_checkpoint noted; /* for the next token of this value */
    paygo_verdict verdict;
    paygo_walk walk;
} paygo_decoder;

/* Begins with a token of at most paygo_largest_code(form). `config` must outlive the decoder. */
void paygo_decode_begin(paygo_decoder *decoder, const paygo_config *config, const paygo_window *window, paygo_form form,
                        paygo_code token);

/* Begins with a written token of the device's own digit set. What is no token, or none of `form`, is done at once. */
void paygo_decode_begin_text(paygo_decoder *decoder, const paygo_config *config, const paygo_window *window,
                             paygo_form form, const char *text, size_t length);

/*
 * After paygo_decode_begin: begins the walk at a checkpoint of the token's chain, the code at `count`, if that lies far
 * enough below the last count; 0 is none. It changes no verdict, only the time until there is one.
 */
void paygo_decode_resume(paygo_decoder *decoder, paygo_code code, uint16_t count);

/* After paygo_decode_begin: ends it without a walk, with this reason. */
void paygo_decode_refuse(paygo_decoder *decoder, paygo_reason reason);

/* Walks at most `steps` counts. Returns whether decoder->verdict stands. */
bool paygo_decode_run(paygo_decoder *decoder, paygo_steps steps);

/* Judges a written token of the device's own digit set, in one go; `form` is what the device takes. */
paygo_verdict paygo_decode(const paygo_config *config, const paygo_window *window, paygo_form form, const char *text,
                           size_t length);

/* Judges a token's number in one go, from a checkpoint of its chain; `point` then is where the next one should begin. */
paygo_verdict paygo_decode_from(const paygo_config *config, const paygo_window *window, paygo_form form, paygo_code token,
                                paygo_checkpoint *point);

#endif
