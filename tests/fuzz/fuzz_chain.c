/* libFuzzer: hashes, codes and digits, each beside its rule spelt out once more. */
#include "bytes.h"
#include "input.h"

/* T2, T24: the code that a hash gives. */
static uint64_t code_of(paygo_form form, uint64_t hash)
{
    const uint64_t x = form == PAYGO_STANDARD ? ((hash >> 32) ^ (hash & UINT32_MAX)) >> 2 : hash >> 24;
    const uint64_t over = form == PAYGO_STANDARD ? UINT64_C(73741825) : UINT64_C(99511627777);
    return x > paygo_largest_code(form) ? x - over : x;
}

/* T3, T24: the eight bytes that are hashed. */
static void message_of(paygo_form form, uint64_t code, uint8_t message[8])
{
    uint8_t i;
    for (i = 0; i < 8; i++) {
        const uint8_t place = form == PAYGO_STANDARD ? (uint8_t)(3U - i % 4U) : (uint8_t)(7U - i);
        message[i] = (uint8_t)(code >> (8U * place));
    }
}

static void check_hashes(const paygo_key *key, const uint8_t key_bytes[16], uint64_t word)
{
    uint8_t bytes[8];
    uint32_t low, high;
    uint64_t folded;
    require(paygo_put(paygo_put(bytes, (uint32_t)(word & UINT32_MAX), 4), (uint32_t)(word >> 32), 4) == bytes + 8);
    require(paygo_get(paygo_get(bytes, &low, 4), &high, 4) == bytes + 8 && ((uint64_t)high << 32 | low) == word);
    require(paygo_siphash24(key, bytes, 8) == paygo_siphash24_word(key, low, high));
    folded = paygo_siphash24_word(key, low, low);
    folded = (folded >> 32 ^ (folded & UINT32_MAX)) >> 2;
    require(paygo_siphash24_folded(key, (uint32_t)(word & UINT32_MAX)) == folded);
    require(paygo_default_starting_code(key_bytes) == code_of(PAYGO_STANDARD, paygo_siphash24(key, key_bytes, 16)));
}

/* A walk in slices stops at exactly the counts whose code gives the token. */
static void check_walk(const paygo_key *key, paygo_form form, uint32_t starting_code, uint64_t token, uint32_t slice)
{
    const uint32_t base = (uint32_t)(token % paygo_base_modulus(form));
    paygo_walk walk, other;
    uint64_t code = paygo_with_base(form, starting_code, base);
    uint64_t cut = token;
    uint32_t count = 0;
    walk.key = *key;
    (void)paygo_walk_start(&walk, form, starting_code, token);
    other = walk;
    require(walk.code == code && code % paygo_base_modulus(form) == base && paygo_cut_base(form, &cut) == base);
    require(cut == walk.low && cut + base == token && !paygo_walk_to_match(&other, 0) && other.code == code);
    while (count < 300) {
        const bool match = paygo_walk_to_match(&walk, slice);
        require(walk.count > count && walk.count <= count + slice && (match || walk.count == count + slice));
        while (count < walk.count) {
            const uint64_t before = code;
            uint8_t message[8];
            message_of(form, code, message);
            code = paygo_chain_next(key, form, code);
            require(code == code_of(form, paygo_siphash24(key, message, 8)) && code <= paygo_largest_code(form));
            require(form != PAYGO_STANDARD || code == paygo_chain_next_standard(key, (uint32_t)before));
            count++;
            require((paygo_with_base(form, code, base) == token) == (match && count == walk.count));
        }
        require(walk.code == code);
    }
    paygo_walk_by(&other, count);
    require(other.code == code && other.count == count);
}

static void check_digits(paygo_form form, bool restricted, uint64_t token)
{
    char text[PAYGO_MAX_DIGITS];
    uint64_t read = token + 1U;
    const uint8_t length = paygo_digits_write(form, restricted, token, text);
    require(length == paygo_digits_length(form, restricted) && length <= PAYGO_MAX_DIGITS);
    require(paygo_digits_read(form, restricted, text, length, &read) == PAYGO_DIGITS_TOKEN && read == token);
    require(paygo_digits_read(form, restricted, text, length - 1U, &read) == PAYGO_DIGITS_LENGTH);
}

/* Any text: what is read as a token is written as that text. */
static void check_text(paygo_form form, bool restricted, const char *text, size_t length)
{
    uint64_t token = UINT64_MAX;
    char again[PAYGO_MAX_DIGITS];
    if (paygo_digits_read(form, restricted, text, length, &token) == PAYGO_DIGITS_TOKEN) {
        require(token <= paygo_largest_code(form));
        require(paygo_digits_write(form, restricted, token, again) == length && memcmp(text, again, length) == 0);
    } else {
        require(token == UINT64_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const paygo_config config = take_config(&data, &size);
    const paygo_form form = take_form(&data, &size);
    const uint64_t word = take(&data, &size, 8);
    const uint64_t token = word % (paygo_largest_code(form) + 1U);
    const uint32_t slice = 1U + (uint32_t)take(&data, &size, 1);
    paygo_key key;
    paygo_key_load(&key, config.secret_key);
    check_hashes(&key, config.secret_key, word);
    check_walk(&key, form, config.starting_code, token, slice);
    check_digits(form, config.restricted_digits, token);
    check_text(form, config.restricted_digits, (const char *)data, size);
    return 0;
}
