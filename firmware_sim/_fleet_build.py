"""Builds firmware_sim._fleet, the engine that steps many units at once (cffi, stable ABI)."""

from pathlib import Path

from cffi import FFI

ENGINE = Path("firmware_sim/fleet/csrc")
LAW = Path("firmware_sim/csrc")
CORE = Path("paygo_core/csrc")

CDEF = """
#define FLEET_LANES ...
#define FLEET_FULL ...
#define FLEET_ALWAYS ...
#define FLEET_SLOTS ...
#define FLEET_SLOT_S ...
#define FLEET_REST_POINTS ...
#define FLEET_BROKEN_INPUT ...
#define FLEET_BROKEN_OUTPUT ...
#define FLEET_BROKEN_BOARD ...
#define FLEET_BROKEN_SHIFT ...
#define PAYGO_ALERTS ...

typedef enum {
    FLEET_ADD_CREDIT, FLEET_SET_CREDIT, FLEET_BATTERY_GONE, FLEET_STUCK_ON, FLEET_PANELS, FLEET_SHORT, FLEET_CONTACT,
    FLEET_SURGE, FLEET_OFFSET, FLEET_FROZEN, FLEET_IMBALANCE, FLEET_SOILING, FLEET_BATTERY_NEW, FLEET_BOARD_NEW,
    FLEET_RESTART, ...
} fleet_deed;
typedef enum { PAYGO_FLOODED, PAYGO_AGM, PAYGO_GEL, PAYGO_LFP, ... } paygo_chemistry;

typedef struct { int16_t trip; int16_t clear; int16_t trip_s; int16_t clear_s; } paygo_limit;
typedef struct {
    int16_t absorption_mv; int16_t float_mv; int16_t equalise_mv; int16_t rebulk_mv; int16_t ceiling_mv;
    int16_t compensation; int16_t tail_ma_per_ah; int16_t charge_min_dc; int16_t charge_max_dc; int16_t hot_dc;
    paygo_limit overvoltage; paygo_limit undervoltage; paygo_limit lost; int16_t sag;
    int16_t absorption_s; int16_t tail_s; int16_t rebulk_s; int16_t equalise_s; int16_t equalise_every_h;
} paygo_battery_limits;
typedef struct {
    paygo_limit panel; paygo_limit output; paygo_limit current; paygo_limit shorted;
    int16_t hot_dc; int16_t charge_ma; int16_t derate_ma_per_dc; uint8_t chemistries;
} paygo_board_limits;

typedef struct {
    float short_a; float open_v; float c1; float per_c2_open; float short_per_k; float open_v_per_k;
    float open_v_per_log; float warming; float power_w; float power_per_k; int32_t mppt; float converter;
    float path_drop_v;
    float capacity_as; float ohm; float cells; float rest_v[...]; float charge_near; float charge_bend;
    float charge_far; float charge_edge; float discharge_near; float discharge_bend; float discharge_far;
    float discharge_edge; float final_v;
    float follow_s; float efficiency_slope; float leak_per_s; float bms_open_v; float bms_close_v;
    float unit_w; float switch_ohm; float board_k_per_w; float board_follow_s; float battery_k_per_w;
    float battery_follow_s; float clamp_v; float clamp_j; float input_clamp_v; float input_max_v; float output_max_v;
    float board_max_c;
    float opens_s;
} fleet_model;
typedef struct { float irradiance; float log_irradiance; float ambient; } fleet_sky;
typedef struct {
    fleet_model model; paygo_battery_limits battery; paygo_board_limits board; int32_t capacity_ah;
} fleet_kit;

typedef struct {
    int32_t charge[...]; int32_t output[...]; int32_t stage[...]; int32_t target_mv[...]; int32_t limit_ma[...];
    int32_t alerts[...]; int32_t since_equalise_s[...]; ...;
} fleet_law;
typedef struct {
    fleet_law law;
    int32_t charge[...]; float volts[...]; float follows_v[...]; float battery_a[...];
    float battery_c[...]; float board_c[...];
    int32_t bms_open[...]; int32_t credit_s[...]; int32_t broken[...];
    float demand_w[...]; float peak_w[...];
    float soiling[...]; float per_capacity[...]; float per_panels[...]; float contact_ohm[...];
    float short_a[...]; float surge_v[...]; float imbalance_v[...]; int32_t no_battery[...]; int32_t stuck_on[...];
    int32_t offset_mv[...]; int32_t frozen_mv[...];
    float panel_ws[...]; float load_ws[...]; float unserved_ws[...]; float battery_in_as[...];
    float battery_out_as[...]; float clamp_ws[...]; float least_volts[...]; float most_volts[...];
    float most_battery_c[...]; int32_t least_charge[...]; int32_t most_charge[...]; int32_t on_s[...];
    int32_t light_s[...]; int32_t low_s[...]; int32_t active_s[...];
    int32_t read_mv[...]; int32_t read_peak_mv[...]; int32_t read_panel_mv[...]; int32_t read_load_ma[...];
    int32_t changed[...];
    ...;
} fleet_block;

typedef struct { int32_t step; int32_t lane; int32_t deed; float value; } fleet_event;
typedef struct {
    int32_t step; int32_t lane; int32_t changed; int32_t alerts; int32_t broken; int32_t battery_mv; int32_t peak_mv;
    int32_t panel_mv; int32_t load_ma; int32_t battery_dc; float clamp_ws;
} fleet_note;

int32_t fleet_path_exists(int32_t path);
void fleet_begin(fleet_block *block, const fleet_kit *kit, float charge, float ambient);
int32_t fleet_day(fleet_block *block, const fleet_kit *kit, const fleet_sky *sky, const float *demand_w,
                  const float *peak_w, int32_t dt_s, int32_t path, const fleet_event *events, int32_t event_count,
                  fleet_note *notes, int32_t most_notes);
void fleet_do(fleet_block *block, const fleet_kit *kit, const fleet_event *event);
int32_t fleet_steps(fleet_block *block, const fleet_kit *kit, const fleet_sky *sky, int32_t steps, int32_t dt_s,
                    int32_t path);
void fleet_preset(fleet_kit *kit, int32_t chemistry, int32_t protected_board);

double fleet_chance(uint64_t *state);

#define HOME_SLOTS ...
typedef struct {
    uint64_t key; double start_jitter; double hours_jitter; double watts; double standby_w; double inrush;
    int32_t first_level; int32_t levels;
} home_use;
typedef struct {
    const home_use *uses; int32_t use_count; int32_t unit_count; const double *levels; const uint64_t *lives;
    const double *starts; const double *lasts; const int32_t *chances; double standby_mw;
} home_kind;
void home_day(const home_kind *kind, const uint64_t *days, float *mean, float *most);
void home_levels(const home_kind *kind, const uint64_t *days, float *levels);
"""

ffibuilder = FFI()
ffibuilder.cdef(CDEF)
ffibuilder.set_source(
    "firmware_sim._fleet",
    "".join(f'#include "{name}"\n' for name in ("chances.h", "fleet.h", "homes.h")),
    sources=[*(str(path) for path in sorted(ENGINE.glob("*.c"))), str(LAW / "law.c")],
    include_dirs=[str(ENGINE), str(LAW), str(CORE)],
    depends=[*(str(path) for path in sorted(ENGINE.glob("*.h"))), str(LAW / "law.h"), str(LAW / "law_step.h")],
    # The same bytes on every instruction set: no fused multiplication, nothing reordered.
    extra_compile_args=["-std=gnu99", "-O3", "-ffp-contract=off", "-fno-math-errno", "-Wno-psabi"],
)
