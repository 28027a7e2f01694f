/*
 * One task is one line of the destination. The lines of the image that it looks at are copied with
 * their padding, so that no pixel needs to ask where the image ends; then all taps of a block of 16
 * channels are summed for a few pixels at a time.
 */
#include <assert.h>
#include <string.h>

#include "kernels/parallel.h"
#include "kernels/stem.h"

#if defined(__x86_64__)

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
JEMI_AVX512_INLINE void sum_pixels(int pixels, int channels, int kernel, const lines *from,
                                   const float *weights, const jemi_stem *s, int64_t x,
                                   __m512 sums[PIXELS])
{
    for (int ky = 0; ky < kernel; ky++)
        for (int kx = 0; kx < kernel; kx++)
            for (int c = 0; c < channels; c++) {
                const float *at = from->values[ky][c] + x * s->stride + kx;
                const __m512 w =
                    _mm512_loadu_ps(weights + ((ky * kernel + kx) * channels + c) * LANES);
                for (int p = 0; p < pixels; p++)
                    sums[p] = _mm512_fmadd_ps(_mm512_set1_ps(at[p * s->stride]), w, sums[p]);
            }
}

JEMI_AVX512_INLINE void sum_line(int channels, int kernel, const lines *from, const float *weights,
                                 const jemi_stem *s, const jemi_epilogue *then, int64_t block,
                                 int64_t offset, float *y)
{
    const __m512 bias = jemi_epilogue_bias(then, block);
    for (int64_t x = 0; x < s->dst.w; x += PIXELS) {
        const int64_t left = s->dst.w - x;
        __m512 sums[PIXELS] = {bias, bias, bias, bias};
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
JEMI_AVX512 static void line_of(const lines *from, const float *weights, const jemi_stem *s,
                                const jemi_epilogue *then, int64_t block, int64_t offset, float *y)
{
    if (s->kernel == 3 && s->c == 1)
        sum_line(1, 3, from, weights, s, then, block, offset, y);
    else if (s->kernel == 3 && s->c == 3)
        sum_line(3, 3, from, weights, s, then, block, offset, y);
    else
        sum_line((int)s->c, (int)s->kernel, from, weights, s, then, block, offset, y);
}

void jemi_stem_forward(float *y, const float *images, const float *weights, const jemi_stem *s,
                       const jemi_epilogue *then)
{
    const int64_t blocks = jemi_layout_blocks(&s->dst);
    const int64_t taps = s->kernel * s->kernel * s->c;
    assert(s->w + 2 * s->pad <= WIDTH && s->kernel <= JEMI_STEM_KERNEL);
    JEMI_PARALLEL(for (int64_t i = 0; i < s->dst.n * s->dst.h; i++) {
        const int64_t n = i / s->dst.h, row = i % s->dst.h;
        lines copy;
        copy_lines(&copy, images + n * s->c * s->h * s->w, s, row);
        for (int64_t b = 0; b < blocks; b++)
            line_of(&copy, weights + b * taps * LANES, s, then, b,
                    ((n * blocks + b) * s->dst.h + row) * s->dst.w * LANES, y);
    });
}

#else

void jemi_stem_forward(float *y, const float *images, const float *weights, const jemi_stem *s,
                       const jemi_epilogue *then)
{
    (void)y, (void)images, (void)weights, (void)s, (void)then;
    assert(!"no first convolution for this processor");
}

#endif
