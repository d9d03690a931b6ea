/*
 * The body of a block's run for vectors of FLEET_WIDTH lanes, under the name FLEET_NAME. Included by block_*.c, each of
 * which is compiled for one instruction set. Nothing here depends on the width: all give the same bytes.
 *
 * Most units are calm in most steps: nothing of what may go wrong with one is so, and none of its protections is active
 * or about to be. A vector of such units is stepped by the same lines with all of that left out. That it was calm shows
 * in the end, before anything of the step is kept; if it was not, it is stepped again with everything.
 */
#include "lanes.h"

#include "block.h"
#include "law_step.h"

/* A vector's worth of a member of the block. */
#define INT(name) (*(fleet_ints *)&block->name[i])
#define FLOAT(name) (*(fleet_floats *)&block->name[i])

/* Of the law's state: the protections that only trouble needs, and what moves in a unit that is calm. */
#define TROUBLE_FIELDS(GUARD, FIELD)                                                                                     \
    GUARD(overvoltage) GUARD(panel) GUARD(output_high) GUARD(lost) GUARD(current) GUARD(shorted) GUARD(hot) GUARD(cold)  \
    GUARD(stuck) GUARD(blind)                                                                                            \
    GUARD(current_told) GUARD(shorted_told) FIELD(shorted_trips)
#define CALM_FIELDS(GUARD, FIELD)                                                                                        \
    GUARD(undervoltage) FIELD(stage) FIELD(stage_s) FIELD(low_s) FIELD(dark_s) FIELD(since_equalise_s)                   \
    FIELD(charge) FIELD(output) FIELD(target_mv) FIELD(limit_ma)

#define LOAD(name) lane.name = INT(law.name);
#define KEEP(name) INT(law.name) = lane.name;
#define LOAD_GUARD(name) lane.name.active = INT(law.name); lane.name.held_s = INT(law.name##_s);
#define KEEP_GUARD(name) INT(law.name) = lane.name.active; INT(law.name##_s) = lane.name.held_s;

FLEET_INLINE int32_t least_of(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

FLEET_INLINE float least_of_v(float a, float b)
{
    return a < b ? a : b;
}

/* A whole number of `times` x that is surely below it. */
FLEET_INLINE int32_t below(float x, float times)
{
    return x < 1e6f ? (int32_t)(x * times) - 1 : INT32_MAX;
}

/* The current of `watts` into a voltage of `v` and a resistance: two steps of Newton's, from where the bus was. */
FLEET_INLINE fleet_float fleet_follow(fleet_float watts, fleet_float per_bus, fleet_float v, fleet_float ohm)
{
    const fleet_float low_v = fleet_most(v, fleet_all(1.0f));
    const fleet_float first_a = watts * per_bus;
    const fleet_float second_a = (ohm * first_a * first_a + watts) / (2.0f * ohm * first_a + low_v);
    return (ohm * second_a * second_a + watts) / (2.0f * ohm * second_a + low_v);
}

/* What does not differ from unit to unit in a step, and what stays between the steps of a run. */
typedef struct {
    float dt;
    float light_a;   /* what the panel gives into a short circuit */
    float shift_v;   /* by which its curve is moved */
    float open_v;
    float best_w;
    float follow, battery_follow, board_follow; /* how far the slow things come in dt */
    float shorted_a, shorted_share; /* a load from here on is a short circuit, and lasts for so much of the step */
    int32_t lit;     /* 0 or -1 */
    int32_t quiet;   /* such a sky asks for no protection */
    int32_t calm_mv; /* a battery below it asks for none, */
    int32_t calm_dc; /* nor does a board; */
    float rest_v[FLEET_REST_POINTS], slope_v[FLEET_REST_POINTS]; /* the rest voltage is rest_v + slope_v * tenths */
    int32_t tenth[FLEET_LANES];                       /* where each battery is in it */
    float lane_rest_v[FLEET_LANES], lane_slope_v[FLEET_LANES];
    uint8_t calm[FLEET_LANES];                        /* of each vector */
} fleet_common;

/* The rest voltage of each battery. */
FLEET_INLINE fleet_float FLEET_JOIN(rest, FLEET_NAME)(fleet_common *common, int i, fleet_float tenths)
{
    const fleet_int tenth = FLEET_TO_INT(tenths);
    if (fleet_any(FLEET_IF(tenth != *(const fleet_ints *)&common->tenth[i]))) {
        int j;
        *(fleet_ints *)&common->tenth[i] = tenth;
        for (j = i; j < i + FLEET_WIDTH; j++) {
            common->lane_rest_v[j] = common->rest_v[common->tenth[j]];
            common->lane_slope_v[j] = common->slope_v[common->tenth[j]];
        }
    }
    return *(const fleet_floats *)&common->lane_rest_v[i] + *(const fleet_floats *)&common->lane_slope_v[i] * tenths;
}

/*
 * One step of a vector of units from lane i on. Returns whether it was kept, which may fail if `calm`. Adds to *any
 * which alerts and damages changed.
 */
FLEET_INLINE int FLEET_JOIN(step, FLEET_NAME)(fleet_block *block, int i, const fleet_kit *kit, const fleet_sky *sky,
                                              fleet_common *common, int32_t dt_s, const int calm, const int dark,
                                              fleet_int *any)
{
    const fleet_model *model = &kit->model;
    const float dt = common->dt;
    const fleet_int lit = law_all(common->lit);
    const fleet_float none = fleet_all(0.0f);

    /* What the battery is like. */
    const fleet_float full = FLEET_TO_FLOAT(INT(charge)) * (1.0f / (float)FLEET_FULL);
    const fleet_float warmth = FLOAT(battery_c) - 25.0f;
    const fleet_float clean_ohm = model->ohm * (1.6f - 0.6f * full) * (1.0f + 0.01f * fleet_most(-warmth, none));
    const fleet_float ohm = clean_ohm + FLOAT(contact_ohm);
    const fleet_int there = calm ? law_all(-1) : (fleet_int)~(INT(no_battery) | INT(bms_open));
    const fleet_int sound = calm ? law_all(-1) : FLEET_IF(INT(broken) == 0);
    const fleet_float rest = FLEET_JOIN(rest, FLEET_NAME)(common, i, full * 10.0f);
    const fleet_float still_v = rest + FLOAT(follows_v);
    const fleet_float colder = 1.0f - 0.02f * fleet_least(fleet_most(warmth, fleet_all(-40.0f)), fleet_all(20.0f));
    const fleet_float per_ah = FLOAT(per_capacity) * 3600.0f;
    const fleet_float all_cells = model->cells * colder;

    /* What flows. */
    const fleet_int stuck = calm ? law_all(0) : (fleet_int)INT(stuck_on);
    const fleet_int charging = (INT(law.charge) | stuck) & sound;
    const fleet_int on = INT(law.output) & sound;
    const fleet_float bus_v = fleet_most(FLOAT(volts), fleet_all(6.0f));
    const fleet_float per_bus = 1.0f / bus_v;
    const fleet_float wanted_a = FLOAT(demand_w) * per_bus;
    const fleet_float starting_a = FLOAT(peak_w) * per_bus;
    const fleet_float steady_a = fleet_only(on, calm ? wanted_a : wanted_a + FLOAT(short_a));
    const fleet_float peak_a = fleet_only(on, calm ? starting_a : starting_a + FLOAT(short_a));
    const fleet_float load_a =
        calm ? steady_a
             : steady_a * FLEET_PICK(FLEET_IF(steady_a >= common->shorted_a), fleet_all(common->shorted_share),
                                     fleet_all(1.0f));
    const fleet_float own_a = model->unit_w * per_bus;
    fleet_float lane_a = none;
    fleet_float panel_a = none;
    fleet_float battery_a, in_a, out_a, size_a, x, goal_v;
    fleet_int filling;
    if (!dark) {
        const fleet_float per_panels = calm ? fleet_all(1.0f) : (fleet_float)FLOAT(per_panels);
        const fleet_float at_v = (bus_v + model->path_drop_v) * per_panels;
        fleet_float offered_a, held_a, allowed_a;
        lane_a = common->light_a * FLOAT(soiling);
        if (model->mppt) {
            offered_a = fleet_follow(common->best_w * FLOAT(soiling), per_bus,
                                     still_v + model->path_drop_v - (load_a + own_a) * ohm, ohm);
        } else {
            const fleet_float power = fleet_least((at_v - common->shift_v) * model->per_c2_open, fleet_all(20.0f));
            offered_a = lane_a * (1.0f - model->c1 * (fleet_exp(power) - 1.0f));
        }
        offered_a = fleet_most(offered_a, none);
        {
            /* The current that ends this step at the target: what follows slowly rises under it within the step, too. */
            const fleet_float guess_x = fleet_most(FLOAT(battery_a), none) * per_ah;
            const fleet_float bent = 1.0f + model->charge_bend * guess_x;
            const fleet_float edge = model->charge_edge - full;
            const fleet_float both = bent * edge;
            const fleet_float spare_v =
                FLEET_TO_FLOAT(INT(law.target_mv)) * 0.001f - rest - FLOAT(follows_v) * (1.0f - common->follow);
            held_a = fleet_most(
                spare_v * both / (ohm * both + per_ah * all_cells * common->follow *
                                                   (model->charge_near * edge + model->charge_far * bent)) +
                    load_a + own_a,
                none);
        }
        allowed_a = fleet_least(held_a, FLEET_TO_FLOAT(INT(law.limit_ma)) * 0.001f);
        panel_a = fleet_least(offered_a, allowed_a);
        panel_a = fleet_only(charging, calm ? panel_a : FLEET_PICK(stuck, offered_a, panel_a));
    }
    battery_a = panel_a - load_a - own_a;
    battery_a = calm ? battery_a : fleet_only(there, battery_a);

    /* What it does to the battery. */
    filling = dark ? law_all(0) : FLEET_IF(battery_a > 0.0f);
    in_a = dark ? none : fleet_only(filling, battery_a);
    out_a = dark ? -battery_a : fleet_only(~filling, -battery_a);
    size_a = dark ? out_a : in_a + out_a;
    x = size_a * per_ah;
    {
        const fleet_float empty = full + model->discharge_edge;
        const fleet_float edge = dark ? empty : FLEET_PICK(filling, model->charge_edge - full, empty);
        const fleet_float near =
            dark ? fleet_all(model->discharge_near)
                 : FLEET_PICK(filling, fleet_all(model->charge_near), fleet_all(model->discharge_near));
        const fleet_float far = dark ? fleet_all(model->discharge_far)
                                     : FLEET_PICK(filling, fleet_all(model->charge_far), fleet_all(model->discharge_far));
        const fleet_float bend =
            dark ? fleet_all(model->discharge_bend)
                 : FLEET_PICK(filling, fleet_all(model->charge_bend), fleet_all(model->discharge_bend));
        const fleet_float bent = 1.0f + bend * x;
        goal_v = all_cells * x * (near * edge + far * bent) / (bent * edge);
    }
    if (dark) {
        goal_v = -goal_v;
    } else {
        const fleet_float most_v =
            fleet_most(model->cells * (model->final_v + 2.0f * x / (1.0f + 0.45f * x)) - rest, none);
        goal_v = FLEET_PICK(filling, fleet_least(goal_v, most_v), -goal_v);
    }
    const fleet_float follows_v = FLOAT(follows_v) + (goal_v - FLOAT(follows_v)) * common->follow;
    fleet_float stored_a = -out_a;
    fleet_float wasted = none;
    if (!dark) {
        const fleet_float slope = model->efficiency_slope / (x * 10.0f + 0.55f);
        wasted = fleet_exp(fleet_most(slope * (full - 1.0f), fleet_all(-40.0f)));
        stored_a = in_a * (1.0f - wasted) - out_a;
    }
    const fleet_float stored = stored_a * FLOAT(per_capacity) - model->leak_per_s;
    const fleet_int charge = law_least(law_most(INT(charge) + FLEET_TO_INT(stored * (dt * (float)FLEET_FULL)), law_all(0)),
                                       law_all(FLEET_FULL));
    const fleet_float terminal_v = fleet_most(rest + follows_v + battery_a * ohm, none);

    /* Without a battery the bus follows the panel, up to the clamp, until the switch is open. */
    const fleet_float panel_open_v = calm ? fleet_all(common->open_v) : (fleet_float)(common->open_v / FLOAT(per_panels));
    const fleet_int dumping = charging & ~there & lit;
    const fleet_float free_v = fleet_most(panel_open_v - model->path_drop_v, none);
    const fleet_float loose_v = fleet_only(dumping, fleet_least(free_v, fleet_all(model->clamp_v)));
    const fleet_float volts = calm ? terminal_v : FLEET_PICK(there, terminal_v, fleet_only(stuck, loose_v));
    const fleet_float peak_v = calm ? terminal_v : FLEET_PICK(there, terminal_v, loose_v);
    const fleet_float panel_peak_v =
        calm ? panel_open_v : fleet_least(panel_open_v + FLOAT(surge_v), fleet_all(model->input_clamp_v));
    const fleet_float panel_v =
        dark ? none : fleet_only(lit, FLEET_PICK(charging & there, terminal_v + model->path_drop_v, panel_open_v));
    fleet_float clamp_j = none;
    if (!calm) {
        const fleet_int clamping = dumping & FLEET_IF(free_v > model->clamp_v);
        clamp_j = fleet_only(clamping, model->clamp_v * lane_a * FLEET_PICK(stuck, fleet_all(dt), fleet_all(FLEET_OPENS_S))) +
                  FLOAT(surge_v) * FLEET_SURGE_J_PER_V;
    }

    /* Warmth. */
    const fleet_float ohmic_w = size_a * size_a * ohm;
    const fleet_float battery_loss_w = dark ? ohmic_w : ohmic_w + in_a * terminal_v * wasted;
    const fleet_float load_loss = load_a * steady_a;
    const fleet_float board_loss_w = dark ? load_loss * model->switch_ohm
                                          : (panel_a * panel_a + load_loss) * model->switch_ohm + panel_a * model->path_drop_v;
    const fleet_float battery_c =
        FLOAT(battery_c) +
        (sky->ambient + model->battery_k_per_w * battery_loss_w - FLOAT(battery_c)) * common->battery_follow;
    const fleet_float board_c =
        FLOAT(board_c) + (sky->ambient + model->board_k_per_w * board_loss_w - FLOAT(board_c)) * common->board_follow;

    /* What the unit reads, and what it does then. */
    paygo_law lane;
    paygo_law_readings readings;
    const fleet_int sensed_mv = fleet_round(volts * 1000.0f);
    const fleet_int shifted_mv = sensed_mv + INT(offset_mv);
    const fleet_int read_mv =
        calm ? shifted_mv : law_choose(~FLEET_IF(INT(frozen_mv) == 0), INT(frozen_mv), shifted_mv);
    const fleet_int peak_mv = calm ? sensed_mv : fleet_round(peak_v * 1000.0f);
    const fleet_int panel_peak_mv = fleet_round(panel_peak_v * 1000.0f);
    const fleet_int peak_ma = fleet_round(peak_a * 1000.0f);
    const fleet_int active = FLEET_IF(INT(credit_s) > 0) & sound;
    const fleet_int credit_s = law_choose(FLEET_IF(INT(credit_s) >= FLEET_ALWAYS), law_all(FLEET_ALWAYS),
                                          law_most(INT(credit_s) - dt_s, law_all(0)));
    fleet_int changed;
    readings.battery_mv = read_mv;
    readings.battery_ma = fleet_round(battery_a * 1000.0f);
    readings.panel_mv = fleet_round(panel_v * 1000.0f);
    readings.panel_ma = fleet_round(panel_a * 1000.0f);
    readings.load_ma = fleet_round(load_a * 1000.0f);
    readings.battery_dc = fleet_round(battery_c * 10.0f);
    readings.board_dc = fleet_round(board_c * 10.0f);
    readings.battery_peak_mv = law_most(peak_mv, read_mv);
    readings.panel_peak_mv = panel_peak_mv;
    readings.output_peak_mv = law_only(on, peak_mv);
    readings.load_peak_ma = peak_ma;
    readings.tail_ma = law_all(kit->battery.tail_ma_per_ah * kit->capacity_ah);
    readings.wanted = FLEET_IF(credit_s > 0) & sound; /* in the time that follows */
    if (calm) {
        const fleet_int odd =
            FLEET_IF(read_mv < PAYGO_LAW_GONE_MV) | FLEET_IF(readings.battery_peak_mv >= common->calm_mv) |
            FLEET_IF(readings.load_ma >= (int32_t)kit->board.current.trip) |
            FLEET_IF(peak_ma >= (int32_t)kit->board.shorted.trip) | FLEET_IF(steady_a >= common->shorted_a) |
            FLEET_IF(readings.board_dc >= common->calm_dc) |
            FLEET_IF(readings.battery_dc >= (int32_t)kit->battery.hot_dc) |
            FLEET_IF(readings.battery_dc < (int32_t)kit->battery.charge_min_dc);
        if (fleet_any(odd)) {
            return 0;
        }
        memset(&lane, 0, sizeof lane);
        CALM_FIELDS(LOAD_GUARD, LOAD)
        changed = lane.undervoltage.active;
        law_advance(&lane, &readings, &kit->battery, &kit->board, dt_s, calm);
        changed ^= lane.undervoltage.active;
        CALM_FIELDS(KEEP_GUARD, KEEP)
        if (fleet_any(changed)) {
            const fleet_int so = changed;
            changed = INT(law.alerts) ^ lane.alerts;
            INT(law.alerts) = lane.alerts;
            *any |= changed;
            INT(changed) = changed;
            INT(read_mv) = law_choose(so, read_mv, INT(read_mv));
            INT(read_peak_mv) = law_choose(so, peak_mv, INT(read_peak_mv));
            INT(read_panel_mv) = law_choose(so, panel_peak_mv, INT(read_panel_mv));
            INT(read_load_ma) = law_choose(so, peak_ma, INT(read_load_ma));
        }
    } else {
        const fleet_int broken =
            INT(broken) | law_only(FLEET_IF(panel_peak_v > model->input_max_v), law_all(FLEET_BROKEN_INPUT)) |
            law_only(FLEET_IF(peak_v > model->output_max_v), law_all(FLEET_BROKEN_OUTPUT)) |
            law_only(FLEET_IF(clamp_j > model->clamp_j) | FLEET_IF(board_c > model->board_max_c),
                     law_all(FLEET_BROKEN_BOARD));
        /* The battery's own protection. */
        const fleet_int bms_open = (INT(bms_open) & FLEET_IF(still_v + FLOAT(imbalance_v) > model->bms_close_v)) |
                                   (there & FLEET_IF(terminal_v + FLOAT(imbalance_v) > model->bms_open_v));
        fleet_int so;
        PAYGO_LAW_FIELDS(LOAD_GUARD, LOAD, LOAD, LOAD, LOAD)
        changed = lane.alerts;
        law_advance(&lane, &readings, &kit->battery, &kit->board, dt_s, calm);
        changed = (changed ^ lane.alerts) | ((broken ^ INT(broken)) << FLEET_BROKEN_SHIFT);
        PAYGO_LAW_FIELDS(KEEP_GUARD, KEEP, KEEP, KEEP, KEEP)
        *any |= changed;
        so = ~FLEET_IF(changed == 0);
        INT(changed) = changed;
        INT(read_mv) = law_choose(so, read_mv, INT(read_mv));
        INT(read_peak_mv) = law_choose(so, peak_mv, INT(read_peak_mv));
        INT(read_panel_mv) = law_choose(so, panel_peak_mv, INT(read_panel_mv));
        INT(read_load_ma) = law_choose(so, peak_ma, INT(read_load_ma));
        INT(bms_open) = bms_open;
        INT(broken) = broken;
        FLOAT(surge_v) = none;
        FLOAT(clamp_ws) += clamp_j;
    }

    /* What is left of it. */
    INT(charge) = charge;
    FLOAT(volts) = volts;
    FLOAT(follows_v) = calm ? follows_v : fleet_only(there, follows_v);
    FLOAT(battery_a) = battery_a;
    FLOAT(battery_c) = battery_c;
    FLOAT(board_c) = board_c;
    INT(credit_s) = credit_s;

    if (!dark) {
        FLOAT(panel_ws) += panel_a * (volts + model->path_drop_v) * dt;
        FLOAT(battery_in_as) += in_a * dt;
    }
    FLOAT(load_ws) += load_a * volts * dt;
    FLOAT(unserved_ws) += fleet_only(active & ~on, FLOAT(demand_w)) * dt;
    FLOAT(battery_out_as) += out_a * dt;
    FLOAT(least_volts) = fleet_least(FLOAT(least_volts), volts);
    FLOAT(most_volts) = fleet_most(FLOAT(most_volts), peak_v);
    FLOAT(most_battery_c) = fleet_most(FLOAT(most_battery_c), battery_c);
    INT(least_charge) = law_least(INT(least_charge), charge);
    INT(most_charge) = law_most(INT(most_charge), charge);
    INT(on_s) += law_only(on, law_all(dt_s));
    INT(light_s) += law_only(FLEET_IF(load_a > 0.0f), law_all(dt_s));
    INT(low_s) += law_only(lane.undervoltage.active, law_all(dt_s));
    INT(active_s) += law_only(active, law_all(dt_s));
    return 1;
}

#define OR_INT(name) odd |= INT(law.name);
#define OR_GUARD(name) OR_INT(name) OR_INT(name##_s)

/* Whether nothing is wrong with any unit of the vector from lane i on, and none of its protections is at work. */
FLEET_INLINE uint8_t FLEET_JOIN(is_calm, FLEET_NAME)(const fleet_block *block, int i)
{
    fleet_int odd = INT(broken) | INT(bms_open) | INT(no_battery) | INT(stuck_on) | INT(frozen_mv);
    odd |= FLEET_IF(FLOAT(short_a) != 0.0f) | FLEET_IF(FLOAT(surge_v) != 0.0f) | FLEET_IF(FLOAT(imbalance_v) != 0.0f) |
           FLEET_IF(FLOAT(per_panels) != 1.0f);
    TROUBLE_FIELDS(OR_GUARD, OR_INT)
    return (uint8_t)!fleet_any(~FLEET_IF(odd == 0));
}

/* What is the same in all steps of a run. */
static void prepare(fleet_common *common, const fleet_kit *kit, const fleet_block *block, float dt)
{
    const fleet_model *model = &kit->model;
    int k;
    common->dt = dt;
    common->follow = dt / (dt + model->follow_s);
    common->battery_follow = dt / (dt + model->battery_follow_s);
    common->board_follow = dt / (dt + model->board_follow_s);
    common->shorted_a = (float)kit->board.shorted.trip * 0.001f;
    common->shorted_share = model->opens_s < dt ? model->opens_s / dt : 1.0f;
    for (k = 0; k < FLEET_REST_POINTS - 1; k++) {
        common->slope_v[k] = model->rest_v[k + 1] - model->rest_v[k];
        common->rest_v[k] = model->rest_v[k] - common->slope_v[k] * (float)k;
    }
    common->rest_v[k] = model->rest_v[k];
    common->slope_v[k] = 0.0f;
    common->calm_mv = least_of(least_of(kit->battery.overvoltage.trip, kit->battery.lost.trip),
                               least_of(kit->board.output.trip, below(least_of_v(model->output_max_v, model->bms_open_v), 1000.0f)));
    common->calm_dc = least_of(kit->board.hot_dc, below(model->board_max_c, 10.0f));
    for (k = 0; k < FLEET_LANES; k++) {
        common->tenth[k] = -1;
    }
    for (k = 0; k < FLEET_LANES; k += FLEET_WIDTH) {
        common->calm[k / FLEET_WIDTH] = FLEET_JOIN(is_calm, FLEET_NAME)(block, k);
    }
}

/* What the sky of a step does to the panels. */
FLEET_INLINE void shine(fleet_common *common, const fleet_kit *kit, const fleet_sky *sky)
{
    const fleet_model *model = &kit->model;
    const int32_t lit = sky->irradiance > 1.0f;
    const float light = lit ? sky->irradiance * 0.001f : 0.0f;
    const float warm = sky->ambient + model->warming * sky->irradiance - 25.0f;
    const float open_v = model->open_v + model->open_v_per_k * warm + model->open_v_per_log * sky->log_irradiance;
    common->lit = -lit;
    common->shift_v = lit ? open_v - model->open_v : 0.0f;
    common->open_v = lit && open_v > 0.0f ? open_v : 0.0f;
    common->light_a = model->short_a * (1.0f + model->short_per_k * warm) * light;
    common->best_w = model->power_w * light * (1.0f + model->power_per_k * warm) * model->converter;
    common->quiet = common->open_v < model->input_max_v && common->open_v < model->input_clamp_v &&
                    common->open_v * 1000.0f < (float)(kit->board.panel.trip - 1);
}

int32_t FLEET_JOIN(fleet_run, FLEET_NAME)(fleet_block *block, const fleet_kit *own_kit, const fleet_sky *sky,
                                          int32_t steps, int32_t dt_s)
{
    const fleet_kit kit = *own_kit; /* which nothing that is written can change */
    fleet_common common;
    int32_t step;
    memset(block->changed, 0, sizeof block->changed);
    prepare(&common, &kit, block, (float)dt_s);
    for (step = 0; step < steps; step++) {
        fleet_int any = law_all(0);
        const fleet_sky now = sky[step];
        int i;
        shine(&common, &kit, &now);
        for (i = 0; i < FLEET_LANES; i += FLEET_WIDTH) {
            int kept = 0;
#ifndef FLEET_WHOLE
            if (common.quiet & common.calm[i / FLEET_WIDTH]) {
                kept = common.lit ? FLEET_JOIN(step, FLEET_NAME)(block, i, &kit, &now, &common, dt_s, 1, 0, &any)
                                  : FLEET_JOIN(step, FLEET_NAME)(block, i, &kit, &now, &common, dt_s, 1, 1, &any);
            }
#endif
            if (!kept) {
                (void)FLEET_JOIN(step, FLEET_NAME)(block, i, &kit, &now, &common, dt_s, 0, 0, &any);
                common.calm[i / FLEET_WIDTH] = FLEET_JOIN(is_calm, FLEET_NAME)(block, i);
            }
        }
        if (fleet_any(~FLEET_IF(any == 0))) {
            return step + 1;
        }
    }
    return steps;
}
