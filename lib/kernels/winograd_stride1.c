/*
 * F(4x4, 3x3): patches of 6x6, points 0, 1, -1, 2, -2 and infinity (Lavin & Gray 2016, section
 * 4.3). Small tiles are F(3, 3), without the point -2, and F(2, 3), without 2 and -2: a kernel has
 * the same values at the points that remain, and the factors that its transform would differ by are
 * in B^T instead. So all sizes share the weights.
 *
 * The transposed convolution is one more of these, with the kernel turned round.
 */
#include "kernels/winograd_transform.h"

enum { PATCH = 6 };

// G g in one dimension.
V16_INLINE void weights_1d(const v16 g[3], v16 u[PATCH])
{
    const v16 sixth = v16_set1(1.0f / 6.0f), twelfth = v16_set1(1.0f / 12.0f);
    const v16 ends = v16_mul(sixth, v16_add(g[0], g[2]));
    const v16 middle = v16_mul(sixth, g[1]);
    const v16 outer = v16_fma(v16_set1(1.0f / 24.0f), g[0], v16_mul(sixth, g[2]));
    const v16 inner = v16_mul(twelfth, g[1]);
    u[0] = v16_mul(v16_set1(0.25f), g[0]);
    u[1] = v16_sub(v16_zero(), v16_add(ends, middle));
    u[2] = v16_sub(middle, ends);
    u[3] = v16_add(outer, inner);
    u[4] = v16_sub(outer, inner);
    u[5] = g[2];
}

static void transform_weights(const float kernels[9][JEMI_LANES], bool transposed, int phase,
                              float *values, int64_t stride)
{
    (void)phase;
    v16 rows[3][PATCH];
    for (int i = 0; i < 3; i++) {
        v16 g[3];
        for (int j = 0; j < 3; j++)
            g[j] = v16_load(kernels[transposed ? 8 - (3 * i + j) : 3 * i + j]);
        weights_1d(g, rows[i]);
    }
    for (int j = 0; j < PATCH; j++) {
        const v16 g[3] = {rows[0][j], rows[1][j], rows[2][j]};
        v16 column[PATCH];
        weights_1d(g, column);
        for (int i = 0; i < PATCH; i++)
            v16_store(values + (i * PATCH + j) * stride, column[i]);
    }
}

// ---- transforms --------------------------------------------------------------------------------

// B^T d.
V16_INLINE void input_1d(jemi_axis axis, const v16 *d, v16 *t)
{
    const v16 two = v16_set1(2.0f), three = v16_set1(3.0f);
    const v16 four = v16_set1(4.0f), five = v16_set1(5.0f);
    const v16 d31 = v16_sub(d[3], d[1]);
    if (axis.size == 2) {
        t[0] = v16_mul(four, v16_sub(d[0], d[2]));
        t[1] = v16_mul(v16_set1(-3.0f), v16_add(d[1], d[2]));
        t[2] = v16_mul(three, v16_sub(d[1], d[2]));
        t[5] = d31;
        return;
    }
    if (axis.size == 3) {
        const v16 d32 = v16_sub(d[3], d[2]);
        t[0] = v16_mul(two, v16_fma(two, v16_sub(d[0], d[2]), d31));
        t[1] = v16_mul(three, v16_fnma(two, d[1], d32));
        t[2] = v16_fma(two, v16_sub(d[1], d[2]), d32);
        t[3] = v16_mul(four, d31);
        t[5] = v16_fnma(two, d31, v16_sub(d[4], d[2]));
        return;
    }
    t[0] = v16_fma(four, d[0], v16_fnma(five, d[2], d[4]));
    const v16 even = v16_fnma(four, d[2], d[4]);
    const v16 odd = v16_fnma(four, d[1], d[3]);
    t[1] = v16_add(even, odd);
    t[2] = v16_sub(even, odd);
    const v16 even2 = v16_sub(d[4], d[2]);
    t[3] = v16_fma(two, d31, even2);
    t[4] = v16_fnma(two, d31, even2);
    t[5] = v16_fma(four, d[1], v16_fnma(five, d[3], d[5]));
}

// A^T m.
V16_INLINE void output_1d(jemi_axis axis, const v16 *m, v16 *y)
{
    const v16 two = v16_set1(2.0f), four = v16_set1(4.0f);
    const v16 eight = v16_set1(8.0f);
    const v16 sum1 = v16_add(m[1], m[2]), difference1 = v16_sub(m[1], m[2]);
    if (axis.size == 2) {
        y[0] = v16_add(m[0], sum1);
        y[1] = v16_add(m[5], difference1);
        return;
    }
    if (axis.size == 3) {
        y[0] = v16_add(m[0], v16_add(sum1, m[3]));
        y[1] = v16_fma(two, m[3], difference1);
        y[2] = v16_add(m[5], v16_fma(four, m[3], sum1));
        return;
    }
    const v16 sum2 = v16_add(m[3], m[4]), difference2 = v16_sub(m[3], m[4]);
    y[0] = v16_add(m[0], v16_add(sum1, sum2));
    y[1] = v16_fma(two, difference2, difference1);
    y[2] = v16_fma(four, sum2, sum1);
    y[3] = v16_add(m[5], v16_fma(eight, difference2, difference1));
}

// A y.
V16_INLINE void gradient_1d(jemi_axis axis, const v16 *y, v16 *m)
{
    const v16 two = v16_set1(2.0f), four = v16_set1(4.0f);
    m[0] = y[0];
    m[5] = y[axis.size - 1];
    if (axis.size == 2) {
        m[1] = v16_add(y[0], y[1]);
        m[2] = v16_sub(y[0], y[1]);
        return;
    }
    const v16 even = v16_add(y[0], y[2]);
    const v16 even2 = v16_fma(four, y[2], y[0]);
    if (axis.size == 3) {
        m[1] = v16_add(even, y[1]);
        m[2] = v16_sub(even, y[1]);
        m[3] = v16_fma(two, y[1], even2);
        return;
    }
    const v16 odd = v16_add(y[1], y[3]);
    const v16 odd2 = v16_mul(two, v16_fma(four, y[3], y[1]));
    m[1] = v16_add(even, odd);
    m[2] = v16_sub(even, odd);
    m[3] = v16_add(even2, odd2);
    m[4] = v16_sub(even2, odd2);
}

static const jemi_axis source = {.more = 2, .infinity = true};
static const jemi_axis destination = {.more = 0, .infinity = true};

static void transform_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                            int64_t block, int phase, jemi_tile_places to)
{
    (void)phase;
    const jemi_pixels p = {c->src_h, c->src_w, at->row - 1, at->column - 1, 1};
    jemi_transform_tile(input_1d, PATCH, source, source, jemi_source_image(c, x, at, block), &p, at,
                        to);
}

static void transform_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                             const jemi_tile *at, int64_t block, float *y)
{
    (void)phase;
    const jemi_pixels p = {c->dst_h, c->dst_w, at->row, at->column, 1};
    jemi_restore_tile(output_1d, PATCH, destination, destination, c, from, &p, at, block, y);
}

static void transform_gradient(const jemi_winograd *c, const float *dy, const jemi_tile *at,
                               int64_t block, jemi_tile_places to)
{
    const jemi_pixels p = {c->dst_h, c->dst_w, at->row, at->column, 1};
    jemi_transform_tile(gradient_1d, PATCH, destination, destination,
                        jemi_destination_image(c, dy, at, block), &p, at, to);
}

// ---- gradient of the weights -------------------------------------------------------------------

// G^T u in one dimension.
V16_INLINE void gather_1d(const v16 u[PATCH], v16 g[3])
{
    const v16 sixth = v16_set1(1.0f / 6.0f), twelfth = v16_set1(1.0f / 12.0f);
    const v16 sum1 = v16_add(u[1], u[2]), difference1 = v16_sub(u[2], u[1]);
    const v16 sum2 = v16_add(u[3], u[4]), difference2 = v16_sub(u[3], u[4]);
    g[0] =
        v16_fma(v16_set1(0.25f), u[0], v16_fms(v16_set1(1.0f / 24.0f), sum2, v16_mul(sixth, sum1)));
    g[1] = v16_fma(sixth, difference1, v16_mul(twelfth, difference2));
    g[2] = v16_fma(sixth, v16_sub(sum2, sum1), u[5]);
}

static void gather_weights(const float *values, int64_t stride, float kernels[9][JEMI_LANES])
{
    v16 rows[PATCH][3];
    for (int i = 0; i < PATCH; i++) {
        v16 u[PATCH];
        for (int j = 0; j < PATCH; j++)
            u[j] = v16_load(values + (i * PATCH + j) * stride);
        gather_1d(u, rows[i]);
    }
    for (int j = 0; j < 3; j++) {
        v16 u[PATCH], g[3];
        for (int i = 0; i < PATCH; i++)
            u[i] = rows[i][j];
        gather_1d(u, g);
        for (int i = 0; i < 3; i++)
            v16_store(kernels[3 * i + j], g[i]);
    }
}

const jemi_winograd_scheme JEMI_KERNEL(winograd_stride1) = {
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
