/*
 * The gradient of the weights by the transposed algorithm: per place p of a transformed tile, the
 * sum over all tiles of outer products,
 *
 *     dU[p][in][out] = sum over tiles of V[p][tile][in] M[p][tile][out],  V = B^T x B, M = A dy A^T
 *     dw             = G^T dU G
 *
 * An item of work is a group of source channels, one of destination channels and one of tiles.
 * Threads take items as they come, and share nothing while they work: each has a V, an M and a dU
 * of its own. Block after block of an item's tiles it transforms the item's channels and adds their
 * products to dU; then it leaves G^T dU G, a quarter or a ninth as large, as a part of dw. Where
 * channels are in several groups, they are transformed several times; but nobody waits, and no
 * cache fetches what another core has just written.
 *
 * In the end the parts are added, tile group after tile group. Groups depend on the shape alone: so
 * does the order of additions, however many threads there are.
 */
#include <assert.h>

#include "kernels/grain.h"
#include "kernels/winograd.h"
#include "kernels/winograd_fetch.h"
#include "kernels/winograd_scheme.h"

JEMI_KERNEL_DECLARE(winograd_weights_workspace);
JEMI_KERNEL_DECLARE(winograd_weights_run);

enum {
    LANES = JEMI_LANES,
    ROWS = V16_SUM_ROWS,
    COLUMNS = V16_SUM_VECTORS * LANES,
    CHANNELS_STEP = 2 * LANES, // of a group
    KERNELS = 9 * LANES,       // 3x3 of 16 destination channels
    CHANNELS_MAX = 160,        // of a group
    CAPACITY = 56,             // tiles of a block
    // Threads want many items, but each costs a G^T dU G: as long as there are few, less is enough.
    ITEMS = 16,
    TILES_MIN = 256,
    ITEMS_FEW = 4,
    TILES_MIN_OF_FEW = 128,
};

typedef struct job {
    const jemi_winograd *conv;
    const jemi_winograd_scheme *scheme;
    jemi_tile_grid grid;
    int64_t tiles;
    bool fetch;              // pixels ahead
    int64_t in_max, out_max; // channels of a group: all but the last have as many
    int64_t in_groups, out_groups, tile_groups;
    int64_t v_stride, m_stride, u_stride; // floats from place to place
    int64_t v_size, m_size, u_size, part_size;
    const float *x, *dy;
    float *parts;
} job;

typedef struct item {
    int64_t first_in, in, first_out, out; // channels
    int64_t begin, end;                   // tiles
    float *v, *m, *u, *part;
} item;

// Some consecutive tiles of an item.
typedef struct block {
    bool first;
    jemi_tile_block order;
    jemi_tile at[CAPACITY];
} block;

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

// Channels of a group, so that all groups are about as large.
static int64_t group_size(int64_t channels)
{
    const int64_t even = divide_up(channels, divide_up(channels, CHANNELS_MAX));
    return jemi_min(channels, divide_up(even, CHANNELS_STEP) * CHANNELS_STEP);
}

static bool are_worth_halving(int64_t items, int64_t tiles)
{
    if (items < ITEMS_FEW)
        return tiles >= 2 * TILES_MIN_OF_FEW;
    return items < ITEMS && tiles >= 2 * TILES_MIN;
}

// A power of two, as thread counts mostly are.
static int64_t tile_groups(int64_t tiles, int64_t channel_groups)
{
    int64_t groups = 1;
    while (are_worth_halving(groups * channel_groups, tiles / groups))
        groups *= 2;
    return groups;
}

static job make_job(const jemi_winograd *c)
{
    assert(!c->transposed);
    job j = {.conv = c,
             .scheme =
                 c->stride == 1 ? &JEMI_KERNEL(winograd_stride1) : &JEMI_KERNEL(winograd_stride2)};
    j.grid = jemi_tile_grid_make(c->dst_h, c->dst_w);
    j.tiles = c->n * j.grid.down * j.grid.across;
    j.fetch = jemi_fetch_pays(c);
    j.in_max = group_size(c->in);
    j.out_max = group_size(c->out);
    j.in_groups = divide_up(c->in, j.in_max);
    j.out_groups = divide_up(c->out, j.out_max);
    j.tile_groups = tile_groups(j.tiles, j.in_groups * j.out_groups);
    j.v_stride = jemi_place_stride(CAPACITY * j.in_max);
    j.m_stride = jemi_place_stride(CAPACITY * j.out_max);
    j.u_stride = jemi_place_stride(j.in_max * j.out_max);
    const int64_t patch = j.scheme->patch * j.scheme->patch;
    j.v_size = patch * j.v_stride;
    j.m_size = patch * j.m_stride;
    for (int phase = 0; phase < j.scheme->in_phases; phase++)
        j.u_size += jemi_winograd_places(j.scheme, phase) * j.u_stride;
    j.part_size = 9 * j.in_max * j.out_max;
    return j;
}

static int64_t items_of(const job *j)
{
    return j->tile_groups * j->in_groups * j->out_groups;
}

static int64_t scratch_size(const job *j)
{
    return j->v_size + j->m_size + j->u_size;
}

int64_t JEMI_KERNEL(winograd_weights_workspace)(const jemi_winograd *conv, int threads)
{
    const job j = make_job(conv);
    return items_of(&j) * j.part_size + jemi_min(threads, items_of(&j)) * scratch_size(&j);
}

static float *part_at(const job *j, int64_t tile_group, int64_t in_group, int64_t out_group)
{
    return j->parts +
           ((tile_group * j->in_groups + in_group) * j->out_groups + out_group) * j->part_size;
}

// Groups of tiles outermost: items at the same time read the same pixels.
static item item_at(const job *j, int64_t index, float *scratch)
{
    const int64_t o = index % j->out_groups, i = index / j->out_groups % j->in_groups;
    const int64_t g = index / (j->out_groups * j->in_groups);
    return (item){
        .first_in = i * j->in_max,
        .in = jemi_min(j->in_max, j->conv->in - i * j->in_max),
        .first_out = o * j->out_max,
        .out = jemi_min(j->out_max, j->conv->out - o * j->out_max),
        .begin = j->tiles * g / j->tile_groups,
        .end = j->tiles * (g + 1) / j->tile_groups,
        .v = scratch,
        .m = scratch + j->v_size,
        .u = scratch + j->v_size + j->m_size,
        .part = part_at(j, g, i, o),
    };
}

// ---- transforms --------------------------------------------------------------------------------

static void place_block(const job *j, const item *it, int64_t first, block *b)
{
    b->first = first == it->begin;
    b->order =
        jemi_tile_grid_block(&j->grid, first, (int)jemi_min(it->end - first, CAPACITY), b->at);
}

static void transform_gradients(const job *j, const item *it, const block *b)
{
    const jemi_tile_pixels pixels = jemi_destination_pixels(j->conv, j->scheme, 0);
    for (int64_t o = 0; o < it->out; o += LANES)
        for (int t = 0; t < b->order.tiles; t++) {
            const int64_t k = (it->first_out + o) / LANES;
            const jemi_tile_places to = {it->m + o * CAPACITY + t * LANES, j->m_stride};
            if (j->fetch)
                jemi_fetch_tile(false, j->dy, &pixels, jemi_tile_ahead(b->at, b->order.tiles, t),
                                k);
            j->scheme->transform_gradient(j->conv, j->dy, &b->at[t], k, to);
        }
}

static void transform_inputs(const job *j, const item *it, const block *b, int phase)
{
    const jemi_tile_pixels pixels = jemi_source_pixels(j->conv, j->scheme, phase);
    for (int64_t i = 0; i < it->in; i += LANES)
        for (int t = 0; t < b->order.tiles; t++) {
            const int64_t k = (it->first_in + i) / LANES;
            const jemi_tile_places to = {it->v + i * CAPACITY + t * LANES, j->v_stride};
            if (j->fetch)
                jemi_fetch_tile(false, j->x, &pixels, jemi_tile_ahead(b->at, b->order.tiles, t), k);
            j->scheme->transform_input(j->conv, j->x, &b->at[t], k, phase, to);
        }
}

// ---- sums --------------------------------------------------------------------------------------

// ROWS rows times 16 * `vectors` columns of dU, which lie together.
V16_INLINE void sum_products(int vectors, bool first, int tiles, const float *v, const float *m,
                             float *u)
{
    v16 sums[ROWS][V16_SUM_VECTORS]; // unrolled everywhere, as in winograd.c
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
        for (int s = 0; s < vectors; s++)
            sums[r][s] = first ? v16_zero() : v16_load(u + (r * vectors + s) * LANES);
    for (int t = 0; t < tiles; t++) {
        v16 gradient[V16_SUM_VECTORS];
        for (int s = 0; s < vectors; s++)
            gradient[s] = v16_load(m + (s * CAPACITY + t) * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            const v16 value = v16_set1(v[t * LANES + r]);
            for (int s = 0; s < vectors; s++)
                sums[r][s] = v16_fma(value, gradient[s], sums[r][s]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
        for (int s = 0; s < vectors; s++)
            v16_store(u + (r * vectors + s) * LANES, sums[r][s]);
}

// dU of a place is (out / COLUMNS, in, COLUMNS), the last columns 16 where so many are not left.
static int64_t columns_at(const item *it, int64_t o)
{
    return jemi_min(it->out - o / COLUMNS * COLUMNS, COLUMNS);
}

static void sum_place(const item *it, bool first, int tiles, const float *v, const float *m,
                      float *u)
{
    for (int64_t o = 0; o < it->out; o += COLUMNS)
        for (int64_t i = 0; i < it->in; i += ROWS) {
            const float *rows = v + i / LANES * CAPACITY * LANES + i % LANES;
            float *to = u + o * it->in + i * columns_at(it, o);
            if (columns_at(it, o) == COLUMNS)
                sum_products(V16_SUM_VECTORS, first, tiles, rows, m + o * CAPACITY, to);
            else
                sum_products(1, first, tiles, rows, m + o * CAPACITY, to);
        }
}

static void sum_block(const job *j, const item *it, const block *b)
{
    float *u = it->u;
    transform_gradients(j, it, b);
    for (int phase = 0; phase < j->scheme->in_phases; phase++) {
        transform_inputs(j, it, b, phase);
        const int columns = j->scheme->phases[phase].columns;
        for (int k = 0; k < jemi_winograd_places(j->scheme, phase); k++) {
            const int row = k / columns, column = k % columns;
            const int place = row * j->scheme->patch + column;
            const jemi_tile_range r =
                jemi_tile_block_range(&b->order, &j->grid, j->scheme->patch, row, column);
            sum_place(it, b->first, r.end - r.begin, it->v + place * j->v_stride + r.begin * LANES,
                      it->m + place * j->m_stride + r.begin * LANES, u);
            u += j->u_stride;
        }
    }
}

// ---- the whole ---------------------------------------------------------------------------------

// A part is (out / 16, in, 9, 16).
static void gather_part(const job *j, const item *it)
{
    float *to = it->part;
    for (int64_t o = 0; o < it->out; o += LANES)
        for (int64_t i = 0; i < it->in; i++, to += KERNELS) {
            const float *u =
                it->u + o / COLUMNS * COLUMNS * it->in + i * columns_at(it, o) + o % COLUMNS;
            j->scheme->gather_weights(u, j->u_stride, (float(*)[LANES])to);
        }
}

typedef struct items {
    const job *job;
    float *scratch;  // min(workers, items) of them
    int64_t workers; // at most
    float *dw;
} items;

static void run_task(void *context, int64_t begin, int64_t end, int worker)
{
    const items *all = context;
    const job *j = all->job;
    for (int64_t index = begin; index < end; index++) {
        // Where there are fewer items than workers each item has a workspace, else each worker.
        const int64_t place = items_of(j) <= all->workers ? index : worker;
        const item it = item_at(j, index, all->scratch + place * scratch_size(j));
        for (int64_t first = it.begin; first < it.end; first += CAPACITY) {
            block b;
            place_block(j, &it, first, &b);
            sum_block(j, &it, &b);
        }
        gather_part(j, &it);
    }
}

// 16 destination channels, one source channel.
static void add_parts(const job *j, int64_t o, int64_t i, float *dw)
{
    const int64_t o_group = o / j->out_max, i_group = i / j->in_max;
    const int64_t group_in = jemi_min(j->in_max, j->conv->in - i_group * j->in_max);
    const int64_t offset = (o % j->out_max / LANES * group_in + i % j->in_max) * KERNELS;
    float sums[KERNELS] = {0};
    for (int64_t g = 0; g < j->tile_groups; g++) {
        const float *part = part_at(j, g, i_group, o_group) + offset;
        for (int k = 0; k < KERNELS; k++)
            sums[k] += part[k];
    }
    for (int64_t lane = 0; lane < LANES; lane++)
        for (int k = 0; k < 9; k++)
            dw[((o + lane) * j->conv->in + i) * 9 + k] = sums[k * LANES + lane];
}

static void add_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const items *all = context;
    const int64_t in = all->job->conv->in;
    for (int64_t k = begin; k < end; k++)
        add_parts(all->job, k / in * LANES, k % in, all->dw);
}

void JEMI_KERNEL(winograd_weights_run)(const jemi_winograd *conv, const float *x, const float *dy,
                                       float *dw, float *workspace)
{
    job j = make_job(conv);
    j.x = x;
    j.dy = dy;
    j.parts = workspace;
    items all = {&j, workspace + items_of(&j) * j.part_size, jemi_parallel_width(), dw};
    jemi_parallel(items_of(&j), 1, run_task, &all);
    const int64_t kernels = conv->out / LANES * conv->in;
    const int64_t work = j.tile_groups * KERNELS * JEMI_WORK_OF_FLOAT;
    jemi_parallel(kernels, jemi_grain(kernels, work), add_task, &all);
}
