/*
 * Many tokens at once, on a PC: one chain is a chain of latencies, but many chains fill a core.
 *
 * Each instruction set has a file of its own with one function of the same shape; lanes.h is the loop they share. Not
 * for microcontrollers.
 */
#ifndef PAYGO_BATCH_H
#define PAYGO_BATCH_H

#include "../codec.h"

/* Every 64-bit Arm has NEON; only the usual byte order is tested. */
#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#define PAYGO_WITH_NEON
#endif

/* The ways to compute, best last. */
typedef enum {
    PAYGO_SIMD_SCALAR = 0,
    PAYGO_SIMD_NEON = 1,
    PAYGO_SIMD_AVX2 = 2,
    PAYGO_SIMD_AVX512 = 3
} paygo_simd;

/*
 * Columns of jobs. A stride of 0 repeats the first element for every job. `counts` are the tokens' own counts, 1 and up;
 * values are allowed ones (paygo_value_allowed), starting codes valid.
 */
typedef struct {
    paygo_form form;
    const uint8_t *keys; /* 16 bytes each */
    size_t key_stride;   /* bytes */
    const uint32_t *starting_codes;
    size_t starting_code_stride;
    const uint32_t *counts;
    size_t count_stride;
    const uint32_t *values;
    size_t value_stride;
    uint64_t *tokens; /* one a job, always */
    bool *collides;   /* the same; only paygo_batch_check writes it */
} paygo_batch;

/* Whether this machine and this build can compute so. */
bool paygo_simd_available(paygo_simd simd);

/* Computes the tokens of jobs `from` ... `to` - 1. `simd` must be available. */
void paygo_batch_run(const paygo_batch *batch, paygo_simd simd, size_t from, size_t to);

/* The same, and whether another count within 80 gives the same token, as paygo_collides tells it: 160 steps more. */
void paygo_batch_check(const paygo_batch *batch, paygo_simd simd, size_t from, size_t to);

/* What the paths share: the chain of one job. */
typedef struct {
    paygo_key key;
    uint64_t code;
    uint32_t left; /* steps still to walk */
} paygo_lane;
paygo_lane paygo_batch_lane(const paygo_batch *batch, size_t job);
void paygo_batch_finish(const paygo_batch *batch, size_t job, uint64_t code);

void paygo_batch_scalar(const paygo_batch *batch, size_t from, size_t to);
void paygo_batch_neon(const paygo_batch *batch, size_t from, size_t to);
void paygo_batch_avx2(const paygo_batch *batch, size_t from, size_t to);
void paygo_batch_avx512(const paygo_batch *batch, size_t from, size_t to);

/* The lanes of a path, and the most that one has. */
#define PAYGO_LANES_SCALAR 3
#define PAYGO_LANES_NEON 8
#define PAYGO_LANES_AVX2 12
#define PAYGO_LANES_AVX512 32
#define PAYGO_MOST_LANES 32

#if defined(__GNUC__) || defined(__clang__)
#define PAYGO_ALIGNED __attribute__((aligned(64)))
#else
#define PAYGO_ALIGNED
#endif

/* Chains in flight, and how often each gave its token since `hits` was set. */
typedef struct {
    PAYGO_ALIGNED uint64_t code[PAYGO_MOST_LANES];
    PAYGO_ALIGNED uint64_t key0[PAYGO_MOST_LANES];
    PAYGO_ALIGNED uint64_t key1[PAYGO_MOST_LANES];
    PAYGO_ALIGNED uint64_t low[PAYGO_MOST_LANES]; /* the token without its base */
    PAYGO_ALIGNED uint64_t hits[PAYGO_MOST_LANES];
} paygo_matching;
void paygo_batch_match_scalar(paygo_form form, paygo_matching *lanes, uint32_t steps);
void paygo_batch_match_neon(paygo_form form, paygo_matching *lanes, uint32_t steps);
void paygo_batch_match_avx2(paygo_form form, paygo_matching *lanes, uint32_t steps);
void paygo_batch_match_avx512(paygo_form form, paygo_matching *lanes, uint32_t steps);

#endif
