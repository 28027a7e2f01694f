/*
 * A vector of 16 floats, as each instruction set has it, and what the kernels do with it. Kernels
 * are written once against this file and compiled once for each set; the build says which one by
 * JEMI_SIMD, the set's name.
 *
 * The sets differ in speed and in the shape of register tiles, never in a bit: every operation is
 * one of IEEE 754 in each lane, and multiply-adds are fused everywhere.
 *
 *     v16 v16_zero(), v16_set1(x), v16_load(p)                  p has any alignment
 *     v16_inside v16_inside_if(bool)
 *     v16 v16_load_if(inside, p)          zeros, and p is not read, unless `inside`
 *     v16 v16_load_first(p, n)            the first n lanes, 0 <= n <= 16, zeros behind
 *     void v16_store(p, a)
 *     v16 v16_add(a, b), v16_sub(a, b), v16_mul(a, b)
 *     v16 v16_fma(a, b, c)                a * b + c
 *     v16 v16_fms(a, b, c)                a * b - c
 *     v16 v16_fnma(a, b, c)               c - a * b
 *     v16_mask v16_not_positive(a)        a <= 0; false for NaN
 *     v16 v16_scale(mask, a, b)           a * b where the mask is set, else a
 *     uint16_t v16_mask_bits(mask), v16_mask v16_mask_of(bits)
 *     v16 v16_dot_bf16(sum, a, b)         sum + the products of 16 pairs of bfloat16
 *     void v16_store_bf16(p, a)           rounded
 *
 * and V16_NAME, as which the set is known to users.
 */
#ifndef JEMI_KERNELS_SIMD_V16_H
#define JEMI_KERNELS_SIMD_V16_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/bf16_value.h"
#include "kernels/lanes.h"

#define V16_INLINE static inline __attribute__((always_inline))

#if defined(JEMI_SIMD_AVX512)
#include "kernels/simd/avx512.h"
#elif defined(JEMI_SIMD_AVX2)
#include "kernels/simd/avx2.h"
#elif defined(JEMI_SIMD_NEON)
#include "kernels/simd/neon.h"
#else
#include "kernels/simd/portable.h"
#endif

/** Declares an entry of kernels/list.h as this set defines it: with the type of jemi_<name>. */
#define JEMI_KERNEL_DECLARE(name) __typeof__(jemi_##name) JEMI_KERNEL(name)

/** The name of such an entry. */
#define JEMI_KERNEL(name)                V16_PASTE(V16_SUFFIX, name)
#define V16_PASTE(suffix, name)          V16_PASTE_EXPANDED(suffix, name)
#define V16_PASTE_EXPANDED(suffix, name) jemi_##suffix##_##name

#endif
