/* libFuzzer: one token made and judged in every way there is: at once, in slices, from a cache, from a reference. */
#include "cache.h"
#include "input.h"
#include "reference.h"

#define SLOTS 24U
#define CHAINS 4U

/* T18, the slow way: whether another count within 80 gives the token of `count`. */
static bool another_gives(const paygo_config *config, paygo_form form, uint16_t count, uint32_t value)
{
    paygo_key key;
    const uint64_t token = paygo_encode(config, form, count, value);
    const uint32_t base = (uint32_t)(token % paygo_base_modulus(form));
    uint64_t code = paygo_with_base(form, config->starting_code, base);
    uint32_t at;
    paygo_key_load(&key, config->secret_key);
    for (at = 0; at <= count + 80U; at++) {
        if (at > 0) {
            code = paygo_chain_next(&key, form, code);
        }
        if (at + 80U >= count && at != count && paygo_with_base(form, code, base) == token) {
            return true;
        }
    }
    return false;
}

static paygo_verdict in_slices(const paygo_config *config, const paygo_window *window, paygo_form form, uint64_t token,
                               const paygo_checkpoint *point, uint32_t slice)
{
    paygo_decoder decoder;
    paygo_decode_begin(&decoder, config, window, form, token);
    paygo_decode_resume(&decoder, point->code, point->count);
    while (!paygo_decode_run(&decoder, slice)) {
        require(!decoder.done);
    }
    return decoder.verdict;
}

static void check_counts(const paygo_config *config, uint16_t count)
{
    const uint16_t add = paygo_next_count(config, count, PAYGO_ADD_TIME);
    const uint16_t set = paygo_next_count(config, count, PAYGO_SET_TIME);
    require(add == 0 || (add > count && add <= count + 2 && add % 2 == 0 && add <= config->max_count));
    require(set == 0 || (set > count && set <= count + 2 && set % 2 == 1 && set <= config->max_count));
}

/* The kept checkpoints beside a list of them: found is what was kept last, or nothing. */
static void check_cache(const uint8_t **data, size_t *size)
{
    paygo_cache_slot slots[SLOTS];
    paygo_cache cache;
    paygo_checkpoint kept[CHAINS * 16U];
    memset(slots, 0, sizeof slots);
    memset(kept, 0, sizeof kept);
    cache.slots = slots;
    cache.size = (uint32_t)take(data, size, 1) % (SLOTS + 1U);
    cache.uses = UINT32_MAX - (uint32_t)take(data, size, 1); /* it goes round */
    while (*size > 0) {
        const uint8_t chain = (uint8_t)take(data, size, 1) % (CHAINS * 16U);
        paygo_checkpoint found = paygo_cache_find(&cache, chain);
        require(found.count == 0 || (found.count == kept[chain].count && found.code == kept[chain].code));
        if (take(data, size, 1) % 2 == 0) {
            continue;
        }
        kept[chain].count = (uint16_t)(1U + *size);
        kept[chain].code = *size;
        paygo_cache_keep(&cache, chain, &kept[chain]);
        found = paygo_cache_find(&cache, chain);
        require(found.count == (cache.size == 0 ? 0 : kept[chain].count));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const paygo_config config = take_config(&data, &size);
    const paygo_form form = take_form(&data, &size);
    const uint16_t at = (uint16_t)(1U + take_count(&data, &size));
    const uint32_t value = (uint32_t)take(&data, &size, 3) % paygo_base_modulus(form);
    paygo_window window = paygo_window_at(take_count(&data, &size));
    const uint32_t slice = 1U + (uint32_t)take(&data, &size, 1);
    const uint8_t back = (uint8_t)take(&data, &size, 1);
    paygo_checkpoint point = {0, 0};
    paygo_checkpoint none = {0, 0};
    paygo_verdict verdict, other;
    uint64_t token;
    char text[PAYGO_MAX_DIGITS];
    window.floor = (uint16_t)(window.count > back ? window.count - back : 0);
    window.used = (uint32_t)take(&data, &size, 4);
    check_counts(&config, window.count);
    if (!paygo_value_allowed(form, value)) {
        require(value == PAYGO_VALUE_RESERVED_LOW || value == PAYGO_VALUE_RESERVED_HIGH);
        token = paygo_encode(&config, form, at, value);
        verdict = paygo_decode_from(&config, &window, form, token, &none);
        require(verdict.reason == PAYGO_REASON_RESERVED);
        return 0;
    }
    require(paygo_collides(&config, form, at, value) == another_gives(&config, form, at, value));
    token = paygo_encode(&config, form, at, value);
    require(token == paygo_encode_from(&config, form, at, value, &point));
    require(token == paygo_encode_from(&config, form, at, value, &point)); /* from where the first left off */
    verdict = paygo_decode(&config, &window, form, text, paygo_digits_write(form, config.restricted_digits, token, text));
    {
        paygo_decoder decoder;
        const uint8_t length = paygo_digits_write(form, config.restricted_digits, token, text);
        paygo_decode_begin_text(&decoder, &config, &window, form, text, length);
        require(decoder.verdict.value == value && paygo_checkpoint_place(&config, window.count, value) <= window.count);
        paygo_decode_begin_text(&decoder, &config, &window, form, text, length - 1U);
        require(paygo_decode_run(&decoder, 0) && decoder.refused && decoder.verdict.reason == PAYGO_REASON_LENGTH);
        paygo_decode_refuse(&decoder, PAYGO_REASON_WAITING);
        require(paygo_decode_run(&decoder, 0) && decoder.verdict.reason == PAYGO_REASON_WAITING);
    }
    other = in_slices(&config, &window, form, token, &none, slice);
    require(same_verdict(&verdict, &other));
    other = in_slices(&config, &window, form, token, &point, slice);
    require(verdict.type == other.type && verdict.reason == other.reason && verdict.count == other.count);
    other = paygo_decode_from(&config, &window, form, token, &point);
    require(verdict.type == other.type && verdict.reason == other.reason && verdict.count == other.count);
    if (verdict.reason == PAYGO_REASON_ACCEPTED) { /* within the windows, of the count's parity, and never again */
        require(verdict.count <= window.count +
                                     (value == PAYGO_VALUE_COUNTER_SYNC ? config.max_sync_jump : config.max_jump));
        require(verdict.count > window.count || verdict.count + config.older_window > window.count);
        require(verdict.type != PAYGO_ADD_TIME || verdict.count % 2 == 0);
        require(verdict.type != PAYGO_SET_TIME || verdict.count % 2 == 1);
        other = paygo_decode_from(&config, &verdict.window, form, token, &none);
        /* but for a token that another count gives too, which no server issues (T18) */
        require(other.reason != PAYGO_REASON_ACCEPTED || other.count > verdict.count ||
                paygo_collides(&config, form, verdict.count, value));
    }
    if (form == PAYGO_STANDARD) {
        paygo_reference deployed = {window.count, (uint16_t)window.used};
        const paygo_reference before = deployed;
        other = paygo_reference_enter(&config, (back & 1U) != 0, &deployed, (uint32_t)token);
        require(deployed.max_count >= before.max_count);
        require(other.reason == PAYGO_REASON_ACCEPTED ||
                (deployed.max_count == before.max_count && deployed.used == before.used));
    }
    check_cache(&data, &size);
    return 0;
}
