/*
 * Stride 2 as convolutions without stride. In one dimension, with odd pixels d[i] = x[2i + 1] and even
 * ones e[i] = x[2i],
 *
 *     y[o] = w0 d[o - 1] + w2 d[o] + w1 e[o]
 *
 * a convolution of two taps over the odd phase and one tap over the even one; F(4, 2), points 0, 1,
 * -1, 2 and infinity, takes 5 multiplications for the first. Seen as w1, 0 the second needs no place
 * at infinity: 4. Phases share the places, so they are summed before one output transform. In two
 * dimensions that makes (5 + 4)^2 = 81 multiplications for 4x4 outputs.
 *
 * Backward data is the transpose: dd[i] = w2 dy[i] + w0 dy[i + 1] and de[i] = w1 dy[i], one input
 * transform for the four phases of dx.
 */
#include "kernels/winograd_scheme.h"

#if defined(__x86_64__)

enum { TILE = JEMI_WINOGRAD_TILE, PATCH = 5, LANES = JEMI_LANES };

// Phases by their places: odd pixels take 5, even ones 4.
#define PHASES                                                                                     \
    {                                                                                              \
        {5, 5}, {5, 4}, {4, 5},                                                                    \
        {                                                                                          \
            4, 4                                                                                   \
        }                                                                                          \
    }

static const int lengths[JEMI_WINOGRAD_PHASES][2] = PHASES;

static inline bool is_odd(int length)
{
    return length == PATCH;
}

// ---- weights -----------------------------------------------------------------------------------

// G g for two taps.
static void transform_pair(double g0, double g1, double out[PATCH])
{
    out[0] = g0 / 2.0;
    out[1] = -(g0 + g1) / 2.0;
    out[2] = -(g0 - g1) / 6.0;
    out[3] = (g0 + 2.0 * g1) / 6.0;
    out[4] = g1;
}

static void transform_line(const double w[3], int length, bool flip, double out[PATCH])
{
    if (!is_odd(length))
        transform_pair(w[1], 0.0, out);
    else
        transform_pair(flip ? w[2] : w[0], flip ? w[0] : w[2], out);
}

static float *transform_phase(const float kernel[9], bool flip, int rows, int columns,
                              float *values)
{
    double lines[3][PATCH], out[PATCH][PATCH];
    for (int i = 0; i < 3; i++) {
        const double w[3] = {kernel[3 * i], kernel[3 * i + 1], kernel[3 * i + 2]};
        transform_line(w, columns, flip, lines[i]);
    }
    for (int j = 0; j < columns; j++) {
        const double w[3] = {lines[0][j], lines[1][j], lines[2][j]};
        double column[PATCH];
        transform_line(w, rows, flip, column);
        for (int i = 0; i < rows; i++)
            out[i][j] = column[i];
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            *values++ = (float)out[i][j];
    return values;
}

static void transform_weights(const float kernel[9], bool flip, float *values)
{
    for (int phase = 0; phase < JEMI_WINOGRAD_PHASES; phase++)
        values = transform_phase(kernel, flip, lengths[phase][0], lengths[phase][1], values);
}

// ---- transforms --------------------------------------------------------------------------------

// B^T d in one dimension; the last place only where `length` is 5.
JEMI_AVX512_INLINE void input_1d(int length, const __m512 d[PATCH], __m512 t[PATCH])
{
    const __m512 two = _mm512_set1_ps(2.0f);
    const __m512 d31 = _mm512_sub_ps(d[3], d[1]), d32 = _mm512_sub_ps(d[3], d[2]);
    t[0] = _mm512_fmadd_ps(two, _mm512_sub_ps(d[0], d[2]), d31);
    t[1] = _mm512_fnmadd_ps(two, d[1], d32);
    t[2] = _mm512_fmadd_ps(two, _mm512_sub_ps(d[1], d[2]), d32);
    t[3] = d31;
    if (length == PATCH)
        t[4] = _mm512_fnmadd_ps(two, d31, _mm512_sub_ps(d[4], d[2]));
}

// A^T m in one dimension; m[4] only where `length` is 5.
JEMI_AVX512_INLINE void output_1d(int length, const __m512 m[PATCH], __m512 y[TILE])
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 eight = _mm512_set1_ps(8.0f);
    const __m512 sum = _mm512_add_ps(m[1], m[2]), difference = _mm512_sub_ps(m[1], m[2]);
    y[0] = _mm512_add_ps(m[0], _mm512_add_ps(sum, m[3]));
    y[1] = _mm512_fmadd_ps(two, m[3], difference);
    y[2] = _mm512_fmadd_ps(four, m[3], sum);
    y[3] = _mm512_fmadd_ps(eight, m[3], difference);
    if (length == PATCH)
        y[3] = _mm512_add_ps(y[3], m[4]);
}

// Pixels of a source: (row, column) + (i, j) * step.
typedef struct grid {
    const float *image;
    int64_t h, w, row, column, step;
} grid;

// B^T d B of rows x columns pixels.
JEMI_AVX512_INLINE void transform_patch(int rows, int columns, const grid *g,
                                        __m512 out[PATCH][PATCH])
{
    __m512 t[PATCH][PATCH];
    for (int i = 0; i < rows; i++) {
        __m512 d[PATCH];
        for (int j = 0; j < columns; j++)
            d[j] = jemi_load_pixel(g->image, g->row + i * g->step, g->column + j * g->step, g->h,
                                   g->w);
        input_1d(columns, d, t[i]);
    }
    for (int j = 0; j < columns; j++) {
        __m512 column[PATCH], transformed[PATCH];
        for (int i = 0; i < rows; i++)
            column[i] = t[i][j];
        input_1d(rows, column, transformed);
        for (int i = 0; i < rows; i++)
            out[i][j] = transformed[i];
    }
}

// A^T m A of rows x columns places.
JEMI_AVX512_INLINE void transform_back(int rows, int columns, jemi_tile_places from,
                                       __m512 out[TILE][TILE])
{
    __m512 t[TILE][PATCH];
    for (int j = 0; j < columns; j++) {
        __m512 column[PATCH], transformed[TILE];
        for (int i = 0; i < rows; i++)
            column[i] = _mm512_loadu_ps(from.data + (i * PATCH + j) * from.stride);
        output_1d(rows, column, transformed);
        for (int i = 0; i < TILE; i++)
            t[i][j] = transformed[i];
    }
    for (int i = 0; i < TILE; i++)
        output_1d(columns, t[i], out[i]);
}

// Stores a tile's outputs at (row, column) + (i, j) * step, as far as they lie inside.
JEMI_AVX512_INLINE void finish_tile(const jemi_winograd *c, __m512 out[TILE][TILE],
                                    const jemi_tile *at, int64_t block, const grid *g, float *y)
{
    const __m512 bias = jemi_epilogue_bias(&c->then, block);
    const int64_t plane = (at->image * (c->out / LANES) + block) * c->dst_h * c->dst_w;
    for (int i = 0; i < TILE && g->row + i * g->step < c->dst_h; i++)
        for (int j = 0; j < TILE && g->column + j * g->step < c->dst_w; j++)
            jemi_epilogue_finish(
                &c->then, _mm512_add_ps(out[i][j], bias),
                (plane + (g->row + i * g->step) * c->dst_w + g->column + j * g->step) * LANES, y);
}

JEMI_AVX512_INLINE void store_places(int rows, int columns, __m512 values[PATCH][PATCH],
                                     jemi_tile_places to)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            _mm512_storeu_ps(to.data + (i * PATCH + j) * to.stride, values[i][j]);
}

static inline const float *image_of(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                    int64_t block)
{
    return x + (at->image * (c->in / LANES) + block) * c->src_h * c->src_w * LANES;
}

// ---- forward -----------------------------------------------------------------------------------

JEMI_AVX512_INLINE void phase_input(int rows, int columns, const jemi_winograd *c,
                                    const float *image, const jemi_tile *at, jemi_tile_places to)
{
    // The odd phase starts one pixel early: d[o - 1].
    const grid g = {
        image, c->src_h, c->src_w, 2 * at->row - is_odd(rows), 2 * at->column - is_odd(columns), 2};
    __m512 out[PATCH][PATCH];
    transform_patch(rows, columns, &g, out);
    store_places(rows, columns, out, to);
}

JEMI_AVX512 static void forward_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                      int64_t block, int phase, jemi_tile_places to)
{
    const float *image = image_of(c, x, at, block);
    switch (phase) {
    case 0:
        phase_input(5, 5, c, image, at, to);
        break;
    case 1:
        phase_input(5, 4, c, image, at, to);
        break;
    case 2:
        phase_input(4, 5, c, image, at, to);
        break;
    default:
        phase_input(4, 4, c, image, at, to);
    }
}

JEMI_AVX512 static void forward_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                                       const jemi_tile *at, int64_t block, float *y)
{
    (void)phase;
    const grid g = {.row = at->row, .column = at->column, .step = 1};
    __m512 out[TILE][TILE];
    transform_back(PATCH, PATCH, from, out);
    finish_tile(c, out, at, block, &g, y);
}

// ---- backward data -----------------------------------------------------------------------------

JEMI_AVX512 static void backward_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                       int64_t block, int phase, jemi_tile_places to)
{
    (void)phase;
    const grid g = {image_of(c, x, at, block), c->src_h, c->src_w, at->row, at->column, 1};
    __m512 out[PATCH][PATCH];
    transform_patch(PATCH, PATCH, &g, out);
    store_places(PATCH, PATCH, out, to);
}

JEMI_AVX512_INLINE void phase_output(int rows, int columns, const jemi_winograd *c,
                                     jemi_tile_places from, const jemi_tile *at, int64_t block,
                                     float *y)
{
    const grid g = {
        .row = 2 * at->row + is_odd(rows), .column = 2 * at->column + is_odd(columns), .step = 2};
    __m512 out[TILE][TILE];
    transform_back(rows, columns, from, out);
    finish_tile(c, out, at, block, &g, y);
}

JEMI_AVX512 static void backward_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                                        const jemi_tile *at, int64_t block, float *y)
{
    switch (phase) {
    case 0:
        phase_output(5, 5, c, from, at, block, y);
        break;
    case 1:
        phase_output(5, 4, c, from, at, block, y);
        break;
    case 2:
        phase_output(4, 5, c, from, at, block, y);
        break;
    default:
        phase_output(4, 4, c, from, at, block, y);
    }
}

const jemi_winograd_scheme jemi_winograd_stride2 = {
    PATCH, JEMI_WINOGRAD_PHASES, 1, PHASES, transform_weights, forward_input, forward_output,
};

const jemi_winograd_scheme jemi_winograd_stride2_backward = {
    PATCH, 1, JEMI_WINOGRAD_PHASES, PHASES, transform_weights, backward_input, backward_output,
};

#endif
