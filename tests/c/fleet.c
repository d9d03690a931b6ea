/*
 * The fleet's blocks as a program of their own, for sanitizers and for other processors: every way of stepping gives the
 * same bytes. Prints a hash of them, which is the same on every machine.
 */
#include "fleet_home.h"

#include <stdio.h>

#define DAYS 12

static fleet_kit kit;
static fleet_sky sky[HOME_STEPS];
static float demand_w[FLEET_SLOTS * FLEET_LANES];
static fleet_note notes[4096];

static uint32_t hash_of(const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    uint32_t hash = 2166136261U;
    for (; count > 0; count--) {
        hash = (hash ^ *at++) * 16777619U;
    }
    return hash;
}

static void set_up(void)
{
    int i;
    home_kit(&kit, PAYGO_AGM, 1, 20);
    home_sky(sky, 25.0f, 1.0f);
    for (i = 0; i < FLEET_SLOTS * FLEET_LANES; i++) {
        const int slot = i / FLEET_LANES, lane = i % FLEET_LANES;
        demand_w[i] = slot > 72 && slot < 92 ? (float)(lane % 9 * 3) : (float)(lane % 3);
    }
}

/* All that happens in twelve days of trouble, on one path. */
static uint32_t run(int32_t path)
{
    static fleet_block block;
    static const fleet_event trouble[] = {
        {400, 3, FLEET_BATTERY_GONE, 1.0f}, {500, 4, FLEET_STUCK_ON, 1.0f}, {600, 5, FLEET_PANELS, 2.0f},
        {650, 6, FLEET_SHORT, 60.0f},       {700, 3, FLEET_BATTERY_GONE, 0.0f}, {720, 7, FLEET_SURGE, 300.0f},
        {730, 8, FLEET_CONTACT, 0.3f},      {740, 9, FLEET_OFFSET, -800.0f}, {750, 10, FLEET_FROZEN, 13000.0f},
        {752, 15, FLEET_OFFSET, 2600.0f},
        {760, 11, FLEET_SOILING, 0.6f},     {770, 6, FLEET_SHORT, 0.0f},     {780, 12, FLEET_BATTERY_NEW, 0.5f},
        {790, 5, FLEET_BOARD_NEW, 0.0f},    {800, 13, FLEET_IMBALANCE, 0.4f}, {810, 14, FLEET_SET_CREDIT, 3600.0f}};
    uint32_t hash = 0;
    int32_t day;
    int i;
    fleet_begin(&block, &kit, 0.6f, 25.0f);
    for (i = 0; i < FLEET_LANES; i++) {
        const fleet_event paid = {0, i, FLEET_ADD_CREDIT, i % 5 == 0 ? 400000.0f : (float)FLEET_ALWAYS};
        fleet_do(&block, &kit, &paid);
    }
    for (day = 0; day < DAYS; day++) {
        const int32_t count =
            fleet_day(&block, &kit, sky, demand_w, demand_w, 60, path, trouble,
                      day == 2 ? (int32_t)(sizeof trouble / sizeof trouble[0]) : 0, notes, 4096);
        hash = hash * 31U + hash_of(notes, (size_t)count * sizeof notes[0]);
    }
    return hash * 31U + hash_of(&block, sizeof block);
}

int main(void)
{
    uint32_t first;
    int32_t path;
    set_up();
    first = run(0);
    for (path = 1; path < 5; path++) {
        if (fleet_path_exists(path) && run(path) != first) {
            (void)fprintf(stderr, "path %d gives other bytes than the one that leaves nothing out\n", (int)path);
            return 1;
        }
    }
    (void)printf("fleet: %08x\n", (unsigned)first);
    return 0;
}
