/*
 * F(4x4, 3x3): patches of 6x6, points 0, 1, -1, 2, -2 and infinity (Lavin & Gray 2016, section 4.3).
 *
 * Backward data of such a convolution is one more, with the kernel turned round.
 */
#include "kernels/winograd_scheme.h"

#if defined(__x86_64__)

enum { TILE = JEMI_WINOGRAD_TILE, PATCH = 6, LANES = JEMI_LANES };

// G g in one dimension.
JEMI_AVX512_INLINE void weights_1d(const __m512 g[3], __m512 u[PATCH])
{
    const __m512 sixth = _mm512_set1_ps(1.0f / 6.0f), twelfth = _mm512_set1_ps(1.0f / 12.0f);
    const __m512 ends = _mm512_mul_ps(sixth, _mm512_add_ps(g[0], g[2]));
    const __m512 middle = _mm512_mul_ps(sixth, g[1]);
    const __m512 outer =
        _mm512_fmadd_ps(_mm512_set1_ps(1.0f / 24.0f), g[0], _mm512_mul_ps(sixth, g[2]));
    const __m512 inner = _mm512_mul_ps(twelfth, g[1]);
    u[0] = _mm512_mul_ps(_mm512_set1_ps(0.25f), g[0]);
    u[1] = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_add_ps(ends, middle));
    u[2] = _mm512_sub_ps(middle, ends);
    u[3] = _mm512_add_ps(outer, inner);
    u[4] = _mm512_sub_ps(outer, inner);
    u[5] = g[2];
}

JEMI_AVX512 static void transform_weights(float kernels[9][16], bool flip, float *values,
                                          int64_t stride)
{
    __m512 rows[3][PATCH];
    for (int i = 0; i < 3; i++) {
        __m512 g[3];
        for (int j = 0; j < 3; j++)
            g[j] = _mm512_loadu_ps(kernels[flip ? 8 - (3 * i + j) : 3 * i + j]);
        weights_1d(g, rows[i]);
    }
    for (int j = 0; j < PATCH; j++) {
        const __m512 g[3] = {rows[0][j], rows[1][j], rows[2][j]};
        __m512 column[PATCH];
        weights_1d(g, column);
        for (int i = 0; i < PATCH; i++)
            _mm512_storeu_ps(values + (i * PATCH + j) * stride, column[i]);
    }
}

// ---- transforms --------------------------------------------------------------------------------

// B^T d in one dimension, of size + 2 pixels. Places that the size does not use are left alone.
JEMI_AVX512_INLINE void input_1d(int size, const __m512 d[PATCH], __m512 t[PATCH])
{
    const __m512 two = _mm512_set1_ps(2.0f), three = _mm512_set1_ps(3.0f);
    const __m512 four = _mm512_set1_ps(4.0f), five = _mm512_set1_ps(5.0f);
    const __m512 d31 = _mm512_sub_ps(d[3], d[1]);
    if (size == 2) {
        t[0] = _mm512_mul_ps(four, _mm512_sub_ps(d[0], d[2]));
        t[1] = _mm512_mul_ps(_mm512_set1_ps(-3.0f), _mm512_add_ps(d[1], d[2]));
        t[2] = _mm512_mul_ps(three, _mm512_sub_ps(d[1], d[2]));
        t[5] = d31;
        return;
    }
    if (size == 3) {
        const __m512 d32 = _mm512_sub_ps(d[3], d[2]);
        t[0] = _mm512_mul_ps(two, _mm512_fmadd_ps(two, _mm512_sub_ps(d[0], d[2]), d31));
        t[1] = _mm512_mul_ps(three, _mm512_fnmadd_ps(two, d[1], d32));
        t[2] = _mm512_fmadd_ps(two, _mm512_sub_ps(d[1], d[2]), d32);
        t[3] = _mm512_mul_ps(four, d31);
        t[5] = _mm512_fnmadd_ps(two, d31, _mm512_sub_ps(d[4], d[2]));
        return;
    }
    t[0] = _mm512_fmadd_ps(four, d[0], _mm512_fnmadd_ps(five, d[2], d[4]));
    const __m512 even = _mm512_fnmadd_ps(four, d[2], d[4]);
    const __m512 odd = _mm512_fnmadd_ps(four, d[1], d[3]);
    t[1] = _mm512_add_ps(even, odd);
    t[2] = _mm512_sub_ps(even, odd);
    const __m512 even2 = _mm512_sub_ps(d[4], d[2]);
    t[3] = _mm512_fmadd_ps(two, d31, even2);
    t[4] = _mm512_fnmadd_ps(two, d31, even2);
    t[5] = _mm512_fmadd_ps(four, d[1], _mm512_fnmadd_ps(five, d[3], d[5]));
}

// A^T m in one dimension: `size` pixels.
JEMI_AVX512_INLINE void output_1d(int size, const __m512 m[PATCH], __m512 y[TILE])
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 eight = _mm512_set1_ps(8.0f);
    const __m512 sum1 = _mm512_add_ps(m[1], m[2]), difference1 = _mm512_sub_ps(m[1], m[2]);
    if (size == 2) {
        y[0] = _mm512_add_ps(m[0], sum1);
        y[1] = _mm512_add_ps(m[5], difference1);
        return;
    }
    if (size == 3) {
        y[0] = _mm512_add_ps(m[0], _mm512_add_ps(sum1, m[3]));
        y[1] = _mm512_fmadd_ps(two, m[3], difference1);
        y[2] = _mm512_add_ps(m[5], _mm512_fmadd_ps(four, m[3], sum1));
        return;
    }
    const __m512 sum2 = _mm512_add_ps(m[3], m[4]), difference2 = _mm512_sub_ps(m[3], m[4]);
    y[0] = _mm512_add_ps(m[0], _mm512_add_ps(sum1, sum2));
    y[1] = _mm512_fmadd_ps(two, difference2, difference1);
    y[2] = _mm512_fmadd_ps(four, sum2, sum1);
    y[3] = _mm512_add_ps(m[5], _mm512_fmadd_ps(eight, difference2, difference1));
}

static const float zeros[PATCH * LANES];

// Lines of pixels, each transformed along itself.
JEMI_AVX512_INLINE void transform_lines(int size, const jemi_winograd *c, const float *image,
                                        const jemi_tile *at, __m512 t[PATCH][PATCH])
{
    __mmask16 inside[PATCH];
    for (int j = 0; j < size + 2; j++)
        inside[j] = jemi_is_pixel(at->column + j - 1, c->src_w);
    for (int i = 0; i < at->rows + 2; i++) {
        const int64_t row = at->row + i - 1;
        const bool there = (uint64_t)row < (uint64_t)c->src_h;
        const float *line = there ? image + (row * c->src_w + at->column - 1) * LANES : zeros;
        __m512 d[PATCH];
        for (int j = 0; j < size + 2; j++)
            d[j] =
                _mm512_maskz_loadu_ps(inside[j] & jemi_is_pixel(row, c->src_h), line + j * LANES);
        input_1d(size, d, t[i]);
    }
}

JEMI_AVX512_INLINE void transform_columns(int size, int columns, __m512 t[PATCH][PATCH],
                                          jemi_tile_places to)
{
    for (int j = 0; j < PATCH; j++) {
        if (!jemi_tile_uses(PATCH, columns, j))
            continue;
        __m512 column[PATCH], out[PATCH];
        for (int i = 0; i < size + 2; i++)
            column[i] = t[i][j];
        input_1d(size, column, out);
        for (int i = 0; i < PATCH; i++)
            if (jemi_tile_uses(PATCH, size, i))
                _mm512_storeu_ps(to.data + (i * PATCH + j) * to.stride, out[i]);
    }
}

JEMI_AVX512 static void transform_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                        int64_t block, int phase, jemi_tile_places to)
{
    (void)phase;
    const float *image = x + (at->image * (c->in / LANES) + block) * c->src_h * c->src_w * LANES;
    __m512 t[PATCH][PATCH];
    switch (at->columns) {
    case 2:
        transform_lines(2, c, image, at, t);
        break;
    case 3:
        transform_lines(3, c, image, at, t);
        break;
    default:
        transform_lines(4, c, image, at, t);
    }
    switch (at->rows) {
    case 2:
        transform_columns(2, at->columns, t, to);
        break;
    case 3:
        transform_columns(3, at->columns, t, to);
        break;
    default:
        transform_columns(4, at->columns, t, to);
    }
}

JEMI_AVX512_INLINE void back_columns(int size, int columns, jemi_tile_places from,
                                     __m512 t[TILE][PATCH])
{
    for (int j = 0; j < PATCH; j++) {
        if (!jemi_tile_uses(PATCH, columns, j))
            continue;
        __m512 column[PATCH], out[TILE];
        for (int i = 0; i < PATCH; i++)
            if (jemi_tile_uses(PATCH, size, i))
                column[i] = _mm512_loadu_ps(from.data + (i * PATCH + j) * from.stride);
        output_1d(size, column, out);
        for (int i = 0; i < size; i++)
            t[i][j] = out[i];
    }
}

JEMI_AVX512_INLINE void back_lines(int size, const jemi_winograd *c, __m512 t[TILE][PATCH],
                                   const jemi_tile *at, int64_t block, float *y)
{
    const jemi_epilogue then = c->then; // which no store can change
    const __m512 bias = jemi_epilogue_bias(&then, block);
    const int64_t rows = c->dst_h - at->row < at->rows ? c->dst_h - at->row : at->rows;
    const int64_t columns = c->dst_w - at->column < size ? c->dst_w - at->column : size;
    const int64_t plane = (at->image * (c->out / LANES) + block) * c->dst_h * c->dst_w;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t line = plane + (at->row + i) * c->dst_w + at->column;
        __m512 out[TILE];
        output_1d(size, t[i], out);
        for (int j = 0; j < columns; j++)
            jemi_epilogue_finish(&then, _mm512_add_ps(out[j], bias), (line + j) * LANES, y);
    }
}

JEMI_AVX512 static void transform_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                                         const jemi_tile *at, int64_t block, float *y)
{
    (void)phase;
    __m512 t[TILE][PATCH];
    switch (at->rows) {
    case 2:
        back_columns(2, at->columns, from, t);
        break;
    case 3:
        back_columns(3, at->columns, from, t);
        break;
    default:
        back_columns(4, at->columns, from, t);
    }
    switch (at->columns) {
    case 2:
        back_lines(2, c, t, at, block, y);
        break;
    case 3:
        back_lines(3, c, t, at, block, y);
        break;
    default:
        back_lines(4, c, t, at, block, y);
    }
}

// ---- gradient of the weights -------------------------------------------------------------------

// A y in one dimension.
JEMI_AVX512_INLINE void gradient_1d(const __m512 y[TILE], __m512 m[PATCH])
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 even = _mm512_add_ps(y[0], y[2]), odd = _mm512_add_ps(y[1], y[3]);
    const __m512 even2 = _mm512_fmadd_ps(four, y[2], y[0]);
    const __m512 odd2 = _mm512_mul_ps(two, _mm512_fmadd_ps(four, y[3], y[1]));
    m[0] = y[0];
    m[1] = _mm512_add_ps(even, odd);
    m[2] = _mm512_sub_ps(even, odd);
    m[3] = _mm512_add_ps(even2, odd2);
    m[4] = _mm512_sub_ps(even2, odd2);
    m[5] = y[3];
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
        __m512 out[PATCH];
        gradient_1d(column, out);
        for (int i = 0; i < PATCH; i++)
            _mm512_storeu_ps(to.data + (i * PATCH + j) * to.stride, out[i]);
    }
}

// G^T u in one dimension.
JEMI_AVX512_INLINE void gather_1d(const __m512 u[PATCH], __m512 g[3])
{
    const __m512 sixth = _mm512_set1_ps(1.0f / 6.0f), twelfth = _mm512_set1_ps(1.0f / 12.0f);
    const __m512 sum1 = _mm512_add_ps(u[1], u[2]), difference1 = _mm512_sub_ps(u[2], u[1]);
    const __m512 sum2 = _mm512_add_ps(u[3], u[4]), difference2 = _mm512_sub_ps(u[3], u[4]);
    g[0] = _mm512_fmadd_ps(
        _mm512_set1_ps(0.25f), u[0],
        _mm512_fmsub_ps(_mm512_set1_ps(1.0f / 24.0f), sum2, _mm512_mul_ps(sixth, sum1)));
    g[1] = _mm512_fmadd_ps(sixth, difference1, _mm512_mul_ps(twelfth, difference2));
    g[2] = _mm512_fmadd_ps(sixth, _mm512_sub_ps(sum2, sum1), u[5]);
}

JEMI_AVX512 static void gather_weights(const float *values, int64_t stride, float kernels[9][16])
{
    __m512 rows[PATCH][3];
    for (int i = 0; i < PATCH; i++) {
        __m512 u[PATCH];
        for (int j = 0; j < PATCH; j++)
            u[j] = _mm512_loadu_ps(values + (i * PATCH + j) * stride);
        gather_1d(u, rows[i]);
    }
    for (int j = 0; j < 3; j++) {
        __m512 u[PATCH], g[3];
        for (int i = 0; i < PATCH; i++)
            u[i] = rows[i][j];
        gather_1d(u, g);
        for (int i = 0; i < 3; i++)
            _mm512_storeu_ps(kernels[3 * i + j], g[i]);
    }
}

const jemi_winograd_scheme jemi_winograd_stride1 = {
    .patch = PATCH,
    .in_phases = 1,
    .out_phases = 1,
    .phases = {{PATCH, PATCH}},
    .transform_weights = transform_weights,
    .transform_input = transform_input,
    .transform_output = transform_output,
    .transform_gradient = transform_gradient,
    .gather_weights = gather_weights,
};

#endif
