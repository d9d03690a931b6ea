/*
 * What the people of many homes switch on in a day, by quarters of an hour. What the numbers mean, and where they are
 * from, is in firmware_sim/plant/loads.py.
 */
#ifndef PAYGO_FLEET_HOMES_H
#define PAYGO_FLEET_HOMES_H

#include <stdint.h>

#define HOME_SLOTS 96

/* One time of the day at which an appliance is on. */
typedef struct {
    uint64_t key;
    double start_jitter; /* in slots */
    double hours_jitter; /* a share */
    double watts;
    double standby_w;
    double inrush;
    int32_t first_level; /* where the levels that people choose from begin in home_kind.levels, */
    int32_t levels;      /* and how many they are */
} home_use;

/* Homes with the same appliances. */
typedef struct {
    const home_use *uses;
    int32_t use_count;
    int32_t unit_count;
    const double *levels;
    const uint64_t *lives;  /* a hash for each unit */
    const double *starts;   /* for each use and then each unit: in slots of the day, */
    const double *lasts;    /* slots, */
    const int32_t *chances; /* and 65536ths */
    double standby_mw;      /* of all appliances */
} home_kind;

/*
 * The mean watts and the most at any moment in each slot, unit by unit. Milliwatts that come and go are whole, so that
 * their sums are exact. `days`: one for each unit.
 */
void home_day(const home_kind *kind, const uint64_t *days, float *mean, float *most);

/* The highest level of what has levels in each slot, 0 where all is off. */
void home_levels(const home_kind *kind, const uint64_t *days, float *levels);

#endif
