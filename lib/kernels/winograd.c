/*
 * Tiles go in blocks through three stages:
 *
 *     V[p][tile][in]  = B^T d B         p: the places of a transformed tile
 *     M[p][tile][out] = V[p] U[p]       a small matrix product per place
 *     y               = A^T M A
 *
 * A product keeps ROWS tiles x COLUMNS channels in registers, on AVX-512 14 x 32: 28 accumulators,
 * one broadcast for two multiply-adds. U[p] is packed as (out / COLUMNS, in, COLUMNS), the order in
 * which it is read; 16 columns may be left at the end.
 *
 * Where weights are small and tiles many, each thread takes blocks of them through all stages in a
 * workspace of its own, which stays in its cache. Otherwise all threads share the stages of one
 * larger block: then tiles need not fill many blocks, and weights are fetched from afar less often.
 */
#include "kernels/winograd.h"

#include <stddef.h>

#include "kernels/grain.h"
#include "kernels/winograd_fetch.h"
#include "kernels/winograd_scheme.h"

JEMI_KERNEL_DECLARE(winograd_pack);
JEMI_KERNEL_DECLARE(winograd_workspace);
JEMI_KERNEL_DECLARE(winograd_run);

enum {
    LANES = JEMI_LANES,
    ROWS = V16_TILE_ROWS,
    VECTORS = V16_TILE_VECTORS,
    COLUMNS = VECTORS * LANES,
    APART_ROWS = (14 + ROWS - 1) / ROWS * ROWS,
    SHARED_ROWS = 4 * APART_ROWS,
};

// Of transformed weights: what a core's cache holds beside a block, and then some.
static const int64_t weights_bytes_max = 6 << 20;

static const jemi_winograd_scheme *scheme_of(int64_t stride, bool transposed)
{
    if (stride == 1)
        return &JEMI_KERNEL(winograd_stride1);
    return transposed ? &JEMI_KERNEL(winograd_stride2_transposed) : &JEMI_KERNEL(winograd_stride2);
}

// ---- weights -----------------------------------------------------------------------------------

// Columns are read COLUMNS at a time, and 16 where so many are not left.
static int64_t packed_index(int64_t row, int64_t column, int64_t rows, int64_t columns)
{
    const int64_t group = column / COLUMNS * COLUMNS;
    const int64_t width = columns - group < COLUMNS ? LANES : COLUMNS;
    return group * rows + row * width + (column - group);
}

// One row, 16 columns of all places. A kernel lies `step` floats from that of the next column.
static void pack_item(const jemi_winograd_scheme *s, float *packed, const float *weights,
                      int64_t step, bool transposed, int64_t places)
{
    float kernels[9][LANES];
    for (int64_t lane = 0; lane < LANES; lane++)
        for (int k = 0; k < 9; k++)
            kernels[k][lane] = weights[lane * step + k];
    s->transform_weights(kernels, transposed, packed, places);
}

typedef struct pack {
    const jemi_winograd_scheme *scheme;
    float *packed;
    const float *weights;
    bool transposed;
    int64_t rows, columns, row_step, column_step;
} pack;

static void pack_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const pack *p = context;
    for (int64_t item = begin; item < end; item++) {
        const int64_t column = item / p->rows * LANES, row = item % p->rows;
        pack_item(p->scheme, p->packed + packed_index(row, column, p->rows, p->columns),
                  p->weights + row * p->row_step + column * p->column_step, p->column_step,
                  p->transposed, p->rows * p->columns);
    }
}

void JEMI_KERNEL(winograd_pack)(float *packed, const float *weights, int64_t out, int64_t in,
                                int64_t stride, bool transposed)
{
    pack p = {
        .scheme = scheme_of(stride, transposed),
        .packed = packed,
        .weights = weights,
        .transposed = transposed,
        .rows = transposed ? out : in,
        .columns = transposed ? in : out,
        .row_step = transposed ? in * 9 : 9,
        .column_step = transposed ? 9 : in * 9,
    };
    const int64_t items = p.columns / LANES * p.rows;
    const int64_t floats = jemi_winograd_weights_count(1, LANES, stride);
    jemi_parallel(items, jemi_grain(items, floats * JEMI_WORK_OF_FLOAT), pack_task, &p);
}

// ---- products ----------------------------------------------------------------------------------

// `rows` tiles times 16 * `vectors` output channels, both constants where this is inlined; added to
// `m`, or the first to be there.
V16_INLINE void product(int rows, int vectors, bool first, const float *v, int64_t in,
                        const float *u, float *m, int64_t out)
{
    // All loops over them are unrolled by order: GCC leaves an array in memory before it unrolls.
    v16 sums[ROWS][VECTORS];
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        for (int s = 0; s < vectors; s++)
            sums[r][s] = first ? v16_zero() : v16_load(m + r * out + s * LANES);
    for (int64_t k = 0; k < in; k++) {
        v16 weights[VECTORS];
        for (int s = 0; s < vectors; s++)
            weights[s] = v16_load(u + (k * vectors + s) * LANES);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            const v16 value = v16_set1(v[r * in + k]);
            for (int s = 0; s < vectors; s++)
                sums[r][s] = v16_fma(value, weights[s], sums[r][s]);
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        for (int s = 0; s < vectors; s++)
            v16_store(m + r * out + s * LANES, sums[r][s]);
}

#define PRODUCT_CASE(r)                                                                            \
    case r:                                                                                        \
        if (r <= ROWS)                                                                             \
            product(r, vectors, first, v, in, u, m, out);                                          \
        break;

V16_INLINE void product_rows(int rows, int vectors, bool first, const float *v, int64_t in,
                             const float *u, float *m, int64_t out)
{
    switch (rows) {
        PRODUCT_CASE(1)
        PRODUCT_CASE(2)
        PRODUCT_CASE(3)
        PRODUCT_CASE(4)
        PRODUCT_CASE(5)
        PRODUCT_CASE(6)
        PRODUCT_CASE(7)
        PRODUCT_CASE(8)
        PRODUCT_CASE(9)
        PRODUCT_CASE(10)
        PRODUCT_CASE(11)
        PRODUCT_CASE(12)
        PRODUCT_CASE(13)
        PRODUCT_CASE(14)
    }
}

// COLUMNS columns from `o` on, or the last 16.
static void multiply(int rows, bool first, const float *v, int64_t in, const float *u, float *m,
                     int64_t out, int64_t o)
{
    if (out - o >= COLUMNS)
        product_rows(rows, VECTORS, first, v, in, u + o * in, m + o, out);
    else
        product_rows(rows, 1, first, v, in, u + o * in, m + o, out);
}

// ---- stages ------------------------------------------------------------------------------------

typedef struct layer {
    const jemi_winograd *conv;
    const jemi_winograd_scheme *scheme;
    jemi_tile_grid grid; // with stride 2 of the smaller side
    int64_t tiles;
    bool shared;
    bool fetch;                 // pixels ahead
    int64_t capacity;           // tiles of a block
    int64_t v_stride, m_stride; // floats from place to place
    int64_t v_size, m_size;     // of a block
    int64_t in_blocks, out_blocks;
    const float *x;
    float *y;
} layer;

// Some tiles, and where they are worked on.
typedef struct block {
    jemi_tile_block order;
    jemi_tile at[SHARED_ROWS];
    float *v, *m;
} block;

static layer make_layer(const jemi_winograd *c, int threads)
{
    layer l = {.conv = c, .scheme = scheme_of(c->stride, c->transposed)};
    l.grid = jemi_tile_grid_make(jemi_min(c->src_h, c->dst_h), jemi_min(c->src_w, c->dst_w));
    l.tiles = c->n * l.grid.down * l.grid.across;
    l.in_blocks = c->in / LANES;
    l.out_blocks = c->out / LANES;
    const int64_t bytes = jemi_winograd_weights_count(c->in, c->out, c->stride) * 4;
    l.shared = bytes > weights_bytes_max || (threads > 1 && l.tiles < SHARED_ROWS * threads);
    l.fetch = jemi_fetch_pays(c);
    l.capacity = l.shared ? SHARED_ROWS : APART_ROWS;
    const int64_t places = l.scheme->patch * l.scheme->patch;
    l.v_stride = jemi_place_stride(l.capacity * c->in);
    l.m_stride = jemi_place_stride(l.capacity * c->out);
    l.v_size = places * l.v_stride;
    l.m_size = places * l.m_stride;
    return l;
}

// The block from tile `first` on.
static void place_block(const layer *l, int64_t first, block *b)
{
    const int tiles = (int)jemi_min(l->tiles - first, l->capacity);
    b->order = jemi_tile_grid_block(&l->grid, first, tiles, b->at);
}

// Tile after tile of one block of channels, so that memory is walked along.
static void input_stage(const layer *l, const block *b, int phase, int64_t k)
{
    const jemi_tile_pixels pixels = jemi_source_pixels(l->conv, l->scheme, phase);
    for (int t = 0; t < b->order.tiles; t++) {
        const jemi_tile_places to = {b->v + t * l->conv->in + k * LANES, l->v_stride};
        if (l->fetch)
            jemi_fetch_tile(false, l->x, &pixels, jemi_tile_ahead(b->at, b->order.tiles, t), k);
        l->scheme->transform_input(l->conv, l->x, &b->at[t], k, phase, to);
    }
}

static void output_stage(const layer *l, const block *b, int phase, int64_t k)
{
    const jemi_tile_pixels pixels = jemi_destination_pixels(l->conv, l->scheme, phase);
    for (int t = 0; t < b->order.tiles; t++) {
        const jemi_tile_places from = {b->m + t * l->conv->out + k * LANES, l->m_stride};
        if (l->fetch)
            jemi_fetch_tile(true, l->y, &pixels, jemi_tile_ahead(b->at, b->order.tiles, t), k);
        if (l->fetch && l->conv->then.add != NULL)
            jemi_fetch_tile(false, l->conv->then.add, &pixels,
                            jemi_tile_ahead(b->at, b->order.tiles, t), k);
        l->scheme->transform_output(l->conv, from, phase, &b->at[t], k, l->y);
    }
}

static int64_t groups_of(const layer *l)
{
    return (l->conv->out + COLUMNS - 1) / COLUMNS;
}

static int places_of(const layer *l, int phase)
{
    return l->scheme->phases[phase].rows * l->scheme->phases[phase].columns;
}

// U of the first place of a phase.
static const float *weights_of(const layer *l, int phase)
{
    const float *weights = l->conv->weights;
    for (int k = 0; k < phase; k++)
        weights += places_of(l, k) * l->conv->in * l->conv->out;
    return weights;
}

// Place number k of a phase, 32 columns. Only one side has phases: the weights' are the larger.
static void product_stage(const layer *l, const block *b, int in_phase, int out_phase, int k,
                          int64_t group)
{
    const int phase = in_phase + out_phase;
    const int columns = l->scheme->phases[phase].columns;
    const int row = k / columns, column = k % columns;
    const int place = row * l->scheme->patch + column;
    const int64_t in = l->conv->in, out = l->conv->out;
    const float *u = weights_of(l, phase) + k * in * out;
    const jemi_tile_range r =
        jemi_tile_block_range(&b->order, &l->grid, l->scheme->patch, row, column);
    for (int t = r.begin; t < r.end; t += ROWS)
        multiply((int)jemi_min(r.end - t, ROWS), in_phase == 0, b->v + place * l->v_stride + t * in,
                 in, u, b->m + place * l->m_stride + t * out, out, group * COLUMNS);
}

// Is the sum over the sources complete?
static bool is_last(const layer *l, int in_phase)
{
    return in_phase == l->scheme->in_phases - 1;
}

static void run_block(const layer *l, const block *b)
{
    for (int in_phase = 0; in_phase < l->scheme->in_phases; in_phase++) {
        for (int64_t k = 0; k < l->in_blocks; k++)
            input_stage(l, b, in_phase, k);
        for (int out_phase = 0; out_phase < l->scheme->out_phases; out_phase++) {
            for (int k = 0; k < places_of(l, in_phase + out_phase); k++)
                for (int64_t group = 0; group < groups_of(l); group++)
                    product_stage(l, b, in_phase, out_phase, k, group);
            for (int64_t k = 0; is_last(l, in_phase) && k < l->out_blocks; k++)
                output_stage(l, b, out_phase, k);
        }
    }
}

// A stage of one block, of which threads take parts.
typedef struct stage {
    const layer *layer;
    const block *block;
    int in_phase, out_phase;
} stage;

static void input_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const stage *s = context;
    for (int64_t k = begin; k < end; k++)
        input_stage(s->layer, s->block, s->in_phase, k);
}

static void output_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const stage *s = context;
    for (int64_t k = begin; k < end; k++)
        output_stage(s->layer, s->block, s->out_phase, k);
}

static void product_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const stage *s = context;
    const int64_t groups = groups_of(s->layer);
    for (int64_t item = begin; item < end; item++)
        product_stage(s->layer, s->block, s->in_phase, s->out_phase, (int)(item / groups),
                      item % groups);
}

// Of the transforms of all tiles of a block, for one block of channels.
static int64_t work_of_transform(const stage *s)
{
    const int64_t places = s->layer->scheme->patch * s->layer->scheme->patch;
    return s->block->order.tiles * places * LANES * JEMI_WORK_OF_FLOAT;
}

static void share_products(stage *s)
{
    const layer *l = s->layer;
    const int64_t items = places_of(l, s->in_phase + s->out_phase) * groups_of(l);
    const int64_t work = s->block->order.tiles * l->conv->in * COLUMNS;
    jemi_parallel(items, jemi_grain(items, work), product_task, s);
}

// The same as run_block() by all threads.
static void share_block(const layer *l, const block *b)
{
    stage s = {.layer = l, .block = b};
    const int64_t work = work_of_transform(&s);
    for (s.in_phase = 0; s.in_phase < l->scheme->in_phases; s.in_phase++) {
        jemi_parallel(l->in_blocks, jemi_grain(l->in_blocks, work), input_task, &s);
        for (s.out_phase = 0; s.out_phase < l->scheme->out_phases; s.out_phase++) {
            share_products(&s);
            if (is_last(l, s.in_phase))
                jemi_parallel(l->out_blocks, jemi_grain(l->out_blocks, work), output_task, &s);
        }
    }
}

int64_t JEMI_KERNEL(winograd_workspace)(const jemi_winograd *conv, int threads)
{
    const layer l = make_layer(conv, threads);
    return (l.v_size + l.m_size) * (l.shared ? 1 : threads);
}

static void run_shared(const layer *l, float *workspace)
{
    block b = {.v = workspace, .m = workspace + l->v_size};
    for (int64_t first = 0; first < l->tiles; first += l->capacity) {
        place_block(l, first, &b);
        share_block(l, &b);
    }
}

typedef struct apart {
    const layer *layer;
    float *workspace; // of all workers
} apart;

static void apart_task(void *context, int64_t begin, int64_t end, int worker)
{
    const apart *a = context;
    const layer *l = a->layer;
    float *v = a->workspace + worker * (l->v_size + l->m_size);
    block b = {.v = v, .m = v + l->v_size};
    for (int64_t k = begin; k < end; k++) {
        place_block(l, k * l->capacity, &b);
        run_block(l, &b);
    }
}

static void run_apart(const layer *l, float *workspace)
{
    apart a = {l, workspace};
    const int64_t blocks = (l->tiles + l->capacity - 1) / l->capacity;
    const int64_t places = jemi_winograd_weights_count(1, 1, l->conv->stride);
    const int64_t work = l->capacity * places * l->conv->in * l->conv->out;
    jemi_parallel(blocks, jemi_grain(blocks, work), apart_task, &a);
}

void JEMI_KERNEL(winograd_run)(const jemi_winograd *conv, const float *x, float *y,
                               float *workspace)
{
    layer l = make_layer(conv, jemi_parallel_width());
    l.x = x;
    l.y = y;
    if (l.shared && jemi_parallel_width() > 1)
        run_shared(&l, workspace);
    else
        run_apart(&l, workspace);
}
