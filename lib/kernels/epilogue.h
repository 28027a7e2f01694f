/*
 * What stands between two convolutions of a network and is done while a value is still in
 * registers:
 *
 *     y += bias;  y = mask > 0 ? y : slope * y;  y += add;  y = y > 0 ? y : slope * y
 *
 * each part optional. The mask is the leaky ReLU's derivative in a backward pass, the last part is
 * the leaky ReLU itself in a forward pass.
 */
#ifndef JEMI_KERNELS_EPILOGUE_H
#define JEMI_KERNELS_EPILOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct jemi_epilogue {
    const float *bias; /* (channels), NULL = none */
    int64_t channels;  /* of the bias: lanes beyond get none */
    const float *mask; /* a tensor like y, NULL = none */
    const float *add;  /* a tensor like y, may be y itself; NULL = none */
    bool act;
    float slope;
} jemi_epilogue;

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

/** The rest of it, and the store to y + offset. */
JEMI_AVX512_INLINE void jemi_epilogue_finish(const jemi_epilogue *e, __m512 value, int64_t offset,
                                             float *y)
{
    const __m512 slope = _mm512_set1_ps(e->slope), zero = _mm512_setzero_ps();
    if (e->mask != NULL) {
        const __m512 reference = _mm512_loadu_ps(e->mask + offset);
        value = _mm512_mask_mul_ps(value, _mm512_cmp_ps_mask(reference, zero, _CMP_LE_OQ), value,
                                   slope);
    }
    if (e->add != NULL)
        value = _mm512_add_ps(value, _mm512_loadu_ps(e->add + offset));
    if (e->act)
        value =
            _mm512_mask_mul_ps(value, _mm512_cmp_ps_mask(value, zero, _CMP_LE_OQ), value, slope);
    _mm512_storeu_ps(y + offset, value);
}

#else

static inline bool jemi_avx512_available(void)
{
    return false;
}

#endif
#endif
