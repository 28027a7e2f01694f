/*
 * Rounding of whole arrays.
 */
#include "kernels/bf16.h"

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(bf16_from_floats);

enum { LANES = JEMI_LANES };

static void convert_run(uint16_t *dst, const float *src, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        v16_store_bf16(dst + i, v16_load(src + i));
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

void JEMI_KERNEL(bf16_from_floats)(uint16_t *dst, const float *src, int64_t count)
{
    pass p = {dst, src};
    jemi_parallel(count, jemi_grain_floats(count, JEMI_WORK_OF_FLOAT), convert_task, &p);
}
