/* Many tokens with NEON: four vectors of two chains in flight. */
#include "batch.h"

#ifdef PAYGO_WITH_NEON

#include <arm_neon.h>

#define NAME(part) paygo_batch_neon_##part
#define TARGET
#define ALIGNED __attribute__((aligned(16)))
#define VECTOR uint64x2_t
#define WIDTH 2
/* With their messages and what the collision check counts, four vectors take 28 of the 32 registers. */
#define VECTORS 4
#define FLIGHT(op) op(0) op(1) op(2) op(3)

#define SPLAT(x) vdupq_n_u64(UINT64_C(x))
#define LOAD(at) vld1q_u64(at)
#define STORE(at, x) vst1q_u64((at), (x))
#define ADD(x, y) vaddq_u64((x), (y))
#define XOR(x, y) veorq_u64((x), (y))
#define ROTATE(x, bits) vsriq_n_u64(vshlq_n_u64((x), (bits)), (x), 64 - (bits))
#define ROTATE13(x) ROTATE(x, 13)
#define ROTATE16(x) rotated16(x)
#define ROTATE17(x) ROTATE(x, 17)
#define ROTATE21(x) ROTATE(x, 21)
#define ROTATE32(x) vreinterpretq_u64_u32(vrev64q_u32(vreinterpretq_u32_u64(x)))

/* By whole bytes, which takes one instruction, not two. */
static uint64x2_t rotated16(uint64x2_t x)
{
    static const uint8_t bytes[16] = {6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13};
    return vreinterpretq_u64_u8(vqtbl1q_u8(vreinterpretq_u8_u64(x), vld1q_u8(bytes)));
}

static uint64x2_t message12(uint64x2_t code)
{
    return vreinterpretq_u64_u8(vrev64q_u8(vreinterpretq_u8_u64(code)));
}

/* The low four bytes swapped and doubled. */
static uint64x2_t message9(uint64x2_t code)
{
    return message12(vsliq_n_u64(code, code, 32));
}

/* The comparison gives all ones where the code is too large, which masks what is subtracted. */
static uint64x2_t brought_below(uint64x2_t x, uint64_t limit, uint64_t excess)
{
    return vsubq_u64(x, vandq_u64(vcgtq_u64(x, vdupq_n_u64(limit)), vdupq_n_u64(excess)));
}

static uint64x2_t code9(uint64x2_t hash)
{
    const uint64x2_t folded = veorq_u64(hash, vshrq_n_u64(hash, 32));
    return brought_below(vshrq_n_u64(vshlq_n_u64(folded, 32), 34), UINT64_C(999999999), UINT64_C(73741825));
}

static uint64x2_t code12(uint64x2_t hash)
{
    return brought_below(vshrq_n_u64(hash, 24), UINT64_C(999999999999), UINT64_C(99511627777));
}

#define MESSAGE9(x) message9(x)
#define MESSAGE12(x) message12(x)
#define CODE9(x) code9(x)
#define CODE12(x) code12(x)

#define COUNTED(hits, code, low, modulus) vsubq_u64((hits), vcltq_u64(vsubq_u64((code), (low)), (modulus)))

#include "lanes.h"
#include "matches.h"

void paygo_batch_neon(const paygo_batch *batch, size_t from, size_t to)
{
    NAME(run)(batch, from, to);
}

void paygo_batch_match_neon(paygo_form form, paygo_matching *lanes, uint32_t steps)
{
    NAME(matched_steps)(form, lanes, steps);
}

#else

void paygo_batch_neon(const paygo_batch *batch, size_t from, size_t to)
{
    paygo_batch_scalar(batch, from, to);
}

void paygo_batch_match_neon(paygo_form form, paygo_matching *lanes, uint32_t steps)
{
    paygo_batch_match_scalar(form, lanes, steps);
}

#endif
