/* Four checkpoints, the last one entered first. */
#include "slots.h"

#include <string.h>

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

void paygo_slots_keep(paygo_slots *slots, const paygo_decoder *decoder)
{
    const uint16_t value = (uint16_t)decoder->verdict.value;
    paygo_slot *slot = slots->slots;
    if (PAYGO_IS_EXTENDED(decoder->walk.form) || decoder->verdict.reason != PAYGO_REASON_ACCEPTED ||
        decoder->noted.count == 0) {
        return;
    }
    while (slot < slots->slots + PAYGO_SLOTS - 1 && slot->value != value) {
        slot++;
    }
    memmove(slots->slots + 1, slots->slots, (size_t)(slot - slots->slots) * sizeof *slot);
    slots->slots[0].code = (uint32_t)decoder->noted.code;
    slots->slots[0].count = decoder->noted.count;
    slots->slots[0].value = value;
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
