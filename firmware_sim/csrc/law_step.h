/*
 * The body of the control law, without a branch, a call or a division, so that it steps one unit or a vector of units.
 * Included by law.c and by the fleet engine. What is true is -1 here.
 */
#ifndef PAYGO_LAW_STEP_H
#define PAYGO_LAW_STEP_H

#include "apart.h"
#include "flash.h"
#include "law.h"

/* Vectors want everything inline, small chips do not: what is used more than once is there once. */
#ifdef PAYGO_LAW_INLINE
#define PAYGO_LAW_APART PAYGO_LAW_INLINE
#else
#define PAYGO_LAW_INLINE static
#define PAYGO_LAW_APART static PAYGO_APART
#endif

/* Some vectors have these as instructions. */
#ifndef PAYGO_LAW_LEAST
#define PAYGO_LAW_LEAST(a, b) PAYGO_LAW_CHOOSE(PAYGO_LAW_IF((a) < (b)), a, b)
#define PAYGO_LAW_GREATEST(a, b) PAYGO_LAW_CHOOSE(PAYGO_LAW_IF((a) > (b)), a, b)
#endif

/* Times are counted to here and stand still, short of PAYGO_LAW_NEVER. */
#define PAYGO_LAW_LONGEST_S 32000

#define PAYGO_LAW_GONE_MV 3000 /* what is left of a battery that is not there */
#define PAYGO_LAW_LIT_MV 3000  /* a panel in the sun gives more */
#define PAYGO_LAW_NEAR_MV 50   /* so near its target a battery counts as being at it */
#define PAYGO_LAW_DARK_S 3600  /* the sun that comes back after so much darkness is another day's */
#define PAYGO_LAW_GOOD_S 120   /* a load that was fine for so long is no longer called one that was not */
#define PAYGO_LAW_TRIES 5      /* a shorted output is tried so often a day: */
#define PAYGO_LAW_TRY_S 5      /* after this, twice this ... */
#define PAYGO_LAW_BLIND_MV 28000 /* no battery of 12 V has so much */
#define PAYGO_LAW_LONG_AGO_S (INT32_C(1) << 30)
#define PAYGO_LAW_LEAK_MA 300  /* so much through an open charge switch is a fault of it */

/* A number of the limits. */
#define LAW_LIMIT(limit) ((int)(int16_t)paygo_flash_word(&(limit)))

/* Above its limit it is hot, until 10 degrees below; below it is cold, until 1 degree above. */
static const paygo_limit law_hot PAYGO_FLASH = {0, -100, 0, 0};
static const paygo_limit law_cold PAYGO_FLASH = {-1, 10, 0, 0};

/* A fault that is there or not, -1 or 0, is one after 5 s, and over after 60. */
static const paygo_limit law_fault PAYGO_FLASH = {-1, 0, 5, 60};

/* `a` if `so`, and otherwise `b`; `a` or 0. */
PAYGO_LAW_INLINE paygo_law_int law_choose(paygo_law_flag so, paygo_law_int a, paygo_law_int b)
{
    return PAYGO_LAW_CHOOSE(so, a, b);
}

PAYGO_LAW_APART paygo_law_int law_only(paygo_law_flag so, paygo_law_int a)
{
    return PAYGO_LAW_CHOOSE(so, a, (paygo_law_int){0});
}

PAYGO_LAW_INLINE paygo_law_int law_least(paygo_law_int a, paygo_law_int b)
{
    return PAYGO_LAW_LEAST(a, b);
}

PAYGO_LAW_INLINE paygo_law_int law_most(paygo_law_int a, paygo_law_int b)
{
    return PAYGO_LAW_GREATEST(a, b);
}

/* The same for all lanes. */
PAYGO_LAW_INLINE paygo_law_int law_all(int number)
{
    return (paygo_law_int)(number - (paygo_law_int){0});
}

/* Whether `a` is as much as `b`. */
PAYGO_LAW_APART paygo_law_flag law_reaches(paygo_law_int a, paygo_law_int b)
{
    return PAYGO_LAW_IF(a >= b);
}

PAYGO_LAW_INLINE paygo_law_flag law_not(paygo_law_flag so)
{
    return (paygo_law_flag)~so;
}

/* `a` of so many 1024ths. */
PAYGO_LAW_APART paygo_law_int law_scaled(paygo_law_int a, int share)
{
    return (paygo_law_int)((a * (int32_t)share) >> 10);
}

/* How long something has been so. */
PAYGO_LAW_APART paygo_law_time law_hold(paygo_law_time held_s, paygo_law_flag so, int dt_s)
{
    const paygo_law_int held = (paygo_law_int)held_s + dt_s;
    return (paygo_law_time)law_only(so, law_least(held, law_all(PAYGO_LAW_LONGEST_S)));
}

/* A protection against too much, or against too little: that is cleared above where it trips. Returns the next one. */
PAYGO_LAW_INLINE paygo_guard *law_guard(paygo_guard *guard, paygo_law_int reading, const paygo_limit *limit,
                                        paygo_law_int clear_s, int dt_s)
{
    const paygo_law_flag was = (paygo_law_flag)guard->active;
    const int trip = LAW_LIMIT(limit->trip);
    const int clear = LAW_LIMIT(limit->clear);
    const paygo_law_int threshold = law_choose(was, law_all(clear), law_all(trip));
    const paygo_law_int delay_s = law_choose(was, clear_s, law_all(LAW_LIMIT(limit->trip_s)));
    const paygo_law_flag downwards = was ^ (paygo_law_flag)law_all(-(trip < clear));
    const paygo_law_flag asks = (downwards & law_reaches(threshold, reading)) |
                                (law_not(downwards) & law_reaches(reading, threshold));
    const paygo_law_time held = law_hold(guard->held_s, asks, dt_s);
    const paygo_law_flag flips = asks & PAYGO_LAW_IF((paygo_law_int)held >= delay_s);
    guard->held_s = (paygo_law_time)law_only(law_not(flips), (paygo_law_int)held);
    guard->active = (paygo_law_small)(was ^ flips);
    return guard + 1;
}

/* The same with the limit's own delay of clearing. */
PAYGO_LAW_INLINE paygo_guard *law_watch(paygo_guard *guard, paygo_law_int reading, const paygo_limit *limit, int dt_s)
{
    return law_guard(guard, reading, limit, law_all(LAW_LIMIT(limit->clear_s)), dt_s);
}

/*
 * Whether a load's fault is told of, which an output that is tried again and fails again is once: until a load that is on
 * was below the limit for long enough.
 */
PAYGO_LAW_APART paygo_law_flag law_told(paygo_guard *fault, paygo_law_flag active, paygo_law_flag on,
                                        paygo_law_int reading, const paygo_limit *limit, int dt_s)
{
    const paygo_law_flag good = on & law_not(law_reaches(reading, law_all(LAW_LIMIT(limit->trip))));
    paygo_law_flag told = (paygo_law_flag)fault->active;
    fault->held_s = law_hold(fault->held_s, told & good, dt_s);
    told = (told & law_not(law_reaches((paygo_law_int)fault->held_s, law_all(PAYGO_LAW_GOOD_S)))) | active;
    fault->active = (paygo_law_small)told;
    return told;
}

/* What takes the output. */
PAYGO_LAW_APART paygo_law_flag law_blocks(const paygo_law *law)
{
    return (paygo_law_flag)law->overvoltage.active | (paygo_law_flag)law->undervoltage.active |
           (paygo_law_flag)law->output_high.active | (paygo_law_flag)law->lost.active |
           (paygo_law_flag)law->current.active | (paygo_law_flag)law->shorted.active | (paygo_law_flag)law->hot.active;
}

/* The protections but that against a low voltage. battery_dc: measured or, if that is lost, assumed. */
PAYGO_LAW_INLINE void law_protect(paygo_law *law, const paygo_law_readings *readings, const paygo_battery_limits *battery,
                                  const paygo_board_limits *board, paygo_law_int battery_dc,
                                  paygo_law_flag warmth_known, paygo_law_flag dawn, int dt_s)
{
    const paygo_law_int battery_mv = readings->battery_mv;
    const paygo_law_int warmest_dc =
        law_most(battery_dc - LAW_LIMIT(battery->hot_dc), readings->board_dc - LAW_LIMIT(board->hot_dc));
    const paygo_law_int lost_mv = law_choose(PAYGO_LAW_IF(battery_mv < PAYGO_LAW_GONE_MV),
                                             law_all(LAW_LIMIT(battery->lost.trip)), readings->battery_peak_mv);
    const paygo_law_flag leaks =
        law_not((paygo_law_flag)law->charge) & law_reaches(readings->panel_ma, law_all(PAYGO_LAW_LEAK_MA));
    const paygo_law_flag blind = PAYGO_LAW_IF(battery_mv < 0) |
                                 law_reaches(battery_mv, law_all(PAYGO_LAW_BLIND_MV + 1)) | law_not(warmth_known);
    const paygo_law_flag on = (paygo_law_flag)law->output;
    const paygo_law_flag was_shorted = (paygo_law_flag)law->shorted.active;
    const paygo_law_int trips = (paygo_law_int)law->shorted_trips;
    const paygo_law_flag given_up = law_reaches(trips, law_all(PAYGO_LAW_TRIES + 1));
    const paygo_law_int try_s = law_choose(given_up, law_all(PAYGO_LAW_NEVER), PAYGO_LAW_TRY_S * trips);
    paygo_guard *guard = (paygo_guard *)(void *)law; /* the state begins with them */
    paygo_law_flag tripped, told;
    guard = law_watch(guard, battery_mv, &battery->overvoltage, dt_s) + 1; /* the one against a low voltage has its own */
    guard = law_watch(guard, readings->panel_peak_mv, &board->panel, dt_s);
    guard = law_watch(guard, readings->output_peak_mv, &board->output, dt_s);
    guard = law_watch(guard, lost_mv, &battery->lost, dt_s);
    guard = law_watch(guard, readings->load_ma, &board->current, dt_s);
    guard = law_guard(guard, readings->load_peak_ma, &board->shorted, try_s, dt_s);
    guard = law_watch(guard, warmest_dc, &law_hot, dt_s);
    guard = law_watch(guard, battery_dc - LAW_LIMIT(battery->charge_min_dc), &law_cold, dt_s);
    guard = law_watch(guard, (paygo_law_int)leaks, &law_fault, dt_s);
    (void)law_watch(guard, (paygo_law_int)blind, &law_fault, dt_s);

    /* What follows of a load's fault. */
    tripped = (paygo_law_flag)law->shorted.active & law_not(was_shorted);
    law->shorted.active = (paygo_law_small)((paygo_law_flag)law->shorted.active & law_not(dawn & given_up));
    (void)law_told(&law->current_told, (paygo_law_flag)law->current.active, on, readings->load_ma, &board->current,
                   dt_s);
    told = law_told(&law->shorted_told, (paygo_law_flag)law->shorted.active, on, readings->load_peak_ma, &board->shorted,
                    dt_s);
    law->shorted_trips = (paygo_law_small)law_only(
        told & law_not(dawn), law_least(trips - (paygo_law_int)tripped, law_all(PAYGO_LAW_TRIES + 1)));
}

/* Bit i: alert i is active. Two alerts are not the law's. */
PAYGO_LAW_INLINE paygo_law_int law_alerts(const paygo_law *law)
{
    const paygo_guard *const first = (const paygo_guard *)(const void *)law; /* the state begins with them */
    const paygo_guard *guard = first + PAYGO_GUARDS;
    paygo_law_int bits = law_all(0);
    do {
        guard--;
        bits = bits + bits - (paygo_law_int)guard->active;
    } while (guard != first);
    bits = ((bits & ~3) << 2) | (bits & 3);
    return bits | law_only((paygo_law_flag)law->current_told.active, law_all(1 << PAYGO_ALERT_OVERCURRENT)) |
           law_only((paygo_law_flag)law->shorted_told.active, law_all(1 << PAYGO_ALERT_SHORT_CIRCUIT));
}

/*
 * A step. calm, which is known when this is compiled: none of law_protect's protections is active, counts, or would begin
 * to at these readings, so that it would change nothing.
 */
PAYGO_LAW_INLINE void law_advance(paygo_law *law, const paygo_law_readings *readings,
                                        const paygo_battery_limits *battery, const paygo_board_limits *board,
                                        int dt_s, const int calm)
{
    /* What was measured. */
    const paygo_law_int battery_mv = readings->battery_mv;
    const paygo_law_flag warmth_known =
        law_reaches(readings->battery_dc, law_all(-500)) & law_reaches(law_all(1200), readings->battery_dc);
    const paygo_law_int battery_dc = law_choose(warmth_known, readings->battery_dc, law_all(250));
    const int compensation = LAW_LIMIT(battery->compensation);
    const paygo_law_int compensated_dc =
        law_least(law_most(battery_dc, law_all(0)), law_all(500));
    const paygo_law_int more_mv = law_scaled(law_all(250), compensation) - law_scaled(compensated_dc, compensation);
    const paygo_law_int sag_mv =
        law_only(law_not((paygo_law_flag)law->undervoltage.active),
                 law_scaled(readings->load_ma, LAW_LIMIT(battery->sag)));
    const paygo_law_flag light = law_reaches(readings->panel_mv, law_all(PAYGO_LAW_LIT_MV + 1));
    const paygo_law_flag dawn = light & law_reaches((paygo_law_int)law->dark_s, law_all(PAYGO_LAW_DARK_S));

    /* The protections. */
    law_watch(&law->undervoltage, battery_mv + sag_mv, &battery->undervoltage, dt_s);
    if (!calm) {
        law_protect(law, readings, battery, board, battery_dc, warmth_known, dawn, dt_s);
    }
    law->dark_s = law_hold(law->dark_s, law_not(light), dt_s);

    /* The stages of a charge. */
    const paygo_law_flag was = (paygo_law_flag)law->stage;
    const paygo_law_flag in_absorption = PAYGO_LAW_IF(was == (int)PAYGO_ABSORPTION);
    const paygo_law_flag in_float = PAYGO_LAW_IF(was == (int)PAYGO_FLOAT);
    const paygo_law_flag in_equalise = PAYGO_LAW_IF(was == (int)PAYGO_EQUALISE);
    const paygo_law_flag in_bulk = law_not(in_absorption | in_float | in_equalise);
    const paygo_law_flag at_target = law_reaches(battery_mv, law->target_mv - PAYGO_LAW_NEAR_MV);
    const paygo_law_flag equalise_due =
        LAW_LIMIT(battery->equalise_mv) > 0
            ? PAYGO_LAW_IF(law->since_equalise_s >= LAW_LIMIT(battery->equalise_every_h) * INT32_C(3600))
            : (paygo_law_flag)law_all(0);
    const paygo_law_int stage_s =
        law_least((paygo_law_int)law->stage_s + law_only(at_target, law_all(dt_s)), law_all(PAYGO_LAW_LONGEST_S));
    const paygo_law_flag absorbed =
        law_reaches(stage_s, law_all(LAW_LIMIT(battery->absorption_s))) |
        (at_target & law_reaches(stage_s, law_all(LAW_LIMIT(battery->tail_s))) &
         law_reaches(readings->tail_ma, readings->battery_ma));
    const paygo_law_flag equalised = in_equalise & law_reaches(stage_s, law_all(LAW_LIMIT(battery->equalise_s)));
    const paygo_law_flag to_absorption = in_bulk & at_target;
    const paygo_law_flag to_equalise = in_absorption & absorbed & equalise_due;
    const paygo_law_flag to_float = (in_absorption & absorbed & law_not(equalise_due)) | equalised;
    paygo_law_flag to_bulk, moves, stage, float_now, stops;
    law->low_s =
        law_hold(law->low_s, law_not(law_reaches(battery_mv, more_mv + LAW_LIMIT(battery->rebulk_mv))), dt_s);
    to_bulk = dawn | (in_float & law_reaches((paygo_law_int)law->low_s, law_all(LAW_LIMIT(battery->rebulk_s))));
    moves = to_absorption | to_equalise | to_float | to_bulk;
    stage = (paygo_law_flag)((to_absorption & PAYGO_ABSORPTION) | (to_equalise & PAYGO_EQUALISE) | (to_float & PAYGO_FLOAT));
    stage = (stage & law_not(to_bulk)) | (was & law_not(moves));
    float_now = PAYGO_LAW_IF(stage == (int)PAYGO_FLOAT);
    law->stage_s = (paygo_law_time)law_only(law_not(moves), stage_s);
    law->stage = (paygo_law_small)stage;
    law->since_equalise_s =
        PAYGO_LAW_CHOOSE(equalised, (paygo_law_long){0},
                         PAYGO_LAW_CHOOSE(PAYGO_LAW_IF(law->since_equalise_s < PAYGO_LAW_LONG_AGO_S),
                                          law->since_equalise_s + dt_s, law->since_equalise_s));
    law->target_mv = law_least(
        law_all(LAW_LIMIT(battery->ceiling_mv)),
        more_mv + law_choose(float_now, law_all(LAW_LIMIT(battery->float_mv)),
                                   law_choose(PAYGO_LAW_IF(stage == (int)PAYGO_EQUALISE),
                                                    law_all(LAW_LIMIT(battery->equalise_mv)),
                                                    law_all(LAW_LIMIT(battery->absorption_mv)))));
    law->limit_ma = law_least(
        law_all(LAW_LIMIT(board->charge_ma)),
        law_most(law_least(law_all(LAW_LIMIT(battery->charge_max_dc)) - battery_dc, law_all(100)), law_all(0)) *
            LAW_LIMIT(board->derate_ma_per_dc));

    /* What follows. */
    stops = (paygo_law_flag)law->overvoltage.active | (paygo_law_flag)law->panel.active |
            (paygo_law_flag)law->lost.active | (paygo_law_flag)law->hot.active | (paygo_law_flag)law->cold.active |
            (paygo_law_flag)law->blind.active;
    if (LAW_LIMIT(battery->float_mv) == 0) {
        stops |= float_now;
    }
    law->charge = (paygo_law_small)(law_not(stops) & law_reaches(law->limit_ma, law_all(1)));
    law->output = (paygo_law_small)(readings->wanted & law_not(law_blocks(law)));
    law->alerts = calm ? law_only((paygo_law_flag)law->undervoltage.active, law_all(1 << PAYGO_ALERT_BATTERY_UNDERVOLTAGE))
                       : law_alerts(law);
}

#endif
