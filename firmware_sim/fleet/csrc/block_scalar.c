/* Blocks of units one lane at a time: what vectors are measured against, and what one unit is stepped with. */
#define FLEET_NAME scalar
#define FLEET_WIDTH 1
#include "block_step.h"
