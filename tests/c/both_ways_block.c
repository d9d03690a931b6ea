/* Blocks of units one lane at a time, with nothing left out, that tell what their law read and what came of it. */
#include <stdint.h>

#define PAYGO_LAW_INT int32_t
#define PAYGO_LAW_LONG int32_t
#define PAYGO_LAW_SMALL int32_t
#define PAYGO_LAW_TIME int32_t
#define PAYGO_LAW_FLAG int32_t
#define PAYGO_LAW_IF(truth) (-(truth))
#define PAYGO_LAW_CHOOSE(so, a, b) ((so) ? (a) : (b))
#include "law_step.h"
#undef PAYGO_LAW_INT
#undef PAYGO_LAW_LONG
#undef PAYGO_LAW_SMALL
#undef PAYGO_LAW_TIME
#undef PAYGO_LAW_FLAG
#undef PAYGO_LAW_IF
#undef PAYGO_LAW_CHOOSE
#undef PAYGO_LAW_INLINE

#include "both_ways.h"

#define COPY(name) seen.name = law->name;
#define COPY_GUARD(name) seen.name = law->name.active; seen.name##_s = law->name.held_s;

static void tell(int lane, const paygo_law *law, const paygo_law_readings *readings)
{
    const int32_t read[] = {readings->battery_mv, readings->battery_ma, readings->panel_mv, readings->panel_ma,
                            readings->load_ma, readings->battery_dc, readings->board_dc, readings->battery_peak_mv,
                            readings->panel_peak_mv, readings->output_peak_mv, readings->load_peak_ma};
    both_law seen;
    PAYGO_LAW_FIELDS(COPY_GUARD, COPY, COPY, COPY, COPY)
    both_seen(lane, &seen, read);
}

/* In the body of the step, where `i` is the lane. */
#define law_advance(law, readings, ...) (law_advance(law, readings, __VA_ARGS__), tell(i, law, readings))
#define FLEET_NAME told
#define FLEET_WIDTH 1
#define FLEET_WHOLE
#include "block_step.h"
