/*
 * AVX-512 F, BW, DQ and VL: a v16 is one register of 32.
 */
#ifndef JEMI_KERNELS_SIMD_AVX512_H
#define JEMI_KERNELS_SIMD_AVX512_H

#include <immintrin.h>

#define V16_SUFFIX avx512
#define V16_NAME   "avx512"

enum {
    V16_DOUBLES = 8,    /* of a register */
    V16_TILE_ROWS = 14, /* of a product: 28 registers of sums, one broadcast serves two */
    V16_TILE_VECTORS = 2,
    V16_SUM_ROWS = 8, /* of a weights' gradient */
    V16_SUM_VECTORS = 2,
};

typedef __m512 v16;
typedef __mmask16 v16_mask;
typedef __mmask16 v16_inside;

V16_INLINE v16 v16_zero(void)
{
    return _mm512_setzero_ps();
}

V16_INLINE v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}

V16_INLINE v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

V16_INLINE v16_inside v16_inside_if(bool inside)
{
    return inside ? 0xffff : 0;
}

V16_INLINE v16 v16_load_if(v16_inside inside, const float *p)
{
    return _mm512_maskz_loadu_ps(inside, p);
}

V16_INLINE v16 v16_load_first(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

V16_INLINE void v16_store(float *p, v16 a)
{
    _mm512_storeu_ps(p, a);
}

V16_INLINE v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}

V16_INLINE v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}

V16_INLINE v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}

V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

V16_INLINE v16 v16_fms(v16 a, v16 b, v16 c)
{
    return _mm512_fmsub_ps(a, b, c);
}

V16_INLINE v16 v16_fnma(v16 a, v16 b, v16 c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

V16_INLINE v16_mask v16_not_positive(v16 a)
{
    return _mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_LE_OQ);
}

V16_INLINE v16 v16_scale(v16_mask mask, v16 a, v16 b)
{
    return _mm512_mask_mul_ps(a, mask, a, b);
}

V16_INLINE uint16_t v16_mask_bits(v16_mask mask)
{
    return mask;
}

V16_INLINE v16_mask v16_mask_of(uint16_t bits)
{
    return bits;
}

/*
 * Written as the instructions themselves: so these can stand in code for processors without BF16,
 * and are reached where jemi_bf16_available().
 */
V16_INLINE v16 v16_dot_bf16(v16 sum, v16 a, v16 b)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    __m256i half;
    __asm__("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(a));
    _mm256_storeu_si256((__m256i *)p, half);
}

#endif
