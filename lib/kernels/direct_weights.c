/*
 * The unit of work is one tap, up to ROWS source channels and VECTORS vectors of destination
 * channels, on AVX-512 8 and 2: 16 registers of sums over the pixels of an image, added to memory
 * once per image. A thread goes through its items image by image, so that an image is read from
 * afar once.
 */
#include "kernels/direct_weights.h"

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(direct_weights_workspace);
JEMI_KERNEL_DECLARE(direct_weights_run);
JEMI_KERNEL_DECLARE(bias_gradient);

enum {
    LANES = JEMI_LANES,
    ROWS = V16_SUM_ROWS,
    VECTORS = V16_SUM_VECTORS,
    SUMS = ROWS * VECTORS * LANES
};

typedef struct job {
    const jemi_direct_weights *conv;
    const float *x, *dy;
    float *sums; // (item, ROWS, VECTORS, LANES)
    int64_t chunks, groups, items;
} job;

// Which part of the weights an item is.
typedef struct item {
    int64_t tap, first_in, first_out;
    int rows, vectors;
} item;

static job make_job(const jemi_direct_weights *c)
{
    job j = {.conv = c};
    j.chunks = (c->src.c + ROWS - 1) / ROWS;
    j.groups = (jemi_layout_blocks(&c->dst) + VECTORS - 1) / VECTORS;
    j.items = j.groups * j.chunks * c->kernel * c->kernel;
    return j;
}

// Destination channels outermost: a thread's items share them.
static item item_at(const job *j, int64_t index)
{
    const int64_t taps = j->conv->kernel * j->conv->kernel;
    const int64_t group = index / (taps * j->chunks), chunk = index / taps % j->chunks;
    const int64_t left = jemi_layout_blocks(&j->conv->dst) - group * VECTORS;
    const int64_t channels = j->conv->src.c - chunk * ROWS;
    return (item){.tap = index % taps,
                  .first_in = chunk * ROWS,
                  .first_out = group * VECTORS * LANES,
                  .rows = channels < ROWS ? (int)channels : ROWS,
                  .vectors = left < VECTORS ? (int)left : VECTORS};
}

// Destination pixels begin .. end - 1 for which a tap stays inside.
typedef struct range {
    int64_t begin, end;
} range;

static range range_of(int64_t k, int64_t stride, int64_t pad, int64_t src, int64_t dst)
{
    const int64_t begin = k < pad ? (pad - k + stride - 1) / stride : 0;
    const int64_t last = src - 1 + pad - k; // stride * pixel <= last
    const int64_t end = last < 0 ? 0 : last / stride + 1;
    return (range){begin, end < dst ? end : dst};
}

// Where a line of pixels lies, and how far it is to the next.
typedef struct line {
    const float *x, *dy;
    int64_t pixel, dy_block, dy_pixel, count;
} line;

V16_INLINE void sum_line(int rows, int vectors, const line *l, v16 sums[ROWS][VECTORS])
{
    if (vectors < 1) // never; GCC would warn of a gradient that is not set
        __builtin_unreachable();
    for (int64_t p = 0; p < l->count; p++) {
        v16 gradient[VECTORS];
        for (int v = 0; v < vectors; v++)
            gradient[v] = v16_load(l->dy + v * l->dy_block + p * l->dy_pixel);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const v16 value = v16_set1(l->x[p * l->pixel + r]);
            for (int v = 0; v < vectors; v++)
                sums[r][v] = v16_fma(value, gradient[v], sums[r][v]);
        }
    }
}

// All rows of a linear layer are one line.
static line rows_of(const job *j, const item *it)
{
    const int64_t row = jemi_layout_row(&j->conv->src);
    return (line){
        .x = j->x + it->first_in,
        .dy = j->dy + it->first_out,
        .pixel = row,
        .dy_block = LANES,
        .dy_pixel = jemi_layout_row(&j->conv->dst),
        .count = j->conv->src.n,
    };
}

static bool is_linear(const jemi_direct_weights *c)
{
    return c->kernel == 1 && c->src.h * c->src.w == 1;
}

static line line_at(const job *j, const item *it, int64_t n, int64_t y)
{
    const jemi_direct_weights *c = j->conv;
    const jemi_layout *src = &c->src, *dst = &c->dst;
    const int64_t ky = it->tap / c->kernel, kx = it->tap % c->kernel;
    const range columns = range_of(kx, c->stride, c->pad, src->w, dst->w);
    const int64_t row = y * c->stride + ky - c->pad;
    const int64_t column = columns.begin * c->stride + kx - c->pad;
    const int64_t plane = src->h * src->w * src->block;
    return (line){
        .x = j->x + n * jemi_layout_row(src) + it->first_in / src->block * plane +
             (row * src->w + column) * src->block + it->first_in % src->block,
        .dy = j->dy + n * jemi_layout_row(dst) + it->first_out * dst->h * dst->w +
              (y * dst->w + columns.begin) * LANES,
        .pixel = c->stride * src->block,
        .dy_block = dst->h * dst->w * LANES,
        .dy_pixel = LANES,
        .count = columns.end > columns.begin ? columns.end - columns.begin : 0,
    };
}

V16_INLINE void sum_image(int rows, int vectors, const job *j, const item *it, int64_t n, float *to)
{
    const jemi_direct_weights *c = j->conv;
    const range lines = range_of(it->tap / c->kernel, c->stride, c->pad, c->src.h, c->dst.h);
    v16 sums[ROWS][VECTORS]; // unrolled everywhere, as in winograd.c
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sums[r][v] = n == 0 ? v16_zero() : v16_load(to + (r * VECTORS + v) * LANES);
    for (int64_t y = lines.begin; y < lines.end; y++) {
        const line l = is_linear(c) ? rows_of(j, it) : line_at(j, it, n, y);
        sum_line(rows, vectors, &l, sums);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            v16_store(to + (r * VECTORS + v) * LANES, sums[r][v]);
}

// Whole items with their counts as constants.
static void sum_item(const job *j, int64_t index, int64_t n)
{
    const item it = item_at(j, index);
    float *to = j->sums + index * SUMS;
    if (it.rows == ROWS && it.vectors == VECTORS)
        sum_image(ROWS, VECTORS, j, &it, n, to);
    else if (it.rows == ROWS)
        sum_image(ROWS, 1, j, &it, n, to);
    else
        sum_image(it.rows, it.vectors, j, &it, n, to);
}

static int64_t images_of(const job *j)
{
    return is_linear(j->conv) ? 1 : j->conv->src.n;
}

// Image by image, as the file's head says.
static void sum_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const job *j = context;
    for (int64_t n = 0; n < images_of(j); n++)
        for (int64_t index = begin; index < end; index++)
            sum_item(j, index, n);
}

static void scatter_item(const job *j, int64_t index, float *dw)
{
    const jemi_direct_weights *c = j->conv;
    const item it = item_at(j, index);
    const float *from = j->sums + index * SUMS;
    const int64_t taps = c->kernel * c->kernel;
    for (int r = 0; r < it.rows; r++)
        for (int64_t k = 0; k < it.vectors * LANES && it.first_out + k < c->dst.c; k++)
            dw[((it.first_out + k) * c->src.c + it.first_in + r) * taps + it.tap] =
                from[r * VECTORS * LANES + k];
}

int64_t JEMI_KERNEL(direct_weights_workspace)(const jemi_direct_weights *conv)
{
    return make_job(conv).items * SUMS;
}

void JEMI_KERNEL(direct_weights_run)(const jemi_direct_weights *conv, const float *x,
                                     const float *dy, float *dw, float *workspace)
{
    job j = make_job(conv);
    j.x = x;
    j.dy = dy;
    j.sums = workspace;
    const int64_t work = conv->dst.n * conv->dst.h * conv->dst.w * SUMS;
    jemi_parallel(j.items, jemi_grain(j.items, work), sum_task, &j);
    for (int64_t index = 0; index < j.items; index++)
        scatter_item(&j, index, dw);
}

static void sum_block(const jemi_layout *l, const float *dy, int64_t block, float *db)
{
    const int64_t pixels = l->h * l->w, left = l->c - block * LANES;
    double totals[LANES] = {0};
    for (int64_t n = 0; n < l->n; n++) {
        const float *image = dy + (n * jemi_layout_blocks(l) + block) * pixels * LANES;
        v16 sum = v16_zero();
        for (int64_t p = 0; p < pixels; p++)
            sum = v16_add(sum, v16_load(image + p * LANES));
        float values[LANES];
        v16_store(values, sum);
        for (int lane = 0; lane < LANES; lane++)
            totals[lane] += values[lane];
    }
    for (int64_t lane = 0; lane < LANES && lane < left; lane++)
        db[block * LANES + lane] = (float)totals[lane];
}

typedef struct bias_job {
    const jemi_layout *layout;
    const float *dy;
    float *db;
} bias_job;

static void bias_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const bias_job *j = context;
    for (int64_t block = begin; block < end; block++)
        sum_block(j->layout, j->dy, block, j->db);
}

void JEMI_KERNEL(bias_gradient)(const jemi_layout *layout, const float *dy, float *db)
{
    bias_job j = {layout, dy, db};
    const int64_t blocks = jemi_layout_blocks(layout);
    const int64_t floats = layout->n * layout->h * layout->w * LANES;
    jemi_parallel(blocks, jemi_grain(blocks, floats * JEMI_WORK_OF_FLOAT), bias_task, &j);
}
