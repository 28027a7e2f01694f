/*
 * Rounding of whole arrays.
 */
#include "kernels/bf16.h"

#include "kernels/parallel.h"

#if defined(__x86_64__)

enum { LANES = JEMI_LANES, RUN = 4096 };

JEMI_AVX512 static void convert_run(uint16_t *dst, const float *src, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        __m256i half;
        __asm__("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(_mm512_loadu_ps(src + i)));
        _mm256_storeu_si256((__m256i *)(dst + i), half);
    }
    for (; i < count; i++)
        dst[i] = jemi_bf16_from_float(src[i]);
}

void jemi_bf16_from_floats(uint16_t *dst, const float *src, int64_t count)
{
    JEMI_PARALLEL_IF(count > 8 * RUN, for (int64_t i = 0; i < count; i += RUN) convert_run(
                                          dst + i, src + i, count - i < RUN ? count - i : RUN););
}

#else

void jemi_bf16_from_floats(uint16_t *dst, const float *src, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        dst[i] = jemi_bf16_from_float(src[i]);
}

#endif
