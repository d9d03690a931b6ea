/* Many tokens at once against one chain after the other: every path of this machine, every lane, every remainder. */
#include "batch/batch.h"

#include <stdio.h>
#include <string.h>

#define JOBS (3 * PAYGO_MOST_LANES + 2)
#define STARTING_CODE UINT32_C(123456789)
#define VALUE 7U

typedef struct {
    const char *name;
    paygo_simd simd;
    size_t lanes;
} path;

static const path PATHS[] = {
    {"scalar", PAYGO_SIMD_SCALAR, PAYGO_LANES_SCALAR},
    {"neon", PAYGO_SIMD_NEON, PAYGO_LANES_NEON},
    {"avx2", PAYGO_SIMD_AVX2, PAYGO_LANES_AVX2},
    {"avx512", PAYGO_SIMD_AVX512, PAYGO_LANES_AVX512},
};

/* Jobs at the edges, of VALUE. The key's first four bytes are `seed`, the others are 0. */
typedef struct {
    paygo_form form;
    uint32_t seed;
    uint32_t starting_code;
    uint32_t count;
    bool collides;
} edge;

/* Two counts that give the same token collide when they are 80 apart, not when they are 81 (T18). */
static const edge EDGES[] = {
    {PAYGO_STANDARD, 6782, STARTING_CODE, 209, true}, /* 80 apart */
    {PAYGO_STANDARD, 6782, STARTING_CODE, 129, true},
    {PAYGO_STANDARD, 2301, STARTING_CODE, 179, false}, /* 81 apart */
    {PAYGO_STANDARD, 2301, STARTING_CODE, 260, false},
    {PAYGO_STANDARD, 389, STARTING_CODE, 104, true}, /* 1 apart */
    {PAYGO_STANDARD, 260, STARTING_CODE, 69, true}, /* the starting code itself gives it */
    {PAYGO_STANDARD, 51996, STARTING_CODE, 45, true}, /* the other's code ends in 000, */
    {PAYGO_STANDARD, 2222, STARTING_CODE, 235, true}, /* in 999, */
    {PAYGO_STANDARD, 12599, STARTING_CODE, 188, false}, /* lies just below those that give the token, */
    {PAYGO_STANDARD, 102777, STARTING_CODE, 275, false}, /* and just above */
    {PAYGO_STANDARD, 389, 19546531, 1, false}, /* the hash folds to 10^9, the first that is reduced (T2) */
    {PAYGO_STANDARD, 389, 193079286, 1, false}, /* and to 10^9 - 1 */
    {PAYGO_EXTENDED, 13681, STARTING_CODE, 256, true},
    {PAYGO_EXTENDED, 13681, STARTING_CODE, 176, true},
    {PAYGO_EXTENDED, 6399, STARTING_CODE, 203, false},
    {PAYGO_EXTENDED, 6399, STARTING_CODE, 284, false},
    {PAYGO_EXTENDED, 1468, STARTING_CODE, 252, true},
    {PAYGO_EXTENDED, 46425, STARTING_CODE, 62, true}, /* the starting code itself */
};

static struct {
    uint8_t keys[JOBS][16];
    uint32_t starting_codes[JOBS];
    uint32_t counts[JOBS];
    uint32_t values[JOBS];
    uint64_t tokens[JOBS]; /* as the chains give them one by one */
    bool collides[JOBS];
} jobs;

static int failures = 0;

static uint32_t random_number(uint32_t below)
{
    static uint32_t state = 1;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static void draw_job(paygo_form form, size_t job)
{
    size_t i;
    for (i = 0; i < 16; i++) {
        jobs.keys[job][i] = (uint8_t)random_number(256);
    }
    jobs.starting_codes[job] = 1 + random_number(999999999);
    jobs.counts[job] = 1 + random_number(400);
    jobs.values[job] = random_number(paygo_base_modulus(form));
    if (!paygo_value_allowed(form, jobs.values[job])) {
        jobs.values[job] = PAYGO_VALUE_COUNTER_SYNC;
    }
}

static void take_edge(const edge *one, size_t job)
{
    size_t i;
    memset(jobs.keys[job], 0, sizeof jobs.keys[job]);
    for (i = 0; i < 4; i++) {
        jobs.keys[job][i] = (uint8_t)(one->seed >> (8 * i));
    }
    jobs.starting_codes[job] = one->starting_code;
    jobs.counts[job] = one->count;
    jobs.values[job] = VALUE;
}

/* Every second job is at an edge, so that each lane sees both answers; with equal counts all at the form's first one. */
static void draw_jobs(paygo_form form, bool equal)
{
    const size_t edges = sizeof EDGES / sizeof EDGES[0];
    size_t at = 0;
    size_t job;
    for (job = 0; job < JOBS; job++) {
        paygo_config config;
        const edge *one = NULL;
        draw_job(form, job);
        if (job % 2 == 0) {
            while (EDGES[at % edges].form != form) {
                at++;
            }
            one = &EDGES[at % edges];
            at = equal ? at : at + 1;
            take_edge(one, job);
        }
        if (equal) {
            jobs.counts[job] = jobs.counts[0];
        }
        memset(&config, 0, sizeof config);
        memcpy(config.secret_key, jobs.keys[job], sizeof config.secret_key);
        config.starting_code = jobs.starting_codes[job];
        jobs.tokens[job] = paygo_encode(&config, form, (uint16_t)jobs.counts[job], jobs.values[job]);
        jobs.collides[job] = paygo_collides(&config, form, (uint16_t)jobs.counts[job], jobs.values[job]);
        if (one != NULL && jobs.collides[job] != one->collides) {
            (void)fprintf(stderr, "the edge of seed %u at count %u is none\n", (unsigned)one->seed, (unsigned)one->count);
            failures++;
        }
    }
}

/* Jobs `from` ... `to` - 1 are as the chains give them, and no other cell is written. */
static void check_jobs(const path *one, paygo_form form, bool equal, size_t from, size_t to)
{
    static uint64_t tokens[JOBS];
    static uint64_t checked[JOBS];
    static bool collides[JOBS];
    paygo_batch batch;
    size_t job;
    for (job = 0; job < JOBS; job++) {
        tokens[job] = ~jobs.tokens[job];
        checked[job] = ~jobs.tokens[job];
        collides[job] = !jobs.collides[job];
    }
    batch.form = form;
    batch.keys = jobs.keys[0];
    batch.key_stride = sizeof jobs.keys[0];
    batch.starting_codes = jobs.starting_codes;
    batch.starting_code_stride = 1;
    batch.counts = jobs.counts;
    batch.count_stride = equal ? 0 : 1;
    batch.values = jobs.values;
    batch.value_stride = 1;
    batch.tokens = tokens;
    batch.collides = NULL;
    paygo_batch_run(&batch, one->simd, from, to);
    batch.tokens = checked;
    batch.collides = collides;
    paygo_batch_check(&batch, one->simd, from, to);
    for (job = 0; job < JOBS; job++) {
        const bool computed = from <= job && job < to;
        const uint64_t token = computed ? jobs.tokens[job] : ~jobs.tokens[job];
        if (tokens[job] != token || checked[job] != token || collides[job] != (jobs.collides[job] == computed)) {
            (void)fprintf(stderr, "%s, %d digits, %s counts, jobs %u to %u: job %u is wrong\n", one->name, (int)form,
                          equal ? "equal" : "unequal", (unsigned)from, (unsigned)to, (unsigned)job);
            failures++;
            return;
        }
    }
}

static void every_lane_and_every_remainder(const path *one, paygo_form form, bool equal)
{
    size_t from;
    size_t size;
    for (from = 0; from < 2; from++) {
        for (size = 1; size <= 3 * one->lanes + 1; size++) {
            check_jobs(one, form, equal, from, from + size);
        }
    }
    check_jobs(one, form, equal, 0, JOBS);
}

int main(void)
{
    size_t i;
    int round;
    for (round = 0; round < 4; round++) {
        const paygo_form form = round < 2 ? PAYGO_STANDARD : PAYGO_EXTENDED;
        const bool equal = round % 2 == 0;
        draw_jobs(form, equal);
        for (i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++) {
            if (paygo_simd_available(PATHS[i].simd)) {
                every_lane_and_every_remainder(&PATHS[i], form, equal);
            }
        }
    }
#if defined(__aarch64__) && !defined(__ARM_BIG_ENDIAN)
    if (!paygo_simd_available(PAYGO_SIMD_NEON)) {
        (void)fprintf(stderr, "an Arm64 without NEON\n");
        failures++;
    }
#endif
    (void)printf("batch paths:");
    for (i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++) {
        (void)printf(" %s %s;", PATHS[i].name, paygo_simd_available(PATHS[i].simd) ? "ran" : "is not on this machine");
    }
    (void)printf("\n");
    return failures == 0 ? 0 : 1;
}
