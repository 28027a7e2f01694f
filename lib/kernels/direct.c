/*
 * The unit of work is a strip of 14 destination pixels times 32 channels, kept in 28 registers
 * while taps and source channels pass by: one broadcast serves two multiply-adds.
 *
 * Backward data with stride s is s x s phases: destination pixels of one phase see the same taps,
 * and walk over the source without gaps. So one loop serves all directions; only where a tap looks
 * differs.
 */
#include "kernels/direct.h"

#include <assert.h>
#include <string.h>

#include "kernels/parallel.h"

enum { LANES = 16, STRIP = 14, TAPS = JEMI_DIRECT_KERNEL_MAX * JEMI_DIRECT_KERNEL_MAX };

static int64_t blocks_of(int64_t channels)
{
    return (channels + LANES - 1) / LANES;
}

int64_t jemi_direct_weights_count(int64_t in, int64_t out, int64_t kernel)
{
    return kernel * kernel * blocks_of(in) * blocks_of(out) * LANES * LANES;
}

// Groups of 32 destination channels, 16 where 32 are not left: (group, tap, in, width).
static int64_t packed_index(int64_t taps, int64_t tap, int64_t i, int64_t o, int64_t in,
                            int64_t out)
{
    const int64_t group = o / (2 * LANES) * (2 * LANES);
    const int64_t width = out - group < 2 * LANES ? LANES : 2 * LANES;
    return (group * taps + tap * width) * in + i * width + (o - group);
}

void jemi_direct_pack(float *packed, const float *weights, int64_t out, int64_t in, int64_t kernel,
                      bool backward)
{
    const int64_t taps = kernel * kernel;
    const int64_t from = blocks_of(backward ? out : in) * LANES;
    const int64_t to = blocks_of(backward ? in : out) * LANES;
    memset(packed, 0, (size_t)jemi_direct_weights_count(in, out, kernel) * sizeof *packed);
    JEMI_PARALLEL(
        for (int64_t o = 0; o < out; o++) for (int64_t i = 0; i < in; i++) for (int64_t tap = 0;
                                                                                tap < taps; tap++)
            packed[packed_index(taps, tap, backward ? o : i, backward ? i : o, from, to)] =
                weights[(o * in + i) * taps + tap];);
}

#if defined(__x86_64__)

// ---- where taps look ---------------------------------------------------------------------------

// Destination pixels (row * step + first_row, column * step + first_column).
typedef struct phase {
    int64_t first_row, first_column, step;
    int64_t rows, columns;
    int n_taps;
    int tap[TAPS];                               // which of the kernel's
    int64_t row_shift[TAPS], column_shift[TAPS]; // from pixel to source, in source pixels
    int64_t offset[TAPS];                        // the same, in floats
} phase;

// Backward: source pixel o with o * stride + k - pad == i, for i of residue `first`; false if none.
static bool shift_of(const jemi_direct *c, int64_t first, int64_t k, int64_t *shift)
{
    if (!c->backward) {
        *shift = k - c->pad;
        return true;
    }
    const int64_t distance = first + c->pad - k;
    if (distance % c->stride != 0)
        return false;
    *shift = distance / c->stride;
    return true;
}

static phase make_phase(const jemi_direct *c, int64_t first_row, int64_t first_column)
{
    const int64_t step = c->backward ? c->stride : 1;
    phase p = {
        .first_row = first_row,
        .first_column = first_column,
        .step = step,
        .rows = (c->dst_h - first_row + step - 1) / step,
        .columns = (c->dst_w - first_column + step - 1) / step,
    };
    for (int64_t kh = 0; kh < c->kernel; kh++)
        for (int64_t kw = 0; kw < c->kernel; kw++) {
            int64_t row, column;
            if (!shift_of(c, first_row, kh, &row) || !shift_of(c, first_column, kw, &column))
                continue;
            p.tap[p.n_taps] = (int)(kh * c->kernel + kw);
            p.row_shift[p.n_taps] = row;
            p.column_shift[p.n_taps] = column;
            p.offset[p.n_taps] = (row * c->src_w + column) * (c->plain ? 1 : LANES);
            p.n_taps++;
        }
    return p;
}

// A strip of pixels: where each is written, and where a tap without shift would read it.
typedef struct strip {
    int rows;
    bool interior; // every tap of every pixel lies inside its image
    int64_t dst[STRIP];
    const float *src[STRIP];
    uint32_t inside[STRIP]; // bit t: tap t does
} strip;

static int64_t src_row_floats(const jemi_direct *c)
{
    const int64_t channels = c->plain ? c->in : blocks_of(c->in) * LANES;
    return channels * c->src_h * c->src_w;
}

typedef struct pixel {
    int64_t image, row, column; // of the phase
} pixel;

static void place_pixel(const jemi_direct *c, const phase *p, const float *x, const pixel *at,
                        strip *s, int r)
{
    const int64_t pace = c->backward ? 1 : c->stride;
    const int64_t row = at->row * pace, column = at->column * pace;
    const int64_t lanes = c->plain ? 1 : LANES;
    s->src[r] = x + at->image * src_row_floats(c) + (row * c->src_w + column) * lanes;
    s->inside[r] = 0;
    for (int t = 0; t < p->n_taps; t++) {
        const uint64_t y = (uint64_t)(row + p->row_shift[t]); // negative becomes large
        const uint64_t z = (uint64_t)(column + p->column_shift[t]);
        s->inside[r] |= (uint32_t)(y < (uint64_t)c->src_h && z < (uint64_t)c->src_w) << t;
    }
    s->interior = s->interior && s->inside[r] == (1u << p->n_taps) - 1;
    s->dst[r] = at->image * blocks_of(c->out) * c->dst_h * c->dst_w +
                (at->row * p->step + p->first_row) * c->dst_w + at->column * p->step +
                p->first_column;
}

static void place_strip(const jemi_direct *c, const phase *p, const float *x, int64_t first,
                        int rows, strip *s)
{
    const int64_t image = p->rows * p->columns;
    pixel at = {first / image, first % image / p->columns, first % p->columns};
    s->rows = rows;
    s->interior = true;
    for (int r = 0; r < rows; r++) {
        place_pixel(c, p, x, &at, s, r);
        if (++at.column == p->columns) {
            at.column = 0;
            if (++at.row == p->rows) {
                at.row = 0;
                at.image++;
            }
        }
    }
}

// ---- products ----------------------------------------------------------------------------------

static const float zeros[LANES];

// One block of `lanes` source channels of one tap; all three counts are constants where inlined.
JEMI_AVX512_INLINE void accumulate(int rows, int vectors, int lanes, const float *const src[STRIP],
                                   const float *weights, __m512 sums[STRIP][2])
{
    for (int k = 0; k < lanes; k++) {
        __m512 w[2];
        for (int v = 0; v < vectors; v++)
            w[v] = _mm512_loadu_ps(weights + (k * vectors + v) * LANES);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            const __m512 value = _mm512_set1_ps(src[r][k]);
            for (int v = 0; v < vectors; v++)
                sums[r][v] = _mm512_fmadd_ps(value, w[v], sums[r][v]);
        }
    }
}

JEMI_AVX512_INLINE void sum_strip(int rows, int vectors, int lanes, const jemi_direct *c,
                                  const phase *p, const strip *s, int64_t group, float *y)
{
    const int64_t blocks = lanes == 1 ? c->in : blocks_of(c->in);
    const int64_t in = blocks_of(c->in) * LANES, plane = c->src_h * c->src_w * lanes;
    const int64_t taps = c->kernel * c->kernel, width = vectors * LANES;
    __m512 sums[STRIP][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sums[r][v] = jemi_epilogue_bias(&c->then, group / LANES + v);
    for (int t = 0; t < p->n_taps; t++) {
        const float *weights = c->weights + (group * taps + p->tap[t] * width) * in;
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t offset = p->offset[t] + b * plane;
            const float *src[STRIP];
            for (int r = 0; r < rows; r++)
                src[r] = s->interior || (s->inside[r] >> t & 1) != 0 ? s->src[r] + offset : zeros;
            accumulate(rows, vectors, lanes, src, weights + b * lanes * width, sums);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            const int64_t block = (group / LANES + v) * c->dst_h * c->dst_w;
            jemi_epilogue_finish(&c->then, sums[r][v], (s->dst[r] + block) * LANES, y);
        }
}

#define STRIP_CASE(r)                                                                              \
    case r:                                                                                        \
        sum_strip(r, vectors, lanes, c, p, s, group, y);                                           \
        break;

JEMI_AVX512_INLINE void sum_rows(int vectors, int lanes, const jemi_direct *c, const phase *p,
                                 const strip *s, int64_t group, float *y)
{
    switch (s->rows) {
        STRIP_CASE(1)
        STRIP_CASE(2)
        STRIP_CASE(3)
        STRIP_CASE(4)
        STRIP_CASE(5)
        STRIP_CASE(6)
        STRIP_CASE(7)
        STRIP_CASE(8)
        STRIP_CASE(9)
        STRIP_CASE(10)
        STRIP_CASE(11)
        STRIP_CASE(12)
        STRIP_CASE(13)
        STRIP_CASE(14)
    }
}

JEMI_AVX512 static void sum_group(const jemi_direct *c, const phase *p, const strip *s,
                                  int64_t group, float *y)
{
    const bool wide = blocks_of(c->out) * LANES - group >= 2 * LANES;
    if (c->plain && wide)
        sum_rows(2, 1, c, p, s, group, y);
    else if (c->plain)
        sum_rows(1, 1, c, p, s, group, y);
    else if (wide)
        sum_rows(2, LANES, c, p, s, group, y);
    else
        sum_rows(1, LANES, c, p, s, group, y);
}

static void run_phase(const jemi_direct *c, const phase *p, const float *x, float *y)
{
    const int64_t pixels = c->n * p->rows * p->columns;
    const int64_t strips = (pixels + STRIP - 1) / STRIP;
    const int64_t groups = (blocks_of(c->out) + 1) / 2;
    // Channels outermost: the weights of a group stay in cache while the strips pass.
    JEMI_PARALLEL(for (int64_t item = 0; item < groups * strips; item++) {
        const int64_t first = item % strips * STRIP;
        strip s;
        place_strip(c, p, x, first, pixels - first < STRIP ? (int)(pixels - first) : STRIP, &s);
        sum_group(c, p, &s, item / strips * 2 * LANES, y);
    });
}

void jemi_direct_run(const jemi_direct *c, const float *x, float *y)
{
    const int64_t phases = c->backward ? c->stride : 1;
    for (int64_t row = 0; row < phases && row < c->dst_h; row++)
        for (int64_t column = 0; column < phases && column < c->dst_w; column++) {
            const phase p = make_phase(c, row, column);
            run_phase(c, &p, x, y);
        }
}

#else

void jemi_direct_run(const jemi_direct *c, const float *x, float *y)
{
    (void)c, (void)x, (void)y;
    assert(!"no direct kernels for this processor");
}

#endif
