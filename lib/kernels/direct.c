/*
 * The unit of work is a strip of STRIP destination pixels times GROUP channels, on AVX-512 14 x 32,
 * kept in registers while taps and source channels pass by: one broadcast serves two multiply-adds.
 *
 * The transposed convolution of stride s is s x s phases: destination pixels of one phase see the
 * same taps, and walk over the source without gaps. So one loop serves both directions; only where
 * a tap looks differs.
 */
#include "kernels/direct.h"

#include <string.h>

#include "kernels/bf16.h"
#include "kernels/epilogue_v16.h"
#include "kernels/grain.h"

JEMI_KERNEL_DECLARE(direct_pack);
JEMI_KERNEL_DECLARE(direct_pack_bf16);
JEMI_KERNEL_DECLARE(direct_run);

enum {
    LANES = JEMI_LANES,
    STRIP = V16_TILE_ROWS,
    GROUP = V16_TILE_VECTORS * LANES, // destination channels
    LONE_GROUPS = 4,                  // of a lone pixel, at once
    TAPS = JEMI_DIRECT_KERNEL_MAX * JEMI_DIRECT_KERNEL_MAX,
};

static int64_t blocks_of(int64_t channels)
{
    return (channels + LANES - 1) / LANES;
}

// Where weights lie. Groups of GROUP destination channels, 16 where so many are not left:
// (group, tap, source channel, width); in bf16 pairs of source channels side by side,
// (.., source channels / 2, width, 2).
typedef struct packing {
    int64_t taps, from, to; // channels with padding
    int64_t in;             // of the forward convolution
    bool transposed, pairs;
} packing;

static packing packing_of(int64_t out, int64_t in, int64_t kernel, bool transposed, bool pairs)
{
    return (packing){.taps = kernel * kernel,
                     .from = blocks_of(transposed ? out : in) * LANES,
                     .to = blocks_of(transposed ? in : out) * LANES,
                     .in = in,
                     .transposed = transposed,
                     .pairs = pairs};
}

// Of weight (o, i, tap) of the forward convolution.
static int64_t packed_index(const packing *p, int64_t o, int64_t i, int64_t tap)
{
    const int64_t from = p->transposed ? o : i, to = p->transposed ? i : o;
    const int64_t group = to / GROUP * GROUP, lane = to - group;
    const int64_t width = p->to - group < GROUP ? LANES : GROUP;
    const int64_t start = (group * p->taps + tap * width) * p->from;
    return p->pairs ? start + from / 2 * 2 * width + 2 * lane + from % 2
                    : start + from * width + lane;
}

typedef struct pack {
    packing order;
    void *packed; // floats, or bf16 in pairs
    const float *weights;
} pack;

static void pack_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const pack *k = context;
    const packing *p = &k->order;
    for (int64_t o = begin; o < end; o++)
        for (int64_t i = 0; i < p->in; i++)
            for (int64_t tap = 0; tap < p->taps; tap++) {
                const float value = k->weights[(o * p->in + i) * p->taps + tap];
                const int64_t at = packed_index(p, o, i, tap);
                if (p->pairs)
                    ((uint16_t *)k->packed)[at] = jemi_bf16_from_float(value);
                else
                    ((float *)k->packed)[at] = value;
            }
}

static void pack_all(pack *k, int64_t out, size_t value_bytes)
{
    const packing *p = &k->order;
    const int64_t values = p->taps * p->from * p->to;
    memset(k->packed, 0, (size_t)values * value_bytes);
    jemi_parallel(out, jemi_grain(out, p->in * p->taps * JEMI_WORK_OF_FLOAT), pack_task, k);
}

void JEMI_KERNEL(direct_pack)(float *packed, const float *weights, int64_t out, int64_t in,
                              int64_t kernel, bool transposed)
{
    pack k = {packing_of(out, in, kernel, transposed, false), packed, weights};
    pack_all(&k, out, sizeof *packed);
}

void JEMI_KERNEL(direct_pack_bf16)(uint16_t *packed, const float *weights, int64_t out, int64_t in,
                                   int64_t kernel, bool transposed)
{
    pack k = {packing_of(out, in, kernel, transposed, true), packed, weights};
    pack_all(&k, out, sizeof *packed);
}

// ---- where taps look ---------------------------------------------------------------------------

// Destination pixels (row * step + first_row, column * step + first_column).
typedef struct phase {
    int64_t first_row, first_column, step;
    int64_t rows, columns;
    int n_taps;
    int tap[TAPS];                               // which of the kernel's
    int64_t row_shift[TAPS], column_shift[TAPS]; // from pixel to source, in source pixels
    int64_t offset[TAPS];                        // the same, in values
} phase;

// Transposed: the source pixel o with o * stride + k - pad == i, for i of residue `first`; false if
// there is none.
static bool shift_of(const jemi_direct *c, int64_t first, int64_t k, int64_t *shift)
{
    if (!c->transposed) {
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
    const int64_t step = c->transposed ? c->stride : 1;
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
            p.offset[p.n_taps] = (row * c->src_w + column) * LANES;
            p.n_taps++;
        }
    return p;
}

// A strip of pixels: where each is written, and where a tap without shift would read it.
typedef struct strip {
    int rows;
    bool interior; // every tap of every pixel lies inside its image
    int64_t dst[STRIP];
    int64_t src[STRIP];     // in values
    uint32_t inside[STRIP]; // bit t: tap t does
} strip;

static int64_t src_row_values(const jemi_direct *c)
{
    return blocks_of(c->in) * LANES * c->src_h * c->src_w;
}

typedef struct pixel {
    int64_t image, row, column; // of the phase
} pixel;

static void place_pixel(const jemi_direct *c, const phase *p, const pixel *at, strip *s, int r)
{
    const int64_t pace = c->transposed ? 1 : c->stride;
    const int64_t row = at->row * pace, column = at->column * pace;
    s->src[r] = at->image * src_row_values(c) + (row * c->src_w + column) * LANES;
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

static void place_strip(const jemi_direct *c, const phase *p, int64_t first, int rows, strip *s)
{
    const int64_t image = p->rows * p->columns;
    pixel at = {first / image, first % image / p->columns, first % p->columns};
    s->rows = rows;
    s->interior = true;
    for (int r = 0; r < rows; r++) {
        place_pixel(c, p, &at, s, r);
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

// What the source consists of; a constant where this is inlined.
typedef enum source { FLOAT, BF16 } source;

static const float zeros[LANES];

V16_INLINE v16 multiply_add(source from, v16 value, v16 weights, v16 sum)
{
    return from == BF16 ? v16_dot_bf16(sum, weights, value) : v16_fma(value, weights, sum);
}

// `steps` source channels, or pairs, of one tap.
V16_INLINE void accumulate(source from, int rows, int vectors, int steps,
                           const float *const src[STRIP], const float *weights,
                           v16 sums[STRIP][V16_TILE_VECTORS])
{
    for (int k = 0; k < steps; k++) {
        v16 w[V16_TILE_VECTORS];
        for (int v = 0; v < vectors; v++)
            w[v] = v16_load(weights + (k * vectors + v) * LANES);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            const v16 value = v16_set1(src[r][k]); // or a pair
            for (int v = 0; v < vectors; v++)
                sums[r][v] = multiply_add(from, value, w[v], sums[r][v]);
        }
    }
}

V16_INLINE void sum_strip(source from, int rows, int vectors, const jemi_direct *c, const phase *p,
                          const strip *s, int64_t group, const char *x, float *y)
{
    const int size = from == BF16 ? 2 : 4, steps = from == BF16 ? LANES / 2 : LANES;
    const int64_t blocks = blocks_of(c->in);
    const int64_t in = blocks * LANES, plane = c->src_h * c->src_w * LANES;
    const int64_t taps = c->kernel * c->kernel, width = vectors * LANES;
    v16 sums[STRIP][V16_TILE_VECTORS]; // unrolled everywhere, as in winograd.c
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sums[r][v] = jemi_epilogue_bias(&c->then, group / LANES + v);
    for (int t = 0; t < p->n_taps; t++) {
        const char *weights =
            (const char *)c->weights + (group * taps + p->tap[t] * width) * in * size;
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t offset = p->offset[t] + b * plane;
            const float *src[STRIP];
            for (int r = 0; r < rows; r++)
                src[r] = s->interior || (s->inside[r] >> t & 1) != 0
                             ? (const float *)(x + (s->src[r] + offset) * size)
                             : zeros;
            accumulate(from, rows, vectors, steps, src,
                       (const float *)(weights + b * LANES * width * size), sums);
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            const int64_t block = (group / LANES + v) * c->dst_h * c->dst_w;
            jemi_epilogue_finish(&c->then, sums[r][v], (s->dst[r] + block) * LANES, y);
        }
}

#define STRIP_CASE(r)                                                                              \
    case r:                                                                                        \
        if (r <= STRIP)                                                                            \
            sum_strip(from, r, vectors, c, p, s, group, x, y);                                     \
        break;

V16_INLINE void sum_rows(source from, int vectors, const jemi_direct *c, const phase *p,
                         const strip *s, int64_t group, const char *x, float *y)
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

#define DEFINE_GROUP(name, from)                                                                   \
    static void name(const jemi_direct *c, const phase *p, const strip *s, int64_t group,          \
                     const char *x, float *y)                                                      \
    {                                                                                              \
        if (blocks_of(c->out) * LANES - group >= GROUP)                                            \
            sum_rows(from, V16_TILE_VECTORS, c, p, s, group, x, y);                                \
        else                                                                                       \
            sum_rows(from, 1, c, p, s, group, x, y);                                               \
    }

DEFINE_GROUP(sum_float, FLOAT)
DEFINE_GROUP(sum_bf16, BF16)

// One pixel has one chain of multiply-adds for each of its channels: those of one group would wait for
// each other, so several groups pass together.
V16_INLINE void sum_lone_pixel(source from, const jemi_direct *c, const phase *p, const strip *s,
                               int64_t group, const char *x, float *y)
{
    const int size = from == BF16 ? 2 : 4, steps = from == BF16 ? LANES / 2 : LANES;
    const int64_t blocks = blocks_of(c->in), in = blocks * LANES;
    const int64_t plane = c->src_h * c->src_w * LANES, taps = c->kernel * c->kernel;
    const int64_t next = taps * in * GROUP * size / (int64_t)sizeof(float); // group
    v16 sums[LONE_GROUPS][V16_TILE_VECTORS];
#pragma GCC unroll 14
    for (int g = 0; g < LONE_GROUPS; g++)
        for (int v = 0; v < V16_TILE_VECTORS; v++)
            sums[g][v] = jemi_epilogue_bias(&c->then, group / LANES + g * V16_TILE_VECTORS + v);
    for (int t = 0; t < p->n_taps; t++) {
        const float *weights = (const float *)((const char *)c->weights +
                                               (group * taps + p->tap[t] * GROUP) * in * size);
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t at = s->src[0] + p->offset[t] + b * plane;
            const float *src =
                (s->inside[0] >> t & 1) != 0 ? (const float *)(x + at * size) : zeros;
            for (int k = 0; k < steps; k++, weights += GROUP) {
                const v16 value = v16_set1(src[k]);
#pragma GCC unroll 14
                for (int g = 0; g < LONE_GROUPS; g++)
                    for (int v = 0; v < V16_TILE_VECTORS; v++)
                        sums[g][v] = multiply_add(
                            from, value, v16_load(weights + g * next + v * LANES), sums[g][v]);
            }
        }
    }
#pragma GCC unroll 14
    for (int g = 0; g < LONE_GROUPS; g++)
        for (int v = 0; v < V16_TILE_VECTORS; v++) {
            const int64_t block = group / LANES + g * V16_TILE_VECTORS + v;
            jemi_epilogue_finish(&c->then, sums[g][v],
                                 (s->dst[0] + block * c->dst_h * c->dst_w) * LANES, y);
        }
}

typedef struct phase_run {
    const jemi_direct *conv;
    const phase *phase;
    int64_t pixels, strips;
    int64_t groups_at_once;
    const char *x;
    float *y;
} phase_run;

static void sum_group(const phase_run *r, const strip *s, int64_t group)
{
    if (r->conv->bf16)
        sum_bf16(r->conv, r->phase, s, group, r->x, r->y);
    else
        sum_float(r->conv, r->phase, s, group, r->x, r->y);
}

static void sum_groups_of_pixel(const phase_run *r, const strip *s, int64_t group)
{
    const int64_t channels = blocks_of(r->conv->out) * LANES;
    if (channels - group < LONE_GROUPS * GROUP)
        for (; group < channels; group += GROUP)
            sum_group(r, s, group);
    else if (r->conv->bf16)
        sum_lone_pixel(BF16, r->conv, r->phase, s, group, r->x, r->y);
    else
        sum_lone_pixel(FLOAT, r->conv, r->phase, s, group, r->x, r->y);
}

static void phase_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const phase_run *r = context;
    for (int64_t item = begin; item < end; item++) {
        const int64_t first = item % r->strips * STRIP, left = r->pixels - first;
        const int64_t group = item / r->strips * r->groups_at_once * GROUP;
        strip s;
        place_strip(r->conv, r->phase, first, left < STRIP ? (int)left : STRIP, &s);
        if (r->groups_at_once > 1)
            sum_groups_of_pixel(r, &s, group);
        else
            sum_group(r, &s, group);
    }
}

static void run_phase(const jemi_direct *c, const phase *p, const char *x, float *y)
{
    const int64_t pixels = c->n * p->rows * p->columns;
    phase_run r = {c, p, pixels, (pixels + STRIP - 1) / STRIP, pixels == 1 ? LONE_GROUPS : 1, x, y};
    const int64_t channels = r.groups_at_once * GROUP; // of an item
    const int64_t items = (blocks_of(c->out) * LANES + channels - 1) / channels * r.strips;
    const int64_t work = p->n_taps * blocks_of(c->in) * LANES * channels * STRIP;
    // Channels outermost: the weights of a group stay in cache while the strips pass.
    jemi_parallel(items, jemi_grain(items, work), phase_task, &r);
}

void JEMI_KERNEL(direct_run)(const jemi_direct *c, const void *x, float *y)
{
    const int64_t phases = c->transposed ? c->stride : 1;
    for (int64_t row = 0; row < phases && row < c->dst_h; row++)
        for (int64_t column = 0; column < phases && column < c->dst_w; column++) {
            const phase p = make_phase(c, row, column);
            run_phase(c, &p, x, y);
        }
}
