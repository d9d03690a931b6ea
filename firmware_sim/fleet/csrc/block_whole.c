/* Blocks of units one lane at a time and with nothing left out: what the ways with shortcuts must give the bytes of. */
#define FLEET_NAME whole
#define FLEET_WIDTH 1
#define FLEET_WHOLE
#include "block_step.h"
