/* What the C unit tests share: a condition that is told when it does not hold, and how many did not. */
#ifndef PAYGO_TESTS_CHECK_H
#define PAYGO_TESTS_CHECK_H

#include <stdio.h>

static int failures = 0;

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            failures++;                                                        \
        }                                                                      \
    } while (0)

#endif
