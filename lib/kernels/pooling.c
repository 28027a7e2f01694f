/*
 * Average pooling on any layout. A task is one channel block of one row; its window sums run in
 * pixel order, so the bits depend on nothing but the block's own values.
 */
#include "kernels/pooling.h"

#include <string.h>

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(avgpool_forward);
JEMI_KERNEL_DECLARE(avgpool_transposed);
JEMI_KERNEL_DECLARE(act_gradient_run);

// A channel block of one row, in both layouts.
typedef struct plane {
    int64_t src_offset, dst_offset;
    int64_t lanes; // of dst: fewer than the block where dst has no padding
} plane;

static plane plane_of(const jemi_pooling *pooling, int64_t row, int64_t block)
{
    const jemi_layout *src = &pooling->src;
    const int64_t first = block * src->block;
    const int64_t left = src->c - first;
    const bool packed = pooling->dst.block != src->block;
    const int64_t dst_start = first * pooling->dst.h * pooling->dst.w;
    return (plane){
        .src_offset = row * jemi_layout_row(src) + first * src->h * src->w,
        .dst_offset = row * jemi_layout_row(&pooling->dst) + dst_start,
        .lanes = packed && left < src->block ? left : src->block,
    };
}

#define INLINE static inline __attribute__((always_inline))

enum { LANES = JEMI_LANES }; // handled at once, in registers when the count is this constant

// out[lane] = mean over a window that begins at `src`.
INLINE void mean(float *restrict out, const float *restrict src, const jemi_pooling *p,
                 int64_t count)
{
    const float scale = 1.0f / (float)(p->window_h * p->window_w);
    const int64_t block = p->src.block;
    const int64_t line = p->src.w * block;
    float sum[LANES] = {0};
    for (int64_t y = 0; y < p->window_h; y++)
        for (int64_t x = 0; x < p->window_w; x++)
            for (int64_t lane = 0; lane < count; lane++)
                sum[lane] += src[y * line + x * block + lane];
    for (int64_t lane = 0; lane < count; lane++)
        out[lane] = sum[lane] * scale;
}

// line[pixel][lane] = scaled diff, `window_w` times.
INLINE void spread(float *restrict line, const float *restrict diff, const jemi_pooling *p,
                   int64_t count)
{
    const float scale = 1.0f / (float)(p->window_h * p->window_w);
    float value[LANES] = {0};
    for (int64_t lane = 0; lane < count; lane++)
        value[lane] = diff[lane] * scale;
    for (int64_t x = 0; x < p->window_w; x++)
        for (int64_t lane = 0; lane < count; lane++)
            line[x * p->src.block + lane] = value[lane];
}

static void forward_line(float *dst, const float *src, const jemi_pooling *p, int64_t lanes)
{
    for (int64_t x = 0; x < p->dst.w; x++)
        for (int64_t lane = 0; lane < lanes; lane += LANES) {
            float *out = dst + x * lanes + lane;
            const float *window = src + x * p->window_w * p->src.block + lane;
            if (lanes - lane >= LANES)
                mean(out, window, p, LANES);
            else
                mean(out, window, p, lanes - lane);
        }
}

static void transposed_line(float *dst, const float *diff, const jemi_pooling *p, int64_t lanes)
{
    for (int64_t x = 0; x < p->dst.w; x++)
        for (int64_t lane = 0; lane < lanes; lane += LANES) {
            float *window = dst + x * p->window_w * p->src.block + lane;
            if (lanes - lane >= LANES)
                spread(window, diff + x * lanes + lane, p, LANES);
            else
                spread(window, diff + x * lanes + lane, p, lanes - lane);
        }
}

static void plane_forward(float *dst, const float *src, const jemi_pooling *p, int64_t lanes)
{
    const int64_t window_lines = p->window_h * p->src.w * p->src.block;
    for (int64_t y = 0; y < p->dst.h; y++)
        forward_line(dst + y * p->dst.w * lanes, src + y * window_lines, p, lanes);
}

static void plane_transposed(float *diff_src, const float *diff_dst, const jemi_kept *kept,
                             jemi_activation activation, const jemi_pooling *p, int64_t lanes)
{
    const int64_t line = p->src.w * p->src.block;
    const bool covers = lanes == p->src.block && p->dst.w * p->window_w == p->src.w;
    for (int64_t y = 0; y < p->src.h; y++) {
        float *out = diff_src + y * line;
        const int64_t pooled = y / p->window_h;
        if (!covers || pooled >= p->dst.h)
            memset(out, 0, (size_t)line * sizeof *out);
        if (pooled < p->dst.h)
            transposed_line(out, diff_dst + pooled * p->dst.w * lanes, p, lanes);
        if (jemi_kept_any(kept))
            JEMI_KERNEL(act_gradient_run)
            (out, out, jemi_kept_from(kept, y * line), line, activation);
    }
}

typedef struct images {
    const jemi_pooling *pooling;
    float *dst;
    const float *src;
    jemi_kept kept;
    jemi_activation activation;
} images;

static void forward_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const images *a = context;
    const int64_t blocks = jemi_layout_blocks(&a->pooling->src);
    for (int64_t i = begin; i < end; i++) {
        const plane at = plane_of(a->pooling, i / blocks, i % blocks);
        plane_forward(a->dst + at.dst_offset, a->src + at.src_offset, a->pooling, at.lanes);
    }
}

static void transposed_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const images *a = context;
    const int64_t blocks = jemi_layout_blocks(&a->pooling->src);
    for (int64_t i = begin; i < end; i++) {
        const plane at = plane_of(a->pooling, i / blocks, i % blocks);
        const jemi_kept here = jemi_kept_from(&a->kept, at.src_offset);
        plane_transposed(a->dst + at.src_offset, a->src + at.dst_offset, &here, a->activation,
                         a->pooling, at.lanes);
    }
}

// Over the channel blocks of all rows.
static void share(jemi_task task, images *a)
{
    const jemi_layout *src = &a->pooling->src;
    const int64_t planes = src->n * jemi_layout_blocks(src);
    const int64_t floats = src->h * src->w * src->block;
    jemi_parallel(planes, jemi_grain(planes, floats * JEMI_WORK_OF_FLOAT), task, a);
}

void JEMI_KERNEL(avgpool_forward)(float *dst, const float *src, const jemi_pooling *pooling)
{
    images a = {.pooling = pooling, .dst = dst, .src = src};
    share(forward_task, &a);
}

void JEMI_KERNEL(avgpool_transposed)(float *diff_src, const float *diff_dst, jemi_kept kept,
                                     jemi_activation activation, const jemi_pooling *pooling)
{
    images a = {pooling, diff_src, diff_dst, kept, activation};
    share(transposed_task, &a);
}
