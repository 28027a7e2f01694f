/*
 * Stride 2 as convolutions without stride. In one dimension, with odd pixels d[i] = x[2i + 1] and
 * even ones e[i] = x[2i],
 *
 *     y[o] = w0 d[o - 1] + w2 d[o] + w1 e[o]
 *
 * a convolution of two taps over the odd phase and one tap over the even one; F(4, 2), points 0, 1,
 * -1, 2 and infinity, takes 5 multiplications for the first. Seen as w1, 0 the second needs no
 * place at infinity: 4. Phases share the places, so they are summed before one output transform. In
 * two dimensions that makes (5 + 4)^2 = 81 multiplications for 4x4 outputs. Small tiles do without
 * the points 2, and 2 and -1, with the same weights: what G would differ by is in B^T.
 *
 * The transposed convolution: dd[i] = w2 dy[i] + w0 dy[i + 1] and de[i] = w1 dy[i], one input
 * transform for the four phases of dx.
 */
#include "kernels/winograd_transform.h"

enum { PATCH = 5 };

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
V16_INLINE void weights_1d(int length, bool flip, const v16 w[3], v16 u[PATCH])
{
    const v16 half = v16_set1(0.5f), sixth = v16_set1(1.0f / 6.0f);
    const v16 g0 = is_odd(length) ? (flip ? w[2] : w[0]) : w[1];
    const v16 g1 = is_odd(length) ? (flip ? w[0] : w[2]) : v16_zero();
    u[0] = v16_mul(half, g0);
    u[1] = v16_mul(v16_set1(-0.5f), v16_add(g0, g1));
    u[2] = v16_mul(sixth, v16_sub(g1, g0));
    u[3] = v16_mul(sixth, v16_fma(v16_set1(2.0f), g1, g0));
    u[4] = g1;
}

V16_INLINE void transform_phase(int rows, int columns, const float kernels[9][JEMI_LANES],
                                bool flip, float *values, int64_t stride)
{
    v16 lines[3][PATCH];
    for (int i = 0; i < 3; i++) {
        v16 w[3];
        for (int j = 0; j < 3; j++)
            w[j] = v16_load(kernels[3 * i + j]);
        weights_1d(columns, flip, w, lines[i]);
    }
    for (int j = 0; j < columns; j++) {
        const v16 w[3] = {lines[0][j], lines[1][j], lines[2][j]};
        v16 column[PATCH];
        weights_1d(rows, flip, w, column);
        for (int i = 0; i < rows; i++)
            v16_store(values + (i * columns + j) * stride, column[i]);
    }
}

static void transform_weights(const float kernels[9][JEMI_LANES], bool transposed, int phase,
                              float *values, int64_t stride)
{
    switch (phase) {
    case 0:
        transform_phase(5, 5, kernels, transposed, values, stride);
        break;
    case 1:
        transform_phase(5, 4, kernels, transposed, values, stride);
        break;
    case 2:
        transform_phase(4, 5, kernels, transposed, values, stride);
        break;
    default:
        transform_phase(4, 4, kernels, transposed, values, stride);
    }
}

// ---- transforms --------------------------------------------------------------------------------

// B^T d.
V16_INLINE void input_1d(jemi_axis axis, const v16 *d, v16 *t)
{
    const v16 two = v16_set1(2.0f);
    if (axis.size == 2) {
        t[0] = v16_mul(two, v16_sub(d[0], d[1]));
        t[1] = v16_mul(v16_set1(-2.0f), d[1]);
        if (axis.infinity)
            t[4] = v16_sub(d[2], d[1]);
        return;
    }
    if (axis.size == 3) {
        t[0] = v16_mul(two, v16_sub(d[0], d[2]));
        t[1] = v16_sub(v16_zero(), v16_add(d[1], d[2]));
        t[2] = v16_mul(v16_set1(3.0f), v16_sub(d[1], d[2]));
        if (axis.infinity)
            t[4] = v16_sub(d[3], d[1]);
        return;
    }
    const v16 d31 = v16_sub(d[3], d[1]), d32 = v16_sub(d[3], d[2]);
    t[0] = v16_fma(two, v16_sub(d[0], d[2]), d31);
    t[1] = v16_fnma(two, d[1], d32);
    t[2] = v16_fma(two, v16_sub(d[1], d[2]), d32);
    t[3] = d31;
    if (axis.infinity)
        t[4] = v16_fnma(two, d31, v16_sub(d[4], d[2]));
}

// A^T m.
V16_INLINE void output_1d(jemi_axis axis, const v16 *m, v16 *y)
{
    const v16 two = v16_set1(2.0f), four = v16_set1(4.0f);
    const v16 eight = v16_set1(8.0f);
    if (axis.size == 2) {
        y[0] = v16_add(m[0], m[1]);
        y[1] = m[1];
    } else {
        const v16 sum = v16_add(m[1], m[2]), difference = v16_sub(m[1], m[2]);
        y[0] = axis.size == 3 ? v16_add(m[0], sum) : v16_add(m[0], v16_add(sum, m[3]));
        y[1] = axis.size == 3 ? difference : v16_fma(two, m[3], difference);
        y[2] = axis.size == 3 ? sum : v16_fma(four, m[3], sum);
        if (axis.size == 4)
            y[3] = v16_fma(eight, m[3], difference);
    }
    if (axis.infinity)
        y[axis.size - 1] = v16_add(y[axis.size - 1], m[4]);
}

// A y.
V16_INLINE void gradient_1d(jemi_axis axis, const v16 *y, v16 *m)
{
    const v16 two = v16_set1(2.0f), four = v16_set1(4.0f);
    m[0] = y[0];
    m[4] = y[axis.size - 1];
    if (axis.size == 2) {
        m[1] = v16_add(y[0], y[1]);
        return;
    }
    const v16 even = v16_add(y[0], y[2]);
    if (axis.size == 3) {
        m[1] = v16_add(even, y[1]);
        m[2] = v16_sub(even, y[1]);
        return;
    }
    const v16 odd = v16_add(y[1], y[3]);
    const v16 odd2 = v16_mul(two, v16_fma(four, y[3], y[1]));
    m[1] = v16_add(even, odd);
    m[2] = v16_sub(even, odd);
    m[3] = v16_add(v16_fma(four, y[2], y[0]), odd2);
}

// Phases of the finer side, and the coarser side as the source or the destination of all of them.
static const jemi_axis odd_phase = {.more = 1, .infinity = true};
static const jemi_axis even_phase = {.more = 0, .infinity = false};
static const jemi_axis coarse_source = {.more = 1, .infinity = true};
static const jemi_axis coarse_destination = {.more = 0, .infinity = true};

// 1 of the odd phase, which alone has the last place.
static inline int parity_of(jemi_axis phase)
{
    return phase.infinity ? 1 : 0;
}

// ---- forward -----------------------------------------------------------------------------------

// The odd phase starts one pixel early: d[o - 1].
V16_INLINE void phase_input(jemi_axis down, jemi_axis across, const jemi_winograd *c,
                            const float *image, const jemi_tile *at, jemi_tile_places to)
{
    const jemi_pixels p = {c->src_h, c->src_w, 2 * at->row - parity_of(down),
                           2 * at->column - parity_of(across), 2};
    jemi_transform_tile(input_1d, PATCH, down, across, image, &p, at, to);
}

static void forward_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                          int64_t block, int phase, jemi_tile_places to)
{
    const float *image = jemi_source_image(c, x, at, block);
    switch (phase) {
    case 0:
        phase_input(odd_phase, odd_phase, c, image, at, to);
        break;
    case 1:
        phase_input(odd_phase, even_phase, c, image, at, to);
        break;
    case 2:
        phase_input(even_phase, odd_phase, c, image, at, to);
        break;
    default:
        phase_input(even_phase, even_phase, c, image, at, to);
    }
}

static void forward_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                           const jemi_tile *at, int64_t block, float *y)
{
    (void)phase;
    const jemi_pixels p = {c->dst_h, c->dst_w, at->row, at->column, 1};
    jemi_restore_tile(output_1d, PATCH, coarse_destination, coarse_destination, c, from, &p, at,
                      block, y);
}

// ---- transposed --------------------------------------------------------------------------------

static void transposed_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                             int64_t block, int phase, jemi_tile_places to)
{
    (void)phase;
    const jemi_pixels p = {c->src_h, c->src_w, at->row, at->column, 1};
    jemi_transform_tile(input_1d, PATCH, coarse_source, coarse_source,
                        jemi_source_image(c, x, at, block), &p, at, to);
}

V16_INLINE void phase_output(jemi_axis down, jemi_axis across, const jemi_winograd *c,
                             jemi_tile_places from, const jemi_tile *at, int64_t block, float *y)
{
    const jemi_pixels p = {c->dst_h, c->dst_w, 2 * at->row + parity_of(down),
                           2 * at->column + parity_of(across), 2};
    jemi_restore_tile(output_1d, PATCH, down, across, c, from, &p, at, block, y);
}

static void transposed_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                              const jemi_tile *at, int64_t block, float *y)
{
    switch (phase) {
    case 0:
        phase_output(odd_phase, odd_phase, c, from, at, block, y);
        break;
    case 1:
        phase_output(odd_phase, even_phase, c, from, at, block, y);
        break;
    case 2:
        phase_output(even_phase, odd_phase, c, from, at, block, y);
        break;
    default:
        phase_output(even_phase, even_phase, c, from, at, block, y);
    }
}

// ---- gradient of the weights -------------------------------------------------------------------

static void transform_gradient(const jemi_winograd *c, const float *dy, const jemi_tile *at,
                               int64_t block, jemi_tile_places to)
{
    const jemi_pixels p = {c->dst_h, c->dst_w, at->row, at->column, 1};
    jemi_transform_tile(gradient_1d, PATCH, coarse_destination, coarse_destination,
                        jemi_destination_image(c, dy, at, block), &p, at, to);
}

// Adds G^T u of one dimension to the taps that it belongs to.
V16_INLINE void gather_1d(int length, const v16 u[PATCH], v16 w[3])
{
    const v16 half = v16_set1(0.5f), sixth = v16_set1(1.0f / 6.0f);
    const v16 first = v16_fma(half, v16_sub(u[0], u[1]), v16_mul(sixth, v16_sub(u[3], u[2])));
    if (!is_odd(length)) {
        w[1] = v16_add(w[1], first);
        return;
    }
    const v16 second = v16_fma(v16_set1(1.0f / 3.0f), u[3], v16_fnma(half, u[1], u[4]));
    w[0] = v16_add(w[0], first);
    w[2] = v16_add(w[2], v16_fma(sixth, u[2], second));
}

V16_INLINE void gather_phase(int rows, int columns, const float *values, int64_t stride,
                             v16 kernel[3][3])
{
    v16 lines[PATCH][3];
    for (int i = 0; i < rows; i++) {
        v16 u[PATCH];
        for (int j = 0; j < columns; j++)
            u[j] = v16_load(values + (i * columns + j) * stride);
        for (int j = 0; j < 3; j++)
            lines[i][j] = v16_zero();
        gather_1d(columns, u, lines[i]);
    }
    for (int j = 0; j < 3; j++) {
        v16 u[PATCH], w[3] = {kernel[0][j], kernel[1][j], kernel[2][j]};
        for (int i = 0; i < rows; i++)
            u[i] = lines[i][j];
        gather_1d(rows, u, w);
        for (int i = 0; i < 3; i++)
            kernel[i][j] = w[i];
    }
}

static void gather_weights(const float *values, int64_t stride, float kernels[9][JEMI_LANES])
{
    v16 sums[3][3];
    for (int k = 0; k < 9; k++)
        sums[k / 3][k % 3] = v16_zero();
    gather_phase(5, 5, values, stride, sums);
    gather_phase(5, 4, values + 25 * stride, stride, sums);
    gather_phase(4, 5, values + 45 * stride, stride, sums);
    gather_phase(4, 4, values + 65 * stride, stride, sums);
    for (int k = 0; k < 9; k++)
        v16_store(kernels[k], sums[k / 3][k % 3]);
}

const jemi_winograd_scheme JEMI_KERNEL(winograd_stride2) = {
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

const jemi_winograd_scheme JEMI_KERNEL(winograd_stride2_transposed) = {
    .patch = PATCH,
    .in_phases = 1,
    .out_phases = JEMI_WINOGRAD_PHASES,
    .phases = PHASES,
    .transform_weights = transform_weights,
    .transform_input = transposed_input,
    .transform_output = transposed_output,
};
