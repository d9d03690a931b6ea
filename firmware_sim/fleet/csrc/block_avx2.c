/* Blocks of units with AVX2. */
#if defined(__x86_64__) && defined(__GNUC__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#define FLEET_NAME avx2
#define FLEET_WIDTH 8
#include "block_step.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fleet_nothing_here;
#endif
