/*
 * Frechet distance between the Gaussians of two sets of features.
 *
 * (C_a C_b)^(1/2) has the eigenvalues of (F C_b F^T)^(1/2), where F^T F = C_a. F has one row for
 * each eigenvalue of C_a that is more than rounding, the root of it times its vector. The set with
 * fewer rows is taken for a, because its rank is the lower: the square root of an eigenvalue that
 * should be 0 would be an error.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/linear_algebra.h"
#include "base/memory.h"
#include "base/status.h"
#include "detect/metrics.h"

enum { BLOCK_ROWS = 64 };

typedef struct gaussian {
    int64_t width;
    double *mean;       // (width)
    double *covariance; // (width, width)
} gaussian;

static jem_status gaussian_make(gaussian *g, int64_t width)
{
    const size_t d = (size_t)width;
    *g = (gaussian){width, jemi_calloc(d, sizeof *g->mean), jemi_calloc(d * d, sizeof *g->mean)};
    return g->mean != NULL && g->covariance != NULL ? JEM_OK : jemi_fail_memory("covariance");
}

static void gaussian_free(gaussian *g)
{
    jemi_free(g->mean);
    jemi_free(g->covariance);
}

static void fit_mean(gaussian *g, const jemi_features *from)
{
    for (int64_t i = 0; i < from->n; i++)
        for (int64_t k = 0; k < g->width; k++)
            g->mean[k] += from->x[i * g->width + k];
    for (int64_t k = 0; k < g->width; k++)
        g->mean[k] /= (double)from->n;
}

// The lower triangle of the sum of (x - mean)(x - mean)^T. `centred` is (BLOCK_ROWS, width).
static void add_outer_products(gaussian *g, const jemi_features *from, double *centred)
{
    const int64_t d = g->width;
    for (int64_t first = 0; first < from->n; first += BLOCK_ROWS) {
        const int64_t left = from->n - first, n = left < BLOCK_ROWS ? left : BLOCK_ROWS;
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < d; k++)
                centred[i * d + k] = from->x[(first + i) * d + k] - g->mean[k];
        jemi_product_add(&(jemi_product){.rows = d,
                                         .inner = n,
                                         .columns = d,
                                         .a = centred,
                                         .a_row = 1,
                                         .a_inner = d,
                                         .b = centred,
                                         .c = g->covariance,
                                         .lower = true});
    }
}

static jem_status fit(gaussian *g, const jemi_features *from)
{
    const int64_t d = g->width;
    double *centred = jemi_alloc((size_t)d, BLOCK_ROWS * sizeof *centred);
    if (centred == NULL)
        return jemi_fail_memory("features");
    fit_mean(g, from);
    add_outer_products(g, from, centred);
    const double divisor = from->n > 1 ? (double)(from->n - 1) : 1.0;
    for (int64_t i = 0; i < d; i++)
        for (int64_t k = 0; k <= i; k++) {
            g->covariance[i * d + k] /= divisor;
            g->covariance[k * d + i] = g->covariance[i * d + k];
        }
    jemi_free(centred);
    return JEM_OK;
}

static double trace(const gaussian *g)
{
    double sum = 0.0;
    for (int64_t k = 0; k < g->width; k++)
        sum += g->covariance[k * g->width + k];
    return sum;
}

static double mean_distance(const gaussian *a, const gaussian *b)
{
    double sum = 0.0;
    for (int64_t k = 0; k < a->width; k++)
        sum += (a->mean[k] - b->mean[k]) * (a->mean[k] - b->mean[k]);
    return sum;
}

// ---- tr (C_a C_b)^(1/2) -------------------------------------------------------------------------

// The rows of F, last in `vectors`; returns how many. `values` are the eigenvalues, ascending.
static int64_t make_factor(int64_t d, const double *values, double *vectors)
{
    const double least = DBL_EPSILON * (double)d * values[d - 1];
    int64_t rank = 0;
    for (int64_t i = d - 1; i >= 0 && values[i] > least; i--, rank++)
        for (int64_t k = 0; k < d; k++)
            vectors[i * d + k] *= sqrt(values[i]);
    return rank;
}

static void transpose(int64_t rows, int64_t columns, const double *a, double *at)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < columns; k++)
            at[k * rows + i] = a[i * columns + k];
}

static jem_status sum_roots(int64_t n, double *a, double *values, double *sum)
{
    JEMI_TRY(jemi_symmetric_eigen(n, a, values, NULL));
    *sum = 0.0;
    for (int64_t k = 0; k < n; k++)
        *sum += values[k] > 0.0 ? sqrt(values[k]) : 0.0;
    return JEM_OK;
}

// Both covariances are overwritten; vectors is (width, width), values (width).
static jem_status trace_of_root(gaussian *a, gaussian *b, double *vectors, double *values,
                                double *sum)
{
    const int64_t d = a->width;
    JEMI_TRY(jemi_symmetric_eigen(d, a->covariance, values, vectors));
    const int64_t rank = make_factor(d, values, vectors);
    double *factor = vectors + (d - rank) * d, *image = a->covariance, *transposed = b->covariance;
    memset(image, 0, (size_t)(rank * d) * sizeof *image);
    jemi_product_add(&(jemi_product){.rows = rank,
                                     .inner = d,
                                     .columns = d,
                                     .a = factor,
                                     .a_row = d,
                                     .a_inner = 1,
                                     .b = b->covariance,
                                     .c = image});
    transpose(rank, d, factor, transposed);
    memset(vectors, 0, (size_t)(rank * rank) * sizeof *vectors);
    jemi_product_add(&(jemi_product){.rows = rank,
                                     .inner = d,
                                     .columns = rank,
                                     .a = image,
                                     .a_row = d,
                                     .a_inner = 1,
                                     .b = transposed,
                                     .c = vectors});
    return sum_roots(rank, vectors, values, sum);
}

static jem_status compute_distance(gaussian *a, gaussian *b, double *distance)
{
    const size_t d = (size_t)a->width;
    double *vectors = jemi_alloc(d + 1, d * sizeof *vectors);
    if (vectors == NULL)
        return jemi_fail_memory("eigenvectors");
    const double apart = mean_distance(a, b) + (trace(a) + trace(b));
    double common;
    const jem_status status = trace_of_root(a, b, vectors, vectors + d * d, &common);
    if (status == JEM_OK)
        *distance = fmax(apart - 2.0 * common, 0.0);
    jemi_free(vectors);
    return status;
}

jem_status jemi_frechet_distance(const jemi_features *a, const jemi_features *b, double *distance)
{
    const jemi_features *few = a->n <= b->n ? a : b, *many = few == a ? b : a;
    gaussian of_few = {0}, of_many = {0};
    jem_status status = gaussian_make(&of_few, a->width);
    if (status == JEM_OK)
        status = gaussian_make(&of_many, a->width);
    if (status == JEM_OK)
        status = fit(&of_few, few);
    if (status == JEM_OK)
        status = fit(&of_many, many);
    if (status == JEM_OK)
        status = compute_distance(&of_few, &of_many, distance);
    gaussian_free(&of_few);
    gaussian_free(&of_many);
    return status;
}
