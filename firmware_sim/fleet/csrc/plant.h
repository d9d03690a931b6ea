/*
 * The plant around a controller: what its panel, battery and board are like. block_step.h steps it. float, since the
 * step's length and not the type makes the error. The sources of the formulas are in docs/plant.md. V, A, W, s, degrees
 * Celsius.
 */
#ifndef PAYGO_FLEET_PLANT_H
#define PAYGO_FLEET_PLANT_H

#include <stdint.h>

/* A full battery. */
#define FLEET_FULL (INT32_C(1) << 30)

/* The rest voltage has a value at each tenth of charge. */
#define FLEET_REST_POINTS 11

/* What all units of one model have in common. */
typedef struct {
    /* Panel, at 1000 W/m2 and 25 degrees: I = Isc (1 - c1 (exp(V / (c2 Voc)) - 1)). */
    float short_a;
    float open_v;
    float c1;
    float per_c2_open;        /* 1 / (c2 Voc) */
    float short_per_k;        /* of short_a */
    float open_v_per_k;       /* V */
    float open_v_per_log;     /* V for each ln(G / 1000) */
    float warming;            /* K for each W/m2 */
    float power_w;            /* at its best point */
    float power_per_k;        /* of power_w */
    int32_t mppt;             /* a converter follows the best point; 0: pulse width */
    float converter;          /* its efficiency */
    float path_drop_v;        /* between panel and battery */

    /* Battery. */
    float capacity_as;        /* nominal, in A s */
    float ohm;                /* charged, at 25 degrees; more when cold and when empty */
    float cells;
    float rest_v[FLEET_REST_POINTS];
    float charge_near;        /* what a cell's voltage rises by under a charge of I / C10 = x: */
    float charge_bend;        /* x (near / (1 + bend x) + far / (edge - S)) */
    float charge_far;
    float charge_edge;
    float discharge_near;     /* and sinks by under a discharge: x (near / (1 + bend x) + far / (S + edge)) */
    float discharge_bend;
    float discharge_far;
    float discharge_edge;
    float final_v;            /* a cell comes no higher than final_v + 2 x / (1 + 0.45 x) */
    float follow_s;           /* how fast voltages follow a current */
    float efficiency_slope;   /* of charging, near full: 1 - exp(slope / (I / I10 + 0.55) (S - 1)) */
    float leak_per_s;         /* self-discharge, of the capacity, at 25 degrees */
    float bms_open_v;         /* the battery's own protection opens there, */
    float bms_close_v;        /* and closes again; far up where there is none */

    /* Board. */
    float unit_w;             /* what the controller itself uses */
    float switch_ohm;         /* of each of its two switches */
    float board_k_per_w;
    float board_follow_s;
    float battery_k_per_w;
    float battery_follow_s;
    float clamp_v;            /* a clamp at battery and output holds the voltage there; far up where there is none */
    float clamp_j;            /* how much energy it takes at once */
    float input_clamp_v;      /* one at the panel; far up where there is none */
    float input_max_v;        /* what its parts stand at the panel, */
    float output_max_v;       /* and at battery and output */
    float board_max_c;
    float opens_s;            /* how long the output takes to open when it is shorted */
} fleet_model;

/* What the sky is in a step, the same for all units of a site. */
typedef struct {
    float irradiance;         /* W/m2 */
    float log_irradiance;     /* ln(G / 1000); of darkness anything */
    float ambient;
} fleet_sky;

#endif
