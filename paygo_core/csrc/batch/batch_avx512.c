/* Many tokens with AVX-512: four vectors of eight chains in flight; rotations are one instruction. */
#include "batch.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>

#define NAME(part) paygo_batch_avx512_##part
#define TARGET __attribute__((target("avx512f,avx512bw")))
#define ALIGNED __attribute__((aligned(64)))
#define VECTOR __m512i
#define WIDTH 8
#define VECTORS 4
#define FLIGHT(op) op(0) op(1) op(2) op(3)

#define SPLAT(x) _mm512_set1_epi64((long long)UINT64_C(x))
#define LOAD(at) _mm512_load_si512((const void *)(at))
#define STORE(at, x) _mm512_store_si512((void *)(at), (x))
#define ADD(x, y) _mm512_add_epi64((x), (y))
#define XOR(x, y) _mm512_xor_si512((x), (y))
#define XOR3(x, y, z) _mm512_ternarylogic_epi64((x), (y), (z), 0x96)
#define ROTATE13(x) _mm512_rol_epi64((x), 13)
#define ROTATE16(x) _mm512_rol_epi64((x), 16)
#define ROTATE17(x) _mm512_rol_epi64((x), 17)
#define ROTATE21(x) _mm512_rol_epi64((x), 21)
#define ROTATE32(x) _mm512_rol_epi64((x), 32)

/* The low four bytes of each word swapped and doubled; all eight swapped. */
#define BYTES(high, low) _mm512_set4_epi64((long long)UINT64_C(high), (long long)UINT64_C(low), \
                                           (long long)UINT64_C(high), (long long)UINT64_C(low))
#define MESSAGE9(x) _mm512_shuffle_epi8((x), BYTES(0x08090a0b08090a0b, 0x0001020300010203))
#define MESSAGE12(x) _mm512_shuffle_epi8((x), BYTES(0x08090a0b0c0d0e0f, 0x0001020304050607))

TARGET static __m512i brought_below(__m512i x, long long limit, long long excess)
{
    const __mmask8 above = _mm512_cmpgt_epu64_mask(x, _mm512_set1_epi64(limit));
    return _mm512_mask_sub_epi64(x, above, x, _mm512_set1_epi64(excess));
}

/* Both halves hold the folded hash. */
TARGET static __m512i code9(__m512i hash)
{
    const __m512i x = _mm512_srli_epi32(_mm512_xor_si512(hash, _mm512_rol_epi64(hash, 32)), 2);
    const __mmask16 above = _mm512_mask_cmpgt_epu32_mask(0x5555, x, _mm512_set1_epi32(999999999));
    return _mm512_maskz_mov_epi32(0x5555, _mm512_mask_sub_epi32(x, above, x, _mm512_set1_epi32(73741825)));
}

TARGET static __m512i code12(__m512i hash)
{
    return brought_below(_mm512_srli_epi64(hash, 24), 999999999999LL, 99511627777LL);
}

#define CODE9(x) code9(x)
#define CODE12(x) code12(x)

TARGET static __m512i counted(__m512i hits, __m512i code, __m512i low, __m512i modulus)
{
    const __mmask8 match = _mm512_cmplt_epu64_mask(_mm512_sub_epi64(code, low), modulus);
    return _mm512_mask_add_epi64(hits, match, hits, _mm512_set1_epi64(1));
}

#define COUNTED(hits, code, low, modulus) counted(hits, code, low, modulus)

#include "lanes.h"
#include "matches.h"

void paygo_batch_avx512(const paygo_batch *batch, size_t from, size_t to)
{
    NAME(run)(batch, from, to);
}

void paygo_batch_match_avx512(paygo_form form, paygo_matching *lanes, uint32_t steps)
{
    NAME(matched_steps)(form, lanes, steps);
}

#else

void paygo_batch_avx512(const paygo_batch *batch, size_t from, size_t to)
{
    paygo_batch_scalar(batch, from, to);
}

void paygo_batch_match_avx512(paygo_form form, paygo_matching *lanes, uint32_t steps)
{
    paygo_batch_match_scalar(form, lanes, steps);
}

#endif
