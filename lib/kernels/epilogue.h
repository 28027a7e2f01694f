/*
 * What stands between two convolutions of a network and is done while a value is still in
 * registers:
 *
 *     y += bias;  y = mask > 0 ? y : slope * y;  y += add;  y = y > 0 ? y : slope * y
 *
 * each part optional. The mask is the leaky ReLU's derivative in a backward pass, the last part is
 * the leaky ReLU itself in a forward pass, which may keep the signs that a mask can be.
 */
#ifndef JEMI_KERNELS_EPILOGUE_H
#define JEMI_KERNELS_EPILOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kept.h"

typedef struct jemi_epilogue {
    const float *bias; /* (channels), NULL = none */
    int64_t channels;  /* of the bias: lanes beyond get none */
    jemi_kept mask;    /* of a tensor like y */
    const float *add;  /* a tensor like y, may be y itself; NULL = none */
    bool act;
    float slope;     /* >= 0 */
    uint16_t *signs; /* Out. With act: those of y, see kept.h; NULL = none */
} jemi_epilogue;

/** dst = src after the epilogue less its bias; `count` a multiple of 16. Serial. AVX-512 only. */
void jemi_epilogue_alone(float *dst, const float *src, int64_t count, const jemi_epilogue *then);

#if defined(__x86_64__)

#include <immintrin.h>

enum { JEMI_LANES = 16 };

#define JEMI_AVX512        __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define JEMI_AVX512_INLINE JEMI_AVX512 static inline __attribute__((always_inline))

static inline bool jemi_avx512_available(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/** The biases of one block of 16 channels. */
JEMI_AVX512_INLINE __m512 jemi_epilogue_bias(const jemi_epilogue *e, int64_t block)
{
    if (e->bias == NULL)
        return _mm512_setzero_ps();
    const int64_t left = e->channels - block * JEMI_LANES;
    const __mmask16 lanes = left >= JEMI_LANES ? 0xffff : (__mmask16)((1u << left) - 1);
    return _mm512_maskz_loadu_ps(lanes, e->bias + block * JEMI_LANES);
}

/** Which of the 16 values at `offset` are <= 0? Not NaN: what it scales is NaN as well. */
JEMI_AVX512_INLINE __mmask16 jemi_kept_mask(const jemi_kept *kept, int64_t offset)
{
    if (kept->signs != NULL)
        return kept->signs[offset / JEMI_SIGNS];
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(kept->values + offset), _mm512_setzero_ps(),
                              _CMP_LE_OQ);
}

/** The rest of it, and the store to y + offset, a multiple of 16. */
JEMI_AVX512_INLINE void jemi_epilogue_finish(const jemi_epilogue *e, __m512 value, int64_t offset,
                                             float *y)
{
    const __m512 slope = _mm512_set1_ps(e->slope);
    if (jemi_kept_any(&e->mask))
        value = _mm512_mask_mul_ps(value, jemi_kept_mask(&e->mask, offset), value, slope);
    if (e->add != NULL)
        value = _mm512_add_ps(value, _mm512_loadu_ps(e->add + offset));
    if (e->act) {
        // Scaling keeps the sign: it is that of the outcome too.
        const __mmask16 signs = _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_LE_OQ);
        value = _mm512_mask_mul_ps(value, signs, value, slope);
        if (e->signs != NULL)
            e->signs[offset / JEMI_SIGNS] = signs;
    }
    _mm512_storeu_ps(y + offset, value);
}

#else

static inline bool jemi_avx512_available(void)
{
    return false;
}

#endif
#endif
