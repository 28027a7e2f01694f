/*
 * C without instructions of any processor: a v16 is 16 floats, and the compiler makes of it what it
 * can. fmaf() rounds once, as the fused instructions do, so bits are theirs.
 */
#ifndef JEMI_KERNELS_SIMD_PORTABLE_H
#define JEMI_KERNELS_SIMD_PORTABLE_H

#include <math.h>
#include <string.h>

#define V16_SUFFIX portable
#define V16_NAME   "portable"

enum {
    V16_DOUBLES = 2, /* of a register */
    V16_TILE_ROWS = 4,
    V16_TILE_VECTORS = 1,
    V16_SUM_ROWS = 4,
    V16_SUM_VECTORS = 1,
};

typedef struct v16 {
    float lane[16];
} v16;

typedef uint16_t v16_mask;
typedef bool v16_inside;

#define V16_EACH(value)                                                                            \
    v16 result;                                                                                    \
    for (int i = 0; i < 16; i++)                                                                   \
        result.lane[i] = (value);                                                                  \
    return result

V16_INLINE v16 v16_set1(float x)
{
    V16_EACH(x);
}

V16_INLINE v16 v16_zero(void)
{
    return v16_set1(0.0f);
}

V16_INLINE v16 v16_load(const float *p)
{
    V16_EACH(p[i]);
}

V16_INLINE v16 v16_load_first(const float *p, int64_t n)
{
    V16_EACH(i < n ? p[i] : 0.0f);
}

V16_INLINE v16_inside v16_inside_if(bool inside)
{
    return inside;
}

V16_INLINE v16 v16_load_if(v16_inside inside, const float *p)
{
    return v16_load_first(p, inside ? 16 : 0);
}

V16_INLINE void v16_store(float *p, v16 a)
{
    memcpy(p, a.lane, sizeof a.lane);
}

V16_INLINE v16 v16_add(v16 a, v16 b)
{
    V16_EACH(a.lane[i] + b.lane[i]);
}

V16_INLINE v16 v16_sub(v16 a, v16 b)
{
    V16_EACH(a.lane[i] - b.lane[i]);
}

V16_INLINE v16 v16_mul(v16 a, v16 b)
{
    V16_EACH(a.lane[i] * b.lane[i]);
}

V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    V16_EACH(fmaf(a.lane[i], b.lane[i], c.lane[i]));
}

V16_INLINE v16 v16_fms(v16 a, v16 b, v16 c)
{
    V16_EACH(fmaf(a.lane[i], b.lane[i], -c.lane[i]));
}

V16_INLINE v16 v16_fnma(v16 a, v16 b, v16 c)
{
    V16_EACH(fmaf(-a.lane[i], b.lane[i], c.lane[i]));
}

V16_INLINE v16_mask v16_not_positive(v16 a)
{
    v16_mask mask = 0;
    for (int i = 0; i < 16; i++)
        mask |= (v16_mask)((a.lane[i] <= 0.0f) << i);
    return mask;
}

V16_INLINE v16 v16_scale(v16_mask mask, v16 a, v16 b)
{
    V16_EACH((mask >> i & 1) != 0 ? a.lane[i] * b.lane[i] : a.lane[i]);
}

V16_INLINE uint16_t v16_mask_bits(v16_mask mask)
{
    return mask;
}

V16_INLINE v16_mask v16_mask_of(uint16_t bits)
{
    return bits;
}

/* One of a pair of bfloat16, shifted to the upper half of a float. */
V16_INLINE float v16_half(float pair, int shift)
{
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    bits = bits << shift & 0xffff0000u;
    memcpy(&pair, &bits, sizeof bits);
    return pair;
}

V16_INLINE v16 v16_dot_bf16(v16 sum, v16 a, v16 b)
{
    V16_EACH(fmaf(v16_half(a.lane[i], 16), v16_half(b.lane[i], 16),
                  fmaf(v16_half(a.lane[i], 0), v16_half(b.lane[i], 0), sum.lane[i])));
}

V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    for (int i = 0; i < 16; i++)
        p[i] = jemi_bf16_from_float(a.lane[i]);
}

#endif
