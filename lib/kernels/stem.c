/*
 * Packing, and the input gradient. There one task is one image line: tiles of 16 pixels, per pixel
 * one vector accumulator for each image channel, then a tree that sums the 16 lanes of 16 pixels at
 * once. The order of all additions is fixed by the shape alone.
 */
#include "kernels/stem.h"

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(stem_pack);
JEMI_KERNEL_DECLARE(stem_transposed);

#define INLINE static inline __attribute__((always_inline))

enum { LANES = JEMI_STEM_BLOCK, TILE = LANES };

typedef struct taps {
    int64_t begin, end; // kernel positions that fall on the output
} taps;

// Input position p meets output position p + pad - k for 0 <= that < size.
INLINE taps taps_of(int64_t p, const jemi_stem *s, int64_t size)
{
    const int64_t begin = p + s->pad - size + 1;
    const int64_t end = p + s->pad + 1;
    return (taps){begin > 0 ? begin : 0, end < s->kernel ? end : s->kernel};
}

// The sums of one pixel, for `channels` image channels, still by lane.
INLINE void pixel_sums(float (*tile)[TILE * LANES], int64_t place, const float *image,
                       const float *weights, const jemi_stem *s, int64_t y, int64_t x,
                       int64_t channels)
{
    const jemi_layout *out = &s->dst;
    const taps rows = taps_of(y, s, out->h);
    const taps columns = taps_of(x, s, out->w);
    v16 sum[JEMI_STEM_CHANNELS];
    for (int64_t c = 0; c < channels; c++)
        sum[c] = v16_zero();
    for (int64_t block = 0; block < jemi_layout_blocks(out); block++)
        for (int64_t ky = rows.begin; ky < rows.end; ky++)
            for (int64_t kx = columns.begin; kx < columns.end; kx++) {
                const int64_t from = (block * out->h + y + s->pad - ky) * out->w + x + s->pad - kx;
                const int64_t tap = ((block * s->kernel + ky) * s->kernel + kx) * channels;
                const v16 diff = v16_load(image + from * LANES);
                for (int64_t c = 0; c < channels; c++)
                    sum[c] = v16_add(sum[c], v16_mul(diff, v16_load(weights + (tap + c) * LANES)));
            }
    for (int64_t c = 0; c < channels; c++)
        v16_store(tile[c] + place * LANES, sum[c]);
}

INLINE void add_neighbours(float *restrict out, const float *restrict in, int64_t width)
{
    for (int64_t i = 0; i < width; i++)
        out[i] = in[2 * i] + in[2 * i + 1];
}

// [TILE][LANES] becomes [TILE] sums over the lanes, at the beginning of `tile`.
INLINE void sum_lanes(float *tile)
{
    float half[TILE * LANES / 2];
    add_neighbours(half, tile, TILE * LANES / 2);
    add_neighbours(tile, half, TILE * LANES / 4);
    add_neighbours(half, tile, TILE * LANES / 8);
    add_neighbours(tile, half, TILE);
}

INLINE void line_transposed(float *line, const float *image, const float *weights,
                            const jemi_stem *s, int64_t y, int64_t channels)
{
    float tile[JEMI_STEM_CHANNELS][TILE * LANES];
    for (int64_t begin = 0; begin < s->w; begin += TILE) {
        const int64_t count = s->w - begin < TILE ? s->w - begin : TILE;
        for (int64_t i = 0; i < count; i++)
            pixel_sums(tile, i, image, weights, s, y, begin + i, channels);
        for (int64_t c = 0; c < channels; c++) {
            for (int64_t i = count * LANES; i < TILE * LANES; i++)
                tile[c][i] = 0.0f;
            sum_lanes(tile[c]);
            for (int64_t i = 0; i < count; i++)
                line[c * s->h * s->w + begin + i] = tile[c][i];
        }
    }
}

// The number of channels as a constant, so that the sums stay in registers.
static void line_of(float *line, const float *image, const float *weights, const jemi_stem *s,
                    int64_t y)
{
    switch (s->c) {
    case 1:
        line_transposed(line, image, weights, s, y, 1);
        break;
    case 2:
        line_transposed(line, image, weights, s, y, 2);
        break;
    case 3:
        line_transposed(line, image, weights, s, y, 3);
        break;
    default:
        line_transposed(line, image, weights, s, y, 4);
    }
}

static int64_t blocks_of(int64_t out)
{
    return (out + LANES - 1) / LANES;
}

void JEMI_KERNEL(stem_pack)(float *packed, const float *weights, int64_t out, int64_t c,
                            int64_t kernel)
{
    const int64_t places = kernel * kernel;
    for (int64_t o = 0; o < blocks_of(out) * LANES; o++)
        for (int64_t place = 0; place < places; place++)
            for (int64_t i = 0; i < c; i++)
                packed[((o / LANES * places + place) * c + i) * LANES + o % LANES] =
                    o < out ? weights[(o * c + i) * places + place] : 0.0f;
}

typedef struct transposed_lines {
    float *diff_src;
    const float *diff_dst, *weights;
    const jemi_stem *stem;
} transposed_lines;

static void transposed_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const transposed_lines *l = context;
    const jemi_stem *s = l->stem;
    const int64_t image = jemi_layout_row(&s->dst), row = s->c * s->h * s->w;
    for (int64_t i = begin; i < end; i++) {
        const int64_t n = i / s->h, y = i % s->h;
        line_of(l->diff_src + n * row + y * s->w, l->diff_dst + n * image, l->weights, s, y);
    }
}

void JEMI_KERNEL(stem_transposed)(float *diff_src, const float *diff_dst, const float *weights,
                                  const jemi_stem *stem)
{
    transposed_lines l = {diff_src, diff_dst, weights, stem};
    const int64_t count = stem->dst.n * stem->h;
    const int64_t work = stem->w * jemi_stem_weights_count(stem->dst.c, stem->c, stem->kernel);
    jemi_parallel(count, jemi_grain(count, work), transposed_task, &l);
}
