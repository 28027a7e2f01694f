/*
 * A task is one channel of one row: its elements follow each other in the counter, four to a block
 * of Philox, and lie `block` apart in memory.
 */
#include "kernels/dropout.h"

#include <string.h>

#include "kernels/clones.h"
#include "kernels/parallel.h"

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

void jemi_dropout_mask(uint8_t *kept, const jemi_layout *layout, const jemi_dropout_draw *draw)
{
    const int64_t pixels = layout->h * layout->w, block = layout->block;
    const int64_t row_size = jemi_layout_row(layout);
    if (layout->c % block != 0)
        memset(kept, 0, (size_t)jemi_layout_size(layout));
    JEMI_PARALLEL_IF(
        jemi_layout_size(layout) > 4096, for (int64_t i = 0; i < layout->n * layout->c; i++) {
            const int64_t row = i / layout->c, c = i % layout->c;
            const int64_t at = row * row_size + c / block * block * pixels + c % block;
            mask_channel(kept + at, block, pixels, draw->offset + c * pixels,
                         draw->first_row + (uint32_t)row, draw);
        });
}

JEMI_CLONES
static void apply_run(float *dst, const float *src, const uint8_t *kept, int64_t count, float scale)
{
    for (int64_t i = 0; i < count; i++)
        dst[i] = src[i] * (scale * (float)kept[i]);
}

void jemi_dropout_apply(float *dst, const float *src, const uint8_t *kept, int64_t count,
                        float rate)
{
    enum { RUN = 4096 };
    const float scale = (float)(1.0 / (1.0 - (double)rate));
    const int64_t runs = (count + RUN - 1) / RUN;
    JEMI_PARALLEL_IF(
        count > 16384, for (int64_t i = 0; i < runs; i++) {
            const int64_t at = i * RUN;
            apply_run(dst + at, src + at, kept + at, count - at < RUN ? count - at : RUN, scale);
        });
}
