/* A day of a block of units: slots, events, and notes of what came and went. */
#include "fleet.h"

#include <stddef.h>
#include <string.h>

#define FLEET_KEEP(name) block->law.name[i] = law.name;
#define FLEET_KEEP_GUARD(name) block->law.name[i] = law.name.active; block->law.name##_s[i] = law.name.held_s;

/* A unit that was just switched on; a restart ends no alert. */
static void restart(fleet_block *block, int32_t i, const fleet_kit *kit)
{
    paygo_law law;
    memset(&law, 0, sizeof law);
    paygo_law_begin(&law, &kit->battery, &kit->board, (uint16_t)block->law.alerts[i]);
    PAYGO_LAW_FIELDS(FLEET_KEEP_GUARD, FLEET_KEEP, FLEET_KEEP, FLEET_KEEP, FLEET_KEEP)
}

static fleet_run *const paths[] = {
    fleet_run_whole,
    fleet_run_scalar,
    fleet_run_plain,
#ifdef FLEET_X86
    fleet_run_avx2,
    fleet_run_avx512,
#endif
};

int32_t fleet_path_exists(int32_t path)
{
    if (path < 0 || path >= (int32_t)(sizeof paths / sizeof paths[0])) {
        return 0;
    }
#ifdef FLEET_X86
    if (path == 3) {
        return __builtin_cpu_supports("avx2") != 0;
    }
    if (path == 4) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    }
#endif
    return 1;
}

void fleet_preset(fleet_kit *kit, int32_t chemistry, int32_t protected_board)
{
    kit->battery = paygo_battery_presets[chemistry];
    kit->board = paygo_board_presets[protected_board ? PAYGO_BOARD_PROTECTED : PAYGO_BOARD_LEGACY];
}

void fleet_begin(fleet_block *block, const fleet_kit *kit, float charge, float ambient)
{
    int i;
    memset(block, 0, sizeof *block);
    for (i = 0; i < FLEET_LANES; i++) {
        const float tenths = charge * 10.0f;
        const int low = (int)tenths > 9 ? 9 : (int)tenths;
        block->charge[i] = (int32_t)(charge * (float)FLEET_FULL);
        block->volts[i] =
            kit->model.rest_v[low] + (kit->model.rest_v[low + 1] - kit->model.rest_v[low]) * (tenths - (float)low);
        block->battery_c[i] = ambient;
        block->board_c[i] = ambient;
        block->soiling[i] = 1.0f;
        block->per_capacity[i] = 1.0f / kit->model.capacity_as;
        block->per_panels[i] = 1.0f;
        block->law.target_mv[i] = kit->battery.absorption_mv;
        block->law.limit_ma[i] = kit->board.charge_ma;
        block->law.charge[i] = -1;
    }
}

void fleet_do(fleet_block *block, const fleet_kit *kit, const fleet_event *event)
{
    const int32_t i = event->lane;
    const float value = event->value;
    const int32_t flag = value != 0.0f ? -1 : 0;
    const int32_t credit_s = value >= (float)FLEET_ALWAYS ? FLEET_ALWAYS : (int32_t)value;
    switch ((fleet_deed)event->deed) {
    case FLEET_ADD_CREDIT:
        block->credit_s[i] = block->credit_s[i] >= FLEET_ALWAYS - credit_s ? FLEET_ALWAYS : block->credit_s[i] + credit_s;
        break;
    case FLEET_SET_CREDIT:
        block->credit_s[i] = credit_s;
        break;
    case FLEET_BATTERY_GONE:
        block->no_battery[i] = flag;
        break;
    case FLEET_STUCK_ON:
        block->stuck_on[i] = flag;
        break;
    case FLEET_PANELS:
        block->per_panels[i] = 1.0f / value;
        break;
    case FLEET_SHORT:
        block->short_a[i] = value;
        break;
    case FLEET_CONTACT:
        block->contact_ohm[i] = value;
        break;
    case FLEET_SURGE:
        block->surge_v[i] = value;
        break;
    case FLEET_OFFSET:
        block->offset_mv[i] = (int32_t)value;
        break;
    case FLEET_FROZEN:
        block->frozen_mv[i] = (int32_t)value;
        break;
    case FLEET_IMBALANCE:
        block->imbalance_v[i] = value;
        break;
    case FLEET_SOILING:
        block->soiling[i] = value;
        break;
    case FLEET_BATTERY_NEW:
        block->charge[i] = (int32_t)(value * (float)FLEET_FULL);
        block->follows_v[i] = 0.0f;
        block->per_capacity[i] = 1.0f / kit->model.capacity_as;
        block->no_battery[i] = 0;
        block->bms_open[i] = 0;
        block->imbalance_v[i] = 0.0f;
        break;
    case FLEET_BOARD_NEW:
        block->broken[i] = 0;
        block->stuck_on[i] = 0;
        block->offset_mv[i] = 0;
        block->frozen_mv[i] = 0;
        break;
    case FLEET_RESTART:
        restart(block, i, kit);
        break;
    }
}

int32_t fleet_steps(fleet_block *block, const fleet_kit *kit, const fleet_sky *sky, int32_t steps, int32_t dt_s,
                    int32_t path)
{
    return paths[path](block, kit, sky, steps, dt_s);
}

static int32_t note_changes(const fleet_block *block, int32_t step, fleet_note *notes, int32_t count, int32_t most)
{
    int32_t i;
    for (i = 0; i < FLEET_LANES; i++) {
        if (block->changed[i] == 0) {
            continue;
        }
        if (count < most) {
            fleet_note *note = &notes[count];
            note->step = step;
            note->lane = i;
            note->changed = block->changed[i];
            note->alerts = block->law.alerts[i];
            note->broken = block->broken[i];
            note->battery_mv = block->read_mv[i];
            note->peak_mv = block->read_peak_mv[i];
            note->panel_mv = block->read_panel_mv[i];
            note->load_ma = block->read_load_ma[i];
            note->battery_dc = (int32_t)(block->battery_c[i] * 10.0f);
            note->clamp_ws = block->clamp_ws[i];
        }
        count++;
    }
    return count;
}

int32_t fleet_day(fleet_block *block, const fleet_kit *kit, const fleet_sky *sky, const float *demand_w,
                  const float *peak_w, int32_t dt_s, int32_t path, const fleet_event *events, int32_t event_count,
                  fleet_note *notes, int32_t most_notes)
{
    const int32_t slot_steps = FLEET_SLOT_S / dt_s;
    int32_t slot;
    int32_t next = 0;
    int32_t count = 0;
    for (slot = 0; slot < FLEET_SLOTS; slot++) {
        int32_t step = slot * slot_steps;
        const int32_t end = step + slot_steps;
        memcpy(block->demand_w, demand_w + slot * FLEET_LANES, sizeof block->demand_w);
        memcpy(block->peak_w, peak_w + slot * FLEET_LANES, sizeof block->peak_w);
        while (step < end) {
            int32_t until = end;
            while (next < event_count && events[next].step <= step) {
                fleet_do(block, kit, &events[next]);
                next++;
            }
            if (next < event_count && events[next].step < end) {
                until = events[next].step;
            }
            step += paths[path](block, kit, &sky[step], until - step, dt_s);
            count = note_changes(block, step, notes, count, most_notes);
        }
    }
    return count;
}
