/*
 * A bounded table of checkpoints, so that no chain is walked twice: firmware gives it a few slots, a server thousands.
 *
 * A chain is named by 64 bits: in a device the value will do, since it has one key; a server takes a keyed hash of key,
 * starting code, form and value. Slots are grouped, and a new checkpoint takes the place of the one in its group that
 * was used longest ago.
 */
#ifndef PAYGO_CACHE_H
#define PAYGO_CACHE_H

#include "codec.h"

typedef struct {
    uint64_t chain;
    paygo_checkpoint point; /* its count 0: the slot is free */
    uint32_t used;          /* when, in uses of the table */
} paygo_cache_slot;

/* The caller owns the slots, all zero at first. Groups are of PAYGO_CACHE_GROUP slots, or of all if there are fewer. */
typedef struct {
    paygo_cache_slot *slots;
    uint32_t size;
    uint32_t uses;
} paygo_cache;

#define PAYGO_CACHE_GROUP 8U

/* The checkpoint of a chain; its count is 0 when there is none. */
paygo_checkpoint paygo_cache_find(paygo_cache *cache, uint64_t chain);

/* Keeps a checkpoint; one whose count is 0 is not worth a slot. Returns whether it took a slot that was free. */
bool paygo_cache_keep(paygo_cache *cache, uint64_t chain, const paygo_checkpoint *point);

#endif
