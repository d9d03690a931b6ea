/*
 * A block of 64 units of the same model and site, as lanes: what they are, and how they run. One C source is compiled
 * once for each instruction set (block_*.c), and all give the same bytes.
 */
#ifndef PAYGO_FLEET_BLOCK_H
#define PAYGO_FLEET_BLOCK_H

#include "law.h"

#include "plant.h"

#define FLEET_LANES 64
#define FLEET_SLOTS 96           /* of 15 minutes make a day */
#define FLEET_SLOT_S 900

/* What of a unit broke. */
#define FLEET_BROKEN_INPUT 1
#define FLEET_BROKEN_OUTPUT 2
#define FLEET_BROKEN_BOARD 4
#define FLEET_BROKEN_SHIFT 24      /* where `changed` tells of it */

#define FLEET_OPENS_S 0.002f       /* so long a clamp holds the voltage until the charge switch is open */
#define FLEET_SURGE_J_PER_V 0.01f  /* what a surge on the panel's cable leaves in the clamp, for each V */
#define FLEET_ALWAYS (INT32_C(1) << 30) /* seconds of credit that never end */

/* Flags are 0 or -1 everywhere. */

#define FLEET_LANE_FLOAT(name) float name[FLEET_LANES];
#define FLEET_LANE_INT(name) int32_t name[FLEET_LANES];
#define FLEET_LANE_GUARD(name) FLEET_LANE_INT(name) FLEET_LANE_INT(name##_s)

/*
 * What changes in a step. Of the plant (PLANT), what faults and events put in (GIVEN), and sums since somebody took them
 * (SUMS).
 */
#define FLEET_PLANT(FLOAT, INT)                                                                                          \
    INT(charge)               /* FLEET_FULL is full */                                                                   \
    FLOAT(volts)              /* at the battery's terminals, or at the bus without a battery */                          \
    FLOAT(follows_v)          /* of volts: what follows a current slowly */                                              \
    FLOAT(battery_a)          /* positive charges */                                              \
    FLOAT(battery_c) FLOAT(board_c)                                                                                      \
    INT(bms_open)                                                                                                        \
    INT(credit_s)             /* until the light goes out; FLEET_ALWAYS: unlocked */                                     \
    INT(broken)               /* FLEET_BROKEN_ ... */

#define FLEET_GIVEN(FLOAT, INT)                                                                                          \
    FLOAT(demand_w)           /* what the appliances want in this slot, */                                               \
    FLOAT(peak_w)             /* and at most, as they start */                                                           \
    FLOAT(soiling)            /* share of the light that reaches the cells */                                            \
    FLOAT(per_capacity)       /* 1 / (A s): the nominal one, aged */                                                     \
    FLOAT(per_panels)         /* 1; 0.5 with a panel of twice the voltage */                                             \
    FLOAT(contact_ohm)        /* of a bad contact at the battery */                                                      \
    FLOAT(short_a)            /* through a short circuit at the output */                                                \
    FLOAT(surge_v)            /* that came in on the panel's cable in this step */                                       \
    FLOAT(imbalance_v)        /* by which the highest cell makes the BMS open earlier */                                 \
    INT(no_battery) INT(stuck_on)                                                                                        \
    INT(offset_mv)            /* of the sensor of the battery's voltage */                                               \
    INT(frozen_mv)            /* what a stuck sensor says; 0: it is none */

#define FLEET_SUMS(FLOAT, INT)                                                                                           \
    FLOAT(panel_ws) FLOAT(load_ws) FLOAT(unserved_ws) FLOAT(battery_in_as) FLOAT(battery_out_as)                         \
    FLOAT(clamp_ws)                                                                                                      \
    FLOAT(least_volts) FLOAT(most_volts) FLOAT(most_battery_c)                                                           \
    INT(least_charge) INT(most_charge) INT(on_s) INT(light_s) INT(low_s) INT(active_s)

typedef struct {
    PAYGO_LAW_FIELDS(FLEET_LANE_GUARD, FLEET_LANE_INT, FLEET_LANE_INT, FLEET_LANE_INT, FLEET_LANE_INT)
} fleet_law;

typedef struct {
    fleet_law law;
    FLEET_PLANT(FLEET_LANE_FLOAT, FLEET_LANE_INT)
    FLEET_GIVEN(FLEET_LANE_FLOAT, FLEET_LANE_INT)
    FLEET_SUMS(FLEET_LANE_FLOAT, FLEET_LANE_INT)
    int32_t read_mv[FLEET_LANES];        /* what the unit last read of its battery, */
    int32_t read_peak_mv[FLEET_LANES];   /* and the highest, at output and battery */
    int32_t read_panel_mv[FLEET_LANES];
    int32_t read_load_ma[FLEET_LANES];
    int32_t changed[FLEET_LANES];        /* alerts and damages that came or went in this step */
} fleet_block;

typedef struct {
    fleet_model model;
    paygo_battery_limits battery;
    paygo_board_limits board;
    int32_t capacity_ah;
} fleet_kit;

/* Runs `steps` steps of dt_s, or up to the first after which an alert or a damage changed; returns how many it ran. */
typedef int32_t fleet_run(fleet_block *block, const fleet_kit *kit, const fleet_sky *sky, int32_t steps, int32_t dt_s);

fleet_run fleet_run_whole;
fleet_run fleet_run_scalar;
fleet_run fleet_run_plain;
#if defined(__x86_64__) && defined(__GNUC__)
#define FLEET_X86 1
fleet_run fleet_run_avx2;
fleet_run fleet_run_avx512;
#endif

#endif
