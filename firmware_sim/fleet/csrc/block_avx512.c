/* Blocks of units with AVX-512. */
#if defined(__x86_64__) && defined(__GNUC__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw")
#endif
#include <immintrin.h>
#define FLEET_LEAST(a, b) ((fleet_float)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define FLEET_MOST(a, b) ((fleet_float)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define PAYGO_LAW_LEAST(a, b) ((fleet_int)_mm512_min_epi32((__m512i)(a), (__m512i)(b)))
#define PAYGO_LAW_GREATEST(a, b) ((fleet_int)_mm512_max_epi32((__m512i)(a), (__m512i)(b)))
#define FLEET_ANY(so) (_mm512_movepi32_mask((__m512i)(so)) != 0)
#define FLEET_NAME avx512
#define FLEET_WIDTH 16
#include "block_step.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fleet_nothing_here;
#endif
