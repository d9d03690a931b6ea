/*
 * The control law of a solar charge controller: when to charge and up to which voltage, and when to switch the
 * customer's output off. Charge stages and protections exist here once; the firmware steps one unit with it, and a PC
 * many at a time.
 *
 * The law is a function of its state, the readings and the time that has passed, 1 to 60 s. It decides for the time that
 * follows. What is faster than a step reaches it as a latched peak. Whoever calls it keeps the battery at
 * `target_mv` at most while `charge` is 1 (by pulse width or by a converter), and has the hardware open a switch by
 * itself where a short circuit would not wait.
 *
 * Quantities are mV, mA and 0.1 degree Celsius, within +-PAYGO_LAW_MOST; times are seconds.
 */
#ifndef PAYGO_LAW_H
#define PAYGO_LAW_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* What is measured beyond it is taken as this, so that 16 bits suffice where an int has no more. */
#define PAYGO_LAW_MOST INT16_C(29000)

/*
 * How the state is kept: a flag, which is 0 or -1, or a small number; a time in s; a longer one. What the law calculates
 * with, what is true or not, what a comparison gives, and a choice. A PC defines all of them as vectors, and steps as many
 * units as a vector has lanes.
 */
#ifndef PAYGO_LAW_INT
#if INT_MAX > INT16_MAX
#define PAYGO_LAW_INT int32_t
#define PAYGO_LAW_FLAG int
#else
#define PAYGO_LAW_INT int16_t
#define PAYGO_LAW_FLAG int8_t
#endif
#define PAYGO_LAW_LONG int32_t
#define PAYGO_LAW_SMALL int8_t
#define PAYGO_LAW_TIME uint16_t
#define PAYGO_LAW_IF(truth) ((PAYGO_LAW_FLAG)-(truth))
#define PAYGO_LAW_CHOOSE(so, a, b) ((so) ? (a) : (b))
#endif
typedef PAYGO_LAW_INT paygo_law_int;
typedef PAYGO_LAW_LONG paygo_law_long;
typedef PAYGO_LAW_SMALL paygo_law_small;
typedef PAYGO_LAW_TIME paygo_law_time;
typedef PAYGO_LAW_FLAG paygo_law_flag;

/* How a delay says "never". */
#define PAYGO_LAW_NEVER INT16_MAX

/* A protection trips when its reading has been at or beyond `trip` for `trip_s`, and clears at or beyond `clear`, on the
   other side, for `clear_s`. In mV or mA. */
typedef struct {
    int16_t trip;
    int16_t clear;
    int16_t trip_s;
    int16_t clear_s;
} paygo_limit;

typedef enum {
    PAYGO_BULK,       /* all the current that there is */
    PAYGO_ABSORPTION, /* at the absorption voltage, for its time or down to its tail current */
    PAYGO_FLOAT,      /* at the float voltage, or without charge where there is none */
    PAYGO_EQUALISE    /* in place of the float stage, now and then */
} paygo_stage;

typedef enum { PAYGO_FLOODED, PAYGO_AGM, PAYGO_GEL, PAYGO_LFP, PAYGO_CHEMISTRIES } paygo_chemistry;

/* What a battery of 12 V wants. Voltages hold at 25 degrees. */
typedef struct {
    int16_t absorption_mv;
    int16_t float_mv;         /* 0: charging ends with the absorption */
    int16_t equalise_mv;      /* 0: never */
    int16_t rebulk_mv;        /* below it for rebulk_s a new charge begins */
    int16_t ceiling_mv;       /* compensation goes no higher */
    int16_t compensation;     /* less for each degree, in mV / 102.4: 1843 is 18 mV */
    int16_t tail_ma_per_ah;   /* the absorption ends below it */
    int16_t charge_min_dc;    /* no charge below it, until 1 degree above */
    int16_t charge_max_dc;    /* no charge above it; from 10 degrees below it on less and less */
    int16_t hot_dc;           /* the battery's: nothing is switched on above it, until 10 degrees below */
    paygo_limit overvoltage;  /* takes charge and output */
    paygo_limit undervoltage; /* takes the output */
    paygo_limit lost;         /* takes both: no battery of 12 V that is connected comes so high */
    int16_t sag;              /* a load draws the voltage down by so much before that counts as low, in mOhm * 1.024 */
    int16_t absorption_s;
    int16_t tail_s;           /* the tail current counts after it */
    int16_t rebulk_s;
    int16_t equalise_s;
    int16_t equalise_every_h;
} paygo_battery_limits;

/* What a board stands. */
typedef struct {
    paygo_limit panel;        /* takes the charge */
    paygo_limit output;       /* takes the output */
    paygo_limit current;      /* takes the output; it is tried again after clear_s */
    paygo_limit shorted;      /* takes it; tried again after 5, 10, 15, 20 and 25 s, then next morning */
    int16_t hot_dc;           /* the board's: nothing is switched on above it, until 10 degrees below */
    int16_t charge_ma;        /* at most */
    int16_t derate_ma_per_dc; /* charge_ma / 100, for the last 10 degrees below charge_max_dc */
    uint8_t chemistries;      /* bit i: it charges chemistry i */
} paygo_board_limits;

/* The presets, by paygo_chemistry; in flash. Sources are in docs/control-law.md. */
extern const paygo_battery_limits paygo_battery_presets[PAYGO_CHEMISTRIES];

/* The boards: `legacy` knows lead and acid only, `protected` lithium too. */
typedef enum { PAYGO_BOARD_LEGACY, PAYGO_BOARD_PROTECTED, PAYGO_BOARDS } paygo_board;

/* Theirs, by paygo_board; in flash. */
extern const paygo_board_limits paygo_board_presets[PAYGO_BOARDS];

/* What a step sees. Peaks are the highest since the last step. */
typedef struct {
    paygo_law_int battery_mv;
    paygo_law_int battery_ma;      /* positive charges */
    paygo_law_int panel_mv;
    paygo_law_int panel_ma;
    paygo_law_int load_ma;
    paygo_law_int battery_dc;      /* outside -50.0 ... 120.0 the sensor is lost, and 25 degrees are assumed */
    paygo_law_int board_dc;
    paygo_law_int battery_peak_mv;
    paygo_law_int panel_peak_mv;
    paygo_law_int output_peak_mv;
    paygo_law_int load_peak_ma;
    paygo_law_int tail_ma;         /* the absorption ends below it: the battery's Ah times its tail_ma_per_ah */
    paygo_law_flag wanted;         /* -1: there is credit, and the operator's switch is not off; 0: not */
} paygo_law_readings;

/* A protection: whether it is active, and for how long its reading has asked for the other. */
typedef struct {
    paygo_law_small active;
    paygo_law_time held_s;
} paygo_guard;

/* The fields of the state. The protections come first, in the order of their alerts. */
#define PAYGO_LAW_FIELDS(GUARD, SMALL, TIME, INT, LONG)                                                                  \
    GUARD(overvoltage) GUARD(undervoltage) GUARD(panel) GUARD(output_high) GUARD(lost) GUARD(current) GUARD(shorted)     \
    GUARD(hot) GUARD(cold) GUARD(stuck) GUARD(blind)                                                                     \
    GUARD(current_told) GUARD(shorted_told) /* whether a load's fault is told, and for how long the load was fine */     \
    SMALL(shorted_trips)                                                                                                 \
    SMALL(stage) TIME(stage_s) TIME(low_s) TIME(dark_s) LONG(since_equalise_s)                                           \
    SMALL(charge)  /* the switch between panel and battery, */                                                           \
    SMALL(output)  /* and the customer's output: -1 is on */                                                             \
    INT(target_mv) /* the battery is kept there at most */                                                               \
    INT(limit_ma)  /* the charge current too */                                                                          \
    INT(alerts)    /* bit i: alert i of paygo_alert is active */

#define PAYGO_GUARDS 11U

#define PAYGO_LAW_GUARD_FIELD(name) paygo_guard name;
#define PAYGO_LAW_SMALL_FIELD(name) paygo_law_small name;
#define PAYGO_LAW_TIME_FIELD(name) paygo_law_time name;
#define PAYGO_LAW_INT_FIELD(name) paygo_law_int name;
#define PAYGO_LAW_LONG_FIELD(name) paygo_law_long name;

/* The state. The caller owns it, and begins with zeros and paygo_law_begin. */
typedef struct {
    PAYGO_LAW_FIELDS(PAYGO_LAW_GUARD_FIELD, PAYGO_LAW_SMALL_FIELD, PAYGO_LAW_TIME_FIELD, PAYGO_LAW_INT_FIELD, PAYGO_LAW_LONG_FIELD)
} paygo_law;

/* The alerts, by the number that is stored and told. */
typedef enum {
    PAYGO_ALERT_BATTERY_OVERVOLTAGE = 0,
    PAYGO_ALERT_BATTERY_UNDERVOLTAGE = 1,
    PAYGO_ALERT_STORAGE_FAULT = 2, /* these two are not the law's */
    PAYGO_ALERT_CLOCK_TAMPER = 3,
    PAYGO_ALERT_PANEL_OVERVOLTAGE = 4,
    PAYGO_ALERT_OUTPUT_OVERVOLTAGE = 5,
    PAYGO_ALERT_BATTERY_DISCONNECTED = 6,
    PAYGO_ALERT_OVERCURRENT = 7,
    PAYGO_ALERT_SHORT_CIRCUIT = 8,
    PAYGO_ALERT_OVERTEMPERATURE = 9,
    PAYGO_ALERT_UNDERTEMPERATURE = 10,
    PAYGO_ALERT_CHARGER_FAULT = 11,
    PAYGO_ALERT_SENSOR_FAULT = 12,
    PAYGO_ALERT_BATTERY_REPLACED = 13, /* these two last no time, and are not the law's either */
    PAYGO_ALERT_BATTERY_REFUSED = 14,
    PAYGO_ALERTS = 15
} paygo_alert;

/* Those that the law raises. */
#define PAYGO_LAW_ALERTS 0x1ff3U

/* The law of a unit that was just switched on, with the alerts that were active before: a restart ends no
   alert; its delays begin anew, and a shorted output that was given up is tried again. Limits are in flash here and in a
   step, on a chip that reads it in another way (flash.h). */
void paygo_law_begin(paygo_law *law, const paygo_battery_limits *battery, const paygo_board_limits *board,
                     uint16_t alerts);

/* One step: what was read, after dt_s seconds, 1 ... 60. */
void paygo_law_step(paygo_law *law, const paygo_law_readings *readings, const paygo_battery_limits *battery,
                    const paygo_board_limits *board, int dt_s);

/* Whether a protection takes the output, whoever wants it. */
bool paygo_law_blocks(const paygo_law *law);

/*
 * In how many seconds the next step has to be at the latest if the readings stay as they are: 1 while a protection
 * counts, a minute in the light, an hour in the dark. Longer times than 60 s are several steps of the same readings.
 */
uint16_t paygo_law_due_s(const paygo_law *law);

#endif
