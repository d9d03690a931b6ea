/* Chooses the path of a batch, and what all paths share. */
#include "batch.h"

paygo_lane paygo_batch_lane(const paygo_batch *batch, size_t job)
{
    const uint32_t starting_code = batch->starting_codes[job * batch->starting_code_stride];
    const uint32_t modulus = paygo_base_modulus(batch->form);
    const uint32_t base = (starting_code % modulus + batch->values[job * batch->value_stride]) % modulus;
    paygo_lane lane;
    paygo_key_load(&lane.key, batch->keys + job * batch->key_stride);
    lane.code = paygo_with_base(batch->form, starting_code, base);
    lane.left = batch->counts[job * batch->count_stride];
    return lane;
}

void paygo_batch_finish(const paygo_batch *batch, size_t job, uint64_t code)
{
    const uint32_t starting_code = batch->starting_codes[job * batch->starting_code_stride];
    const uint32_t modulus = paygo_base_modulus(batch->form);
    const uint32_t base = (starting_code % modulus + batch->values[job * batch->value_stride]) % modulus;
    batch->tokens[job] = paygo_with_base(batch->form, code, base);
}

bool paygo_simd_available(paygo_simd simd)
{
    switch (simd) {
    case PAYGO_SIMD_SCALAR:
#ifdef PAYGO_WITH_NEON
    case PAYGO_SIMD_NEON:
#endif
        return true;
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    case PAYGO_SIMD_AVX2:
        return __builtin_cpu_supports("avx2") != 0;
    case PAYGO_SIMD_AVX512:
        return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
#else
    case PAYGO_SIMD_AVX2:
    case PAYGO_SIMD_AVX512:
#endif
    default:
        return false;
    }
}

void paygo_batch_run(const paygo_batch *batch, paygo_simd simd, size_t from, size_t to)
{
    switch (simd) {
    case PAYGO_SIMD_AVX512:
        paygo_batch_avx512(batch, from, to);
        break;
    case PAYGO_SIMD_AVX2:
        paygo_batch_avx2(batch, from, to);
        break;
    case PAYGO_SIMD_NEON:
        paygo_batch_neon(batch, from, to);
        break;
    case PAYGO_SIMD_SCALAR:
    default:
        paygo_batch_scalar(batch, from, to);
        break;
    }
}
