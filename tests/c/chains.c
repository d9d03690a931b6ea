/* The chains of thousands of keys, for comparing the cores: a key's code after so many steps, and a token's verdict. */
#include "codec.h"

#include <stdio.h>

int main(void)
{
    uint32_t seed = 20240229;
    uint16_t round;
    for (round = 0; round < 4000; round++) {
        paygo_config config;
        paygo_window window;
        paygo_walk walk;
        paygo_decoder decoder;
        paygo_value value;
        uint8_t i;
        for (i = 0; i < 16; i++) {
            seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
            config.secret_key[i] = (uint8_t)(round < 4 ? round * 85U : seed >> 24); /* first 00, 55, aa, ff throughout */
        }
        config.starting_code = 1U + seed % UINT32_C(999999999);
        config.max_count = 65535;
        config.max_jump = 64;
        config.max_sync_jump = 100;
        config.older_window = 16;
        config.time_divider = 1;
        config.restricted_digits = false;
        config.strict_waits = false;
        paygo_key_load(&walk.key, config.secret_key);
        value = paygo_walk_start(&walk, PAYGO_STANDARD, config.starting_code, seed % UINT32_C(1000000000));
        paygo_walk_by(&walk, 1U + round % 97U);
        window = paygo_window_at((uint16_t)(round % 150U));
        paygo_decode_begin(&decoder, &config, &window, PAYGO_STANDARD,
                           paygo_encode(&config, PAYGO_STANDARD, (uint16_t)(1U + seed % 300U), (seed >> 12) % 996U));
        while (!paygo_decode_run(&decoder, 1U + round % 50U)) {
        }
        (void)printf("%lu %u %d %u %lu %u\n", (unsigned long)walk.code, (unsigned)value, (int)decoder.verdict.reason,
                     (unsigned)decoder.verdict.window.count, (unsigned long)decoder.verdict.window.used,
                     (unsigned)decoder.verdict.window.floor);
    }
    return 0;
}
