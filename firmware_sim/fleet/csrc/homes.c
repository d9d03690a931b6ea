/* A hash for each unit, day and use decides when it begins, how long it lasts, whether it takes place and how bright. */
#include "homes.h"

#include "chances.h"

#include <stdbool.h>
#include <string.h>

#define DAY_KEY UINT64_C(0xD1B54A32D192ED03)

/* A use that ends with the day changes something behind its last slot. */
#define WIDTH (HOME_SLOTS + 2)

typedef struct {
    double start; /* in slots */
    double end;
    double level;
} session;

static double within_day(double slot)
{
    return slot < 0.0 ? 0.0 : slot > (double)HOME_SLOTS ? (double)HOME_SLOTS : slot;
}

/* -1 to 1. */
static double either_way(uint64_t sixteen_bits)
{
    return ((double)(sixteen_bits & 0xffffU) + 0.5) / 32768.0 - 1.0;
}

/* Returns false where the use does not take place that day. */
static bool drawn(const home_kind *kind, int32_t number, int32_t unit, uint64_t today, session *found)
{
    const home_use *use = &kind->uses[number];
    const int64_t at = (int64_t)number * kind->unit_count + unit;
    const uint64_t draw = fleet_mixed(today + use->key);
    double start, slots;
    if ((int32_t)(draw >> 32 & 0xffffU) >= kind->chances[at]) {
        return false;
    }
    start = either_way(draw) * use->start_jitter + kind->starts[at];
    slots = (either_way(draw >> 16) * use->hours_jitter + 1.0) * kind->lasts[at];
    found->start = within_day(start);
    found->end = within_day(start + slots);
    found->level = kind->levels[use->first_level + (int32_t)((draw >> 48) * (uint64_t)use->levels >> 16)];
    return found->end > found->start;
}

static uint64_t day_of(const home_kind *kind, const uint64_t *days, int32_t unit)
{
    return fleet_mixed(kind->lives[unit] + (days[unit] + 1U) * DAY_KEY);
}

/* The nearest whole number, the even one of two: what is added leaves a double no fraction. */
static int32_t rounded(double number)
{
    const double no_fraction = 6755399441055744.0;
    return (int32_t)(number + no_fraction - no_fraction);
}

static void one_day(const home_kind *kind, int32_t unit, uint64_t today, float *mean, float *most)
{
    int32_t means[WIDTH], mosts[WIDTH];
    double inrush[WIDTH];
    int32_t number, slot;
    int32_t mean_mw = 0, most_mw = 0;
    memset(means, 0, sizeof means);
    memset(mosts, 0, sizeof mosts);
    for (slot = 0; slot < WIDTH; slot++) {
        inrush[slot] = 0.0;
    }
    for (number = 0; number < kind->use_count; number++) {
        const home_use *use = &kind->uses[number];
        double watts, surge_mw;
        int32_t more_mw, whole_mw, first, last, late_mw, early_mw;
        session on;
        if (!drawn(kind, number, unit, today, &on)) {
            continue;
        }
        watts = use->watts * on.level;
        more_mw = rounded((watts - use->standby_w) * 1000.0);
        whole_mw = rounded(watts * 1000.0);
        first = (int32_t)on.start;
        last = (int32_t)on.end;
        late_mw = rounded((double)more_mw * (on.start - (double)first));
        early_mw = rounded((double)more_mw * (on.end - (double)last));
        surge_mw = (double)whole_mw * (use->inrush - 1.0);
        means[first] += more_mw - late_mw;
        means[first + 1] += late_mw;
        means[last] += early_mw - more_mw;
        means[last + 1] -= early_mw;
        mosts[first] += whole_mw;
        mosts[on.end > (double)last ? last + 1 : last] -= whole_mw;
        inrush[first] = surge_mw > inrush[first] ? surge_mw : inrush[first];
    }
    for (slot = 0; slot < HOME_SLOTS; slot++) {
        means[slot] = mean_mw += means[slot];
        mosts[slot] = most_mw += mosts[slot];
    }
    for (slot = 0; slot < HOME_SLOTS; slot++) {
        mean[slot] = (float)((double)means[slot] + kind->standby_mw) / 1000.0f;
        most[slot] = (float)((double)mosts[slot] + (inrush[slot] + kind->standby_mw)) / 1000.0f;
    }
}

void home_day(const home_kind *kind, const uint64_t *days, float *mean, float *most)
{
    int32_t unit;
    for (unit = 0; unit < kind->unit_count; unit++) {
        const int64_t at = (int64_t)unit * HOME_SLOTS;
        one_day(kind, unit, day_of(kind, days, unit), mean + at, most + at);
    }
}

void home_levels(const home_kind *kind, const uint64_t *days, float *levels)
{
    int32_t unit, number, slot;
    memset(levels, 0, (size_t)kind->unit_count * HOME_SLOTS * sizeof *levels);
    for (unit = 0; unit < kind->unit_count; unit++, levels += HOME_SLOTS) {
        const uint64_t today = day_of(kind, days, unit);
        for (number = 0; number < kind->use_count; number++) {
            session on;
            if (kind->uses[number].levels == 1 || !drawn(kind, number, unit, today, &on)) {
                continue;
            }
            for (slot = 0; slot < HOME_SLOTS; slot++) {
                if ((double)slot + 1.0 > on.start && (double)slot < on.end && (float)on.level > levels[slot]) {
                    levels[slot] = (float)on.level;
                }
            }
        }
    }
}
