/*
 * Random units for days, both ways: in the fleet's engine, and in the whole firmware, which is told what the engine's law
 * reads, takes tokens over its console, stores, and is switched off now and then. At every step the law has the same
 * state in both, and in the end each alert began and ended as often.
 *
 *     both_ways BLOCKS DAYS SEED       64 units a block
 */
#include "both_ways.h"
#include "check.h"
#include "commands.h"
#include "fleet_home.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_S 60

typedef struct {
    paygo_firmware firmware;
    paygo_inputs inputs;
    paygo_outputs outputs;
    uint8_t image[PAYGO_STORAGE_BYTES];
    char said[8192];
    size_t said_length;
    uint16_t count; /* of the last token */
    uint32_t events[PAYGO_ALERTS];
    uint32_t changes[PAYGO_ALERTS];
    int32_t alerts; /* in the engine, a step ago */
} unit;

fleet_run fleet_run_told;

static unit units[FLEET_LANES];
static fleet_block block;
static fleet_kit kit;
static fleet_sky sky[HOME_STEPS];
static uint64_t random_state;
static uint32_t compared, tokens, restarts, alerts;

/* xorshift64*: 0 ... below - 1. */
static uint32_t chance(uint32_t below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(2685821657736338717)) >> 33) % below;
}

static uint8_t read_image(void *context, uint16_t offset)
{
    return ((const uint8_t *)context)[offset];
}

/* Steps the firmware until it has taken in `sent`, stored and said everything. */
static void run(unit *one, uint32_t world_ms, const char *sent)
{
    one->inputs.world_ms = world_ms;
    one->inputs.wire_ms = 0;
    for (;;) {
        one->inputs.rx = sent;
        one->inputs.rx_length = (uint16_t)strlen(sent);
        paygo_firmware_step(&one->firmware, &one->inputs, &one->outputs);
        if (one->said_length + one->outputs.tx_length < sizeof one->said) {
            memcpy(one->said + one->said_length, one->outputs.tx, one->outputs.tx_length);
            one->said_length += one->outputs.tx_length;
        }
        sent += one->outputs.rx_taken;
        one->inputs.world_ms = 0;
        one->inputs.measured.battery_peak_mv = one->inputs.measured.panel_peak_mv = 0; /* told once */
        one->inputs.measured.output_peak_mv = one->inputs.measured.load_peak_ma = 0;
        one->inputs.write_done = one->outputs.write.length > 0;
        if (one->inputs.write_done) {
            memcpy(one->image + one->outputs.write.offset, one->outputs.write.bytes, one->outputs.write.length);
        } else if (!one->outputs.busy && !one->outputs.walking && *sent == '\0') {
            break;
        }
    }
    one->said[one->said_length] = '\0';
}

static const char *ask(unit *one, const char *sent)
{
    one->said_length = 0;
    run(one, 0, sent);
    return one->said;
}

/* Acknowledges all events that are told, and counts them. */
static void acknowledge(unit *one)
{
    const char *event = strstr(one->said, "#ALERT;");
    while (event != NULL) {
        unsigned long boot, seq;
        char line[64];
        paygo_event told;
        CHECK(sscanf(event, "#ALERT;%*[^;];%*[^;];%*d;%*[^;];%lu;%lu", &boot, &seq) == 2);
        CHECK(paygo_storage_event(&one->inputs.storage, (uint32_t)seq, &told) && told.boot == boot);
        one->events[told.alert]++;
        (void)snprintf(line, sizeof line, "#ACK;%lu;%lu\n", boot, seq);
        event = strstr(ask(one, line), "#ALERT;");
    }
    one->said_length = 0;
}

#define SAME_AS(name, its)                                                                                       \
    if (law->name != (int32_t)own->its) {                                                                       \
        (void)fprintf(stderr, "lane %d: " #name " is %d in the engine, %d in the firmware\n", lane, (int)law->name, \
                      (int)own->its);                                                                           \
        exit(EXIT_FAILURE);                                                                                     \
    }
#define SAME(name) SAME_AS(name, name)
#define SAME_GUARD(name) SAME_AS(name, name.active) SAME_AS(name##_s, name.held_s)

void both_seen(int lane, const both_law *law, const int32_t readings[11])
{
    unit *one = &units[lane];
    const paygo_law *own = &one->firmware.charger.law;
    int32_t changed = law->alerts ^ one->alerts;
    uint8_t alert;
    size_t place;
    if (block.broken[lane] != 0) {
        return;
    }
    for (place = 0; place < 11; place++) {
        const int32_t most = place == PAYGO_MEASURED(panel_mv) || place >= PAYGO_MEASURED(battery_peak_mv) ? UINT16_MAX : INT16_MAX;
        (&one->inputs.measured.battery_mv)[place] = (int16_t)(readings[place] < most ? readings[place] : most);
    }
    run(one, STEP_S * 1000U, "");
    PAYGO_LAW_FIELDS(SAME_GUARD, SAME, SAME, SAME, SAME)
    CHECK(one->outputs.output == (law->output != 0) && one->outputs.charge == (law->charge != 0));
    CHECK(one->outputs.target_mv == law->target_mv && one->outputs.limit_ma == law->limit_ma);
    compared++;
    one->alerts = law->alerts;
    for (alert = 0; changed != 0; alert++, changed >>= 1) {
        one->changes[alert] += (uint32_t)changed & 1U;
        alerts += (uint32_t)changed & 1U;
    }
    if (one->said_length > 0) {
        acknowledge(one);
    }
}

/* A token of some days, or one that locks. */
static void pay(unit *one)
{
    char line[32];
    const bool set = chance(8) == 0;
    const uint32_t days = set ? chance(3) : 1U + chance(4);
    one->count = paygo_next_count(&one->firmware.factory.config, one->count, set ? PAYGO_SET_TIME : PAYGO_ADD_TIME);
    (void)snprintf(line, sizeof line, "#TOKEN;%09lu\n",
                   (unsigned long)paygo_encode(&one->firmware.factory.config, PAYGO_STANDARD, one->count, days));
    CHECK(strncmp(ask(one, line), "#TOKEN;VALID;", 13) == 0);
    acknowledge(one);
    tokens++;
}

static void restart(unit *one, int lane)
{
    const fleet_event deed = {0, lane, FLEET_RESTART, 0.0f};
    fleet_do(&block, &kit, &deed);
    memset(&one->inputs.measured, 0, sizeof one->inputs.measured); /* before the next step it measures nothing */
    paygo_firmware_boot(&one->firmware, (paygo_board)one->firmware.charger.board, &one->inputs.storage, 1);
    (void)ask(one, "#INFO;\n");
    acknowledge(one);
    restarts++;
}

static void begin(unit *one, paygo_board board, uint8_t chemistry)
{
    static const char *const names[] = {"FLOODED", "AGM", "GEL", "LFP"};
    char line[64];
    memset(one, 0, sizeof *one);
    memset(one->image, 0xff, sizeof one->image);
    one->count = 1;
    one->inputs.storage.read = read_image;
    one->inputs.storage.context = one->image;
    paygo_firmware_boot(&one->firmware, board, &one->inputs.storage, 1);
    CHECK(strcmp(ask(one, "#SETUP+;B1;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;1;1;0;;\n"), "#SETUP+;OK\r\n") == 0);
    (void)snprintf(line, sizeof line, "#BATTERY;%s;%d\n", names[chemistry], (int)kit.capacity_ah);
    CHECK(strncmp(ask(one, line), line, strlen(line) - 1U) == 0);
    acknowledge(one);
    memset(one->events, 0, sizeof one->events);
}

/* Something goes wrong with a unit, or right again. */
static void trouble(int lane)
{
    static const struct {
        fleet_deed deed;
        float values[2];
    } deeds[] = {
        {FLEET_BATTERY_GONE, {1.0f, 0.0f}}, {FLEET_STUCK_ON, {1.0f, 0.0f}},   {FLEET_PANELS, {2.0f, 1.0f}},
        {FLEET_SHORT, {40.0f, 0.0f}},       {FLEET_CONTACT, {0.2f, 0.0f}},    {FLEET_SURGE, {25.0f, 0.0f}},
        {FLEET_OFFSET, {-900.0f, 0.0f}},    {FLEET_OFFSET, {2500.0f, 0.0f}},  {FLEET_FROZEN, {13000.0f, 0.0f}},
        {FLEET_IMBALANCE, {0.4f, 0.0f}},    {FLEET_SHORT, {14.0f, 0.0f}},     {FLEET_BATTERY_NEW, {0.3f, 0.9f}}};
    const uint32_t which = chance(sizeof deeds / sizeof deeds[0]);
    const fleet_event deed = {0, lane, (int32_t)deeds[which].deed, deeds[which].values[chance(2)]};
    fleet_do(&block, &kit, &deed);
}

/* A home of any size, in which nothing breaks. */
static void make_kit(uint8_t chemistry, paygo_board board)
{
    home_kit(&kit, chemistry, board == PAYGO_BOARD_PROTECTED, 7 + (int32_t)chance(40));
    kit.model.clamp_j = 1e9f;
    kit.model.input_max_v = kit.model.output_max_v = kit.model.board_max_c = 1e6f;
}

static void live(uint8_t chemistry, paygo_board board, int days)
{
    const float ambient = (float)chance(45) - 12.0f;
    int day, step, lane;
    make_kit(chemistry, board);
    fleet_begin(&block, &kit, 0.3f + 0.1f * (float)chance(7), ambient);
    for (lane = 0; lane < FLEET_LANES; lane++) {
        begin(&units[lane], board, chemistry);
        block.law.charge[lane] = 0; /* as in a unit whose law has not run yet */
    }
    for (day = 0; day < days; day++) {
        home_sky(sky, ambient, 0.2f + 0.1f * (float)chance(9));
        for (step = 0; step < HOME_STEPS; step++) {
            for (lane = 0; lane < FLEET_LANES; lane++) {
                unit *one = &units[lane];
                if (step % 15 == 0) {
                    block.demand_w[lane] = step > 1080 && step < 1380 ? (float)chance(25) : (float)(chance(4) * chance(3));
                    block.peak_w[lane] = block.demand_w[lane] * (chance(9) == 0 ? 8.0f : 1.5f);
                }
                if (chance(2500) == 0) {
                    pay(one);
                }
                if (chance(3000) == 0) {
                    trouble(lane);
                }
                if (chance(6000) == 0) {
                    restart(one, lane);
                }
                {
                    const uint64_t left = paygo_unit_seconds_left(&one->firmware.live.unit);
                    block.credit_s[lane] = left < (uint64_t)FLEET_ALWAYS ? (int32_t)left : FLEET_ALWAYS;
                }
            }
            (void)fleet_run_told(&block, &kit, &sky[step], 1, STEP_S);
        }
    }
    for (lane = 0; lane < FLEET_LANES; lane++) {
        uint8_t alert;
        for (alert = 0; alert < PAYGO_ALERTS; alert++) {
            CHECK(units[lane].events[alert] == units[lane].changes[alert]);
        }
    }
}

int main(int argc, char **argv)
{
    const int blocks = argc == 4 ? atoi(argv[1]) : 0;
    const int days = argc == 4 ? atoi(argv[2]) : 0;
    int i;
    if (blocks < 1 || days < 1) {
        (void)fprintf(stderr, "usage: both_ways BLOCKS DAYS SEED\n");
        return 2;
    }
    random_state = (uint64_t)strtoul(argv[3], NULL, 10) * 2U + 1U;
    for (i = 0; i < blocks; i++) {
        const uint8_t chemistry = (uint8_t)(i % PAYGO_CHEMISTRIES);
        live(chemistry, chemistry == PAYGO_LFP || i % 8 > 3 ? PAYGO_BOARD_PROTECTED : PAYGO_BOARD_LEGACY, days);
    }
    (void)printf("%d units, %d days: %lu steps the same, %lu tokens, %lu restarts, %lu alerts that came or went\n",
                 blocks * FLEET_LANES, days, (unsigned long)compared, (unsigned long)tokens, (unsigned long)restarts,
                 (unsigned long)alerts);
    return failures == 0 && alerts > 0 && tokens > 0 && restarts > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
