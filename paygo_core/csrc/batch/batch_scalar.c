/* Many tokens in plain C: chains interleaved, so that one's latency is the other's work. */
#include "batch.h"

#define NAME(part) paygo_batch_scalar_##part
#define TARGET
#define ALIGNED
#define VECTOR uint64_t
#define WIDTH 1
#define VECTORS 3
#define FLIGHT(op) op(0) op(1) op(2)

#define SPLAT(x) UINT64_C(x)
#define LOAD(at) (*(at))
#define STORE(at, x) (*(at) = (x))
#define ADD(x, y) ((x) + (y))
#define XOR(x, y) ((x) ^ (y))
#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))
#define ROTATE13(x) ROTATE(x, 13)
#define ROTATE16(x) ROTATE(x, 16)
#define ROTATE17(x) ROTATE(x, 17)
#define ROTATE21(x) ROTATE(x, 21)
#define ROTATE32(x) ROTATE(x, 32)

static uint64_t swap(uint64_t x)
{
    x = ((x & UINT64_C(0x00ff00ff00ff00ff)) << 8) | ((x >> 8) & UINT64_C(0x00ff00ff00ff00ff));
    x = ((x & UINT64_C(0x0000ffff0000ffff)) << 16) | ((x >> 16) & UINT64_C(0x0000ffff0000ffff));
    return ROTATE(x, 32);
}

static uint64_t message9(uint64_t code)
{
    return swap(code | (code << 32));
}

static uint64_t code9(uint64_t hash)
{
    const uint32_t x = ((uint32_t)(hash >> 32) ^ (uint32_t)hash) >> 2;
    return x > UINT32_C(999999999) ? x - UINT32_C(73741825) : x;
}

static uint64_t code12(uint64_t hash)
{
    const uint64_t x = hash >> 24;
    return x > UINT64_C(999999999999) ? x - UINT64_C(99511627777) : x;
}

#define MESSAGE9(x) message9(x)
#define MESSAGE12(x) swap(x)
#define CODE9(x) code9(x)
#define CODE12(x) code12(x)

#define COUNTED(hits, code, low, modulus) ((hits) + ((code) - (low) < (modulus)))

#include "lanes.h"
#include "matches.h"

void paygo_batch_scalar(const paygo_batch *batch, size_t from, size_t to)
{
    NAME(run)(batch, from, to);
}

void paygo_batch_match_scalar(paygo_form form, paygo_matching *lanes, uint32_t steps)
{
    NAME(matched_steps)(form, lanes, steps);
}
