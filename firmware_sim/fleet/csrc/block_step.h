/*
 * The body of a block's run for vectors of FLEET_WIDTH lanes, under the name FLEET_NAME. Included by block_*.c, each of
 * which is compiled for one instruction set. Nothing here depends on the width: all give the same bytes.
 */
#include <stdint.h>

#if FLEET_WIDTH > 1
typedef int32_t fleet_int __attribute__((vector_size(4 * FLEET_WIDTH)));
typedef float fleet_float __attribute__((vector_size(4 * FLEET_WIDTH)));
#define FLEET_TO_INT(x) __builtin_convertvector(x, fleet_int)
#define FLEET_TO_FLOAT(x) __builtin_convertvector(x, fleet_float)
#define FLEET_BITS(x) ((fleet_float)(x))
#define FLEET_PICK(so, a, b) ((fleet_float)((fleet_int)(b) ^ (((fleet_int)(a) ^ (fleet_int)(b)) & (so))))
#define PAYGO_LAW_IF(truth) (truth)
#define PAYGO_LAW_CHOOSE(so, a, b) ((b) ^ (((a) ^ (b)) & (so)))
#else
typedef int32_t fleet_int;
typedef float fleet_float;
#define FLEET_TO_INT(x) ((int32_t)(x))
#define FLEET_TO_FLOAT(x) ((float)(x))
#define FLEET_BITS(x) fleet_bits(x)
#define FLEET_PICK(so, a, b) ((so) ? (a) : (b))
#define PAYGO_LAW_IF(truth) (-(truth))
#define PAYGO_LAW_CHOOSE(so, a, b) ((so) ? (a) : (b))
#endif
#define PAYGO_LAW_INT fleet_int
#define PAYGO_LAW_SMALL fleet_int
#define PAYGO_LAW_TIME fleet_int
#define PAYGO_LAW_FLAG fleet_int
#define FLEET_INLINE static inline __attribute__((always_inline))
#define PAYGO_LAW_INLINE FLEET_INLINE

#include "block.h"
#include "law_step.h"

#define FLEET_PASTE(name, set) name##_##set
#define FLEET_JOIN(name, set) FLEET_PASTE(name, set)
#define FLEET_IF PAYGO_LAW_IF

/* A vector's worth of a member of the block. */
typedef fleet_int fleet_ints __attribute__((may_alias, aligned(4)));
typedef fleet_float fleet_floats __attribute__((may_alias, aligned(4)));
#define INT(name) (*(fleet_ints *)&block->name[i])
#define FLOAT(name) (*(fleet_floats *)&block->name[i])

#define LOAD(name) lane.name = INT(law.name);
#define KEEP(name) INT(law.name) = lane.name;

#if FLEET_WIDTH == 1
#include <string.h>

FLEET_INLINE float fleet_bits(int32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
#endif

FLEET_INLINE fleet_float fleet_all(float number)
{
    return number - (fleet_float){0};
}

FLEET_INLINE fleet_float fleet_least(fleet_float a, fleet_float b)
{
    return FLEET_PICK(FLEET_IF(a < b), a, b);
}

FLEET_INLINE fleet_float fleet_most(fleet_float a, fleet_float b)
{
    return FLEET_PICK(FLEET_IF(a > b), a, b);
}

FLEET_INLINE fleet_float fleet_only(fleet_int so, fleet_float a)
{
    return FLEET_PICK(so, a, (fleet_float){0});
}

/* The nearest whole number. */
FLEET_INLINE fleet_int fleet_round(fleet_float x)
{
    return FLEET_TO_INT(x + FLEET_PICK(FLEET_IF(x < 0.0f), fleet_all(-0.5f), fleet_all(0.5f)));
}

/* exp(x) for |x| < 80, to 2e-7 of itself. */
FLEET_INLINE fleet_float fleet_exp(fleet_float x)
{
    const fleet_int whole = fleet_round(x * 1.44269504f);
    const fleet_float turns = FLEET_TO_FLOAT(whole);
    const fleet_float rest = (x - turns * 0.693359375f) + turns * 2.12194440e-4f;
    const fleet_float poly =
        1.0f + rest * (1.0f + rest * (0.5f + rest * (1.6666654e-1f + rest * (4.1665795e-2f + rest * 8.3334519e-3f))));
    return poly * FLEET_BITS((whole + 127) << 23);
}

/* The current of `watts` into a voltage of `v` and a resistance: two steps of Newton's, from where the bus was. */
FLEET_INLINE fleet_float fleet_follow(fleet_float watts, fleet_float per_bus, fleet_float v, fleet_float ohm)
{
    const fleet_float low_v = fleet_most(v, fleet_all(1.0f));
    const fleet_float first_a = watts * per_bus;
    const fleet_float second_a = (ohm * first_a * first_a + watts) / (2.0f * ohm * first_a + low_v);
    return (ohm * second_a * second_a + watts) / (2.0f * ohm * second_a + low_v);
}

/* What does not differ from unit to unit in a step. */
typedef struct {
    float dt;
    float light_a;   /* what the panel gives into a short circuit */
    float shift_v;   /* by which its curve is moved */
    float open_v;
    float best_w;
    float follow, battery_follow, board_follow; /* how far the slow things come in dt */
    float rest_v, rises[FLEET_REST_POINTS - 1]; /* the rest voltage of an empty battery; how its slope changes */
    float shorted_a, shorted_share; /* a load from here on is a short circuit, and lasts for so much of the step */
    int32_t lit;     /* 0 or -1 */
} fleet_common;

/* One step of a vector of units from lane i on; says which alerts and damages changed. */
FLEET_INLINE fleet_int FLEET_JOIN(step, FLEET_NAME)(fleet_block *block, int i, const fleet_kit *kit,
                                                    const fleet_sky *sky, const fleet_common *common, int32_t dt_s)
{
    const fleet_model *model = &kit->model;
    const float dt = common->dt;
    const fleet_int lit = law_all(common->lit);
    int k;

    /* What the battery is like. */
    const fleet_float full = FLEET_TO_FLOAT(INT(charge)) * (1.0f / (float)FLEET_FULL);
    const fleet_float warmth = FLOAT(battery_c) - 25.0f;
    const fleet_float ohm = model->ohm * (1.6f - 0.6f * full) * (1.0f + 0.01f * fleet_most(-warmth, fleet_all(0.0f))) +
                            FLOAT(contact_ohm);
    const fleet_int there = ~(INT(no_battery) | INT(bms_open));
    const fleet_int sound = FLEET_IF(INT(broken) == 0);
    fleet_float rest = fleet_all(common->rest_v);
    for (k = 0; k < FLEET_REST_POINTS - 1; k++) {
        rest += common->rises[k] * fleet_most(full * 10.0f - (float)k, fleet_all(0.0f));
    }
    const fleet_float still_v = rest + FLOAT(follows_v);
    const fleet_float colder = 1.0f - 0.02f * fleet_least(fleet_most(warmth, fleet_all(-40.0f)), fleet_all(20.0f));
    const fleet_float per_ah = FLOAT(per_capacity) * 3600.0f;
    const fleet_float per_c = per_ah * model->cells * colder;

    /* What flows. */
    const fleet_int stuck = INT(stuck_on);
    const fleet_int charging = (INT(law.charge) | stuck) & sound;
    const fleet_int on = INT(law.output) & sound;
    const fleet_float bus_v = fleet_most(FLOAT(volts), fleet_all(6.0f));
    const fleet_float per_bus = 1.0f / bus_v;
    const fleet_float steady_a = fleet_only(on, FLOAT(demand_w) * per_bus + FLOAT(short_a));
    const fleet_float peak_a = fleet_only(on, FLOAT(peak_w) * per_bus + FLOAT(short_a));
    const fleet_int shorted = FLEET_IF(steady_a >= common->shorted_a);
    const fleet_float load_a = steady_a * FLEET_PICK(shorted, fleet_all(common->shorted_share), fleet_all(1.0f));
    const fleet_float own_a = model->unit_w * per_bus;
    const fleet_float at_v = (bus_v + model->path_drop_v) * FLOAT(per_panels);
    const fleet_float lane_a = common->light_a * FLOAT(soiling);
    const fleet_float curve_a =
        lane_a *
        (1.0f - model->c1 * (fleet_exp(fleet_least((at_v - common->shift_v) * model->per_c2_open, fleet_all(20.0f))) - 1.0f));
    const fleet_float offered_a =
        fleet_most(model->mppt ? fleet_follow(common->best_w * FLOAT(soiling), per_bus,
                                              still_v + model->path_drop_v - (load_a + own_a) * ohm, ohm)
                               : curve_a,
                   fleet_all(0.0f));
    /* The current that ends this step at the target: what follows slowly rises under it within the step, too. */
    const fleet_float guess_x = fleet_most(FLOAT(battery_a), fleet_all(0.0f)) * per_ah;
    const fleet_float rise_ohm = per_c * (model->charge_near / (1.0f + model->charge_bend * guess_x) +
                                          model->charge_far / (model->charge_edge - full));
    const fleet_float spare_v =
        FLEET_TO_FLOAT(INT(law.target_mv)) * 0.001f - rest - FLOAT(follows_v) * (1.0f - common->follow);
    const fleet_float held_a =
        fleet_most(spare_v / (ohm + rise_ohm * common->follow) + load_a + own_a, fleet_all(0.0f));
    const fleet_float allowed_a = fleet_least(held_a, FLEET_TO_FLOAT(INT(law.limit_ma)) * 0.001f);
    const fleet_float panel_a = fleet_only(charging, FLEET_PICK(stuck, offered_a, fleet_least(offered_a, allowed_a)));
    const fleet_float battery_a = fleet_only(there, panel_a - load_a - own_a);

    /* What it does to the battery. */
    const fleet_int filling = FLEET_IF(battery_a > 0.0f);
    const fleet_float in_a = fleet_only(filling, battery_a);
    const fleet_float out_a = fleet_only(~filling, -battery_a);
    const fleet_float size_a = in_a + out_a;
    const fleet_float x = size_a * per_ah;
    const fleet_float over =
        model->charge_near / (1.0f + model->charge_bend * x) + model->charge_far / (model->charge_edge - full);
    const fleet_float under = model->discharge_near / (1.0f + model->discharge_bend * x) +
                              model->discharge_far / (full + model->discharge_edge);
    const fleet_float most_v = fleet_most(model->cells * (model->final_v + 2.0f * x / (1.0f + 0.45f * x)) - rest,
                                          fleet_all(0.0f));
    const fleet_float goal_v = FLEET_PICK(filling, fleet_least(per_c * size_a * over, most_v), -per_c * size_a * under);
    const fleet_float follows_v = FLOAT(follows_v) + (goal_v - FLOAT(follows_v)) * common->follow;
    const fleet_float slope = model->efficiency_slope / (size_a * FLOAT(per_capacity) * 36000.0f + 0.55f);
    const fleet_float efficiency = 1.0f - fleet_exp(fleet_most(slope * (full - 1.0f), fleet_all(-40.0f)));
    const fleet_float stored = (in_a * efficiency - out_a) * FLOAT(per_capacity) - model->leak_per_s;
    const fleet_int charge = law_least(
        law_most(INT(charge) + FLEET_TO_INT(stored * (dt * (float)FLEET_FULL)), law_all(0)),
        law_all(FLEET_FULL));
    const fleet_float terminal_v = fleet_most(rest + follows_v + battery_a * ohm, fleet_all(0.0f));

    /* Without a battery the bus follows the panel, up to the clamp, until the switch is open. */
    const fleet_float panel_open_v = common->open_v / FLOAT(per_panels);
    const fleet_int dumping = charging & ~there & lit;
    const fleet_float free_v = fleet_most(panel_open_v - model->path_drop_v, fleet_all(0.0f));
    const fleet_float loose_v = fleet_only(dumping, fleet_least(free_v, fleet_all(model->clamp_v)));
    const fleet_float volts = FLEET_PICK(there, terminal_v, fleet_only(stuck, loose_v));
    const fleet_float peak_v = FLEET_PICK(there, terminal_v, loose_v);
    const fleet_float panel_peak_v = fleet_least(panel_open_v + FLOAT(surge_v), fleet_all(model->input_clamp_v));
    const fleet_float panel_v =
        fleet_only(lit, FLEET_PICK(charging & there, terminal_v + model->path_drop_v, panel_open_v));
    const fleet_int clamping = dumping & FLEET_IF(free_v > model->clamp_v);
    const fleet_float clamp_j =
        fleet_only(clamping, model->clamp_v * lane_a * FLEET_PICK(stuck, fleet_all(dt), fleet_all(FLEET_OPENS_S))) +
        FLOAT(surge_v) * FLEET_SURGE_J_PER_V;

    /* The battery's own protection. */
    const fleet_int bms_open =
        (INT(bms_open) & FLEET_IF(still_v + FLOAT(imbalance_v) > model->bms_close_v)) |
        (there & FLEET_IF(terminal_v + FLOAT(imbalance_v) > model->bms_open_v));

    /* Warmth. */
    const fleet_float battery_loss_w = size_a * size_a * ohm + in_a * terminal_v * (1.0f - efficiency);
    const fleet_float board_loss_w =
        (panel_a * panel_a + load_a * steady_a) * model->switch_ohm + panel_a * model->path_drop_v;
    const fleet_float battery_c =
        FLOAT(battery_c) +
        (sky->ambient + model->battery_k_per_w * battery_loss_w - FLOAT(battery_c)) * common->battery_follow;
    const fleet_float board_c =
        FLOAT(board_c) + (sky->ambient + model->board_k_per_w * board_loss_w - FLOAT(board_c)) * common->board_follow;

    /* What breaks. */
    const fleet_int broken =
        INT(broken) | law_only(FLEET_IF(panel_peak_v > model->input_max_v), law_all(FLEET_BROKEN_INPUT)) |
        law_only(FLEET_IF(peak_v > model->output_max_v), law_all(FLEET_BROKEN_OUTPUT)) |
        law_only(FLEET_IF(clamp_j > model->clamp_j) | FLEET_IF(board_c > model->board_max_c),
                       law_all(FLEET_BROKEN_BOARD));

    /* What the unit reads, and what it does then. */
    paygo_law lane;
    paygo_law_readings readings;
    const fleet_int frozen = ~FLEET_IF(INT(frozen_mv) == 0);
    const fleet_int read_mv = law_choose(frozen, INT(frozen_mv), fleet_round(volts * 1000.0f) + INT(offset_mv));
    const fleet_int peak_mv = fleet_round(peak_v * 1000.0f);
    const fleet_int panel_peak_mv = fleet_round(panel_peak_v * 1000.0f);
    const fleet_int load_ma = fleet_round(load_a * 1000.0f);
    const fleet_int peak_ma = fleet_round(peak_a * 1000.0f);
    const fleet_int wanted = FLEET_IF(INT(credit_s) > 0) & sound;
    const fleet_int credit_s =
        law_choose(FLEET_IF(INT(credit_s) >= FLEET_ALWAYS), law_all(FLEET_ALWAYS),
                         law_most(INT(credit_s) - dt_s, law_all(0)));
    fleet_int changed;
    readings.battery_mv = read_mv;
    readings.battery_ma = fleet_round(battery_a * 1000.0f);
    readings.panel_mv = fleet_round(panel_v * 1000.0f);
    readings.panel_ma = fleet_round(panel_a * 1000.0f);
    readings.load_ma = load_ma;
    readings.battery_dc = fleet_round(battery_c * 10.0f);
    readings.board_dc = fleet_round(board_c * 10.0f);
    readings.battery_peak_mv = law_most(peak_mv, read_mv);
    readings.panel_peak_mv = panel_peak_mv;
    readings.output_peak_mv = law_only(on, peak_mv);
    readings.load_peak_ma = peak_ma;
    readings.tail_ma = law_all(kit->battery.tail_ma_per_ah * kit->capacity_ah);
    readings.wanted = wanted;
    PAYGO_LAW_FIELDS(LOAD, LOAD, LOAD)
    changed = lane.alerts;
    law_advance(&lane, &readings, &kit->battery, &kit->board, dt_s);
    changed = (changed ^ lane.alerts) | ((broken ^ INT(broken)) << FLEET_BROKEN_SHIFT);
    PAYGO_LAW_FIELDS(KEEP, KEEP, KEEP)

    /* What is left of it. */
    INT(charge) = charge;
    FLOAT(volts) = volts;
    FLOAT(follows_v) = fleet_only(there, follows_v);
    FLOAT(battery_a) = battery_a;
    FLOAT(battery_c) = battery_c;
    FLOAT(board_c) = board_c;
    INT(bms_open) = bms_open;
    INT(credit_s) = credit_s;
    INT(broken) = broken;
    FLOAT(surge_v) = fleet_all(0.0f);
    INT(read_mv) = read_mv;
    INT(read_peak_mv) = peak_mv;
    INT(read_panel_mv) = panel_peak_mv;
    INT(read_load_ma) = peak_ma;
    INT(changed) = changed;

    FLOAT(panel_ws) += panel_a * (volts + model->path_drop_v) * dt;
    FLOAT(load_ws) += load_a * volts * dt;
    FLOAT(unserved_ws) += fleet_only(wanted & ~on, FLOAT(demand_w)) * dt;
    FLOAT(battery_in_as) += in_a * dt;
    FLOAT(battery_out_as) += out_a * dt;
    FLOAT(clamp_ws) += clamp_j;
    FLOAT(least_volts) = fleet_least(FLOAT(least_volts), volts);
    FLOAT(most_volts) = fleet_most(FLOAT(most_volts), peak_v);
    FLOAT(most_battery_c) = fleet_most(FLOAT(most_battery_c), battery_c);
    INT(least_charge) = law_least(INT(least_charge), charge);
    INT(most_charge) = law_most(INT(most_charge), charge);
    INT(on_s) += law_only(on, law_all(dt_s));
    INT(light_s) += law_only(FLEET_IF(load_a > 0.0f), law_all(dt_s));
    INT(low_s) += law_only(lane.undervoltage, law_all(dt_s));
    INT(active_s) += law_only(wanted, law_all(dt_s));
    return changed;
}

/* What is the same in all steps of a run. */
static void prepare(fleet_common *common, const fleet_kit *kit, float dt)
{
    const fleet_model *model = &kit->model;
    float before = 0.0f;
    int k;
    common->dt = dt;
    common->follow = dt / (dt + model->follow_s);
    common->battery_follow = dt / (dt + model->battery_follow_s);
    common->board_follow = dt / (dt + model->board_follow_s);
    common->shorted_a = (float)kit->board.shorted.trip * 0.001f;
    common->shorted_share = model->opens_s < dt ? model->opens_s / dt : 1.0f;
    common->rest_v = model->rest_v[0];
    for (k = 0; k < FLEET_REST_POINTS - 1; k++) {
        const float slope = model->rest_v[k + 1] - model->rest_v[k];
        common->rises[k] = slope - before;
        before = slope;
    }
}

/* What the sky of a step does to the panels. */
static void shine(fleet_common *common, const fleet_model *model, const fleet_sky *sky)
{
    const int32_t lit = sky->irradiance > 1.0f;
    const float light = lit ? sky->irradiance * 0.001f : 0.0f;
    const float warm = sky->ambient + model->warming * sky->irradiance - 25.0f;
    const float open_v = model->open_v + model->open_v_per_k * warm + model->open_v_per_log * sky->log_irradiance;
    common->lit = -lit;
    common->shift_v = lit ? open_v - model->open_v : 0.0f;
    common->open_v = lit && open_v > 0.0f ? open_v : 0.0f;
    common->light_a = model->short_a * (1.0f + model->short_per_k * warm) * light;
    common->best_w = model->power_w * light * (1.0f + model->power_per_k * warm) * model->converter;
}

int32_t FLEET_JOIN(fleet_run, FLEET_NAME)(fleet_block *block, const fleet_kit *kit, const fleet_sky *sky, int32_t steps,
                                          int32_t dt_s)
{
    fleet_common common;
    int32_t step;
    prepare(&common, kit, (float)dt_s);
    for (step = 0; step < steps; step++) {
        fleet_int any = law_all(0);
        int32_t changed = 0;
        int i;
        shine(&common, &kit->model, &sky[step]);
        for (i = 0; i < FLEET_LANES; i += FLEET_WIDTH) {
            any |= FLEET_JOIN(step, FLEET_NAME)(block, i, kit, &sky[step], &common, dt_s);
        }
        for (i = 0; i < FLEET_WIDTH; i++) {
            changed |= ((const int32_t *)&any)[i];
        }
        if (changed != 0) {
            return step + 1;
        }
    }
    return steps;
}
