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
 *
 * Where packed weights are kernels, a thread takes COLUMNS channels through all places of a phase, and
 * transforms some rows of U at a time into a buffer of its own. The additions are the same, in the
 * same order.
 */
#include "kernels/winograd.h"

#include <stddef.h>

#include "kernels/grain.h"
#include "kernels/winograd_fetch.h"
#include "kernels/winograd_packed.h"
#include "kernels/winograd_scheme.h"

JEMI_KERNEL_DECLARE(winograd_workspace);
JEMI_KERNEL_DECLARE(winograd_run);

enum {
    LANES = JEMI_LANES,
    ROWS = V16_TILE_ROWS,
    VECTORS = V16_TILE_VECTORS,
    COLUMNS = JEMI_WINOGRAD_COLUMNS,
    APART_ROWS = (14 + ROWS - 1) / ROWS * ROWS,
    BLOCK_ROWS_MAX = 72 / ROWS * ROWS,
    FEW_ROWS = 7, // of a thread's only block: they do not repay the reading of all weights
};

// Of transformed weights that each thread reads: for all its blocks, and for its only one.
static const int64_t apart_bytes_max = 6 << 20;
static const int64_t apart_bytes_max_of_one = 1 << 20;

// ---- products ----------------------------------------------------------------------------------

// Where a product's rows lie, and how long its sums are.
typedef struct extent {
    int64_t depth, in, out;
} extent;

// `rows` tiles times 16 * `vectors` output channels, both constants where this is inlined; added to
// `m`, or the first to be there.
V16_INLINE void product(int rows, int vectors, bool first, const float *v, const float *u, float *m,
                        const extent *e)
{
    const int64_t depth = e->depth, in = e->in, out = e->out;
    // All loops over them are unrolled by order: GCC leaves an array in memory before it unrolls.
    v16 sums[ROWS][VECTORS];
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        for (int s = 0; s < vectors; s++)
            sums[r][s] = first ? v16_zero() : v16_load(m + r * out + s * LANES);
    for (int64_t k = 0; k < depth; k++) {
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
            product(r, vectors, first, v, u, m, e);                                                \
        break;

V16_INLINE void product_rows(int rows, int vectors, bool first, const float *v, const float *u,
                             float *m, const extent *e)
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

// COLUMNS columns, or the last 16.
static void multiply(int rows, bool wide, bool first, const float *v, const float *u, float *m,
                     const extent *e)
{
    if (wide)
        product_rows(rows, VECTORS, first, v, u, m, e);
    else
        product_rows(rows, 1, first, v, u, m, e);
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
    int64_t u_size;             // of a thread's buffer
    int64_t in_blocks, out_blocks;
    const float *x;
    float *y;
} layer;

// Some tiles, and where they are worked on.
typedef struct block {
    jemi_tile_block order;
    jemi_tile at[BLOCK_ROWS_MAX];
    float *v, *m;
    float *u; // of all threads that share the block
} block;

// Threads that work apart read all weights each; those that share a block read a part of them, but
// fetch from each other what they have transformed, and wait for each other three times.
static bool is_shared(const jemi_winograd *c, int threads, int64_t tiles_each)
{
    const int64_t bytes = jemi_winograd_transformed_count(c->in, c->out, c->stride) * 4;
    if (threads == 1 || tiles_each > BLOCK_ROWS_MAX)
        return bytes > apart_bytes_max;
    return bytes > apart_bytes_max_of_one || tiles_each < FEW_ROWS;
}

// As many equal parts as are needed.
static int64_t capacity_of(int64_t tiles)
{
    const int64_t blocks = (tiles + BLOCK_ROWS_MAX - 1) / BLOCK_ROWS_MAX;
    return (tiles + blocks - 1) / blocks;
}

static layer make_layer(const jemi_winograd *c, int threads)
{
    layer l = {.conv = c, .scheme = JEMI_KERNEL(winograd_scheme_of)(c->stride, c->transposed)};
    l.grid = jemi_tile_grid_make(jemi_min(c->src_h, c->dst_h), jemi_min(c->src_w, c->dst_w));
    l.tiles = c->n * l.grid.down * l.grid.across;
    l.in_blocks = c->in / LANES;
    l.out_blocks = c->out / LANES;
    const int64_t tiles_each = (l.tiles + threads - 1) / threads;
    l.shared = is_shared(c, threads, tiles_each);
    l.fetch = jemi_fetch_pays(c);
    if (l.shared)
        l.capacity = capacity_of(l.tiles);
    else
        l.capacity = threads > 1 && tiles_each <= BLOCK_ROWS_MAX ? tiles_each : APART_ROWS;
    const int64_t places = l.scheme->patch * l.scheme->patch;
    l.v_stride = jemi_place_stride(l.capacity * c->in);
    l.m_stride = jemi_place_stride(l.capacity * c->out);
    l.v_size = places * l.v_stride;
    l.m_size = places * l.m_stride;
    if (jemi_winograd_keeps_kernels(c->in, c->out, c->stride))
        l.u_size = places * jemi_winograd_transformed_stride();
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
    return jemi_winograd_places(l->scheme, phase);
}

// U of the first place of a phase.
static const float *weights_of(const layer *l, int phase)
{
    const float *weights = l->conv->weights;
    for (int k = 0; k < phase; k++)
        weights += places_of(l, k) * l->conv->in * l->conv->out;
    return weights;
}

// Which source channels a product takes, and whether its sums begin with them.
typedef struct terms {
    int64_t begin, end;
    bool first;
} terms;

// Place number k of a phase, COLUMNS columns. `u` begins with the first of the terms.
static void multiply_place(const layer *l, const block *b, int phase, int k, int64_t group,
                           terms of, const float *u)
{
    const int columns = l->scheme->phases[phase].columns;
    const int row = k / columns, column = k % columns;
    const int place = row * l->scheme->patch + column;
    const extent e = {of.end - of.begin, l->conv->in, l->conv->out};
    const bool wide = jemi_winograd_width(group * COLUMNS, e.out) == COLUMNS;
    const float *v = b->v + place * l->v_stride + of.begin;
    float *m = b->m + place * l->m_stride + group * COLUMNS;
    const jemi_tile_range r =
        jemi_tile_block_range(&b->order, &l->grid, l->scheme->patch, row, column);
    for (int t = r.begin; t < r.end; t += ROWS)
        multiply((int)jemi_min(r.end - t, ROWS), wide, of.first, v + t * e.in, u, m + t * e.out,
                 &e);
}

// Only one side has phases: the weights' are the larger.
static void product_stage(const layer *l, const block *b, int in_phase, int out_phase, int k,
                          int64_t group)
{
    const int phase = in_phase + out_phase;
    const int64_t in = l->conv->in;
    const float *u = weights_of(l, phase) + k * in * l->conv->out + group * COLUMNS * in;
    multiply_place(l, b, phase, k, group, (terms){0, in, in_phase == 0}, u);
}

// The same at all places of a phase, by kernels.
static void transform_and_multiply(const layer *l, const block *b, int in_phase, int out_phase,
                                   int64_t group, float *u)
{
    jemi_winograd_transform *const transform = JEMI_KERNEL(winograd_transform);
    const int phase = in_phase + out_phase;
    const int64_t in = l->conv->in, stride = jemi_winograd_transformed_stride();
    for (int64_t begin = 0; begin < in; begin += JEMI_WINOGRAD_DEPTH) {
        const terms of = {begin, jemi_min(begin + JEMI_WINOGRAD_DEPTH, in),
                          in_phase == 0 && begin == 0};
        transform(l->conv, phase, group * COLUMNS, begin, of.end - begin, u);
        for (int k = 0; k < places_of(l, phase); k++)
            multiply_place(l, b, phase, k, group, of, u + k * stride);
    }
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

static void kernels_task(void *context, int64_t begin, int64_t end, int worker)
{
    const stage *s = context;
    for (int64_t group = begin; group < end; group++)
        transform_and_multiply(s->layer, s->block, s->in_phase, s->out_phase, group,
                               s->block->u + worker * s->layer->u_size);
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
    const int64_t places = places_of(l, s->in_phase + s->out_phase), groups = groups_of(l);
    const int64_t work = s->block->order.tiles * l->conv->in * COLUMNS;
    if (l->u_size > 0)
        jemi_parallel(groups, jemi_grain(groups, places * work), kernels_task, s);
    else
        jemi_parallel(places * groups, jemi_grain(places * groups, work), product_task, s);
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

// Fewer threads may share the work in another way, which takes more.
int64_t JEMI_KERNEL(winograd_workspace)(const jemi_winograd *conv, int threads)
{
    int64_t most = 0;
    for (int n = 1; n <= threads; n++) {
        const layer l = make_layer(conv, n);
        const int64_t floats = (l.v_size + l.m_size) * (l.shared ? 1 : n) + l.u_size * n;
        most = floats > most ? floats : most;
    }
    return most;
}

static void run_shared(const layer *l, float *workspace)
{
    block b = {.v = workspace, .m = workspace + l->v_size};
    b.u = b.m + l->m_size;
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
    const int64_t work =
        l->capacity * jemi_winograd_transformed_count(l->conv->in, l->conv->out, l->conv->stride);
    jemi_parallel(blocks, jemi_grain(blocks, work), apart_task, &a);
}

void JEMI_KERNEL(winograd_run)(const jemi_winograd *conv, const float *x, float *y,
                               float *workspace)
{
    layer l = make_layer(conv, jemi_parallel_width());
    l.x = x;
    l.y = y;
    if (l.shared)
        run_shared(&l, workspace);
    else
        run_apart(&l, workspace);
}
