/*
 * A task is one channel of one row: its elements follow each other in the counter, four to a block
 * of Philox, and lie `block` apart in memory.
 */
#include "kernels/dropout.h"

#include <string.h>

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(dropout_mask);
JEMI_KERNEL_DECLARE(dropout_apply);

static void mask_channel(uint8_t *kept, int64_t stride, int64_t pixels, int64_t first, uint32_t row,
                         const jemi_dropout_draw *draw)
{
    uint32_t bits[4];
    for (int64_t p = 0; p < pixels; p++) {
        const int64_t element = first + p;
        if (p == 0 || element % 4 == 0)
            jemi_random_u32x4(draw->key, (uint32_t)(element / 4), row, draw->step, bits);
        kept[p * stride] = jemi_unit_from_u32(bits[element % 4]) >= draw->rate;
    }
}

typedef struct masks {
    uint8_t *kept;
    const jemi_layout *layout;
    const jemi_dropout_draw *draw;
} masks;

static void mask_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const masks *m = context;
    const jemi_layout *layout = m->layout;
    const int64_t pixels = layout->h * layout->w, block = layout->block;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i / layout->c, c = i % layout->c;
        const int64_t at = row * jemi_layout_row(layout) + c / block * block * pixels + c % block;
        mask_channel(m->kept + at, block, pixels, m->draw->offset + c * pixels,
                     m->draw->first_row + (uint32_t)row, m->draw);
    }
}

void JEMI_KERNEL(dropout_mask)(uint8_t *kept, const jemi_layout *layout,
                               const jemi_dropout_draw *draw)
{
    const int64_t channels = layout->n * layout->c;
    if (layout->c % layout->block != 0)
        memset(kept, 0, (size_t)jemi_layout_size(layout));
    masks m = {kept, layout, draw};
    jemi_parallel(channels, jemi_grain(channels, layout->h * layout->w * JEMI_WORK_OF_NORMAL),
                  mask_task, &m);
}

static void apply_run(float *dst, const float *src, const uint8_t *kept, int64_t count, float scale)
{
    for (int64_t i = 0; i < count; i++)
        dst[i] = src[i] * (scale * (float)kept[i]);
}

typedef struct application {
    float *dst;
    const float *src;
    const uint8_t *kept;
    float scale;
} application;

static void apply_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const application *a = context;
    apply_run(a->dst + begin, a->src + begin, a->kept + begin, end - begin, a->scale);
}

void JEMI_KERNEL(dropout_apply)(float *dst, const float *src, const uint8_t *kept, int64_t count,
                                float rate)
{
    application a = {dst, src, kept, (float)(1.0 / (1.0 - (double)rate))};
    jemi_parallel(count, jemi_grain_floats(count, JEMI_WORK_OF_FLOAT), apply_task, &a);
}
