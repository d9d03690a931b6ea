/* Encoding and judging of tokens: rules T5 to T18, T25. */
#include "codec.h"

/* What is wrong with a text is told as it is. */
typedef char reasons_fit[(int)PAYGO_REASON_LENGTH == (int)PAYGO_DIGITS_LENGTH && (int)PAYGO_REASON_DIGITS == (int)PAYGO_DIGITS_SET &&
                                 (int)PAYGO_REASON_RANGE == (int)PAYGO_DIGITS_RANGE
                             ? 1
                             : -1];

/* T18: a device in the middle of its windows could take the token for another count within this distance. */
#define COLLISION_SPAN 80U

/* How far below the last count a checkpoint on the chain of counter synchronisation stays. */
#define SYNC_BACK 64U

static bool reserved(paygo_value value)
{
    return value == PAYGO_VALUE_RESERVED_LOW || value == PAYGO_VALUE_RESERVED_HIGH;
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
    return value < paygo_base_modulus(form) && !reserved((paygo_value)value);
}

uint16_t paygo_next_count(const paygo_config *config, uint16_t count, paygo_token_type type)
{
    const uint32_t parity = type == PAYGO_ADD_TIME ? 0U : 1U;
    const uint32_t next = (uint32_t)count + ((count & 1U) == parity ? 2U : 1U);
    return next > config->max_count ? 0 : (uint16_t)next;
}

static paygo_value token_base(const paygo_config *config, paygo_form form, uint32_t value)
{
    const uint32_t modulus = paygo_base_modulus(form);
    return (paygo_value)((config->starting_code % modulus + value) % modulus);
}

static paygo_steps below(paygo_steps count, paygo_steps back)
{
    return count > back ? count - back : 0;
}

paygo_steps paygo_checkpoint_place(const paygo_config *config, uint16_t count, paygo_value value)
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

paygo_code paygo_encode_from(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value,
                           paygo_checkpoint *point)
{
    const paygo_value base = token_base(config, form, value);
    const paygo_steps mark = below(count, PAYGO_CHECKPOINT_BACK);
    paygo_walk walk;
    paygo_key_load(&walk.key, config->secret_key);
    paygo_walk_start(&walk, form, config->starting_code, base);
    if (point->count > 0 && point->count <= count) {
        walk_from(&walk, point);
    }
    if (walk.count < mark) {
        paygo_walk_by(&walk, mark - walk.count);
        *point = checkpoint_of(&walk);
    }
    paygo_walk_by(&walk, count - walk.count);
    return paygo_with_base(form, walk.code, base);
}

paygo_code paygo_encode(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value)
{
    paygo_checkpoint none;
    none.code = 0;
    none.count = 0;
    return paygo_encode_from(config, form, count, value, &none);
}

#ifndef PAYGO_NO_EXTENDED
bool paygo_collides(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value)
{
    const paygo_code token = paygo_encode(config, form, count, value);
    const paygo_steps first = count > COLLISION_SPAN ? count - COLLISION_SPAN : 0;
    const paygo_steps end = count + COLLISION_SPAN;
    const paygo_steps last = end >= COLLISION_SPAN ? end : UINT_MAX; /* it may not fit into 16 bits */
    paygo_walk walk;
    paygo_key_load(&walk.key, config->secret_key);
    paygo_walk_start(&walk, form, config->starting_code, token);
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

#endif

/* T11: bit i of `used` stands for the count L - i. */
static uint32_t used_bit(paygo_steps back)
{
    return back < 32U ? UINT32_C(1) << back : 0;
}

static paygo_steps type_of(paygo_value value, paygo_steps count)
{
    const paygo_value above = value - PAYGO_VALUE_DISABLE_PAYG;
    if (above <= PAYGO_VALUE_COUNTER_SYNC - PAYGO_VALUE_DISABLE_PAYG) { /* T9: types in the order of the values */
        return PAYGO_DISABLE_PAYG + (paygo_steps)above;
    }
    return (count & 1U) == 0 ? PAYGO_ADD_TIME : PAYGO_SET_TIME;
}

void paygo_decode_begin(paygo_decoder *decoder, const paygo_config *config, const paygo_window *window, paygo_form form,
                        paygo_code token)
{
    paygo_verdict *verdict = &decoder->verdict;
    paygo_steps last, mark;
    (void)form;
    decoder->config = config;
    verdict->window = *window;
    verdict->type = PAYGO_INVALID;
    verdict->reason = PAYGO_REASON_NO_MATCH;
    verdict->count = 0;
    decoder->noted.count = 0;
    decoder->first = 0;
    decoder->done = false;
    decoder->refused = false;
    paygo_key_load(&decoder->walk.key, config->secret_key);
    verdict->value = paygo_walk_start(&decoder->walk, PAYGO_FORM(form), config->starting_code, token);
    decoder->start = decoder->walk.code;
    /* T12: how far a device looks. */
    last = verdict->value == PAYGO_VALUE_COUNTER_SYNC ? config->max_sync_jump : config->max_jump;
    last += verdict->window.count;
    if (last < verdict->window.count || last > config->max_count) {
        last = config->max_count;
    }
    if (reserved(verdict->value)) { /* T8: not at all */
        verdict->reason = PAYGO_REASON_RESERVED;
        last = 0;
    }
    mark = paygo_checkpoint_place(config, verdict->window.count, verdict->value);
    if (mark > last) {
        mark = last;
    }
    decoder->last = (uint16_t)last;
    decoder->stop = (uint16_t)mark;
}

void paygo_decode_resume(paygo_decoder *decoder, paygo_code code, uint16_t count)
{
    if ((uint16_t)(count - 1U) < decoder->stop) { /* 1 ... stop */
        decoder->walk.count = count;
        decoder->walk.code = code;
        decoder->first = count;
    }
}

/* T11 to T17: what a token is that is that of the count at which the walk stands. */
static void match(paygo_decoder *decoder)
{
    paygo_verdict *verdict = &decoder->verdict;
    paygo_window *window = &verdict->window;
    const paygo_steps count = decoder->walk.count;
    const uint8_t older_window = decoder->config->older_window;
    const uint8_t forgotten = (uint8_t)(PAYGO_MAX_OLDER_WINDOW - older_window); /* the highest bits of `used` */
    const paygo_steps type = type_of(verdict->value, count);
    const bool voids = type != PAYGO_ADD_TIME; /* T17: what lies below it */
    uint32_t used = window->used;
    uint32_t bit = 1;
    verdict->count = (uint16_t)count;
    verdict->type = PAYGO_ALREADY_USED;
    if (count <= window->count) {
        const paygo_steps back = window->count - count;
        bit = used_bit(back);
        /* T14, T15: why it is not admitted. */
        if (back == 0 || (used & bit) != 0) {
            verdict->reason = PAYGO_REASON_USED;
            return;
        }
        if (voids) {
            verdict->reason = PAYGO_REASON_OVERTAKEN;
            return;
        }
        if (count <= window->floor) {
            verdict->reason = PAYGO_REASON_OLDER_THAN_SET;
            return;
        }
        if (back >= older_window) {
            verdict->reason = PAYGO_REASON_TOO_OLD;
            return;
        }
    } else { /* T13 */
        paygo_steps last = window->count;
        do {
            used <<= 1;
            last++;
        } while (last < count);
        window->count = (uint16_t)last;
    }
    verdict->reason = PAYGO_REASON_ACCEPTED;
    verdict->type = (paygo_token_type)type;
    decoder->done = true;
    if ((count & 1U) == 0) {
        used |= bit;
    }
    window->used = used << forgotten >> forgotten;
    if (voids) {
        window->floor = (uint16_t)count;
    }
}

/* The end of the walk. Below a checkpoint an old token may still match: T15 tells it from a wrong one (T16). */
static void end_of_walk(paygo_decoder *decoder)
{
    decoder->refused = true;
    if (decoder->verdict.reason != PAYGO_REASON_NO_MATCH || decoder->first == 0) {
        decoder->done = true;
        return;
    }
    decoder->stop = decoder->first;
    decoder->last = decoder->first;
    decoder->first = 0;
    decoder->walk.count = 0;
    decoder->walk.code = decoder->start;
}

bool paygo_decode_run(paygo_decoder *decoder, paygo_steps steps)
{
    paygo_walk *walk = &decoder->walk;
    if (!decoder->done) {
        paygo_steps left;
        if (walk->count == decoder->stop) {
            decoder->noted = checkpoint_of(walk);
            decoder->stop = decoder->last;
        }
        left = decoder->stop - walk->count;
        if (paygo_walk_to_match(walk, steps < left ? steps : left)) {
            match(decoder);
        }
        if (!decoder->done && walk->count == decoder->last) {
            end_of_walk(decoder);
        }
    }
    return decoder->done;
}

static paygo_verdict to_the_end(paygo_decoder *decoder)
{
    while (!paygo_decode_run(decoder, 0xffffU)) {
    }
    return decoder->verdict;
}

paygo_verdict paygo_decode_from(const paygo_config *config, const paygo_window *window, paygo_form form, paygo_code token,
                                paygo_checkpoint *point)
{
    paygo_decoder decoder;
    paygo_decode_begin(&decoder, config, window, form, token);
    paygo_decode_resume(&decoder, point->code, point->count);
    (void)to_the_end(&decoder);
    if (decoder.noted.count > 0) {
        *point = decoder.noted;
    }
    return decoder.verdict;
}

void paygo_decode_begin_text(paygo_decoder *decoder, const paygo_config *config, const paygo_window *window,
                             paygo_form form, const char *text, size_t length)
{
    paygo_code token = 0;
    const paygo_digits_result read = paygo_digits_read(form, config->restricted_digits, text, length, &token);
    paygo_decode_begin(decoder, config, window, form, token);
    if (read != PAYGO_DIGITS_TOKEN) {
        paygo_decode_refuse(decoder, (paygo_reason)read);
    }
}

void paygo_decode_refuse(paygo_decoder *decoder, paygo_reason reason)
{
    paygo_verdict *verdict = &decoder->verdict;
    verdict->type = PAYGO_INVALID;
    verdict->reason = reason;
    verdict->value = 0;
    verdict->count = 0;
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
