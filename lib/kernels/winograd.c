/*
 * Tiles of 4x4 outputs go in blocks through three stages that share one thread's workspace:
 *
 *     V[p][tile][in]  = B^T d B         p = 0..35, the places of a transformed 6x6 tile
 *     M[p][tile][out] = V[p] U[p]       36 small matrix products
 *     y               = A^T M A
 *
 * A product keeps 14 tiles x 32 channels in registers: 28 accumulators, one broadcast for two
 * multiply-adds. U[p] is packed as (out / 32 or / 16, in, 32 or 16), the order in which it is read.
 */
#include "kernels/winograd.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <omp.h>

enum { PLACES = 36, TILE = 4, PATCH = 6, LANES = 16, ROWS = 14, BLOCK = ROWS };

int64_t jemi_winograd_weights_count(int64_t in, int64_t out)
{
    return PLACES * in * out;
}

// ---- weights -----------------------------------------------------------------------------------

// g' = G g for one column of three.
static void transform_column(const double g[3], double out[PATCH])
{
    out[0] = g[0] / 4.0;
    out[1] = -(g[0] + g[1] + g[2]) / 6.0;
    out[2] = -(g[0] - g[1] + g[2]) / 6.0;
    out[3] = g[0] / 24.0 + g[1] / 12.0 + g[2] / 6.0;
    out[4] = g[0] / 24.0 - g[1] / 12.0 + g[2] / 6.0;
    out[5] = g[2];
}

static void transform_kernel(const float *kernel, bool flip, float out[PLACES])
{
    double rows[3][PATCH];
    for (int i = 0; i < 3; i++) {
        double g[3];
        for (int j = 0; j < 3; j++)
            g[j] = flip ? kernel[8 - (3 * i + j)] : kernel[3 * i + j];
        transform_column(g, rows[i]);
    }
    for (int j = 0; j < PATCH; j++) {
        const double g[3] = {rows[0][j], rows[1][j], rows[2][j]};
        double column[PATCH];
        transform_column(g, column);
        for (int i = 0; i < PATCH; i++)
            out[i * PATCH + j] = (float)column[i];
    }
}

// Output channels are read 32 at a time, and 16 where 32 are not left.
static int64_t packed_index(int64_t place, int64_t i, int64_t o, int64_t in, int64_t out)
{
    const int64_t group = o / (2 * LANES) * (2 * LANES);
    const int64_t width = out - group < 2 * LANES ? LANES : 2 * LANES;
    return place * in * out + group * in + i * width + (o - group);
}

void jemi_winograd_pack(float *packed, const float *weights, int64_t out, int64_t in, bool backward)
{
    const int64_t to = backward ? in : out, from = backward ? out : in;
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            float places[PLACES];
            transform_kernel(weights + (o * in + i) * 9, backward, places);
            const int64_t a = backward ? o : i, b = backward ? i : o;
            for (int p = 0; p < PLACES; p++)
                packed[packed_index(p, a, b, from, to)] = places[p];
        }
}

// ---- tiles -------------------------------------------------------------------------------------

typedef struct tile_place {
    int64_t image, row, column; /* of its first output */
} tile_place;

static inline tile_place place_of(const jemi_winograd *c, int64_t tile)
{
    const int64_t across = (c->w + TILE - 1) / TILE, down = (c->h + TILE - 1) / TILE;
    const int64_t in_image = tile % (across * down);
    return (tile_place){tile / (across * down), in_image / across * TILE, in_image % across * TILE};
}

// One dimension of B^T d.
JEMI_AVX512_INLINE void input_1d(const __m512 d[PATCH], __m512 t[PATCH])
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 five = _mm512_set1_ps(5.0f);
    t[0] = _mm512_fmadd_ps(four, d[0], _mm512_fnmadd_ps(five, d[2], d[4]));
    const __m512 even = _mm512_fnmadd_ps(four, d[2], d[4]);
    const __m512 odd = _mm512_fnmadd_ps(four, d[1], d[3]);
    t[1] = _mm512_add_ps(even, odd);
    t[2] = _mm512_sub_ps(even, odd);
    const __m512 even2 = _mm512_sub_ps(d[4], d[2]);
    const __m512 odd2 = _mm512_sub_ps(d[3], d[1]);
    t[3] = _mm512_fmadd_ps(two, odd2, even2);
    t[4] = _mm512_fnmadd_ps(two, odd2, even2);
    t[5] = _mm512_fmadd_ps(four, d[1], _mm512_fnmadd_ps(five, d[3], d[5]));
}

// One dimension of A^T m.
JEMI_AVX512_INLINE void output_1d(const __m512 m[PATCH], __m512 y[TILE])
{
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f);
    const __m512 eight = _mm512_set1_ps(8.0f);
    const __m512 sum1 = _mm512_add_ps(m[1], m[2]), difference1 = _mm512_sub_ps(m[1], m[2]);
    const __m512 sum2 = _mm512_add_ps(m[3], m[4]), difference2 = _mm512_sub_ps(m[3], m[4]);
    y[0] = _mm512_add_ps(m[0], _mm512_add_ps(sum1, sum2));
    y[1] = _mm512_fmadd_ps(two, difference2, difference1);
    y[2] = _mm512_fmadd_ps(four, sum2, sum1);
    y[3] = _mm512_add_ps(m[5], _mm512_fmadd_ps(eight, difference2, difference1));
}

// Rows and columns of the 6x6 patch that lie inside the image.
typedef struct patch_range {
    int first_row, last_row, first_column, last_column; /* last exclusive */
} patch_range;

static inline patch_range range_of(const jemi_winograd *c, const tile_place *at)
{
    const int64_t below = c->h - at->row + 1, right = c->w - at->column + 1;
    return (patch_range){at->row == 0, below < PATCH ? (int)below : PATCH, at->column == 0,
                         right < PATCH ? (int)right : PATCH};
}

JEMI_AVX512_INLINE void load_patch(const jemi_winograd *c, const float *corner,
                                   const patch_range *r, __m512 d[PATCH][PATCH])
{
    for (int i = 0; i < PATCH; i++)
        for (int j = 0; j < PATCH; j++) {
            const bool inside =
                i >= r->first_row && i < r->last_row && j >= r->first_column && j < r->last_column;
            // A masked load touches no memory where the mask is empty.
            d[i][j] = _mm512_maskz_loadu_ps(inside ? (__mmask16)0xffff : (__mmask16)0,
                                            corner + (i * c->w + j) * LANES);
        }
}

JEMI_AVX512 static void transform_input(const jemi_winograd *c, const float *x, int64_t tile,
                                        float *v, int64_t place_stride)
{
    const tile_place at = place_of(c, tile);
    const patch_range range = range_of(c, &at);
    const int64_t plane = c->h * c->w * LANES;
    const float *corner =
        x + at.image * (c->in / LANES) * plane + ((at.row - 1) * c->w + at.column - 1) * LANES;
    for (int64_t block = 0; block < c->in / LANES; block++) {
        __m512 d[PATCH][PATCH], t[PATCH][PATCH];
        load_patch(c, corner + block * plane, &range, d);
        for (int i = 0; i < PATCH; i++)
            input_1d(d[i], t[i]);
        for (int j = 0; j < PATCH; j++) {
            const __m512 column[PATCH] = {t[0][j], t[1][j], t[2][j], t[3][j], t[4][j], t[5][j]};
            __m512 out[PATCH];
            input_1d(column, out);
            for (int i = 0; i < PATCH; i++)
                _mm512_storeu_ps(v + (i * PATCH + j) * place_stride + block * LANES, out[i]);
        }
    }
}

JEMI_AVX512 static void transform_output(const jemi_winograd *c, const float *m,
                                         int64_t place_stride, int64_t tile, float *y)
{
    const tile_place at = place_of(c, tile);
    const int rows = c->h - at.row < TILE ? (int)(c->h - at.row) : TILE;
    const int columns = c->w - at.column < TILE ? (int)(c->w - at.column) : TILE;
    const int64_t plane = c->h * c->w * LANES;
    for (int64_t block = 0; block < c->out / LANES; block++) {
        __m512 t[TILE][PATCH];
        for (int j = 0; j < PATCH; j++) {
            __m512 column[PATCH], out[TILE];
            for (int i = 0; i < PATCH; i++)
                column[i] = _mm512_loadu_ps(m + (i * PATCH + j) * place_stride + block * LANES);
            output_1d(column, out);
            for (int i = 0; i < TILE; i++)
                t[i][j] = out[i];
        }
        const __m512 bias = jemi_epilogue_bias(&c->then, block);
        const int64_t base =
            (at.image * (c->out / LANES) + block) * plane + (at.row * c->w + at.column) * LANES;
        for (int i = 0; i < rows; i++) {
            __m512 out[TILE];
            output_1d(t[i], out);
            for (int j = 0; j < columns; j++)
                jemi_epilogue_finish(&c->then, _mm512_add_ps(out[j], bias),
                                     base + (i * c->w + j) * LANES, y);
        }
    }
}

// ---- products ----------------------------------------------------------------------------------

// `rows` tiles times 16 * `vectors` output channels; both are constants where this is inlined.
JEMI_AVX512_INLINE void product(int rows, int vectors, const float *v, int64_t in, const float *u,
                                float *m, int64_t out)
{
    __m512 sums[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int s = 0; s < vectors; s++)
            sums[r][s] = _mm512_setzero_ps();
    for (int64_t k = 0; k < in; k++) {
        __m512 weights[2];
        for (int s = 0; s < vectors; s++)
            weights[s] = _mm512_loadu_ps(u + (k * vectors + s) * LANES);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            const __m512 value = _mm512_set1_ps(v[r * in + k]);
            for (int s = 0; s < vectors; s++)
                sums[r][s] = _mm512_fmadd_ps(value, weights[s], sums[r][s]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int s = 0; s < vectors; s++)
            _mm512_storeu_ps(m + r * out + s * LANES, sums[r][s]);
}

#define PRODUCT_CASE(r)                                                                            \
    case r:                                                                                        \
        product(r, vectors, v, in, u, m, out);                                                     \
        break;

JEMI_AVX512_INLINE void product_rows(int rows, int vectors, const float *v, int64_t in,
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

JEMI_AVX512 static void multiply(const float *v, const float *u, float *m, int tiles, int64_t in,
                                 int64_t out)
{
    for (int64_t o = 0; o < out; o += 2 * LANES) {
        const float *weights = u + o * in;
        for (int t = 0; t < tiles; t += ROWS) {
            const int rows = tiles - t < ROWS ? tiles - t : ROWS;
            if (out - o >= 2 * LANES)
                product_rows(rows, 2, v + t * in, in, weights, m + t * out + o, out);
            else
                product_rows(rows, 1, v + t * in, in, weights, m + t * out + o, out);
        }
    }
}

// ---- the whole ---------------------------------------------------------------------------------

// Odd multiples of a cache line between places, so that the 36 streams do not share cache sets.
static int64_t place_stride(int64_t channels)
{
    return BLOCK * channels + LANES;
}

static int64_t thread_workspace(int64_t in, int64_t out)
{
    return PLACES * (place_stride(in) + place_stride(out));
}

int64_t jemi_winograd_workspace(int64_t in, int64_t out, int threads)
{
    return thread_workspace(in, out) * threads;
}

static void run_block(const jemi_winograd *c, const float *x, float *y, int64_t first, int tiles,
                      float *workspace)
{
    float *v = workspace;
    float *m = workspace + PLACES * place_stride(c->in);
    for (int t = 0; t < tiles; t++)
        transform_input(c, x, first + t, v + t * c->in, place_stride(c->in));
    for (int p = 0; p < PLACES; p++)
        multiply(v + p * place_stride(c->in), c->weights + p * c->in * c->out,
                 m + p * place_stride(c->out), tiles, c->in, c->out);
    for (int t = 0; t < tiles; t++)
        transform_output(c, m + t * c->out, place_stride(c->out), first + t, y);
}

void jemi_winograd_run(const jemi_winograd *c, const float *x, float *y, float *workspace)
{
    const int64_t tiles = c->n * ((c->h + TILE - 1) / TILE) * ((c->w + TILE - 1) / TILE);
    const int64_t blocks = (tiles + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t first = b * BLOCK;
        const int64_t left = tiles - first;
        run_block(c, x, y, first, left < BLOCK ? (int)left : BLOCK,
                  workspace + omp_get_thread_num() * thread_workspace(c->in, c->out));
    }
}

#else

#include <assert.h>

int64_t jemi_winograd_weights_count(int64_t in, int64_t out)
{
    return 36 * in * out;
}

void jemi_winograd_pack(float *packed, const float *weights, int64_t out, int64_t in, bool backward)
{
    (void)packed, (void)weights, (void)out, (void)in, (void)backward;
    assert(!"no Winograd kernels for this processor");
}

int64_t jemi_winograd_workspace(int64_t in, int64_t out, int threads)
{
    (void)in, (void)out, (void)threads;
    return 0;
}

void jemi_winograd_run(const jemi_winograd *conv, const float *x, float *y, float *workspace)
{
    (void)conv, (void)x, (void)y, (void)workspace;
    assert(!"no Winograd kernels for this processor");
}

#endif
