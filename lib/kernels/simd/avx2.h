/*
 * AVX2 and FMA: a v16 is two registers of 16.
 */
#ifndef JEMI_KERNELS_SIMD_AVX2_H
#define JEMI_KERNELS_SIMD_AVX2_H

#include <immintrin.h>

#define V16_SUFFIX avx2
#define V16_NAME   "avx2"

enum {
    V16_DOUBLES = 4,   /* of a register */
    V16_TILE_ROWS = 6, /* twelve registers of sums, two of weights, one broadcast */
    V16_TILE_VECTORS = 1,
    V16_SUM_ROWS = 4,
    V16_SUM_VECTORS = 1,
};

typedef struct v16 {
    __m256 low, high;
} v16;

typedef v16 v16_mask; /* all bits of a lane, or none */
typedef bool v16_inside;

V16_INLINE v16 v16_zero(void)
{
    return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

V16_INLINE v16 v16_set1(float x)
{
    const __m256 all = _mm256_set1_ps(x);
    return (v16){all, all};
}

V16_INLINE v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

V16_INLINE v16_inside v16_inside_if(bool inside)
{
    return inside;
}

V16_INLINE v16 v16_load_if(v16_inside inside, const float *p)
{
    static const float zeros[16];
    return v16_load(inside ? p : zeros);
}

V16_INLINE v16 v16_load_first(const float *p, int64_t n)
{
    float lanes[16];
    for (int i = 0; i < 16; i++)
        lanes[i] = i < n ? p[i] : 0.0f;
    return v16_load(lanes);
}

V16_INLINE void v16_store(float *p, v16 a)
{
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}

V16_INLINE v16 v16_add(v16 a, v16 b)
{
    return (v16){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

V16_INLINE v16 v16_sub(v16 a, v16 b)
{
    return (v16){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

V16_INLINE v16 v16_mul(v16 a, v16 b)
{
    return (v16){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

V16_INLINE v16 v16_fms(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmsub_ps(a.low, b.low, c.low), _mm256_fmsub_ps(a.high, b.high, c.high)};
}

V16_INLINE v16 v16_fnma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}

V16_INLINE v16_mask v16_not_positive(v16 a)
{
    const __m256 zero = _mm256_setzero_ps();
    return (v16){_mm256_cmp_ps(a.low, zero, _CMP_LE_OQ), _mm256_cmp_ps(a.high, zero, _CMP_LE_OQ)};
}

V16_INLINE v16 v16_scale(v16_mask mask, v16 a, v16 b)
{
    const v16 scaled = v16_mul(a, b);
    return (v16){_mm256_blendv_ps(a.low, scaled.low, mask.low),
                 _mm256_blendv_ps(a.high, scaled.high, mask.high)};
}

V16_INLINE uint16_t v16_mask_bits(v16_mask mask)
{
    return (uint16_t)(_mm256_movemask_ps(mask.low) | _mm256_movemask_ps(mask.high) << 8);
}

V16_INLINE v16_mask v16_mask_of(uint16_t bits)
{
    const __m256i all = _mm256_set1_epi32(bits);
    const __m256i low = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i high = _mm256_slli_epi32(low, 8);
    return (v16){_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(all, low), low)),
                 _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(all, high), high))};
}

/* The second and the first of each pair as floats. */
V16_INLINE v16 v16_second_bf16(v16 a)
{
    const __m256 upper = _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000));
    return (v16){_mm256_and_ps(a.low, upper), _mm256_and_ps(a.high, upper)};
}

V16_INLINE v16 v16_first_bf16(v16 a)
{
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.low), 16)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.high), 16))};
}

V16_INLINE v16 v16_dot_bf16(v16 sum, v16 a, v16 b)
{
    const v16 half = v16_fma(v16_second_bf16(a), v16_second_bf16(b), sum);
    return v16_fma(v16_first_bf16(a), v16_first_bf16(b), half);
}

V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    float lanes[16];
    v16_store(lanes, a);
    for (int i = 0; i < 16; i++)
        p[i] = jemi_bf16_from_float(lanes[i]);
}

#endif
