/* Blocks of units with what every processor of this kind has: SSE2 on x86-64, NEON on Arm64. */
#define FLEET_NAME plain
#define FLEET_WIDTH 4
#include "block_step.h"
