/*
 * A function that is not copied into its callers on a small chip, where the compiler would: its code is there once, and
 * its variables are on the stack only while it runs.
 */
#ifndef PAYGO_APART_H
#define PAYGO_APART_H

#ifdef __AVR__
#define PAYGO_APART __attribute__((noinline))
#else
#define PAYGO_APART
#endif

#endif
