/* Encoding and judging of tokens: rules T5 to T18, T25. */
#include "codec.h"

/* T18: a device in the middle of its windows could take the token for another count within this distance. */
#define COLLISION_SPAN UINT32_C(80)

/* How far below the last count a checkpoint on the chain of counter synchronisation stays. */
#define SYNC_BACK 64U

static bool reserved(uint32_t value)
{
    return value == PAYGO_VALUE_RESERVED_LOW || value == PAYGO_VALUE_RESERVED_HIGH;
}

/* T9: the values that are commands, obeyed at either parity. */
static bool command(uint32_t value)
{
    return value == PAYGO_VALUE_DISABLE_PAYG || value == PAYGO_VALUE_COUNTER_SYNC;
}

paygo_window paygo_window_at(uint16_t count)
{
    paygo_window window;
    window.count = count;
    window.floor = count;
    window.used = 0;
    return window;
}

bool paygo_value_allowed(paygo_form form, uint32_t value)
{
    return value < paygo_base_modulus(form) && !reserved(value);
}

uint16_t paygo_next_count(const paygo_config *config, uint16_t count, paygo_token_type type)
{
    const uint32_t parity = type == PAYGO_ADD_TIME ? 0U : 1U;
    const uint32_t next = (uint32_t)count + ((count & 1U) == parity ? 2U : 1U);
    return next > config->max_count ? 0 : (uint16_t)next;
}

static uint64_t token_base(const paygo_config *config, paygo_form form, uint32_t value)
{
    const uint32_t modulus = paygo_base_modulus(form);
    return (config->starting_code % modulus + value) % modulus;
}

static uint16_t below(uint16_t count, uint16_t back)
{
    return count > back ? (uint16_t)(count - back) : 0;
}

uint16_t paygo_checkpoint_place(const paygo_config *config, uint16_t count, uint32_t value)
{
    return below(count, value == PAYGO_VALUE_COUNTER_SYNC ? SYNC_BACK : config->older_window);
}

static void walk_from(paygo_walk *walk, const paygo_checkpoint *point)
{
    walk->count = point->count;
    walk->code = point->code;
}

static paygo_checkpoint checkpoint_of(const paygo_walk *walk)
{
    paygo_checkpoint point;
    point.code = walk->code;
    point.count = (uint16_t)walk->count;
    return point;
}

uint64_t paygo_encode_from(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value,
                           paygo_checkpoint *point)
{
    const paygo_key key = paygo_key_load(config->secret_key);
    const uint64_t base = token_base(config, form, value);
    const uint32_t mark = below(count, PAYGO_CHECKPOINT_BACK);
    paygo_walk walk = paygo_walk_start(&key, form, config->starting_code, base);
    if (point->count > 0 && point->count <= count) {
        walk_from(&walk, point);
    }
    if (walk.count < mark) {
        paygo_walk_by(&walk, mark - walk.count);
        *point = checkpoint_of(&walk);
    }
    paygo_walk_by(&walk, count - walk.count);
    return paygo_with_base(form, walk.code, (uint32_t)base);
}

uint64_t paygo_encode(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value)
{
    paygo_checkpoint none;
    none.code = 0;
    none.count = 0;
    return paygo_encode_from(config, form, count, value, &none);
}

bool paygo_collides(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value)
{
    const paygo_key key = paygo_key_load(config->secret_key);
    const uint64_t token = paygo_encode(config, form, count, value);
    const uint32_t first = count > COLLISION_SPAN ? count - COLLISION_SPAN : 0;
    const uint32_t last = count + COLLISION_SPAN;
    paygo_walk walk = paygo_walk_start(&key, form, config->starting_code, token);
    if (first == 0) {
        if (walk.code == token) {
            return true;
        }
    } else {
        paygo_walk_by(&walk, first - 1U);
    }
    while (walk.count < last && paygo_walk_to_match(&walk, last - walk.count)) {
        if (walk.count != count) {
            return true;
        }
    }
    return false;
}

/* T11: bit i of `used` stands for the count L - i, up to the older window. */
static uint32_t used_mask(const paygo_config *config)
{
    return UINT32_C(0xffffffff) >> (31U - config->older_window);
}

static bool in_used(const paygo_window *window, uint32_t count)
{
    const uint32_t back = window->count - count;
    return back < 32U && ((window->used >> back) & 1U) != 0;
}

/* T13 to T15: PAYGO_REASON_ACCEPTED, or why the match at `count` is not admitted. */
static paygo_reason admission(const paygo_config *config, const paygo_window *window, uint32_t count, uint32_t value)
{
    if (count > window->count) {
        return PAYGO_REASON_ACCEPTED;
    }
    if (count == window->count || in_used(window, count)) {
        return PAYGO_REASON_USED;
    }
    if (command(value) || (count & 1U) != 0) {
        return PAYGO_REASON_OVERTAKEN;
    }
    if (count <= window->floor) {
        return PAYGO_REASON_OLDER_THAN_SET;
    }
    if (count + config->older_window <= window->count) {
        return PAYGO_REASON_TOO_OLD;
    }
    return PAYGO_REASON_ACCEPTED;
}

/* T11 and T17: the window after the token at `count` was accepted. L never goes down. */
static paygo_window window_after(const paygo_config *config, const paygo_window *before, uint16_t count, uint32_t value)
{
    paygo_window after = *before;
    if (count > before->count) {
        const uint32_t shift = (uint32_t)count - before->count;
        after.used = shift < 32U ? before->used << shift : 0U;
        after.count = count;
    }
    if ((count & 1U) == 0) {
        after.used |= UINT32_C(1) << (after.count - count);
    }
    after.used &= used_mask(config);
    if (command(value) || (count & 1U) != 0) {
        after.floor = count;
    }
    return after;
}

static paygo_token_type type_of(uint32_t value, uint32_t count)
{
    if (value == PAYGO_VALUE_DISABLE_PAYG) {
        return PAYGO_DISABLE_PAYG;
    }
    if (value == PAYGO_VALUE_COUNTER_SYNC) {
        return PAYGO_COUNTER_SYNC;
    }
    return (count & 1U) == 0 ? PAYGO_ADD_TIME : PAYGO_SET_TIME;
}

static paygo_verdict invalid(const paygo_window *window, paygo_reason reason)
{
    paygo_verdict verdict;
    verdict.type = PAYGO_INVALID;
    verdict.reason = reason;
    verdict.value = 0;
    verdict.count = 0;
    verdict.window = *window;
    return verdict;
}

void paygo_decode_begin(paygo_decoder *decoder, const paygo_config *config, const paygo_window *window, paygo_form form,
                        uint64_t token)
{
    const uint32_t modulus = paygo_base_modulus(form);
    const uint32_t base = (uint32_t)(token % modulus);
    const uint32_t value = (base + modulus - config->starting_code % modulus) % modulus;
    const paygo_key key = paygo_key_load(config->secret_key);
    decoder->config = config;
    decoder->done = reserved(value);
    decoder->refused = decoder->done;
    decoder->verdict = invalid(window, decoder->done ? PAYGO_REASON_RESERVED : PAYGO_REASON_NO_MATCH);
    decoder->verdict.value = value;
    decoder->walk = paygo_walk_start(&key, form, config->starting_code, token);
    decoder->token = token;
    decoder->first = 0;
    decoder->noted.code = 0;
    decoder->noted.count = 0;
    /* T12: how far a device looks. */
    decoder->last = (uint32_t)window->count +
                    (value == PAYGO_VALUE_COUNTER_SYNC ? config->max_sync_jump : config->max_jump);
    if (decoder->last > config->max_count) {
        decoder->last = config->max_count;
    }
    decoder->mark = paygo_checkpoint_place(config, window->count, value);
    if (decoder->mark > decoder->last) {
        decoder->mark = 0;
    }
}

void paygo_decode_resume(paygo_decoder *decoder, const paygo_checkpoint *point)
{
    if (point->count > 0 && point->count <= decoder->mark) {
        walk_from(&decoder->walk, point);
        decoder->first = point->count;
        decoder->noted = *point;
    }
}

/* The end of the walk. Below a checkpoint an old token may still match: T15 tells it from a wrong one (T16). */
static void end_of_walk(paygo_decoder *decoder)
{
    if (decoder->verdict.reason != PAYGO_REASON_NO_MATCH || decoder->first == 0) {
        decoder->done = true;
        decoder->refused = decoder->verdict.reason != PAYGO_REASON_ACCEPTED;
        return;
    }
    decoder->refused = true;
    decoder->last = decoder->first;
    decoder->first = 0;
    decoder->mark = 0;
    decoder->walk =
        paygo_walk_start(&decoder->walk.key, decoder->walk.form, decoder->config->starting_code, decoder->token);
}

bool paygo_decode_run(paygo_decoder *decoder, uint32_t steps)
{
    paygo_verdict *verdict = &decoder->verdict;
    const uint32_t value = verdict->value;
    while (!decoder->done) {
        const uint32_t begun = decoder->walk.count;
        const uint32_t stop = begun < decoder->mark ? decoder->mark : decoder->last;
        const uint32_t left = stop - begun;
        if (left == 0) {
            end_of_walk(decoder);
            continue;
        }
        if (steps == 0) {
            return false;
        }
        if (paygo_walk_to_match(&decoder->walk, left < steps ? left : steps)) {
            const uint16_t count = (uint16_t)decoder->walk.count;
            verdict->count = count;
            verdict->reason = admission(decoder->config, &verdict->window, count, value);
            verdict->type = PAYGO_ALREADY_USED;
            if (verdict->reason == PAYGO_REASON_ACCEPTED) {
                verdict->type = type_of(value, count);
                verdict->window = window_after(decoder->config, &verdict->window, count, value);
                decoder->done = true;
            }
        }
        if (decoder->walk.count == decoder->mark) {
            decoder->noted = checkpoint_of(&decoder->walk);
        }
        steps -= decoder->walk.count - begun;
    }
    return true;
}

static paygo_verdict to_the_end(paygo_decoder *decoder)
{
    while (!paygo_decode_run(decoder, UINT32_C(0xffffffff))) {
    }
    return decoder->verdict;
}

paygo_verdict paygo_decode_from(const paygo_config *config, const paygo_window *window, paygo_form form, uint64_t token,
                                paygo_checkpoint *point)
{
    paygo_decoder decoder;
    paygo_decode_begin(&decoder, config, window, form, token);
    paygo_decode_resume(&decoder, point);
    (void)to_the_end(&decoder);
    if (decoder.noted.count > 0) {
        *point = decoder.noted;
    }
    return decoder.verdict;
}

void paygo_decode_begin_text(paygo_decoder *decoder, const paygo_config *config, const paygo_window *window,
                             paygo_form form, const char *text, size_t length)
{
    uint64_t token = 0;
    paygo_reason reason;
    switch (paygo_digits_read(form, config->restricted_digits, text, length, &token)) {
    case PAYGO_DIGITS_LENGTH:
        reason = PAYGO_REASON_LENGTH;
        break;
    case PAYGO_DIGITS_SET:
        reason = PAYGO_REASON_DIGITS;
        break;
    case PAYGO_DIGITS_RANGE:
        reason = PAYGO_REASON_RANGE;
        break;
    case PAYGO_DIGITS_TOKEN:
    default:
        paygo_decode_begin(decoder, config, window, form, token);
        return;
    }
    paygo_decode_begin(decoder, config, window, form, token);
    paygo_decode_refuse(decoder, reason);
}

void paygo_decode_refuse(paygo_decoder *decoder, paygo_reason reason)
{
    decoder->verdict = invalid(&decoder->verdict.window, reason);
    decoder->mark = 0;
    decoder->done = true;
    decoder->refused = true;
}

paygo_verdict paygo_decode(const paygo_config *config, const paygo_window *window, paygo_form form, const char *text,
                           size_t length)
{
    paygo_decoder decoder;
    paygo_decode_begin_text(&decoder, config, window, form, text, length);
    return to_the_end(&decoder);
}
