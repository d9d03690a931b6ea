/* The table of checkpoints: groups of slots, the longest unused one goes. */
#include "cache.h"

typedef struct {
    paygo_cache_slot *slots;
    uint32_t size;
} group;

static group group_of(paygo_cache *cache, uint64_t chain)
{
    const uint32_t groups = cache->size / PAYGO_CACHE_GROUP;
    group of;
    of.slots = cache->slots;
    of.size = cache->size;
    if (groups > 1) {
        of.slots += (uint32_t)(chain % groups) * PAYGO_CACHE_GROUP;
        of.size = PAYGO_CACHE_GROUP;
    }
    return of;
}

paygo_checkpoint paygo_cache_find(paygo_cache *cache, uint64_t chain)
{
    const group of = group_of(cache, chain);
    paygo_checkpoint none;
    uint32_t i;
    for (i = 0; i < of.size; i++) {
        paygo_cache_slot *slot = &of.slots[i];
        if (slot->point.count > 0 && slot->chain == chain) {
            slot->used = ++cache->uses;
            return slot->point;
        }
    }
    none.code = 0;
    none.count = 0;
    return none;
}

bool paygo_cache_keep(paygo_cache *cache, uint64_t chain, const paygo_checkpoint *point)
{
    const group of = group_of(cache, chain);
    paygo_cache_slot *oldest = of.slots;
    bool was_free;
    uint32_t i;
    if (point->count == 0 || of.size == 0) {
        return false;
    }
    cache->uses++;
    for (i = 0; i < of.size; i++) {
        paygo_cache_slot *slot = &of.slots[i];
        if (slot->point.count > 0 && slot->chain == chain) {
            oldest = slot;
            break;
        }
        if (slot->point.count == 0 || cache->uses - slot->used > cache->uses - oldest->used) {
            oldest = oldest->point.count == 0 ? oldest : slot;
        }
    }
    was_free = oldest->point.count == 0;
    oldest->chain = chain;
    oldest->point = *point;
    oldest->used = cache->uses;
    return was_free;
}
