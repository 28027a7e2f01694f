/*
 * The gradient of the weights by the transposed algorithm: per place, the sum over all tiles of
 * outer products,
 *
 *     dU[p][in][out] = sum over tiles of V[p][tile][in] M[p][tile][out],   V = B^T x B, M = A dy A^T
 *     dw             = G^T dU G
 *
 * Blocks of tiles are transformed by all threads into one workspace, as (place, channels / 16, tile,
 * 16) so that a sum over tiles walks along memory; then each thread sums some
 * places and channels over the block, tile after tile: so the order of additions does not depend on
 * how many threads there are.
 */
#include <assert.h>

#include "kernels/parallel.h"
#include "kernels/winograd_scheme.h"

#if defined(__x86_64__)

#include <omp.h>

enum { TILE = JEMI_WINOGRAD_TILE, LANES = JEMI_LANES, ROWS = 8, CAPACITY = 112, SHARE = 14 };

typedef struct job {
    const jemi_winograd *conv;
    const jemi_winograd_scheme *scheme;
    int64_t tiles, down, across;
    int64_t v_stride, m_stride; // floats from place to place
    const float *x, *dy;
    float *v, *m, *u;
    int threads;
} job;

typedef struct block {
    int64_t first;
    int tiles;
} block;

static int64_t min_size(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t place_stride(int64_t channels)
{
    return CAPACITY * channels + LANES;
}

static job make_job(const jemi_winograd *c)
{
    assert(!c->backward);
    job j = {.conv = c, .scheme = c->stride == 1 ? &jemi_winograd_stride1 : &jemi_winograd_stride2};
    j.down = (c->dst_h + TILE - 1) / TILE;
    j.across = (c->dst_w + TILE - 1) / TILE;
    j.tiles = c->n * j.down * j.across;
    j.v_stride = place_stride(c->in);
    j.m_stride = place_stride(c->out);
    return j;
}

static int64_t places_of(const job *j)
{
    return j->scheme->patch * j->scheme->patch;
}

int64_t jemi_winograd_weights_workspace(const jemi_winograd *conv)
{
    const job j = make_job(conv);
    return places_of(&j) * (j.v_stride + j.m_stride) +
           jemi_winograd_weights_count(conv->in, conv->out, conv->stride);
}

// ---- transforms --------------------------------------------------------------------------------

static jemi_tile tile_at(const job *j, int64_t tile)
{
    const int64_t in_image = tile % (j->across * j->down);
    return (jemi_tile){tile / (j->across * j->down), in_image / j->across * TILE,
                       in_image % j->across * TILE, TILE, TILE};
}

// An item is one block of channels of a few tiles. phase -1: of dy.
static void transform_item(const job *j, const block *b, int phase, int64_t item)
{
    const int64_t shares = (b->tiles + SHARE - 1) / SHARE;
    const int64_t k = item / shares, begin = item % shares * SHARE;
    for (int64_t t = begin; t < b->tiles && t < begin + SHARE; t++) {
        const jemi_tile at = tile_at(j, b->first + t);
        if (phase < 0)
            j->scheme->transform_gradient(
                j->conv, j->dy, &at, k,
                (jemi_tile_places){j->m + (k * CAPACITY + t) * LANES, j->m_stride});
        else
            j->scheme->transform_input(
                j->conv, j->x, &at, k, phase,
                (jemi_tile_places){j->v + (k * CAPACITY + t) * LANES, j->v_stride});
    }
}

// ---- sums --------------------------------------------------------------------------------------

// 8 rows times 16 * `vectors` columns of dU, whose rows are `out` apart.
JEMI_AVX512_INLINE void sum_products(int vectors, bool first, int tiles, const float *v,
                                     const float *m, float *u, int64_t out)
{
    __m512 sums[ROWS][2];
    for (int r = 0; r < ROWS; r++)
        for (int s = 0; s < vectors; s++)
            sums[r][s] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(u + r * out + s * LANES);
    for (int t = 0; t < tiles; t++) {
        __m512 gradient[2];
        for (int s = 0; s < vectors; s++)
            gradient[s] = _mm512_loadu_ps(m + (s * CAPACITY + t) * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            const __m512 value = _mm512_set1_ps(v[t * LANES + r]);
            for (int s = 0; s < vectors; s++)
                sums[r][s] = _mm512_fmadd_ps(value, gradient[s], sums[r][s]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int s = 0; s < vectors; s++)
            _mm512_storeu_ps(u + r * out + s * LANES, sums[r][s]);
}

// All rows, columns o .. o + 31 or the last 16.
JEMI_AVX512 static void sum_columns(bool first, int tiles, const float *v, int64_t in,
                                    const float *m, int64_t out, int64_t o, float *u)
{
    for (int64_t i = 0; i < in; i += ROWS) {
        const float *rows = v + i / LANES * CAPACITY * LANES + i % LANES;
        if (out - o >= 2 * LANES)
            sum_products(2, first, tiles, rows, m + o * CAPACITY, u + i * out + o, out);
        else
            sum_products(1, first, tiles, rows, m + o * CAPACITY, u + i * out + o, out);
    }
}

static int64_t groups_of(const job *j)
{
    return (j->conv->out + 2 * LANES - 1) / (2 * LANES);
}

static int64_t phase_places(const job *j, int phase)
{
    return j->scheme->phases[phase].rows * j->scheme->phases[phase].columns;
}

// An item is one place of the phase, 32 columns.
static void sum_item(const job *j, const block *b, int phase, int64_t item)
{
    const int64_t in = j->conv->in, out = j->conv->out;
    const int64_t k = item / groups_of(j), columns = j->scheme->phases[phase].columns;
    const int64_t place = k / columns * j->scheme->patch + k % columns;
    int64_t before = k;
    for (int earlier = 0; earlier < phase; earlier++)
        before += phase_places(j, earlier);
    sum_columns(b->first == 0, b->tiles, j->v + place * j->v_stride, in, j->m + place * j->m_stride,
                out, item % groups_of(j) * 2 * LANES, j->u + before * in * out);
}

// ---- the whole ---------------------------------------------------------------------------------

// Items of a stage by all threads, which wait for each other afterwards. A construct of OpenMP would
// bind to the team of a caller that is in a parallel region, so a single thread uses none.
static void stage(const job *j, const block *b, int phase, int64_t items,
                  void (*run)(const job *, const block *, int, int64_t))
{
    if (j->threads == 1) {
        for (int64_t item = 0; item < items; item++)
            run(j, b, phase, item);
        return;
    }
#pragma omp for schedule(static)
    for (int64_t item = 0; item < items; item++)
        run(j, b, phase, item);
}

static void run_blocks(const job *j)
{
    for (block b = {0}; b.first < j->tiles; b.first += CAPACITY) {
        b.tiles = (int)min_size(j->tiles - b.first, CAPACITY);
        const int64_t shares = (b.tiles + SHARE - 1) / SHARE;
        stage(j, &b, -1, j->conv->out / LANES * shares, transform_item);
        for (int phase = 0; phase < j->scheme->in_phases; phase++) {
            stage(j, &b, phase, j->conv->in / LANES * shares, transform_item);
            stage(j, &b, phase, phase_places(j, phase) * groups_of(j), sum_item);
        }
    }
}

// 16 destination channels, one source channel.
static void gather_item(const job *j, int64_t item, float *dw)
{
    const int64_t in = j->conv->in, out = j->conv->out;
    const int64_t first = item / in * LANES, i = item % in;
    float kernels[9][LANES];
    j->scheme->gather_weights(j->u + i * out + first, in * out, kernels);
    for (int64_t o = 0; o < LANES; o++)
        for (int k = 0; k < 9; k++)
            dw[((first + o) * in + i) * 9 + k] = kernels[k][o];
}

void jemi_winograd_weights_run(const jemi_winograd *conv, const float *x, const float *dy,
                               float *dw, float *workspace)
{
    job j = make_job(conv);
    j.x = x;
    j.dy = dy;
    j.v = workspace;
    j.m = j.v + places_of(&j) * j.v_stride;
    j.u = j.m + places_of(&j) * j.m_stride;
    j.threads = jemi_threads_now();
    if (j.threads == 1) {
        run_blocks(&j);
    } else {
#pragma omp parallel
        run_blocks(&j);
    }
    JEMI_PARALLEL(for (int64_t item = 0; item < conv->out / LANES * conv->in; item++)
                      gather_item(&j, item, dw););
}

#else

int64_t jemi_winograd_weights_workspace(const jemi_winograd *conv)
{
    (void)conv;
    return 0;
}

void jemi_winograd_weights_run(const jemi_winograd *conv, const float *x, const float *dy,
                               float *dw, float *workspace)
{
    (void)conv, (void)x, (void)dy, (void)dw, (void)workspace;
    assert(!"no Winograd kernels for this processor");
}

#endif
