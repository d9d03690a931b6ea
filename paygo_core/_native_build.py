"""Builds paygo_core._native, the C core as Python sees it (cffi, API mode, stable ABI)."""

from pathlib import Path

from cffi import FFI

CSRC = Path("paygo_core/csrc")
SOURCES = [str(CSRC / name) for name in ("siphash.c", "chain.c", "digits.c", "codec.c", "cache.c", "unit.c")]
PC_SOURCES = [str(CSRC / "reference.c"), *(str(path) for path in sorted((CSRC / "batch").glob("*.c")))]

# What firmware_sim's extension repeats, since it embeds the brain.
CODEC_CDEF = """
typedef uint8_t paygo_form;
enum { PAYGO_STANDARD = 9, PAYGO_EXTENDED = 12, ... };
typedef uint8_t paygo_token_type;
enum { PAYGO_ADD_TIME, PAYGO_SET_TIME, PAYGO_DISABLE_PAYG, PAYGO_COUNTER_SYNC, PAYGO_INVALID, PAYGO_ALREADY_USED, ... };
typedef uint8_t paygo_reason;
enum { PAYGO_REASON_ACCEPTED, ... };
typedef struct {
    uint8_t secret_key[16];
    uint32_t starting_code;
    uint16_t max_count;
    uint16_t max_jump;
    uint16_t max_sync_jump;
    uint8_t older_window;
    uint8_t time_divider;
    bool restricted_digits;
    bool strict_waits;
} paygo_config;
typedef struct { uint16_t count; uint16_t floor; uint32_t used; } paygo_window;
typedef struct { uint32_t low; uint16_t high; } paygo_seconds;
typedef struct {
    paygo_window window;
    uint32_t clock;
    paygo_seconds credit;
    uint16_t wait;
    uint8_t wrong_entries;
    bool unlocked;
} paygo_unit;
"""

CDEF = (
    CODEC_CDEF
    + """
typedef struct { uint64_t k0; uint64_t k1; } paygo_key;
void paygo_key_load(paygo_key *key, const uint8_t bytes[16]);
uint64_t paygo_siphash24(const paygo_key *key, const uint8_t *message, size_t length);

uint64_t paygo_chain_next(const paygo_key *key, paygo_form form, uint64_t code);
uint64_t paygo_largest_code(paygo_form form);
uint32_t paygo_default_starting_code(const uint8_t secret_key[16]);

uint8_t paygo_digits_write(paygo_form form, bool restricted, uint64_t token, char *text);
typedef enum { PAYGO_DIGITS_TOKEN, ... } paygo_digits_result;
paygo_digits_result paygo_digits_read(paygo_form form, bool restricted, const char *text, size_t length,
                                      uint64_t *token);

typedef struct {
    paygo_token_type type;
    paygo_reason reason;
    uint16_t count;
    uint32_t value;
    paygo_window window;
} paygo_verdict;
paygo_window paygo_window_at(uint16_t count);
bool paygo_value_allowed(paygo_form form, uint32_t value);
uint16_t paygo_next_count(const paygo_config *config, uint16_t count, paygo_token_type type);
uint64_t paygo_encode(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value);
typedef struct { uint64_t code; uint16_t count; } paygo_checkpoint;
uint64_t paygo_encode_from(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value,
                           paygo_checkpoint *point);
paygo_verdict paygo_decode_from(const paygo_config *config, const paygo_window *window, paygo_form form, uint64_t token,
                                paygo_checkpoint *point);
typedef struct { uint64_t chain; paygo_checkpoint point; uint32_t used; } paygo_cache_slot;
typedef struct { paygo_cache_slot *slots; uint32_t size; uint32_t uses; } paygo_cache;
paygo_checkpoint paygo_cache_find(paygo_cache *cache, uint64_t chain);
bool paygo_cache_keep(paygo_cache *cache, uint64_t chain, const paygo_checkpoint *point);
bool paygo_collides(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value);
paygo_verdict paygo_decode(const paygo_config *config, const paygo_window *window, paygo_form form, const char *text,
                           size_t length);

typedef struct {
    paygo_verdict verdict;
    uint16_t wait_seconds;
    uint64_t seconds_left;
} paygo_answer;
void paygo_unit_init(paygo_unit *unit, uint16_t count);
void paygo_unit_tick(paygo_unit *unit, uint32_t now);
paygo_answer paygo_unit_enter(paygo_unit *unit, const paygo_config *config, uint32_t now, const char *text,
                              size_t length);
bool paygo_unit_active(const paygo_unit *unit);
uint64_t paygo_unit_seconds_left(const paygo_unit *unit);
uint16_t paygo_unit_wait_left(const paygo_unit *unit);
void paygo_unit_store(const paygo_unit *unit, uint32_t ahead, uint8_t *bytes);
bool paygo_unit_load(paygo_unit *unit, const uint8_t *bytes);

typedef struct { uint16_t max_count; uint16_t used; } paygo_reference;
paygo_verdict paygo_reference_enter(const paygo_config *config, bool wide_int, paygo_reference *state, uint32_t token);

typedef enum { PAYGO_SIMD_SCALAR, ... } paygo_simd;
typedef struct {
    paygo_form form;
    const uint8_t *keys;
    size_t key_stride;
    const uint32_t *starting_codes;
    size_t starting_code_stride;
    const uint32_t *counts;
    size_t count_stride;
    const uint32_t *values;
    size_t value_stride;
    uint64_t *tokens;
    bool *collides;
} paygo_batch;
bool paygo_simd_available(paygo_simd simd);
void paygo_batch_run(const paygo_batch *batch, paygo_simd simd, size_t from, size_t to);
void paygo_batch_check(const paygo_batch *batch, paygo_simd simd, size_t from, size_t to);

#define PAYGO_TEXT_WIDTH ...
#define PAYGO_FACTS ...
typedef struct {
    paygo_config config;
    const uint8_t *keys;
    size_t key_stride;
    const uint32_t *starting_codes;
    size_t starting_code_stride;
    const uint8_t *restricted;
    size_t restricted_stride;
    const char *texts;
    const uint8_t *lengths;
    paygo_form form;
    const uint64_t *tokens;
    uint32_t *last_counts;
    uint32_t *floors;
    uint32_t *used;
    uint8_t *types;
    uint8_t *reasons;
    uint32_t *values;
    uint32_t *counts;
} paygo_judging;
void paygo_judge_run(const paygo_judging *judging, size_t from, size_t to);
void paygo_judge_text(const paygo_config *config, uint16_t count, uint16_t floor, uint32_t used, paygo_form form,
                      const char *text, size_t length, uint32_t *facts);
"""
)

ffibuilder = FFI()
ffibuilder.cdef(CDEF)
ffibuilder.set_source(
    "paygo_core._native",
    "".join(f'#include "{name}"\n' for name in ("batch/batch.h", "batch/judge.h", "cache.h", "reference.h", "unit.h")),
    sources=[*SOURCES, *PC_SOURCES],
    include_dirs=[str(CSRC)],
    depends=[str(path) for path in sorted(CSRC.rglob("*.h"))],
    extra_compile_args=["-std=c99", "-O2"],
)
