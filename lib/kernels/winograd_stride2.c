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

static inline bool is_odd(int length)
{
    return length == PATCH;
}

// ---- weights -----------------------------------------------------------------------------------

// G g in one dimension, of the taps w that the phase has.
JEMI_AVX512_INLINE void weights_1d(int length, bool flip, const __m512 w[3], __m512 u[PATCH])
{
    const __m512 half = _mm512_set1_ps(0.5f), sixth = _mm512_set1_ps(1.0f / 6.0f);
    const __m512 g0 = is_odd(length) ? (flip ? w[2] : w[0]) : w[1];
    const __m512 g1 = is_odd(length) ? (flip ? w[0] : w[2]) : _mm512_setzero_ps();
    u[0] = _mm512_mul_ps(half, g0);
    u[1] = _mm512_mul_ps(_mm512_set1_ps(-0.5f), _mm512_add_ps(g0, g1));
    u[2] = _mm512_mul_ps(sixth, _mm512_sub_ps(g1, g0));
    u[3] = _mm512_mul_ps(sixth, _mm512_fmadd_ps(_mm512_set1_ps(2.0f), g1, g0));
    u[4] = g1;
}

JEMI_AVX512_INLINE void transform_phase(int rows, int columns, float kernels[9][16], bool flip,
                                        float *values, int64_t stride)
{
    __m512 lines[3][PATCH];
    for (int i = 0; i < 3; i++) {
        __m512 w[3];
        for (int j = 0; j < 3; j++)
            w[j] = _mm512_loadu_ps(kernels[3 * i + j]);
        weights_1d(columns, flip, w, lines[i]);
    }
    for (int j = 0; j < columns; j++) {
        const __m512 w[3] = {lines[0][j], lines[1][j], lines[2][j]};
        __m512 column[PATCH];
        weights_1d(rows, flip, w, column);
        for (int i = 0; i < rows; i++)
            _mm512_storeu_ps(values + (i * columns + j) * stride, column[i]);
    }
}

JEMI_AVX512 static void transform_weights(float kernels[9][16], bool flip, float *values,
                                          int64_t stride)
{
    transform_phase(5, 5, kernels, flip, values, stride);
    transform_phase(5, 4, kernels, flip, values + 25 * stride, stride);
    transform_phase(4, 5, kernels, flip, values + 45 * stride, stride);
    transform_phase(4, 4, kernels, flip, values + 65 * stride, stride);
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

// ---- gradient of the weights -------------------------------------------------------------------

// A y in one dimension.
JEMI_AVX512_INLINE void gradient_1d(const __m512 y[TILE], __m512 m[PATCH])
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 even = _mm512_add_ps(y[0], y[2]), odd = _mm512_add_ps(y[1], y[3]);
    const __m512 odd2 = _mm512_mul_ps(two, _mm512_fmadd_ps(four, y[3], y[1]));
    m[0] = y[0];
    m[1] = _mm512_add_ps(even, odd);
    m[2] = _mm512_sub_ps(even, odd);
    m[3] = _mm512_add_ps(_mm512_fmadd_ps(four, y[2], y[0]), odd2);
    m[4] = y[3];
}

JEMI_AVX512 static void transform_gradient(const jemi_winograd *c, const float *dy,
                                           const jemi_tile *at, int64_t block, jemi_tile_places to)
{
    const float *image = dy + (at->image * (c->out / LANES) + block) * c->dst_h * c->dst_w * LANES;
    __m512 t[TILE][PATCH], out[PATCH][PATCH];
    for (int i = 0; i < TILE; i++) {
        __m512 y[TILE];
        for (int j = 0; j < TILE; j++)
            y[j] = jemi_load_pixel(image, at->row + i, at->column + j, c->dst_h, c->dst_w);
        gradient_1d(y, t[i]);
    }
    for (int j = 0; j < PATCH; j++) {
        const __m512 column[TILE] = {t[0][j], t[1][j], t[2][j], t[3][j]};
        __m512 transformed[PATCH];
        gradient_1d(column, transformed);
        for (int i = 0; i < PATCH; i++)
            out[i][j] = transformed[i];
    }
    store_places(PATCH, PATCH, out, to);
}

// Adds G^T u of one dimension to the taps that it belongs to.
JEMI_AVX512_INLINE void gather_1d(int length, const __m512 u[PATCH], __m512 w[3])
{
    const __m512 half = _mm512_set1_ps(0.5f), sixth = _mm512_set1_ps(1.0f / 6.0f);
    const __m512 first = _mm512_fmadd_ps(half, _mm512_sub_ps(u[0], u[1]),
                                         _mm512_mul_ps(sixth, _mm512_sub_ps(u[3], u[2])));
    if (!is_odd(length)) {
        w[1] = _mm512_add_ps(w[1], first);
        return;
    }
    const __m512 second =
        _mm512_fmadd_ps(_mm512_set1_ps(1.0f / 3.0f), u[3], _mm512_fnmadd_ps(half, u[1], u[4]));
    w[0] = _mm512_add_ps(w[0], first);
    w[2] = _mm512_add_ps(w[2], _mm512_fmadd_ps(sixth, u[2], second));
}

JEMI_AVX512_INLINE void gather_phase(int rows, int columns, const float *values, int64_t stride,
                                     __m512 kernel[3][3])
{
    __m512 lines[PATCH][3];
    for (int i = 0; i < rows; i++) {
        __m512 u[PATCH];
        for (int j = 0; j < columns; j++)
            u[j] = _mm512_loadu_ps(values + (i * columns + j) * stride);
        for (int j = 0; j < 3; j++)
            lines[i][j] = _mm512_setzero_ps();
        gather_1d(columns, u, lines[i]);
    }
    for (int j = 0; j < 3; j++) {
        __m512 u[PATCH], w[3] = {kernel[0][j], kernel[1][j], kernel[2][j]};
        for (int i = 0; i < rows; i++)
            u[i] = lines[i][j];
        gather_1d(rows, u, w);
        for (int i = 0; i < 3; i++)
            kernel[i][j] = w[i];
    }
}

JEMI_AVX512 static void gather_weights(const float *values, int64_t stride, float kernels[9][16])
{
    __m512 sums[3][3];
    for (int k = 0; k < 9; k++)
        sums[k / 3][k % 3] = _mm512_setzero_ps();
    gather_phase(5, 5, values, stride, sums);
    gather_phase(5, 4, values + 25 * stride, stride, sums);
    gather_phase(4, 5, values + 45 * stride, stride, sums);
    gather_phase(4, 4, values + 65 * stride, stride, sums);
    for (int k = 0; k < 9; k++)
        _mm512_storeu_ps(kernels[k], sums[k / 3][k % 3]);
}

const jemi_winograd_scheme jemi_winograd_stride2 = {
    .patch = PATCH,
    .in_phases = JEMI_WINOGRAD_PHASES,
    .out_phases = 1,
    .phases = PHASES,
    .transform_weights = transform_weights,
    .transform_input = forward_input,
    .transform_output = forward_output,
    .transform_gradient = transform_gradient,
    .gather_weights = gather_weights,
};

const jemi_winograd_scheme jemi_winograd_stride2_backward = {
    .patch = PATCH,
    .in_phases = 1,
    .out_phases = JEMI_WINOGRAD_PHASES,
    .phases = PHASES,
    .transform_weights = transform_weights,
    .transform_input = backward_input,
    .transform_output = backward_output,
};

#endif
