/* The control law in a unit: what was measured goes to it second by second, and peaks in between are kept for it. */
#ifndef PAYGO_CHARGER_H
#define PAYGO_CHARGER_H

#include "law.h"

#include <stddef.h>

/* The battery that a unit has when nobody has told another, in Ah. */
#define PAYGO_BATTERY_AH 18U

/* A battery of more Ah than this is none for this unit. */
#define PAYGO_BATTERY_AH_MAX 500U

/*
 * What a port measures, each in 16 bits and in the order of paygo_law_readings; what is beyond 16 bits is told as the most
 * that they hold. A peak is the highest since the last call of hal_wait, and told once, to a step before which nothing
 * was being said (as main.c does); a port that has none leaves it 0.
 */
typedef struct {
    int16_t battery_mv;
    int16_t battery_ma;       /* positive charges */
    uint16_t panel_mv;
    int16_t panel_ma;
    int16_t load_ma;
    int16_t temperature_dc;   /* 0.1 degree Celsius, at the battery */
    int16_t board_dc;         /* at the board's hottest part */
    uint16_t battery_peak_mv;
    uint16_t panel_peak_mv;
    uint16_t output_peak_mv;  /* 0 while the output is off */
    uint16_t load_peak_ma;
} paygo_measured;

typedef struct {
    uint16_t capacity_ah;
    uint8_t chemistry;       /* a paygo_chemistry */
    uint8_t board;           /* a paygo_board */
    bool judged;             /* the law has seen `measured` */
    paygo_law law;
    paygo_measured measured; /* last; its peaks are the highest since the law's last step */
} paygo_charger;

/*
 * After a start, of a charger that is all zero but for its board: the law begins, with the alerts that are active (bit i:
 * alert i). A chemistry that it cannot charge is taken for the mildest that it can.
 */
void paygo_charger_begin(paygo_charger *charger, uint8_t chemistry, uint16_t capacity_ah, uint16_t alerts);

/* Another battery was put in: a charge begins anew, by its limits. No alert ends, and no delay. */
void paygo_charger_replace(paygo_charger *charger, uint8_t chemistry, uint16_t capacity_ah);

/* Whether the board can charge a battery of this chemistry. */
bool paygo_charger_fits(const paygo_charger *charger, uint8_t chemistry);

/* One of what is measured, by its place, as a number. */
int32_t paygo_charger_number(const paygo_measured *measured, uint8_t place);

/* The place of one, by its name. */
#define PAYGO_MEASURED(name) (offsetof(paygo_measured, name) / sizeof(int16_t))

/* Takes what is measured now. */
void paygo_charger_measure(paygo_charger *charger, const paygo_measured *now);

/* So many seconds pass, 0 ... 60. `wanted`: the customer's output may be on, as far as credit and switch go. */
void paygo_charger_pass(paygo_charger *charger, uint8_t seconds, bool wanted);

/* Seconds of world time after which a protection may trip or clear if the readings stay. */
uint16_t paygo_charger_due_s(const paygo_charger *charger);

/* What is told with an alert of the law, in its unit. */
int32_t paygo_charger_value(const paygo_charger *charger, paygo_alert alert);

#endif
