/*
 * Forward and weights' gradient. Line by line of the destination, the lines of the image that it
 * looks at are copied with their padding, so that no pixel needs to ask where the image ends; then
 * all taps of a block of 16 channels are summed, forward for a few pixels at a time.
 */
#include <assert.h>
#include <string.h>

#include "kernels/epilogue_v16.h"
#include "kernels/grain.h"
#include "kernels/stem.h"

JEMI_KERNEL_DECLARE(stem_forward);
JEMI_KERNEL_DECLARE(stem_weights_workspace);
JEMI_KERNEL_DECLARE(stem_weights);

enum { LANES = JEMI_LANES, PIXELS = 4, WIDTH = 1024 + 2 };

// Image lines of one destination line: [kernel y][c][width + 2 pad].
typedef struct lines {
    float values[JEMI_STEM_KERNEL][JEMI_STEM_CHANNELS][WIDTH];
} lines;

static void copy_lines(lines *to, const float *image, const jemi_stem *s, int64_t y)
{
    for (int64_t ky = 0; ky < s->kernel; ky++) {
        const int64_t row = y * s->stride + ky - s->pad;
        for (int64_t c = 0; c < s->c; c++) {
            float *line = to->values[ky][c];
            memset(line, 0, (size_t)(s->w + 2 * s->pad) * sizeof *line);
            if (row >= 0 && row < s->h)
                memcpy(line + s->pad, image + (c * s->h + row) * s->w, (size_t)s->w * sizeof *line);
        }
    }
}

// Pixels x .. x + pixels - 1 of one block; the counts are constants where this is inlined.
V16_INLINE void sum_pixels(int pixels, int channels, int kernel, const lines *from,
                           const float *weights, const jemi_stem *s, int64_t x, v16 sums[PIXELS])
{
    for (int ky = 0; ky < kernel; ky++)
        for (int kx = 0; kx < kernel; kx++)
            for (int c = 0; c < channels; c++) {
                const float *at = from->values[ky][c] + x * s->stride + kx;
                const v16 w = v16_load(weights + ((ky * kernel + kx) * channels + c) * LANES);
                for (int p = 0; p < pixels; p++)
                    sums[p] = v16_fma(v16_set1(at[p * s->stride]), w, sums[p]);
            }
}

V16_INLINE void sum_line(int channels, int kernel, const lines *from, const float *weights,
                         const jemi_stem *s, const jemi_epilogue *then, int64_t block,
                         int64_t offset, float *y)
{
    const v16 bias = jemi_epilogue_bias(then, block);
    for (int64_t x = 0; x < s->dst.w; x += PIXELS) {
        const int64_t left = s->dst.w - x;
        v16 sums[PIXELS] = {bias, bias, bias, bias};
        if (left >= PIXELS)
            sum_pixels(PIXELS, channels, kernel, from, weights, s, x, sums);
        else
            for (int p = 0; p < left; p++)
                sum_pixels(1, channels, kernel, from, weights, s, x + p, sums + p);
        for (int p = 0; p < PIXELS && p < left; p++)
            jemi_epilogue_finish(then, sums[p], offset + (x + p) * LANES, y);
    }
}

// Usual sizes as constants, so that all weights of a block stay in registers.
static void line_of(const lines *from, const float *weights, const jemi_stem *s,
                    const jemi_epilogue *then, int64_t block, int64_t offset, float *y)
{
    if (s->kernel == 3 && s->c == 1)
        sum_line(1, 3, from, weights, s, then, block, offset, y);
    else if (s->kernel == 3 && s->c == 3)
        sum_line(3, 3, from, weights, s, then, block, offset, y);
    else
        sum_line((int)s->c, (int)s->kernel, from, weights, s, then, block, offset, y);
}

typedef struct forward_lines {
    float *y;
    const float *images, *weights;
    const jemi_stem *stem;
    const jemi_epilogue *then;
} forward_lines;

static void forward_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const forward_lines *l = context;
    const jemi_stem *s = l->stem;
    const int64_t blocks = jemi_layout_blocks(&s->dst), taps = s->kernel * s->kernel * s->c;
    for (int64_t i = begin; i < end; i++) {
        const int64_t n = i / s->dst.h, row = i % s->dst.h;
        lines copy;
        copy_lines(&copy, l->images + n * s->c * s->h * s->w, s, row);
        for (int64_t b = 0; b < blocks; b++)
            line_of(&copy, l->weights + b * taps * LANES, s, l->then, b,
                    ((n * blocks + b) * s->dst.h + row) * s->dst.w * LANES, l->y);
    }
}

// Multiply-adds of one line of the destination.
static int64_t work_of_line(const jemi_stem *s)
{
    return s->dst.w * jemi_stem_weights_count(s->dst.c, s->c, s->kernel);
}

void JEMI_KERNEL(stem_forward)(float *y, const float *images, const float *weights,
                               const jemi_stem *s, const jemi_epilogue *then)
{
    assert(s->w + 2 * s->pad <= WIDTH && s->kernel <= JEMI_STEM_KERNEL);
    forward_lines l = {y, images, weights, s, then};
    const int64_t count = s->dst.n * s->dst.h;
    jemi_parallel(count, jemi_grain(count, work_of_line(s)), forward_task, &l);
}

// ---- gradient of the weights -------------------------------------------------------------------

enum { TAPS = JEMI_STEM_KERNEL * JEMI_STEM_KERNEL * JEMI_STEM_CHANNELS };

static int64_t taps_of(const jemi_stem *s)
{
    return s->kernel * s->kernel * s->c;
}

// Adds a line's products to the sums of all taps; the counts are constants where this is inlined.
V16_INLINE void sum_products(int channels, int kernel, const lines *from, const float *dy,
                             const jemi_stem *s, v16 sums[TAPS])
{
    for (int64_t x = 0; x < s->dst.w; x++) {
        const v16 gradient = v16_load(dy + x * LANES);
        for (int ky = 0; ky < kernel; ky++)
            for (int kx = 0; kx < kernel; kx++)
                for (int c = 0; c < channels; c++) {
                    const float value = from->values[ky][c][x * s->stride + kx];
                    v16 *sum = &sums[(ky * kernel + kx) * channels + c];
                    *sum = v16_fma(v16_set1(value), gradient, *sum);
                }
    }
}

V16_INLINE void sum_image(int channels, int kernel, const jemi_stem *s, const float *image,
                          const float *dy, float *to)
{
    v16 sums[TAPS];
    lines copy;
    for (int t = 0; t < kernel * kernel * channels; t++)
        sums[t] = v16_zero();
    for (int64_t y = 0; y < s->dst.h; y++) {
        copy_lines(&copy, image, s, y);
        sum_products(channels, kernel, &copy, dy + y * s->dst.w * LANES, s, sums);
    }
    for (int t = 0; t < kernel * kernel * channels; t++)
        v16_store(to + t * LANES, sums[t]);
}

static void image_of(const jemi_stem *s, const float *image, const float *dy, float *to)
{
    if (s->kernel == 3 && s->c == 1)
        sum_image(1, 3, s, image, dy, to);
    else if (s->kernel == 3 && s->c == 3)
        sum_image(3, 3, s, image, dy, to);
    else
        sum_image((int)s->c, (int)s->kernel, s, image, dy, to);
}

// The sum over images of one block's taps, to (out, c, kernel, kernel).
static void gather_block(const jemi_stem *s, const float *sums, int64_t block, float *dw)
{
    const int64_t blocks = jemi_layout_blocks(&s->dst), taps = taps_of(s);
    const int64_t left = s->dst.c - block * LANES;
    for (int64_t t = 0; t < taps; t++)
        for (int64_t lane = 0; lane < LANES && lane < left; lane++) {
            double sum = 0.0;
            for (int64_t n = 0; n < s->dst.n; n++)
                sum += sums[((n * blocks + block) * taps + t) * LANES + lane];
            const int64_t c = t % s->c, place = t / s->c;
            dw[((block * LANES + lane) * s->c + c) * s->kernel * s->kernel + place] = (float)sum;
        }
}

int64_t JEMI_KERNEL(stem_weights_workspace)(const jemi_stem *s)
{
    return s->dst.n * jemi_layout_blocks(&s->dst) * taps_of(s) * LANES;
}

typedef struct weights_sums {
    float *dw;
    const float *images, *dy;
    const jemi_stem *stem;
    float *sums; // (image, block, tap, 16)
} weights_sums;

static void sum_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const weights_sums *w = context;
    const jemi_stem *s = w->stem;
    const int64_t blocks = jemi_layout_blocks(&s->dst);
    for (int64_t i = begin; i < end; i++)
        image_of(s, w->images + i / blocks * s->c * s->h * s->w,
                 w->dy + i * s->dst.h * s->dst.w * LANES, w->sums + i * taps_of(s) * LANES);
}

static void gather_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const weights_sums *w = context;
    for (int64_t b = begin; b < end; b++)
        gather_block(w->stem, w->sums, b, w->dw);
}

void JEMI_KERNEL(stem_weights)(float *dw, const float *images, const float *dy, const jemi_stem *s,
                               float *workspace)
{
    weights_sums w = {dw, images, dy, s, workspace};
    const int64_t blocks = jemi_layout_blocks(&s->dst), items = s->dst.n * blocks;
    const int64_t work = s->dst.h * s->dst.w * taps_of(s) * LANES;
    jemi_parallel(items, jemi_grain(items, work), sum_task, &w);
    jemi_parallel(blocks, jemi_grain(blocks, s->dst.n * taps_of(s) * LANES * JEMI_WORK_OF_FLOAT),
                  gather_task, &w);
}
