/*
 * What the decoder that ships in deployed firmware does, to the bit, its defects included: for a server that has to
 * predict a real unit. Never for a new product; that is codec.h.
 */
#ifndef PAYGO_REFERENCE_H
#define PAYGO_REFERENCE_H

#include "codec.h"

/* Everything that such a unit remembers. A new unit is (0, 0), or (1, 0) in the example for terminals. */
typedef struct {
    uint16_t max_count;
    uint16_t used; /* bit i: the count max_count - i - 1 is taken to be used */
} paygo_reference;

/*
 * Enters a standard token, at most 999 999 999, and changes the unit's state as the deployed code does. `wide_int` is
 * whether the unit's `int` has 32 bits (ESP32, Arm) or 16 (AVR). The windows of `config` are not looked at: deployed
 * code has 64, 100 and 16 built in. The verdict's `window` has no meaning.
 */
paygo_verdict paygo_reference_enter(const paygo_config *config, bool wide_int, paygo_reference *state, uint32_t token);

#endif
