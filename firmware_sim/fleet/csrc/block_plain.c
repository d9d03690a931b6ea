/* Blocks of units with what every processor of this kind has: SSE2 on x86-64, NEON on Arm64. */
#ifdef __SSE2__
#include <emmintrin.h>
#define FLEET_LEAST(a, b) ((fleet_float)_mm_min_ps((__m128)(a), (__m128)(b)))
#define FLEET_MOST(a, b) ((fleet_float)_mm_max_ps((__m128)(a), (__m128)(b)))
#define FLEET_ANY(so) (_mm_movemask_ps((__m128)(so)) != 0)
#endif
#define FLEET_NAME plain
#define FLEET_WIDTH 4
#include "block_step.h"
