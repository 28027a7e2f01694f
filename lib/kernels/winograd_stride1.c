/*
 * F(4x4, 3x3): patches of 6x6, points 0, 1, -1, 2, -2 and infinity (Lavin & Gray 2016, section
 * 4.3). Small tiles are F(3, 3), without the point -2, and F(2, 3), without 2 and -2: a kernel has
 * the same values at the points that remain, and the factors that its transform would differ by are
 * in B^T instead. So all sizes share the weights.
 *
 * Backward data of such a convolution is one more, with the kernel turned round.
 */
#include "kernels/winograd_transform.h"

#if defined(__x86_64__)

enum { PATCH = 6 };

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

// B^T d.
JEMI_AVX512_INLINE void input_1d(jemi_axis axis, const __m512 *d, __m512 *t)
{
    const __m512 two = _mm512_set1_ps(2.0f), three = _mm512_set1_ps(3.0f);
    const __m512 four = _mm512_set1_ps(4.0f), five = _mm512_set1_ps(5.0f);
    const __m512 d31 = _mm512_sub_ps(d[3], d[1]);
    if (axis.size == 2) {
        t[0] = _mm512_mul_ps(four, _mm512_sub_ps(d[0], d[2]));
        t[1] = _mm512_mul_ps(_mm512_set1_ps(-3.0f), _mm512_add_ps(d[1], d[2]));
        t[2] = _mm512_mul_ps(three, _mm512_sub_ps(d[1], d[2]));
        t[5] = d31;
        return;
    }
    if (axis.size == 3) {
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

// A^T m.
JEMI_AVX512_INLINE void output_1d(jemi_axis axis, const __m512 *m, __m512 *y)
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 eight = _mm512_set1_ps(8.0f);
    const __m512 sum1 = _mm512_add_ps(m[1], m[2]), difference1 = _mm512_sub_ps(m[1], m[2]);
    if (axis.size == 2) {
        y[0] = _mm512_add_ps(m[0], sum1);
        y[1] = _mm512_add_ps(m[5], difference1);
        return;
    }
    if (axis.size == 3) {
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

// A y.
JEMI_AVX512_INLINE void gradient_1d(jemi_axis axis, const __m512 *y, __m512 *m)
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    m[0] = y[0];
    m[5] = y[axis.size - 1];
    if (axis.size == 2) {
        m[1] = _mm512_add_ps(y[0], y[1]);
        m[2] = _mm512_sub_ps(y[0], y[1]);
        return;
    }
    const __m512 even = _mm512_add_ps(y[0], y[2]);
    const __m512 even2 = _mm512_fmadd_ps(four, y[2], y[0]);
    if (axis.size == 3) {
        m[1] = _mm512_add_ps(even, y[1]);
        m[2] = _mm512_sub_ps(even, y[1]);
        m[3] = _mm512_fmadd_ps(two, y[1], even2);
        return;
    }
    const __m512 odd = _mm512_add_ps(y[1], y[3]);
    const __m512 odd2 = _mm512_mul_ps(two, _mm512_fmadd_ps(four, y[3], y[1]));
    m[1] = _mm512_add_ps(even, odd);
    m[2] = _mm512_sub_ps(even, odd);
    m[3] = _mm512_add_ps(even2, odd2);
    m[4] = _mm512_sub_ps(even2, odd2);
}

static const jemi_axis source = {.more = 2, .infinity = true};
static const jemi_axis destination = {.more = 0, .infinity = true};

JEMI_AVX512 static void transform_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                        int64_t block, int phase, jemi_tile_places to)
{
    (void)phase;
    const jemi_pixels p = {c->src_h, c->src_w, at->row - 1, at->column - 1, 1};
    jemi_transform_tile(input_1d, PATCH, source, source, jemi_source_image(c, x, at, block), &p, at,
                        to);
}

JEMI_AVX512 static void transform_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                                         const jemi_tile *at, int64_t block, float *y)
{
    (void)phase;
    const jemi_pixels p = {c->dst_h, c->dst_w, at->row, at->column, 1};
    jemi_restore_tile(output_1d, PATCH, destination, destination, c, from, &p, at, block, y);
}

JEMI_AVX512 static void transform_gradient(const jemi_winograd *c, const float *dy,
                                           const jemi_tile *at, int64_t block, jemi_tile_places to)
{
    const jemi_pixels p = {c->dst_h, c->dst_w, at->row, at->column, 1};
    jemi_transform_tile(gradient_1d, PATCH, destination, destination,
                        jemi_destination_image(c, dy, at, block), &p, at, to);
}

// ---- gradient of the weights -------------------------------------------------------------------

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
