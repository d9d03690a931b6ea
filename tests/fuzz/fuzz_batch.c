/* libFuzzer: columns of tokens on every path of this machine, beside the same tokens one by one. */
#include "batch/batch.h"
#include "batch/judge.h"
#include "bytes.h"
#include "input.h"

#define JOBS 40U

typedef struct {
    uint8_t keys[JOBS][16];
    uint32_t starting_codes[JOBS];
    uint32_t counts[JOBS];
    uint32_t values[JOBS];
    uint8_t restricted[JOBS];
} columns;

static paygo_config config_of(const columns *all, const paygo_config *windows, const paygo_judging *how, size_t job)
{
    paygo_config config = *windows;
    memcpy(config.secret_key, all->keys[job * how->key_stride / 16U], 16);
    config.starting_code = all->starting_codes[job * how->starting_code_stride];
    config.restricted_digits = all->restricted[job * how->restricted_stride] != 0;
    return config;
}

/* Each job's columns: four bytes of its key, the others 0, its starting code, count and value. */
static void fill(columns *all, paygo_form form, const uint8_t **data, size_t *size)
{
    size_t i;
    for (i = 0; i < JOBS; i++) {
        memset(all->keys[i], 0, 16);
        (void)paygo_put(all->keys[i], (uint32_t)take(data, size, 4), 4);
        all->starting_codes[i] = 1U + (uint32_t)(take(data, size, 4) % 999999999U);
        all->counts[i] = 1U + (uint32_t)(take(data, size, 2) % 320U);
        all->values[i] = (uint32_t)(take(data, size, 3) % paygo_base_modulus(form));
        all->restricted[i] = (uint8_t)(all->counts[i] % 2U);
        if (!paygo_value_allowed(form, all->values[i])) {
            all->values[i] = 7;
        }
    }
}

/* A lane walked by hand ends in the job's token, and a chain meets its own token once as often as it is there. */
static void check_lane(const paygo_batch *batch, size_t job, uint64_t token)
{
    paygo_lane lane = paygo_batch_lane(batch, job);
    paygo_matching lanes;
    uint64_t code = lane.code;
    uint64_t hits = 0;
    uint32_t left;
    memset(&lanes, 0, sizeof lanes);
    lanes.code[0] = lane.code;
    lanes.key0[0] = lane.key.k0;
    lanes.key1[0] = lane.key.k1;
    lanes.low[0] = token - token % paygo_base_modulus(batch->form);
    for (left = lane.left; left > 0; left--) {
        code = paygo_chain_next(&lane.key, batch->form, code);
        hits += code - lanes.low[0] < paygo_base_modulus(batch->form) ? 1U : 0U;
    }
    paygo_batch_finish(batch, job, code);
    require(batch->tokens[job] == token);
    paygo_batch_match_scalar(batch->form, &lanes, lane.left);
    require(lanes.code[0] == code && lanes.hits[0] == hits && hits >= 1);
}

static void check_paths(paygo_batch *batch, const columns *all, const paygo_judging *how, const paygo_config *windows,
                        size_t jobs)
{
    static const paygo_simd paths[] = {PAYGO_SIMD_SCALAR, PAYGO_SIMD_NEON, PAYGO_SIMD_AVX2, PAYGO_SIMD_AVX512};
    uint64_t expected[JOBS];
    bool collides[JOBS];
    size_t job, path;
    for (job = 0; job < jobs; job++) {
        const paygo_config config = config_of(all, windows, how, job);
        const uint16_t count = (uint16_t)all->counts[job * batch->count_stride];
        const uint32_t value = all->values[job * batch->value_stride];
        expected[job] = paygo_encode(&config, batch->form, count, value);
        collides[job] = paygo_collides(&config, batch->form, count, value);
        check_lane(batch, job, expected[job]);
    }
    for (path = 0; path < sizeof paths / sizeof paths[0]; path++) {
        if (!paygo_simd_available(paths[path])) {
            continue;
        }
        memset(batch->tokens, 0xff, JOBS * sizeof expected[0]);
        paygo_batch_run(batch, paths[path], 0, jobs / 2U);
        paygo_batch_run(batch, paths[path], jobs / 2U, jobs);
        require(memcmp(batch->tokens, expected, jobs * sizeof expected[0]) == 0);
        require(jobs == JOBS || batch->tokens[jobs] == UINT64_MAX);
        memset(batch->tokens, 0xff, JOBS * sizeof expected[0]);
        paygo_batch_check(batch, paths[path], 0, jobs);
        require(memcmp(batch->tokens, expected, jobs * sizeof expected[0]) == 0);
        require(memcmp(batch->collides, collides, jobs * sizeof collides[0]) == 0);
        require(jobs == JOBS || batch->tokens[jobs] == UINT64_MAX);
    }
    paygo_batch_scalar(batch, 0, jobs);
    require(memcmp(batch->tokens, expected, jobs * sizeof expected[0]) == 0);
}

/* The tokens judged in a column, as texts or as numbers, beside each judged alone. */
static void check_judging(const columns *all, paygo_judging *how, bool as_text, size_t jobs)
{
    static char texts[JOBS][PAYGO_TEXT_WIDTH];
    uint8_t lengths[JOBS], types[JOBS], reasons[JOBS];
    uint32_t last[JOBS], floors[JOBS], used[JOBS], values[JOBS], counts[JOBS];
    size_t job;
    for (job = 0; job < jobs; job++) {
        const paygo_config config = config_of(all, &how->config, how, job);
        last[job] = all->counts[(job + 1U) % JOBS];
        floors[job] = last[job] / 2U;
        used[job] = all->values[job];
        lengths[job] = (uint8_t)(how->tokens[job] > paygo_largest_code(how->form)
                                     ? PAYGO_TEXT_WIDTH
                                     : paygo_digits_write(how->form, config.restricted_digits, how->tokens[job],
                                                          texts[job]));
    }
    how->texts = as_text ? texts[0] : NULL;
    how->lengths = lengths;
    how->last_counts = last;
    how->floors = floors;
    how->used = used;
    how->types = types;
    how->reasons = reasons;
    how->values = values;
    how->counts = counts;
    paygo_judge_run(how, 0, jobs);
    for (job = 0; job < jobs; job++) {
        const paygo_config config = config_of(all, &how->config, how, job);
        paygo_window window = paygo_window_at((uint16_t)all->counts[(job + 1U) % JOBS]);
        uint32_t facts[PAYGO_FACTS];
        paygo_verdict verdict;
        window.floor = (uint16_t)(window.count / 2U);
        window.used = all->values[job];
        if (how->tokens[job] > paygo_largest_code(how->form)) {
            require(types[job] == PAYGO_INVALID && values[job] == 0 && counts[job] == 0);
            require(reasons[job] == (as_text ? PAYGO_REASON_LENGTH : PAYGO_REASON_RANGE));
            continue;
        }
        verdict = paygo_decode(&config, &window, how->form, texts[job], lengths[job]);
        require(types[job] == verdict.type && reasons[job] == verdict.reason);
        require(last[job] == verdict.window.count && floors[job] == verdict.window.floor);
        require(used[job] == verdict.window.used);
        require(values[job] == (verdict.type == PAYGO_INVALID ? 0 : verdict.value));
        require(counts[job] == (verdict.type == PAYGO_INVALID ? 0 : verdict.count));
        paygo_judge_text(&config, window.count, window.floor, window.used, how->form, texts[job], lengths[job], facts);
        require(facts[0] == types[job] && facts[1] == reasons[job] && facts[4] == last[job]);
        require(verdict.type == PAYGO_INVALID || (facts[2] == values[job] && facts[3] == counts[job]));
        require(facts[5] == floors[job] && facts[6] == used[job]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static columns all;
    uint64_t tokens[JOBS];
    bool collides[JOBS];
    paygo_batch batch;
    paygo_judging how;
    const paygo_config windows = take_config(&data, &size);
    const paygo_form form = take_form(&data, &size);
    const uint8_t strides = (uint8_t)take(&data, &size, 1);
    const size_t jobs = (size_t)take(&data, &size, 1) % (JOBS + 1U);
    fill(&all, form, &data, &size);
    memset(&how, 0, sizeof how);
    how.config = windows;
    how.form = form;
    how.keys = all.keys[0];
    how.key_stride = (strides & 1U) != 0 ? 16 : 0;
    how.starting_codes = all.starting_codes;
    how.starting_code_stride = (strides & 2U) != 0 ? 1 : 0;
    how.restricted = all.restricted;
    how.restricted_stride = (strides & 4U) != 0 ? 1 : 0;
    how.tokens = tokens;
    batch.form = form;
    batch.keys = how.keys;
    batch.key_stride = how.key_stride;
    batch.starting_codes = how.starting_codes;
    batch.starting_code_stride = how.starting_code_stride;
    batch.counts = all.counts;
    batch.count_stride = (strides & 8U) != 0 ? 1 : 0;
    batch.values = all.values;
    batch.value_stride = (strides & 16U) != 0 ? 1 : 0;
    batch.tokens = tokens;
    batch.collides = collides;
    memset(tokens, 0, sizeof tokens);
    check_paths(&batch, &all, &how, &windows, jobs);
    if ((strides & 32U) != 0 && jobs > 0) {
        tokens[jobs - 1U] = paygo_largest_code(form) + 1U + strides;
    }
    check_judging(&all, &how, (strides & 64U) != 0, jobs);
    return 0;
}
