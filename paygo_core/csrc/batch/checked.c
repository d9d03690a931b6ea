/* Tokens together with whether another count within 80 gives the same digits (rule T18), for many chains at once. */
#include "batch.h"

#define SPAN UINT32_C(80)

/* The stages of a lane: to just below the span, on to the token's count, and from below the span to its upper end. */
typedef enum { IDLE, BELOW, TOKEN, AROUND } stage;

typedef struct {
    stage stage;
    uint32_t left; /* steps of the stage */
    uint32_t inside; /* steps from just below the span to the token's count */
    uint64_t mark; /* the code just below the span */
    size_t job;
} check;

static void start_job(const paygo_batch *batch, size_t job, paygo_matching *lanes, size_t at, check *one)
{
    const paygo_lane lane = paygo_batch_lane(batch, job);
    const uint32_t below = lane.left > SPAN ? lane.left - SPAN - 1U : 0;
    lanes->code[at] = lane.code;
    lanes->key0[at] = lane.key.k0;
    lanes->key1[at] = lane.key.k1;
    one->job = job;
    one->mark = lane.code;
    one->inside = lane.left - below;
    one->stage = below > 0 ? BELOW : TOKEN;
    one->left = below > 0 ? below : one->inside;
}

/* What follows a stage whose steps are done. */
static void next_stage(const paygo_batch *batch, paygo_matching *lanes, size_t at, check *one)
{
    const uint32_t modulus = paygo_base_modulus(batch->form);
    uint64_t token;
    switch (one->stage) {
    case BELOW:
        one->mark = lanes->code[at];
        one->stage = TOKEN;
        one->left = one->inside;
        break;
    case TOKEN:
        paygo_batch_finish(batch, one->job, lanes->code[at]);
        token = batch->tokens[one->job];
        /* At count 0 only the starting code itself, its base put in, gives a token. */
        lanes->hits[at] = one->inside <= SPAN && one->mark == token;
        lanes->low[at] = token - token % modulus;
        lanes->code[at] = one->mark;
        one->stage = AROUND;
        one->left = one->inside + SPAN;
        break;
    case AROUND:
        batch->collides[one->job] = lanes->hits[at] > 1; /* its own count is one hit */
        one->stage = IDLE;
        break;
    case IDLE:
    default:
        break;
    }
}

static void run(const paygo_batch *batch, size_t from, size_t to, size_t width,
                void (*steps)(paygo_form form, paygo_matching *lanes, uint32_t steps))
{
    paygo_matching lanes = {{0}, {0}, {0}, {0}, {0}};
    check checks[PAYGO_MOST_LANES];
    size_t next = from;
    size_t i;
    for (i = 0; i < width; i++) {
        checks[i].stage = IDLE;
        checks[i].left = 0;
    }
    for (;;) {
        uint32_t least = UINT32_MAX;
        for (i = 0; i < width; i++) {
            check *const one = &checks[i];
            if (one->left == 0) {
                next_stage(batch, &lanes, i, one);
                if (one->stage == IDLE && next < to) {
                    start_job(batch, next, &lanes, i, one);
                    next++;
                }
            }
            if (one->stage != IDLE && one->left < least) {
                least = one->left;
            }
        }
        if (least == UINT32_MAX) {
            return;
        }
        steps(batch->form, &lanes, least);
        for (i = 0; i < width; i++) {
            checks[i].left -= checks[i].stage != IDLE ? least : 0;
        }
    }
}

void paygo_batch_check(const paygo_batch *batch, paygo_simd simd, size_t from, size_t to)
{
    switch (simd) {
    case PAYGO_SIMD_AVX512:
        run(batch, from, to, PAYGO_LANES_AVX512, paygo_batch_match_avx512);
        break;
    case PAYGO_SIMD_AVX2:
        run(batch, from, to, PAYGO_LANES_AVX2, paygo_batch_match_avx2);
        break;
    case PAYGO_SIMD_NEON:
        run(batch, from, to, PAYGO_LANES_NEON, paygo_batch_match_neon);
        break;
    case PAYGO_SIMD_SCALAR:
    default:
        run(batch, from, to, PAYGO_LANES_SCALAR, paygo_batch_match_scalar);
        break;
    }
}
