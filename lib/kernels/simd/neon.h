/*
 * NEON of 64-bit ARM: a v16 is four registers of 32.
 */
#ifndef JEMI_KERNELS_SIMD_NEON_H
#define JEMI_KERNELS_SIMD_NEON_H

#include <arm_neon.h>

#define V16_SUFFIX neon
#define V16_NAME   "neon"

enum {
    V16_DOUBLES = 2,   /* of a register */
    V16_TILE_ROWS = 6, /* 24 registers of sums, four of weights, one broadcast */
    V16_TILE_VECTORS = 1,
    V16_SUM_ROWS = 4,
    V16_SUM_VECTORS = 1,
};

typedef struct v16 {
    float32x4_t q[4];
} v16;

typedef struct v16_mask {
    uint32x4_t q[4];
} v16_mask;

typedef bool v16_inside;

#define V16_QUARTERS(type, value)                                                                  \
    type result;                                                                                   \
    for (int i = 0; i < 4; i++)                                                                    \
        result.q[i] = (value);                                                                     \
    return result

V16_INLINE v16 v16_set1(float x)
{
    V16_QUARTERS(v16, vdupq_n_f32(x));
}

V16_INLINE v16 v16_zero(void)
{
    return v16_set1(0.0f);
}

V16_INLINE v16 v16_load(const float *p)
{
    V16_QUARTERS(v16, vld1q_f32(p + 4 * i));
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
    for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, a.q[i]);
}

V16_INLINE v16 v16_add(v16 a, v16 b)
{
    V16_QUARTERS(v16, vaddq_f32(a.q[i], b.q[i]));
}

V16_INLINE v16 v16_sub(v16 a, v16 b)
{
    V16_QUARTERS(v16, vsubq_f32(a.q[i], b.q[i]));
}

V16_INLINE v16 v16_mul(v16 a, v16 b)
{
    V16_QUARTERS(v16, vmulq_f32(a.q[i], b.q[i]));
}

V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    V16_QUARTERS(v16, vfmaq_f32(c.q[i], a.q[i], b.q[i]));
}

V16_INLINE v16 v16_fms(v16 a, v16 b, v16 c)
{
    V16_QUARTERS(v16, vfmaq_f32(vnegq_f32(c.q[i]), a.q[i], b.q[i]));
}

V16_INLINE v16 v16_fnma(v16 a, v16 b, v16 c)
{
    V16_QUARTERS(v16, vfmsq_f32(c.q[i], a.q[i], b.q[i]));
}

V16_INLINE v16_mask v16_not_positive(v16 a)
{
    V16_QUARTERS(v16_mask, vcleq_f32(a.q[i], vdupq_n_f32(0.0f)));
}

V16_INLINE v16 v16_scale(v16_mask mask, v16 a, v16 b)
{
    V16_QUARTERS(v16, vbslq_f32(mask.q[i], vmulq_f32(a.q[i], b.q[i]), a.q[i]));
}

V16_INLINE uint16_t v16_mask_bits(v16_mask mask)
{
    static const uint32_t places[4] = {1, 2, 4, 8};
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++)
        bits |= vaddvq_u32(vandq_u32(mask.q[i], vld1q_u32(places))) << (4 * i);
    return (uint16_t)bits;
}

V16_INLINE v16_mask v16_mask_of(uint16_t bits)
{
    static const uint32_t places[4] = {1, 2, 4, 8};
    V16_QUARTERS(v16_mask, vtstq_u32(vdupq_n_u32((uint32_t)bits >> (4 * i)), vld1q_u32(places)));
}

V16_INLINE v16 v16_first_bf16(v16 a)
{
    V16_QUARTERS(v16, vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a.q[i]), 16)));
}

V16_INLINE v16 v16_second_bf16(v16 a)
{
    const uint32x4_t upper = vdupq_n_u32(0xffff0000u);
    V16_QUARTERS(v16, vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a.q[i]), upper)));
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
