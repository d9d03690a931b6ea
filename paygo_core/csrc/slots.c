/* Four checkpoints, the last one entered first. */
#include "slots.h"

void paygo_slots_resume(const paygo_slots *slots, paygo_decoder *decoder)
{
    const paygo_slot *slot;
    if (PAYGO_IS_EXTENDED(decoder->walk.form)) {
        return;
    }
    for (slot = slots->slots; slot < slots->slots + PAYGO_SLOTS; slot++) {
        if (slot->value == decoder->verdict.value) {
            paygo_checkpoint point;
            point.code = slot->code;
            point.count = slot->count;
            paygo_decode_resume(decoder, &point);
        }
    }
}

/* Each slot takes what stood before it, up to the one of the same value, or to the last. */
void paygo_slots_keep(paygo_slots *slots, const paygo_decoder *decoder)
{
    paygo_slot *slot = slots->slots;
    paygo_slot before;
    if (PAYGO_IS_EXTENDED(decoder->walk.form) || decoder->verdict.reason != PAYGO_REASON_ACCEPTED ||
        decoder->noted.count == 0) {
        return;
    }
    before.code = (uint32_t)decoder->noted.code;
    before.count = decoder->noted.count;
    before.value = (uint16_t)decoder->verdict.value;
    do {
        const paygo_slot moved = *slot;
        *slot = before;
        before = moved;
        slot++;
    } while (before.value != slots->slots[0].value && slot < slots->slots + PAYGO_SLOTS);
}

bool paygo_slots_run(paygo_slots *slots, const paygo_config *config, const paygo_window *window, uint16_t steps)
{
    paygo_key key;
    paygo_slot *slot;
    paygo_key_load(&key, config->secret_key);
    for (slot = slots->slots; slot < slots->slots + PAYGO_SLOTS && slot->count > 0; slot++) {
        const uint16_t place = paygo_checkpoint_place(config, window->count, slot->value);
        while (slot->count < place) {
            if (steps == 0) {
                return false;
            }
            slot->code = (uint32_t)paygo_chain_next(&key, PAYGO_STANDARD, slot->code);
            slot->count++;
            steps--;
        }
    }
    return true;
}
