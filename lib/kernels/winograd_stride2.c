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

// Places of a phase that a tile of this size uses.
static inline bool uses(bool odd, int size, int place)
{
    return (odd || place < PATCH - 1) && jemi_tile_uses(PATCH, size, place);
}

// B^T d in one dimension, of size + odd pixels. Places that are not used are left alone.
JEMI_AVX512_INLINE void input_1d(bool odd, int size, const __m512 d[PATCH], __m512 t[PATCH])
{
    const __m512 two = _mm512_set1_ps(2.0f);
    if (size == 2) {
        t[0] = _mm512_mul_ps(two, _mm512_sub_ps(d[0], d[1]));
        t[1] = _mm512_mul_ps(_mm512_set1_ps(-2.0f), d[1]);
        if (odd)
            t[4] = _mm512_sub_ps(d[2], d[1]);
        return;
    }
    if (size == 3) {
        t[0] = _mm512_mul_ps(two, _mm512_sub_ps(d[0], d[2]));
        t[1] = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_add_ps(d[1], d[2]));
        t[2] = _mm512_mul_ps(_mm512_set1_ps(3.0f), _mm512_sub_ps(d[1], d[2]));
        if (odd)
            t[4] = _mm512_sub_ps(d[3], d[1]);
        return;
    }
    const __m512 d31 = _mm512_sub_ps(d[3], d[1]), d32 = _mm512_sub_ps(d[3], d[2]);
    t[0] = _mm512_fmadd_ps(two, _mm512_sub_ps(d[0], d[2]), d31);
    t[1] = _mm512_fnmadd_ps(two, d[1], d32);
    t[2] = _mm512_fmadd_ps(two, _mm512_sub_ps(d[1], d[2]), d32);
    t[3] = d31;
    if (odd)
        t[4] = _mm512_fnmadd_ps(two, d31, _mm512_sub_ps(d[4], d[2]));
}

// A^T m in one dimension: `size` pixels.
JEMI_AVX512_INLINE void output_1d(bool odd, int size, const __m512 m[PATCH], __m512 y[TILE])
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 eight = _mm512_set1_ps(8.0f);
    if (size == 2) {
        y[0] = _mm512_add_ps(m[0], m[1]);
        y[1] = m[1];
    } else {
        const __m512 sum = _mm512_add_ps(m[1], m[2]), difference = _mm512_sub_ps(m[1], m[2]);
        y[0] = size == 3 ? _mm512_add_ps(m[0], sum) : _mm512_add_ps(m[0], _mm512_add_ps(sum, m[3]));
        y[1] = size == 3 ? difference : _mm512_fmadd_ps(two, m[3], difference);
        y[2] = size == 3 ? sum : _mm512_fmadd_ps(four, m[3], sum);
        if (size == 4)
            y[3] = _mm512_fmadd_ps(eight, m[3], difference);
    }
    if (odd)
        y[size - 1] = _mm512_add_ps(y[size - 1], m[4]);
}

// Every `step`th pixel of an image, from (row, column) on.
typedef struct grid {
    int64_t h, w, row, column, step;
} grid;

static const float zeros[(2 * PATCH - 1) * LANES];

// Lines of pixels, each transformed along itself.
JEMI_AVX512_INLINE void transform_lines(bool odd, int size, int lines, const float *image,
                                        const grid *g, __m512 t[PATCH][PATCH])
{
    __mmask16 inside[PATCH];
    for (int j = 0; j < size + odd; j++)
        inside[j] = jemi_is_pixel(g->column + j * g->step, g->w);
    for (int i = 0; i < lines; i++) {
        const int64_t row = g->row + i * g->step;
        const bool there = (uint64_t)row < (uint64_t)g->h;
        const float *line = there ? image + (row * g->w + g->column) * LANES : zeros;
        __m512 d[PATCH];
        for (int j = 0; j < size + odd; j++)
            d[j] = _mm512_maskz_loadu_ps(inside[j], line + j * g->step * LANES);
        input_1d(odd, size, d, t[i]);
    }
}

// `wide` and `columns`: the phase and the size of the other dimension.
JEMI_AVX512_INLINE void transform_columns(bool odd, int size, bool wide, int columns,
                                          __m512 t[PATCH][PATCH], jemi_tile_places to)
{
    for (int j = 0; j < PATCH; j++) {
        if (!uses(wide, columns, j))
            continue;
        __m512 column[PATCH], out[PATCH];
        for (int i = 0; i < size + odd; i++)
            column[i] = t[i][j];
        input_1d(odd, size, column, out);
        for (int i = 0; i < PATCH; i++)
            if (uses(odd, size, i))
                _mm512_storeu_ps(to.data + (i * PATCH + j) * to.stride, out[i]);
    }
}

// B^T d B; high and wide: of the odd phase, in rows and columns.
JEMI_AVX512_INLINE void transform_patch(bool high, bool wide, const float *image, const grid *g,
                                        const jemi_tile *at, jemi_tile_places to)
{
    __m512 t[PATCH][PATCH];
    switch (at->columns) {
    case 2:
        transform_lines(wide, 2, at->rows + high, image, g, t);
        break;
    case 3:
        transform_lines(wide, 3, at->rows + high, image, g, t);
        break;
    default:
        transform_lines(wide, 4, at->rows + high, image, g, t);
    }
    switch (at->rows) {
    case 2:
        transform_columns(high, 2, wide, at->columns, t, to);
        break;
    case 3:
        transform_columns(high, 3, wide, at->columns, t, to);
        break;
    default:
        transform_columns(high, 4, wide, at->columns, t, to);
    }
}

JEMI_AVX512_INLINE void back_columns(bool odd, int size, bool wide, int columns,
                                     jemi_tile_places from, __m512 t[TILE][PATCH])
{
    for (int j = 0; j < PATCH; j++) {
        if (!uses(wide, columns, j))
            continue;
        __m512 column[PATCH], out[TILE];
        for (int i = 0; i < PATCH; i++)
            if (uses(odd, size, i))
                column[i] = _mm512_loadu_ps(from.data + (i * PATCH + j) * from.stride);
        output_1d(odd, size, column, out);
        for (int i = 0; i < size; i++)
            t[i][j] = out[i];
    }
}

// Stores what lies inside of the image.
JEMI_AVX512_INLINE void back_lines(bool odd, int size, int lines, const jemi_epilogue *epilogue,
                                   const grid *g, int64_t block, int64_t plane,
                                   __m512 t[TILE][PATCH], float *y)
{
    const jemi_epilogue then = *epilogue; // which no store can change
    const __m512 bias = jemi_epilogue_bias(&then, block);
    for (int i = 0; i < lines && g->row + i * g->step < g->h; i++) {
        const int64_t line = plane + (g->row + i * g->step) * g->w + g->column;
        __m512 out[TILE];
        output_1d(odd, size, t[i], out);
        for (int j = 0; j < size && g->column + j * g->step < g->w; j++)
            jemi_epilogue_finish(&then, _mm512_add_ps(out[j], bias), (line + j * g->step) * LANES,
                                 y);
    }
}

// A^T m A and the epilogue.
JEMI_AVX512_INLINE void transform_back(bool high, bool wide, const jemi_winograd *c,
                                       jemi_tile_places from, const jemi_tile *at, int64_t block,
                                       const grid *g, float *y)
{
    const int64_t plane = (at->image * (c->out / LANES) + block) * c->dst_h * c->dst_w;
    __m512 t[TILE][PATCH];
    switch (at->rows) {
    case 2:
        back_columns(high, 2, wide, at->columns, from, t);
        break;
    case 3:
        back_columns(high, 3, wide, at->columns, from, t);
        break;
    default:
        back_columns(high, 4, wide, at->columns, from, t);
    }
    switch (at->columns) {
    case 2:
        back_lines(wide, 2, at->rows, &c->then, g, block, plane, t, y);
        break;
    case 3:
        back_lines(wide, 3, at->rows, &c->then, g, block, plane, t, y);
        break;
    default:
        back_lines(wide, 4, at->rows, &c->then, g, block, plane, t, y);
    }
}

static inline const float *image_of(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                    int64_t block)
{
    return x + (at->image * (c->in / LANES) + block) * c->src_h * c->src_w * LANES;
}

// ---- forward -----------------------------------------------------------------------------------

JEMI_AVX512_INLINE void phase_input(bool high, bool wide, const jemi_winograd *c,
                                    const float *image, const jemi_tile *at, jemi_tile_places to)
{
    // The odd phase starts one pixel early: d[o - 1].
    const grid g = {c->src_h, c->src_w, 2 * at->row - high, 2 * at->column - wide, 2};
    transform_patch(high, wide, image, &g, at, to);
}

JEMI_AVX512 static void forward_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                      int64_t block, int phase, jemi_tile_places to)
{
    const float *image = image_of(c, x, at, block);
    switch (phase) {
    case 0:
        phase_input(true, true, c, image, at, to);
        break;
    case 1:
        phase_input(true, false, c, image, at, to);
        break;
    case 2:
        phase_input(false, true, c, image, at, to);
        break;
    default:
        phase_input(false, false, c, image, at, to);
    }
}

JEMI_AVX512 static void forward_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                                       const jemi_tile *at, int64_t block, float *y)
{
    (void)phase;
    const grid g = {c->dst_h, c->dst_w, at->row, at->column, 1};
    transform_back(true, true, c, from, at, block, &g, y);
}

// ---- backward data -----------------------------------------------------------------------------

JEMI_AVX512 static void backward_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                       int64_t block, int phase, jemi_tile_places to)
{
    (void)phase;
    const grid g = {c->src_h, c->src_w, at->row, at->column, 1};
    transform_patch(true, true, image_of(c, x, at, block), &g, at, to);
}

JEMI_AVX512_INLINE void phase_output(bool high, bool wide, const jemi_winograd *c,
                                     jemi_tile_places from, const jemi_tile *at, int64_t block,
                                     float *y)
{
    const grid g = {c->dst_h, c->dst_w, 2 * at->row + high, 2 * at->column + wide, 2};
    transform_back(high, wide, c, from, at, block, &g, y);
}

JEMI_AVX512 static void backward_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                                        const jemi_tile *at, int64_t block, float *y)
{
    switch (phase) {
    case 0:
        phase_output(true, true, c, from, at, block, y);
        break;
    case 1:
        phase_output(true, false, c, from, at, block, y);
        break;
    case 2:
        phase_output(false, true, c, from, at, block, y);
        break;
    default:
        phase_output(false, false, c, from, at, block, y);
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
    __m512 t[TILE][PATCH];
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
            _mm512_storeu_ps(to.data + (i * PATCH + j) * to.stride, transformed[i]);
    }
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
