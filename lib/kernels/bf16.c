/*
 * Rounding of whole arrays.
 */
#include "kernels/bf16.h"

#include "kernels/grain.h"

#if defined(__x86_64__)

enum { LANES = JEMI_LANES };

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

typedef struct pass {
    uint16_t *dst;
    const float *src;
} pass;

static void convert_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const pass *p = context;
    convert_run(p->dst + begin, p->src + begin, end - begin);
}

void jemi_bf16_from_floats(uint16_t *dst, const float *src, int64_t count)
{
    pass p = {dst, src};
    jemi_parallel(count, jemi_grain_floats(count, JEMI_WORK_OF_FLOAT), convert_task, &p);
}

#else

void jemi_bf16_from_floats(uint16_t *dst, const float *src, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        dst[i] = jemi_bf16_from_float(src[i]);
}

#endif
