/* The decoder of deployed firmware, quirk by quirk. */
#include "reference.h"

#define JUMP 64
#define SYNC_JUMP 100
#define OLDER 16

static bool is_sync(uint32_t value)
{
    return value == PAYGO_VALUE_COUNTER_SYNC;
}

/* `max_count - distance`, which wraps to a large number where it is computed in 16 unsigned bits. */
static int32_t below(const paygo_reference *state, int32_t distance, bool wide_int)
{
    const int32_t difference = (int32_t)state->max_count - distance;
    return wide_int || difference >= 0 ? difference : difference + INT32_C(65536);
}

static bool in_used(const paygo_reference *state, int32_t count)
{
    const uint32_t back = (uint32_t)((int32_t)state->max_count - count - 1);
    return (count & 1) != 0 || count == state->max_count || (back < 16U && ((state->used >> back) & 1U) != 0);
}

static bool valid(const paygo_reference *state, int32_t count, uint32_t value, bool wide_int)
{
    if (is_sync(value)) {
        return count > below(state, JUMP, wide_int);
    }
    if (count > state->max_count) {
        return true;
    }
    return count != 0 && count > below(state, OLDER, wide_int) && !in_used(state, count);
}

/* Moving the mask loses bits: each is tested in place but shifted by the target's position, not by the distance. */
static uint16_t moved(uint16_t used, uint32_t distance)
{
    uint32_t fresh = 0;
    uint32_t i;
    if (distance > 16U) {
        distance = 16U;
    } else {
        fresh = UINT32_C(1) << (distance - 1U);
    }
    for (i = distance + 1U; i + distance < 16U; i++) {
        fresh &= ~(UINT32_C(1) << i);
        fresh |= (used & (UINT32_C(1) << (i - distance))) << i;
    }
    return (uint16_t)fresh;
}

static void mark(paygo_reference *state, int32_t count, uint32_t value)
{
    if ((count & 1) != 0 || value == PAYGO_VALUE_DISABLE_PAYG || is_sync(value)) {
        state->used = 0xffff;
    } else if (count > state->max_count) {
        state->used = moved(state->used, (uint32_t)(count - state->max_count));
    } else {
        state->used = (uint16_t)(state->used | (UINT32_C(1) << (uint32_t)(state->max_count - count - 1)));
    }
    if (count > state->max_count) {
        state->max_count = (uint16_t)((uint32_t)count & 0xffffU);
    }
}

/* How far the unit walks. In 16 bits the sum of a high count turns negative, and nothing is ever found again. */
static int32_t last_count(const paygo_reference *state, uint32_t value, bool wide_int)
{
    const int32_t last = (int32_t)state->max_count + (is_sync(value) ? SYNC_JUMP : JUMP);
    return wide_int || last <= INT16_MAX ? last : -1;
}

static paygo_token_type type_of(uint32_t value, int32_t count)
{
    if (value == PAYGO_VALUE_DISABLE_PAYG) {
        return PAYGO_DISABLE_PAYG;
    }
    if (is_sync(value)) {
        return PAYGO_COUNTER_SYNC;
    }
    return (count & 1) == 0 ? PAYGO_ADD_TIME : PAYGO_SET_TIME;
}

paygo_verdict paygo_reference_enter(const paygo_config *config, bool wide_int, paygo_reference *state, uint32_t token)
{
    const uint32_t base = token % 1000U;
    const uint32_t value = (base + 1000U - config->starting_code % 1000U) % 1000U;
    const int32_t last = last_count(state, value, wide_int);
    paygo_walk walk;
    bool match;
    paygo_verdict verdict;
    paygo_key_load(&walk.key, config->secret_key);
    paygo_walk_start(&walk, PAYGO_STANDARD, config->starting_code, token);
    match = last >= 0 && walk.code == token;
    verdict.type = PAYGO_INVALID;
    verdict.reason = PAYGO_REASON_NO_MATCH;
    verdict.value = (paygo_value)value;
    verdict.count = 0;
    verdict.window = paygo_window_at(0);
    for (;;) {
        const int32_t count = (int32_t)walk.count;
        if (match) {
            verdict.count = (uint16_t)((uint32_t)count & 0xffffU);
            if (valid(state, count, value, wide_int)) {
                verdict.type = type_of(value, count);
                verdict.reason = PAYGO_REASON_ACCEPTED;
                mark(state, count, value);
                return verdict;
            }
            verdict.type = PAYGO_ALREADY_USED;
            verdict.reason = PAYGO_REASON_USED;
        }
        if (count >= last) {
            return verdict;
        }
        match = paygo_walk_to_match(&walk, (paygo_steps)(last - count));
    }
}
