/* Many tokens with AVX2: three vectors of four chains in flight. */
#include "batch.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>

#define NAME(part) paygo_batch_avx2_##part
#define TARGET __attribute__((target("avx2")))
#define ALIGNED __attribute__((aligned(32)))
#define VECTOR __m256i
#define WIDTH 4
#define VECTORS 3
#define FLIGHT(op) op(0) op(1) op(2)

#define SPLAT(x) _mm256_set1_epi64x((long long)UINT64_C(x))
#define LOAD(at) _mm256_load_si256((const __m256i *)(const void *)(at))
#define STORE(at, x) _mm256_store_si256((__m256i *)(void *)(at), (x))
#define ADD(x, y) _mm256_add_epi64((x), (y))
#define XOR(x, y) _mm256_xor_si256((x), (y))
#define ROTATE(x, bits) _mm256_or_si256(_mm256_slli_epi64((x), (bits)), _mm256_srli_epi64((x), 64 - (bits)))
#define ROTATE13(x) ROTATE(x, 13)
#define ROTATE17(x) ROTATE(x, 17)
#define ROTATE21(x) ROTATE(x, 21)
#define ROTATE32(x) _mm256_shuffle_epi32((x), 0xb1)
#define BYTES16 \
    _mm256_setr_epi8(6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13, 6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13)
#define ROTATE16(x) _mm256_shuffle_epi8((x), BYTES16)

/* The low four bytes swapped and doubled; all eight swapped. */
#define BYTES9 \
    _mm256_setr_epi8(3, 2, 1, 0, 3, 2, 1, 0, 11, 10, 9, 8, 11, 10, 9, 8, 3, 2, 1, 0, 3, 2, 1, 0, 11, 10, 9, 8, 11, 10, 9, 8)
#define BYTES12 \
    _mm256_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8)
#define MESSAGE9(x) _mm256_shuffle_epi8((x), BYTES9)
#define MESSAGE12(x) _mm256_shuffle_epi8((x), BYTES12)

/* The comparison gives all ones where the code is too large, which masks what is subtracted. */
TARGET static __m256i brought_below(__m256i x, long long limit, long long excess)
{
    const __m256i above = _mm256_cmpgt_epi64(x, _mm256_set1_epi64x(limit));
    return _mm256_sub_epi64(x, _mm256_and_si256(above, _mm256_set1_epi64x(excess)));
}

TARGET static __m256i code9(__m256i hash)
{
    const __m256i folded = _mm256_xor_si256(hash, _mm256_srli_epi64(hash, 32));
    return brought_below(_mm256_srli_epi64(_mm256_slli_epi64(folded, 32), 34), 999999999LL, 73741825LL);
}

TARGET static __m256i code12(__m256i hash)
{
    return brought_below(_mm256_srli_epi64(hash, 24), 999999999999LL, 99511627777LL);
}

#define CODE9(x) code9(x)
#define CODE12(x) code12(x)

/* Both sides are below 2^40, so that a signed comparison will do. */
TARGET static __m256i counted(__m256i hits, __m256i code, __m256i low, __m256i modulus)
{
    const __m256i above = _mm256_sub_epi64(code, low);
    const __m256i match =
        _mm256_and_si256(_mm256_cmpgt_epi64(modulus, above), _mm256_cmpgt_epi64(above, _mm256_set1_epi64x(-1)));
    return _mm256_sub_epi64(hits, match);
}

#define COUNTED(hits, code, low, modulus) counted(hits, code, low, modulus)

#include "lanes.h"
#include "matches.h"

void paygo_batch_avx2(const paygo_batch *batch, size_t from, size_t to)
{
    NAME(run)(batch, from, to);
}

void paygo_batch_match_avx2(paygo_form form, paygo_matching *lanes, uint32_t steps)
{
    NAME(matched_steps)(form, lanes, steps);
}

#else

void paygo_batch_avx2(const paygo_batch *batch, size_t from, size_t to)
{
    paygo_batch_scalar(batch, from, to);
}

void paygo_batch_match_avx2(paygo_form form, paygo_matching *lanes, uint32_t steps)
{
    paygo_batch_match_scalar(form, lanes, steps);
}

#endif
