/*
 * Everything is built from one step: given A and Y, both (row_len, rank), factor A^T Y = L L^T and
 * replace Y by Y L^-T.
 *
 *     A = Y:           Y becomes an orthonormal basis Q of its columns
 *     A = Q, Y = C Q:  Y becomes U, as U U^T = C Q (Q^T C Q)^-1 Q^T C
 */
#include "ebm/low_rank.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/noise.h"
#include "kernels/vector.h"

enum {
    ITERATIONS = JEMI_LOW_RANK_PASSES - 1, /* of the subspace; each sharpens it by the gap between
                                              eigenvalues */
    ROWS_MAX = 512,                        /* of the table at a time */
    ELEMENTS_MAX = 32,                     /* whose sums lie near */
    GRAIN_WORK = 1 << 18,                  /* multiply-adds that are worth a thread */
    QUIET_WORK = 1 << 26,                  /* and those between two words to the host */
};

// A direction with less than this part of the largest variance is rounding.
static const double pivot_min = 1e-12;

typedef struct workspace {
    const jemi_covariance *c;
    int64_t rank;
    double *basis;       /* (row_len, rank) */
    double *image;       /* (row_len, rank), C basis */
    double *coordinates; /* (ROWS_MAX, rank), rows times basis */
    double *gram;        /* (rank, rank), then its Cholesky factor in the lower half */
    bool own;            /* the progress counts the rows */
    jemi_progress *progress;
} workspace;

static jemi_run run_of(const jemi_covariance *c, int64_t i, int64_t begin, int64_t end)
{
    return (jemi_run){c->x + c->rows[i] * c->row_len + begin, c->mean + begin, end - begin};
}

// Rows first .. first + n - 1 of the table.
typedef struct block {
    const workspace *w;
    int64_t first, n;
} block;

static void project_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const block *b = context;
    const workspace *w = b->w;
    for (int64_t i = begin; i < end; i++) {
        double *z = w->coordinates + i * w->rank;
        memset(z, 0, (size_t)w->rank * sizeof *z);
        const jemi_run r = run_of(w->c, b->first + i, 0, w->c->row_len);
        jemi_project_run(&r, w->basis, w->rank, z);
    }
}

// Threads share out elements: an element's sum has one order.
static void add_image_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const block *b = context;
    const workspace *w = b->w;
    for (int64_t at = begin; at < end; at += ELEMENTS_MAX) {
        const int64_t stop = at + ELEMENTS_MAX < end ? at + ELEMENTS_MAX : end;
        for (int64_t i = 0; i < b->n; i++) {
            const jemi_run r = run_of(w->c, b->first + i, at, stop);
            jemi_spread_run(&r, w->coordinates + i * w->rank, w->rank, w->c->n,
                            w->image + at * w->rank);
        }
    }
}

// Coordinates of the block's rows in the basis, and image += their part of C basis.
static void apply_block(block *b)
{
    const int64_t row_work = b->w->c->row_len * b->w->rank, element_work = b->n * b->w->rank;
    jemi_parallel(b->n, GRAIN_WORK / row_work + 1, project_task, b);
    jemi_parallel(b->w->c->row_len, (GRAIN_WORK / element_work / ELEMENTS_MAX + 1) * ELEMENTS_MAX,
                  add_image_task, b);
}

static int64_t block_rows(const workspace *w)
{
    const int64_t quiet = QUIET_WORK / (w->c->row_len * w->rank) + 1;
    return quiet < ROWS_MAX ? quiet : ROWS_MAX;
}

static jem_status apply_covariance(const workspace *w)
{
    const int64_t most = block_rows(w);
    memset(w->image, 0, (size_t)(w->c->row_len * w->rank) * sizeof *w->image);
    for (int64_t first = 0; first < w->c->n; first += most) {
        const int64_t left = w->c->n - first;
        const int64_t n = left < most ? left : most;
        block b = {w, first, n};
        apply_block(&b);
        JEMI_TRY(jemi_progress_add(w->progress, w->own ? n : 0));
    }
    return JEM_OK;
}

static void make_gram(const workspace *w, const double *a)
{
    memset(w->gram, 0, (size_t)(w->rank * w->rank) * sizeof *w->gram);
    for (int64_t e = 0; e < w->c->row_len; e++)
        for (int64_t k = 0; k < w->rank; k++)
            for (int64_t j = 0; j <= k; j++)
                w->gram[k * w->rank + j] += w->image[e * w->rank + k] * a[e * w->rank + j];
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t k = 0; k < n; k++)
        sum += a[k] * b[k];
    return sum;
}

// gram = L L^T in place, lower half. A column whose pivot is rounding becomes 0.
static void factor_gram(const workspace *w)
{
    const int64_t rank = w->rank;
    double largest = 0.0;
    for (int64_t k = 0; k < rank; k++)
        largest = fmax(largest, w->gram[k * rank + k]);
    for (int64_t k = 0; k < rank; k++) {
        double *row = w->gram + k * rank;
        const double pivot = row[k] - dot(row, row, k);
        row[k] = pivot > pivot_min * largest ? sqrt(pivot) : 0.0;
        for (int64_t i = k + 1; i < rank; i++) {
            double *below = w->gram + i * rank;
            below[k] = row[k] > 0.0 ? (below[k] - dot(below, row, k)) / row[k] : 0.0;
        }
    }
}

static void divide_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const workspace *w = context;
    for (int64_t e = begin; e < end; e++) {
        double *y = w->image + e * w->rank;
        for (int64_t k = 0; k < w->rank; k++) {
            const double *row = w->gram + k * w->rank;
            y[k] = row[k] > 0.0 ? (y[k] - dot(row, y, k)) / row[k] : 0.0;
        }
    }
}

// The step of the head comment: image becomes image L^-T.
static void divide_by_factor(workspace *w, const double *a)
{
    make_gram(w, a);
    factor_gram(w);
    jemi_parallel(w->c->row_len, GRAIN_WORK / (w->rank * w->rank) + 1, divide_task, w);
}

static void orthonormalise(workspace *w)
{
    divide_by_factor(w, w->image);
    double *basis = w->image;
    w->image = w->basis;
    w->basis = basis;
}

static jem_status fit(workspace *w, const float *start, float *factors)
{
    const int64_t row_len = w->c->row_len;
    for (int64_t i = 0; i < row_len * w->rank; i++)
        w->image[i] = (double)start[i];
    orthonormalise(w);
    for (int i = 0; i < ITERATIONS; i++) {
        JEMI_TRY(apply_covariance(w));
        orthonormalise(w);
    }
    JEMI_TRY(apply_covariance(w));
    divide_by_factor(w, w->basis);
    for (int64_t e = 0; e < row_len; e++)
        for (int64_t k = 0; k < w->rank; k++)
            factors[k * row_len + e] = (float)w->image[e * w->rank + k];
    return JEM_OK;
}

jem_status jemi_low_rank_fit(const jemi_covariance *covariance, int32_t rank, jemi_random_key key,
                             uint32_t row, bool own, jemi_progress *progress, float *factors)
{
    const size_t count = (size_t)covariance->row_len * (size_t)rank;
    workspace w = {.c = covariance, .rank = rank, .own = own, .progress = progress};
    w.basis = jemi_alloc(count, sizeof *w.basis);
    w.image = jemi_alloc(count, sizeof *w.image);
    w.coordinates = jemi_alloc((size_t)rank * ROWS_MAX, sizeof *w.coordinates);
    w.gram = jemi_alloc((size_t)rank * (size_t)rank, sizeof *w.gram);
    jem_status status = JEM_OK;
    if (w.basis == NULL || w.image == NULL || w.coordinates == NULL || w.gram == NULL) {
        status = jemi_fail_memory("low-rank Gaussian");
    } else {
        jemi_fill_normal(factors, (int64_t)count, key, row, 0);
        status = fit(&w, factors, factors);
    }
    jemi_free(w.basis);
    jemi_free(w.image);
    jemi_free(w.coordinates);
    jemi_free(w.gram);
    return status;
}
