/*
 * Vectors of FLEET_WIDTH lanes, or one: their types, for the plant and for the law, and what can be done with them.
 * Included by block_step.h. Whoever has instructions for the least, the most and `any` names them before.
 */
#include <stdint.h>
#include <string.h>

#if FLEET_WIDTH > 1
typedef int32_t fleet_int __attribute__((vector_size(4 * FLEET_WIDTH)));
typedef float fleet_float __attribute__((vector_size(4 * FLEET_WIDTH)));
#define FLEET_TO_INT(x) __builtin_convertvector(x, fleet_int)
#define FLEET_TO_FLOAT(x) __builtin_convertvector(x, fleet_float)
#define FLEET_BITS(x) ((fleet_float)(x))
#define FLEET_AS_BITS(x) ((fleet_int)(x))
#define FLEET_PICK(so, a, b) ((fleet_float)((fleet_int)(b) ^ (((fleet_int)(a) ^ (fleet_int)(b)) & (so))))
#define PAYGO_LAW_IF(truth) (truth)
#define PAYGO_LAW_CHOOSE(so, a, b) ((b) ^ (((a) ^ (b)) & (so)))
#else
typedef int32_t fleet_int;
typedef float fleet_float;
#define FLEET_TO_INT(x) ((int32_t)(x))
#define FLEET_TO_FLOAT(x) ((float)(x))
#define FLEET_BITS(x) fleet_bits(x)
#define FLEET_AS_BITS(x) fleet_as_bits(x)
#define FLEET_PICK(so, a, b) ((so) ? (a) : (b))
#define PAYGO_LAW_IF(truth) (-(truth))
#define PAYGO_LAW_CHOOSE(so, a, b) ((so) ? (a) : (b))
#endif
#define PAYGO_LAW_INT fleet_int
#define PAYGO_LAW_LONG fleet_int
#define PAYGO_LAW_SMALL fleet_int
#define PAYGO_LAW_TIME fleet_int
#define PAYGO_LAW_FLAG fleet_int
#define FLEET_INLINE static inline __attribute__((always_inline))
#define PAYGO_LAW_INLINE FLEET_INLINE

#define FLEET_PASTE(name, set) name##_##set
#define FLEET_JOIN(name, set) FLEET_PASTE(name, set)
#define FLEET_IF PAYGO_LAW_IF

/* A vector's worth of a member of a block. */
typedef fleet_int fleet_ints __attribute__((may_alias, aligned(4)));
typedef fleet_float fleet_floats __attribute__((may_alias, aligned(4)));

#if FLEET_WIDTH == 1
FLEET_INLINE int32_t fleet_as_bits(float value)
{
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

FLEET_INLINE float fleet_bits(int32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
#endif

FLEET_INLINE fleet_float fleet_all(float number)
{
    return number - (fleet_float){0};
}

#ifndef FLEET_LEAST
#define FLEET_LEAST(a, b) FLEET_PICK(FLEET_IF((a) < (b)), a, b)
#define FLEET_MOST(a, b) FLEET_PICK(FLEET_IF((a) > (b)), a, b)
#endif

FLEET_INLINE fleet_float fleet_least(fleet_float a, fleet_float b)
{
    return FLEET_LEAST(a, b);
}

FLEET_INLINE fleet_float fleet_most(fleet_float a, fleet_float b)
{
    return FLEET_MOST(a, b);
}

FLEET_INLINE fleet_float fleet_only(fleet_int so, fleet_float a)
{
    return FLEET_PICK(so, a, (fleet_float){0});
}

/* Whether it is so, -1, in any lane. */
FLEET_INLINE int fleet_any(fleet_int so)
{
#if FLEET_WIDTH == 1
    return so != 0;
#elif defined(FLEET_ANY)
    return FLEET_ANY(so);
#else
    int32_t any = 0;
    int j;
    for (j = 0; j < FLEET_WIDTH; j++) {
        any |= so[j];
    }
    return any != 0;
#endif
}

/* Added to a number of less than 2^22, it leaves the nearest whole number in the low bits. */
#define FLEET_MAGIC 12582912.0f
#define FLEET_MAGIC_BITS INT32_C(0x4b400000)

/* The nearest whole number, of less than 2^22. */
FLEET_INLINE fleet_int fleet_round(fleet_float x)
{
    return FLEET_AS_BITS(x + FLEET_MAGIC) - FLEET_MAGIC_BITS;
}

/* exp(x) for |x| < 80, to 7e-6 of itself. */
FLEET_INLINE fleet_float fleet_exp(fleet_float x)
{
    const fleet_float whole = x * 1.44269504f + FLEET_MAGIC;
    const fleet_float rest = x - (whole - FLEET_MAGIC) * 0.693147182f;
    const fleet_float poly =
        0.99999926f + rest * (0.9999634f + rest * (0.50004359f + rest * (0.16790907f + rest * 0.041458607f)));
    return poly * FLEET_BITS((FLEET_AS_BITS(whole) - (FLEET_MAGIC_BITS - 127)) << 23);
}
