/* What both_ways_block.c tells both_ways.c, in types that do not depend on how the law is compiled. */
#ifndef BOTH_WAYS_H
#define BOTH_WAYS_H

#include "law.h"

#define BOTH_NUMBER(name) int32_t name;
#define BOTH_GUARD(name) BOTH_NUMBER(name) BOTH_NUMBER(name##_s)

typedef struct {
    PAYGO_LAW_FIELDS(BOTH_GUARD, BOTH_NUMBER, BOTH_NUMBER, BOTH_NUMBER, BOTH_NUMBER)
} both_law;

/* Called after each step of a lane's law: its state, and the readings in the order of paygo_measured. */
void both_seen(int lane, const both_law *law, const int32_t readings[11]);

#endif
