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
 * Backward data is the transpose: dd[i] = w2 dy[i] + w0 dy[i + 1] and de[i] = w1 dy[i], one input
 * transform for the four phases of dx.
 */
#include "kernels/winograd_transform.h"

#if defined(__x86_64__)

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

// B^T d.
JEMI_AVX512_INLINE void input_1d(jemi_axis axis, const __m512 *d, __m512 *t)
{
    const __m512 two = _mm512_set1_ps(2.0f);
    if (axis.size == 2) {
        t[0] = _mm512_mul_ps(two, _mm512_sub_ps(d[0], d[1]));
        t[1] = _mm512_mul_ps(_mm512_set1_ps(-2.0f), d[1]);
        if (axis.infinity)
            t[4] = _mm512_sub_ps(d[2], d[1]);
        return;
    }
    if (axis.size == 3) {
        t[0] = _mm512_mul_ps(two, _mm512_sub_ps(d[0], d[2]));
        t[1] = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_add_ps(d[1], d[2]));
        t[2] = _mm512_mul_ps(_mm512_set1_ps(3.0f), _mm512_sub_ps(d[1], d[2]));
        if (axis.infinity)
            t[4] = _mm512_sub_ps(d[3], d[1]);
        return;
    }
    const __m512 d31 = _mm512_sub_ps(d[3], d[1]), d32 = _mm512_sub_ps(d[3], d[2]);
    t[0] = _mm512_fmadd_ps(two, _mm512_sub_ps(d[0], d[2]), d31);
    t[1] = _mm512_fnmadd_ps(two, d[1], d32);
    t[2] = _mm512_fmadd_ps(two, _mm512_sub_ps(d[1], d[2]), d32);
    t[3] = d31;
    if (axis.infinity)
        t[4] = _mm512_fnmadd_ps(two, d31, _mm512_sub_ps(d[4], d[2]));
}

// A^T m.
JEMI_AVX512_INLINE void output_1d(jemi_axis axis, const __m512 *m, __m512 *y)
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 eight = _mm512_set1_ps(8.0f);
    if (axis.size == 2) {
        y[0] = _mm512_add_ps(m[0], m[1]);
        y[1] = m[1];
    } else {
        const __m512 sum = _mm512_add_ps(m[1], m[2]), difference = _mm512_sub_ps(m[1], m[2]);
        y[0] = axis.size == 3 ? _mm512_add_ps(m[0], sum)
                              : _mm512_add_ps(m[0], _mm512_add_ps(sum, m[3]));
        y[1] = axis.size == 3 ? difference : _mm512_fmadd_ps(two, m[3], difference);
        y[2] = axis.size == 3 ? sum : _mm512_fmadd_ps(four, m[3], sum);
        if (axis.size == 4)
            y[3] = _mm512_fmadd_ps(eight, m[3], difference);
    }
    if (axis.infinity)
        y[axis.size - 1] = _mm512_add_ps(y[axis.size - 1], m[4]);
}

// A y.
JEMI_AVX512_INLINE void gradient_1d(jemi_axis axis, const __m512 *y, __m512 *m)
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    m[0] = y[0];
    m[4] = y[axis.size - 1];
    if (axis.size == 2) {
        m[1] = _mm512_add_ps(y[0], y[1]);
        return;
    }
    const __m512 even = _mm512_add_ps(y[0], y[2]);
    if (axis.size == 3) {
        m[1] = _mm512_add_ps(even, y[1]);
        m[2] = _mm512_sub_ps(even, y[1]);
        return;
    }
    const __m512 odd = _mm512_add_ps(y[1], y[3]);
    const __m512 odd2 = _mm512_mul_ps(two, _mm512_fmadd_ps(four, y[3], y[1]));
    m[1] = _mm512_add_ps(even, odd);
    m[2] = _mm512_sub_ps(even, odd);
    m[3] = _mm512_add_ps(_mm512_fmadd_ps(four, y[2], y[0]), odd2);
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
JEMI_AVX512_INLINE void phase_input(jemi_axis down, jemi_axis across, const jemi_winograd *c,
                                    const float *image, const jemi_tile *at, jemi_tile_places to)
{
    const jemi_pixels p = {c->src_h, c->src_w, 2 * at->row - parity_of(down),
                           2 * at->column - parity_of(across), 2};
    jemi_transform_tile(input_1d, PATCH, down, across, image, &p, at, to);
}

JEMI_AVX512 static void forward_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
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

JEMI_AVX512 static void forward_output(const jemi_winograd *c, jemi_tile_places from, int phase,
                                       const jemi_tile *at, int64_t block, float *y)
{
    (void)phase;
    const jemi_pixels p = {c->dst_h, c->dst_w, at->row, at->column, 1};
    jemi_restore_tile(output_1d, PATCH, coarse_destination, coarse_destination, c, from, &p, at,
                      block, y);
}

// ---- backward data -----------------------------------------------------------------------------

JEMI_AVX512 static void backward_input(const jemi_winograd *c, const float *x, const jemi_tile *at,
                                       int64_t block, int phase, jemi_tile_places to)
{
    (void)phase;
    const jemi_pixels p = {c->src_h, c->src_w, at->row, at->column, 1};
    jemi_transform_tile(input_1d, PATCH, coarse_source, coarse_source,
                        jemi_source_image(c, x, at, block), &p, at, to);
}

JEMI_AVX512_INLINE void phase_output(jemi_axis down, jemi_axis across, const jemi_winograd *c,
                                     jemi_tile_places from, const jemi_tile *at, int64_t block,
                                     float *y)
{
    const jemi_pixels p = {c->dst_h, c->dst_w, 2 * at->row + parity_of(down),
                           2 * at->column + parity_of(across), 2};
    jemi_restore_tile(output_1d, PATCH, down, across, c, from, &p, at, block, y);
}

JEMI_AVX512 static void backward_output(const jemi_winograd *c, jemi_tile_places from, int phase,
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

JEMI_AVX512 static void transform_gradient(const jemi_winograd *c, const float *dy,
                                           const jemi_tile *at, int64_t block, jemi_tile_places to)
{
    const jemi_pixels p = {c->dst_h, c->dst_w, at->row, at->column, 1};
    jemi_transform_tile(gradient_1d, PATCH, coarse_destination, coarse_destination,
                        jemi_destination_image(c, dy, at, block), &p, at, to);
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
