/* Four checkpoints, the last one entered first. */
#include "slots.h"

void paygo_slots_resume(const paygo_slots *slots, paygo_decoder *decoder)
{
    const paygo_slot *slot = slots->slots;
    uint8_t left = PAYGO_SLOTS;
    if (PAYGO_IS_EXTENDED(decoder->walk.form)) {
        return;
    }
    do {
        if (slot->value == decoder->verdict.value) {
            paygo_decode_resume(decoder, slot->code, slot->count);
            return;
        }
        slot++;
        left--;
    } while (left > 0);
}

/*
 * Each slot takes what stood before it, up to the one of the same value, or to the last. Volatile, since for these few bytes
 * a compiler else calls memmove, which is larger than all of this file.
 */
void paygo_slots_keep(paygo_slots *slots, const paygo_decoder *decoder)
{
    volatile paygo_slot *slot = slots->slots;
    uint8_t moved;
    if (PAYGO_IS_EXTENDED(decoder->walk.form) || decoder->verdict.reason != PAYGO_REASON_ACCEPTED) {
        return;
    }
    for (moved = 0; moved < PAYGO_SLOTS - 1U && slot->value != decoder->verdict.value; moved++) {
        slot++;
    }
    for (; slot > slots->slots; slot--) {
        *slot = slot[-1];
    }
    slot->code = (uint32_t)decoder->noted.code;
    slot->count = decoder->noted.count;
    slot->value = (uint16_t)decoder->verdict.value;
}

/* A slot of count 0 is free, or of a value that has no checkpoint yet. */
bool paygo_slots_run(paygo_slots *slots, const paygo_config *config, const paygo_window *window, uint16_t steps)
{
    paygo_slot *slot = slots->slots;
    uint8_t left = PAYGO_SLOTS;
    paygo_key key;
    paygo_key_load(&key, config->secret_key);
    do {
        const paygo_steps place = paygo_checkpoint_place(config, window->count, slot->value);
        if (slot->count == 0 || slot->count >= place) {
            slot++;
            left--;
        } else {
            if (steps == 0) {
                return false;
            }
            steps--;
            slot->count++;
            slot->code = paygo_chain_next_standard(&key, slot->code);
        }
    } while (left > 0);
    return true;
}
