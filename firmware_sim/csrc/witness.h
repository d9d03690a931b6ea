/*
 * A clock chip as a witness of the unit's own clock (H25). The unit counts seconds by its own tick alone, so that nobody
 * can give credit or end a wait by turning a clock; the chip can only say that one of the two was tampered with.
 */
#ifndef PAYGO_WITNESS_H
#define PAYGO_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

/* The two are compared over this long, and may differ by so much. */
#define PAYGO_WITNESS_S 600U
#define PAYGO_WITNESS_SLACK_S 60

typedef struct {
    bool tampered;
    bool comparing;     /* a comparison has begun */
    uint16_t counted_s; /* by the unit's tick since then, */
    int16_t ahead_s;    /* and how far the chip moved more than that; at most INT16_MAX either way */
    int16_t off_s;      /* the same when they were last compared, or how far the chip went back */
    uint32_t last_s;    /* the chip, at the last reading */
} paygo_witness;

/*
 * Takes the chip's reading after `elapsed_s` of the unit's own tick; 0 when there is no chip. A reading below the last
 * one is tampering at once, a chip that stands still or runs away when the comparison ends. It is over once the two
 * have agreed for a whole comparison.
 */
void paygo_witness_update(paygo_witness *witness, uint32_t rtc_s, uint16_t elapsed_s);

#endif
