/* Blocks of units with AVX-512. */
#if defined(__x86_64__) && defined(__GNUC__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw")
#endif
#define FLEET_NAME avx512
#define FLEET_WIDTH 16
#include "block_step.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fleet_nothing_here;
#endif
