/* Many tokens judged, each by a device of its own: plain walks, for threads to share. */
#include "judge.h"

#include <string.h>

static paygo_verdict judge(const paygo_judging *judging, const paygo_config *config, const paygo_window *window,
                           size_t job)
{
    paygo_checkpoint none;
    paygo_verdict verdict;
    none.code = 0;
    none.count = 0;
    if (judging->texts != NULL) {
        const size_t length = judging->lengths[job];
        const paygo_form form =
            length == paygo_digits_length(PAYGO_EXTENDED, config->restricted_digits) ? PAYGO_EXTENDED : PAYGO_STANDARD;
        return paygo_decode(config, window, form, judging->texts + job * PAYGO_TEXT_WIDTH, length);
    }
    if (judging->tokens[job] <= paygo_largest_code(judging->form)) {
        return paygo_decode_from(config, window, judging->form, judging->tokens[job], &none);
    }
    verdict.type = PAYGO_INVALID;
    verdict.reason = PAYGO_REASON_RANGE;
    verdict.value = 0;
    verdict.count = 0;
    verdict.window = *window;
    return verdict;
}

void paygo_judge_run(const paygo_judging *judging, size_t from, size_t to)
{
    paygo_config config = judging->config;
    size_t job;
    for (job = from; job < to; job++) {
        paygo_window window;
        paygo_verdict verdict;
        memcpy(config.secret_key, judging->keys + job * judging->key_stride, sizeof config.secret_key);
        config.starting_code = judging->starting_codes[job * judging->starting_code_stride];
        config.restricted_digits = judging->restricted[job * judging->restricted_stride] != 0;
        window.count = (uint16_t)judging->last_counts[job];
        window.floor = (uint16_t)judging->floors[job];
        window.used = judging->used[job];
        verdict = judge(judging, &config, &window, job);
        judging->types[job] = (uint8_t)verdict.type;
        judging->reasons[job] = (uint8_t)verdict.reason;
        judging->values[job] = verdict.type == PAYGO_INVALID ? 0 : verdict.value;
        judging->counts[job] = verdict.type == PAYGO_INVALID ? 0 : verdict.count;
        if (verdict.reason == PAYGO_REASON_ACCEPTED) {
            judging->last_counts[job] = verdict.window.count;
            judging->floors[job] = verdict.window.floor;
            judging->used[job] = verdict.window.used;
        }
    }
}

void paygo_judge_text(const paygo_config *config, uint16_t count, uint16_t floor, uint32_t used, paygo_form form,
                      const char *text, size_t length, uint32_t facts[PAYGO_FACTS])
{
    paygo_window window;
    paygo_verdict verdict;
    window.count = count;
    window.floor = floor;
    window.used = used;
    verdict = paygo_decode(config, &window, form, text, length);
    facts[0] = (uint32_t)verdict.type;
    facts[1] = (uint32_t)verdict.reason;
    facts[2] = verdict.value;
    facts[3] = verdict.count;
    facts[4] = verdict.window.count;
    facts[5] = verdict.window.floor;
    facts[6] = verdict.window.used;
}
