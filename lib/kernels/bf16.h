/*
 * bfloat16: the upper half of a float, eight bits of precision. Values are rounded to nearest even,
 * NaN stays NaN, subnormal floats become zeros, as the instructions have it. Pairs of bfloat16 are
 * multiplied and summed in float by one instruction.
 */
#ifndef JEMI_KERNELS_BF16_H
#define JEMI_KERNELS_BF16_H

#include <stdint.h>
#include <string.h>

#include "kernels/epilogue.h"

static inline uint16_t jemi_bf16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value)
        return (uint16_t)(bits >> 16 | 0x40); // rounding must not make an infinity of it
    if ((bits & 0x7f800000) == 0)
        return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/** count floats, any alignment. Parallel. AVX-512 with BF16 only. */
void jemi_bf16_from_floats(uint16_t *dst, const float *src, int64_t count);

#if defined(__x86_64__)

static inline bool jemi_bf16_available(void)
{
    return jemi_avx512_available() && __builtin_cpu_supports("avx512bf16");
}

/**
 * sum + the products of 16 pairs. Written as the instruction itself: so it can be inlined in
 * functions that are compiled for processors without it, and reached where there is one.
 */
JEMI_AVX512_INLINE __m512 jemi_bf16_dot(__m512 sum, __m512i a, __m512i b)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

#else

static inline bool jemi_bf16_available(void)
{
    return false;
}

#endif
#endif
