/* Blocks of units with AVX2. */
#if defined(__x86_64__) && defined(__GNUC__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#include <immintrin.h>
#define FLEET_LEAST(a, b) ((fleet_float)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define FLEET_MOST(a, b) ((fleet_float)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define PAYGO_LAW_LEAST(a, b) ((fleet_int)_mm256_min_epi32((__m256i)(a), (__m256i)(b)))
#define PAYGO_LAW_GREATEST(a, b) ((fleet_int)_mm256_max_epi32((__m256i)(a), (__m256i)(b)))
#define FLEET_ANY(so) (_mm256_movemask_ps((__m256)(so)) != 0)
#define FLEET_NAME avx2
#define FLEET_WIDTH 8
#include "block_step.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fleet_nothing_here;
#endif
