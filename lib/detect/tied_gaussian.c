/*
 * Fitted in double; what a row is multiplied by is float.
 */
#include "detect/tied_gaussian.h"

#include <math.h>
#include <stdbool.h>

#include "base/linear_algebra.h"
#include "base/memory.h"
#include "base/status.h"

typedef struct workspace {
    const jemi_labelled_rows *rows;
    int64_t n_classes;
    double *means;      /* (n_classes, width) */
    int64_t *counts;    /* (n_classes) */
    double *deviations; /* (n, width), from the means of their classes */
    double *covariance; /* (width, width), then its Cholesky factor L */
    double *inverse;    /* (width, width), L^-1 */
    double *column;     /* (width) */
} workspace;

static int64_t label_of(const jemi_labelled_rows *rows, int64_t i)
{
    return rows->labels != NULL ? rows->labels[i] : 0;
}

static void find_means(workspace *w)
{
    const jemi_labelled_rows *rows = w->rows;
    const int64_t width = rows->width;
    for (int64_t i = 0; i < rows->n; i++) {
        const int64_t c = label_of(rows, i);
        w->counts[c]++;
        for (int64_t k = 0; k < width; k++)
            w->means[c * width + k] += (double)rows->x[i * rows->stride + k];
    }
    for (int64_t c = 0; c < w->n_classes; c++)
        for (int64_t k = 0; k < width && w->counts[c] > 0; k++)
            w->means[c * width + k] /= (double)w->counts[c];
}

static void find_covariance(workspace *w)
{
    const jemi_labelled_rows *rows = w->rows;
    const int64_t width = rows->width;
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t k = 0; k < width; k++)
            w->deviations[i * width + k] =
                (double)rows->x[i * rows->stride + k] - w->means[label_of(rows, i) * width + k];
    jemi_product_add(&(jemi_product){.rows = width,
                                     .inner = rows->n,
                                     .columns = width,
                                     .a = w->deviations,
                                     .a_row = 1,
                                     .a_inner = width,
                                     .b = w->deviations,
                                     .c = w->covariance});
    for (int64_t k = 0; k < width * width; k++)
        w->covariance[k] /= (double)rows->n;
}

// Ledoit & Wolf's s = b^2 / d^2: how far S is expected to lie from Sigma, and how far it lies from
// a multiple of the identity, as squared Frobenius norms.
static double find_shrinkage(const workspace *w, double mean_variance)
{
    const int64_t n = w->rows->n, width = w->rows->width;
    const double squares = jemi_dot(width * width, w->covariance, w->covariance);
    double fourth = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double *row = w->deviations + i * width;
        const double length = jemi_dot(width, row, row);
        fourth += length * length;
    }
    const double apart = squares - (double)width * mean_variance * mean_variance;
    const double expected = (fourth / (double)n - squares) / (double)n;
    return apart > 0.0 ? fmin(fmax(expected, 0.0) / apart, 1.0) : 1.0;
}

static jem_status shrink_and_factor(workspace *w)
{
    const int64_t width = w->rows->width;
    double trace = 0.0;
    for (int64_t k = 0; k < width; k++)
        trace += w->covariance[k * width + k];
    const double variance = trace / (double)width, s = find_shrinkage(w, variance);
    for (int64_t k = 0; k < width * width; k++)
        w->covariance[k] *= 1.0 - s;
    for (int64_t k = 0; k < width; k++) // and as much as double's rounding needs where s is 0
        w->covariance[k * width + k] += (s + 1e-10) * variance;
    if (variance > 0.0 && jemi_cholesky(width, w->covariance))
        return JEM_OK;
    return jemi_fail(JEM_EINVAL, "the features of the rows do not vary; expected rows that differ "
                                 "within their classes");
}

// Column k of L^-1 solves L y = e_k.
static void invert(workspace *w)
{
    const int64_t width = w->rows->width;
    for (int64_t k = 0; k < width; k++) {
        double *column = w->column;
        for (int64_t i = 0; i < width; i++)
            column[i] = i == k;
        jemi_solve_lower(width, w->covariance, column);
        for (int64_t i = 0; i < width; i++)
            w->inverse[i * width + k] = column[i];
    }
}

// Sigma^-1 mu = L^-T (L^-1 mu).
static void fill_class(const workspace *w, int64_t c, jemi_tied_gaussian *g)
{
    const int64_t width = w->rows->width;
    double *white = w->column;
    float *toward = g->map.matrix + (width + c) * width;
    if (w->counts[c] == 0) {
        g->constants[c] = INFINITY;
        return;
    }
    for (int64_t i = 0; i < width; i++)
        white[i] = jemi_dot(width, w->inverse + i * width, w->means + c * width);
    g->constants[c] = (float)jemi_dot(width, white, white);
    for (int64_t k = 0; k < width; k++) {
        double sum = 0.0;
        for (int64_t i = 0; i < width; i++)
            sum += w->inverse[i * width + k] * white[i];
        toward[k] = (float)(2.0 * sum);
    }
}

static jem_status fit(workspace *w, jemi_tied_gaussian *g)
{
    const int64_t width = w->rows->width;
    find_means(w);
    find_covariance(w);
    JEMI_TRY(shrink_and_factor(w));
    invert(w);
    for (int64_t k = 0; k < width * width; k++)
        g->map.matrix[k] = (float)w->inverse[k];
    for (int64_t c = 0; c < w->n_classes; c++)
        fill_class(w, c, g);
    jemi_linear_map_pack(&g->map);
    return JEM_OK;
}

jem_status jemi_tied_gaussian_fit(jemi_tied_gaussian *gaussian, int64_t n_classes,
                                  const jemi_labelled_rows *rows)
{
    const size_t width = (size_t)rows->width, classes = (size_t)n_classes;
    gaussian->rank = rows->width;
    gaussian->n_classes = n_classes;
    JEMI_TRY(jemi_linear_map_create(&gaussian->map, rows->width, rows->width + n_classes));
    gaussian->constants = jemi_alloc(classes, sizeof *gaussian->constants);
    workspace w = {.rows = rows, .n_classes = n_classes};
    w.means = jemi_calloc(classes * width, sizeof *w.means);
    w.counts = jemi_calloc(classes, sizeof *w.counts);
    w.deviations = jemi_alloc((size_t)rows->n * width, sizeof *w.deviations);
    w.covariance = jemi_calloc(width * width, sizeof *w.covariance);
    w.inverse = jemi_alloc(width * width, sizeof *w.inverse);
    w.column = jemi_alloc(width, sizeof *w.column);
    const bool enough = gaussian->constants != NULL && w.means != NULL && w.counts != NULL &&
                        w.deviations != NULL && w.covariance != NULL && w.inverse != NULL &&
                        w.column != NULL;
    const jem_status status =
        enough ? fit(&w, gaussian) : jemi_fail_memory("Gaussians of a detector");
    jemi_free(w.means);
    jemi_free(w.counts);
    jemi_free(w.deviations);
    jemi_free(w.covariance);
    jemi_free(w.inverse);
    jemi_free(w.column);
    return status;
}

void jemi_tied_gaussian_fini(jemi_tied_gaussian *gaussian)
{
    jemi_linear_map_fini(&gaussian->map);
    jemi_free(gaussian->constants);
    *gaussian = (jemi_tied_gaussian){0};
}

// |L^-1 mu_c|^2 - 2 (Sigma^-1 mu_c) . z, and the class for which it is the least.
static double find_nearest(const jemi_tied_gaussian *gaussian, const float *mapped, int64_t *class)
{
    double nearest = INFINITY;
    *class = 0;
    for (int64_t c = 0; c < gaussian->n_classes; c++) { // GCC 12 for AArch64 breaks on fmin() here
        const double from_class =
            (double)gaussian->constants[c] - (double)mapped[gaussian->rank + c];
        if (from_class < nearest) {
            nearest = from_class;
            *class = c;
        }
    }
    return nearest;
}

double jemi_tied_gaussian_distance(const jemi_tied_gaussian *gaussian, const float *mapped)
{
    int64_t class;
    double square = 0.0;
    for (int64_t k = 0; k < gaussian->rank; k++)
        square += (double)mapped[k] * (double)mapped[k];
    const double distance = square + find_nearest(gaussian, mapped, &class);
    if (!isfinite(distance)) // either part has overflowed, in any direction
        return INFINITY;
    return distance > 0.0 ? distance : 0.0;
}

// 2 L^-T (L^-1 z) - 2 Sigma^-1 mu_c.
void jemi_tied_gaussian_gradient(const jemi_tied_gaussian *gaussian, const float *mapped,
                                 double weight, double *dz)
{
    const int64_t rank = gaussian->rank;
    const float *matrix = gaussian->map.matrix;
    const double distance = jemi_tied_gaussian_distance(gaussian, mapped);
    int64_t class;
    if (!(distance > 0.0 && isfinite(distance)))
        return;
    find_nearest(gaussian, mapped, &class);
    for (int64_t i = 0; i < rank; i++)
        for (int64_t k = 0; k < rank; k++)
            dz[k] += 2.0 * weight * (double)mapped[i] * (double)matrix[i * rank + k];
    for (int64_t k = 0; k < rank; k++)
        dz[k] -= weight * (double)matrix[(rank + class) * rank + k];
}
