/* The home that the fleet's C tests step: a 50 W panel, a battery, and a sky from clear to overcast. */
#ifndef PAYGO_FLEET_HOME_H
#define PAYGO_FLEET_HOME_H

#include "fleet.h"

#include <string.h>

#define HOME_STEPS 1440 /* of a minute, in a day */

/* Its kit, with the presets of a chemistry and a board; the cells are those of firmware_sim/plant/battery.py. */
static void home_kit(fleet_kit *kit, uint8_t chemistry, int is_protected, int32_t capacity_ah)
{
    static const float lead_v[] = {10.50f, 11.31f, 11.58f, 11.75f, 11.90f, 12.06f, 12.20f, 12.32f, 12.42f, 12.50f, 12.70f};
    static const float lithium_v[] = {8.05f, 12.27f, 12.64f, 12.78f, 12.84f, 12.88f, 12.92f, 12.98f, 13.02f, 13.05f, 13.39f};
    static const fleet_model model = {
        .short_a = 3.05f, .open_v = 22.1f, .c1 = 1.96e-6f, .per_c2_open = 0.5946f, .short_per_k = 0.0005f,
        .open_v_per_k = -0.073f, .open_v_per_log = 0.95f, .warming = 0.033f, .power_w = 50.0f, .power_per_k = -0.0047f,
        .converter = 0.94f, .path_drop_v = 0.4f, .ohm = 0.016f, .cells = 6.0f, .charge_near = 6.0f,
        .charge_bend = 195.0f, .charge_far = 0.65f, .charge_edge = 1.002f, .discharge_near = 4.0f,
        .discharge_bend = 660.0f, .discharge_far = 0.13f, .discharge_edge = 0.1f, .final_v = 2.45f, .follow_s = 600.0f,
        .efficiency_slope = 20.73f, .leak_per_s = 1e-8f, .bms_open_v = 1e6f, .bms_close_v = 1e6f, .unit_w = 0.1f,
        .switch_ohm = 0.02f, .board_k_per_w = 15.0f, .board_follow_s = 120.0f, .battery_k_per_w = 3.0f,
        .battery_follow_s = 7200.0f, .clamp_v = 17.0f, .clamp_j = 20.0f, .input_clamp_v = 53.0f, .input_max_v = 60.0f,
        .output_max_v = 40.0f, .board_max_c = 125.0f, .opens_s = 0.001f};
    kit->model = model;
    memcpy(kit->model.rest_v, chemistry == PAYGO_LFP ? lithium_v : lead_v, sizeof lead_v);
    if (chemistry == PAYGO_LFP) {
        kit->model.ohm = 0.08f;
        kit->model.cells = 4.0f;
        kit->model.charge_near = kit->model.discharge_near = 0.02f;
        kit->model.charge_bend = 18.0f;
        kit->model.charge_far = 0.004f;
        kit->model.charge_edge = 1.0004f;
        kit->model.discharge_bend = 20.0f;
        kit->model.discharge_far = 0.006f;
        kit->model.discharge_edge = 0.08f;
        kit->model.final_v = 3.9f;
        kit->model.follow_s = 300.0f;
        kit->model.efficiency_slope = 400.0f;
        kit->model.bms_open_v = 15.2f;
        kit->model.bms_close_v = 14.4f;
    }
    kit->capacity_ah = capacity_ah;
    kit->model.capacity_as = (float)capacity_ah * 3600.0f;
    fleet_preset(kit, chemistry, is_protected);
}

/* A day's sky, of which clouds let through a share, at a place that has so many degrees at night. It is a parabola from 6
   to 18 h; logarithms come from elsewhere, so that no two libraries have to agree. */
static void home_sky(fleet_sky sky[HOME_STEPS], float ambient, float share)
{
    int i;
    for (i = 0; i < HOME_STEPS; i++) {
        const float hour = ((float)i + 0.5f) / 60.0f - 12.0f;
        const float light = (900.0f - 25.0f * hour * hour) * share;
        sky[i].irradiance = light > 0.0f ? light : 0.0f;
        sky[i].log_irradiance = light > 450.0f ? -0.2f : -1.5f;
        sky[i].ambient = ambient + (light > 0.0f ? light * 0.008f : 0.0f);
    }
}

#endif
