/*
 * Blocks of units for a day at a time: what happens to them at which step, and a note of every alert and damage that
 * came or went.
 */
#ifndef PAYGO_FLEET_H
#define PAYGO_FLEET_H

#include "block.h"

/* What is done to a unit. */
typedef enum {
    FLEET_ADD_CREDIT,    /* seconds; FLEET_ALWAYS unlocks */
    FLEET_SET_CREDIT,
    FLEET_BATTERY_GONE,  /* 1: somebody took it off, or its fuse blew; 0: it is back */
    FLEET_STUCK_ON,      /* 1: the charge switch no longer opens */
    FLEET_PANELS,        /* 1, or 2 for a panel of twice the voltage */
    FLEET_SHORT,         /* A through a short circuit at the output */
    FLEET_CONTACT,       /* ohm of a bad contact at the battery */
    FLEET_SURGE,         /* V on the panel's cable, for one step */
    FLEET_OFFSET,        /* mV of the sensor of the battery's voltage */
    FLEET_FROZEN,        /* mV that it is stuck at; 0: it is not */
    FLEET_IMBALANCE,     /* V by which one cell is ahead */
    FLEET_SOILING,       /* share of the light that reaches the cells */
    FLEET_BATTERY_NEW,   /* charge of a battery that was put in, 0 ... 1 */
    FLEET_BOARD_NEW,     /* another unit in place of a broken one */
    FLEET_RESTART        /* it is switched off and on again */
} fleet_deed;

typedef struct {
    int32_t step;        /* of the day, before which it is done; in rising order */
    int32_t lane;
    int32_t deed;
    float value;
} fleet_event;

typedef struct {
    int32_t step;        /* of the day, after which it was so */
    int32_t lane;
    int32_t changed;     /* bits of alerts, and of damages from FLEET_BROKEN_SHIFT on */
    int32_t alerts;
    int32_t broken;
    int32_t battery_mv;
    int32_t peak_mv;
    int32_t panel_mv;
    int32_t load_ma;
    int32_t battery_dc;
    float clamp_ws;      /* so far this day */
} fleet_note;

/* How units are stepped: 0 one by one with nothing left out, 1 one by one, 2 plain vectors, 3 AVX2, 4 AVX-512. */
int32_t fleet_path_exists(int32_t path);

/* A block of 64 new units with clean panels, no credit, and batteries as charged as given, 0 ... 1. */
void fleet_begin(fleet_block *block, const fleet_kit *kit, float charge, float ambient);

/*
 * Lets a day pass: 86400 / dt_s steps, dt_s a divisor of 900; sky has one entry a step, demand_w and peak_w have one for
 * each lane in each of the 96 slots. Returns how many notes were
 * written; where that is more than most_notes, the last were not kept.
 */
int32_t fleet_day(fleet_block *block, const fleet_kit *kit, const fleet_sky *sky, const float *demand_w,
                  const float *peak_w, int32_t dt_s, int32_t path, const fleet_event *events, int32_t event_count,
                  fleet_note *notes, int32_t most_notes);

/* Does one deed to one unit now. */
void fleet_do(fleet_block *block, const fleet_kit *kit, const fleet_event *event);

/* One step of `steps`, or less as fleet_run says. */
int32_t fleet_steps(fleet_block *block, const fleet_kit *kit, const fleet_sky *sky, int32_t steps, int32_t dt_s,
                    int32_t path);

/* The presets of the law, for Python. */
void fleet_preset(fleet_kit *kit, int32_t chemistry, int32_t protected_board);

#endif
