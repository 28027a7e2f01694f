/*
 * Fitting goes from the basis outwards: coordinates of all rows, then what is made of these.
 */
#include "detect/feature_fit.h"

#include <math.h>
#include <string.h>

#include "base/linear_algebra.h"
#include "base/memory.h"
#include "base/random.h"
#include "detect/feature_maps.h"
#include "detect/sorted.h"
#include "ebm/low_rank.h"
#include "kernels/vector.h"

// Directions with less of the leading one's second moment than this are rounding.
static const double direction_min = 1e-9;
// The least variance beside the basis, in parts of the mean along it: of features that no training
// row has, but other rows may. What lies beside is a difference of floats, known to 1e-7 of the whole.
static const double beside_min = 1e-4;

enum { PERCENTILE_VALUES = 1 << 20 }; // that a percentile is estimated from, at most

// ---- basis -------------------------------------------------------------------------------------

// The rows of `factors` become those of an orthonormal basis of their span, leading ones first; their
// Gram matrix Q diag(l) Q^T tells how: P = diag(l)^-1/2 Q^T U.
static jem_status orthonormalise(int64_t rank, int64_t row_len, const float *factors, double *gram,
                                 double *vectors, double *values, jemi_feature_stats *stats)
{
    for (int64_t i = 0; i < rank; i++)
        for (int64_t j = 0; j < rank; j++) {
            double sum = 0.0;
            for (int64_t e = 0; e < row_len; e++)
                sum += (double)factors[i * row_len + e] * (double)factors[j * row_len + e];
            gram[i * rank + j] = sum;
        }
    JEMI_TRY(jemi_symmetric_eigen(rank, gram, values, vectors));
    int64_t kept = 0;
    while (kept < rank && values[rank - 1 - kept] > direction_min * values[rank - 1])
        kept++;
    if (kept == 0)
        return jemi_fail(JEM_EINVAL, "the features of all rows are 0; expected features that vary");
    stats->rank = kept;
    JEMI_TRY(jemi_linear_map_create(&stats->basis, row_len, kept));
    for (int64_t k = 0; k < kept; k++) {
        const double *q = vectors + (rank - 1 - k) * rank;
        const double scale = 1.0 / sqrt(values[rank - 1 - k]);
        for (int64_t e = 0; e < row_len; e++) {
            double sum = 0.0;
            for (int64_t j = 0; j < rank; j++)
                sum += q[j] * (double)factors[j * row_len + e];
            stats->basis.matrix[k * row_len + e] = (float)(scale * sum);
        }
    }
    return JEM_OK;
}

static jem_status fit_directions(jemi_feature_stats *stats, const jemi_feature_request *request,
                                 const jemi_feature_rows *rows, int64_t rank, int64_t *all,
                                 float *zeros, float *factors, jemi_progress *progress)
{
    for (int64_t i = 0; i < rows->n; i++)
        all[i] = i;
    const jemi_covariance moment = {rows->n, rows->stride, rows->features, all, zeros};
    const jemi_random_key key = jemi_random_key_make(request->seed, JEMI_RANDOM_DIRECTIONS, 0);
    JEMI_TRY(jemi_low_rank_fit(&moment, (int32_t)rank, key, 0, true, progress, factors));
    const size_t count = (size_t)rank * (size_t)rank;
    double *gram = jemi_alloc(2 * count + (size_t)rank, sizeof *gram);
    if (gram == NULL)
        return jemi_fail_memory("basis of features");
    const jem_status status =
        orthonormalise(rank, rows->stride, factors, gram, gram + count, gram + 2 * count, stats);
    jemi_free(gram);
    return status;
}

static jem_status find_directions(jemi_feature_stats *stats, const jemi_feature_request *request,
                                  const jemi_feature_rows *rows, jemi_progress *progress)
{
    int64_t rank = rows->width < request->rank_max ? rows->width : request->rank_max;
    rank = rank < rows->n ? rank : rows->n;
    int64_t *all = jemi_alloc((size_t)rows->n, sizeof *all);
    float *zeros = jemi_calloc((size_t)rows->stride, sizeof *zeros);
    float *factors = jemi_alloc((size_t)rank * (size_t)rows->stride, sizeof *factors);
    const bool enough = all != NULL && zeros != NULL && factors != NULL;
    const jem_status status =
        enough ? fit_directions(stats, request, rows, rank, all, zeros, factors, progress)
               : jemi_fail_memory("basis of features");
    jemi_free(all);
    jemi_free(zeros);
    jemi_free(factors);
    return status;
}

static jem_status find_mean(jemi_feature_stats *stats, const jemi_feature_rows *rows)
{
    stats->mean = jemi_alloc((size_t)rows->stride, sizeof *stats->mean);
    if (stats->mean == NULL)
        return jemi_fail_memory("mean of features");
    for (int64_t e = 0; e < rows->stride; e++) {
        double sum = 0.0;
        for (int64_t i = 0; i < rows->n; i++)
            sum += (double)rows->features[i * rows->stride + e];
        stats->mean[e] = (float)(sum / (double)rows->n);
    }
    return JEM_OK;
}

// z = P h - P mean.
static jem_status find_basis(jemi_feature_stats *stats, const jemi_feature_request *request,
                             const jemi_feature_rows *rows, jemi_progress *progress)
{
    JEMI_TRY(find_directions(stats, request, rows, progress));
    JEMI_TRY(find_mean(stats, rows));
    stats->origin = jemi_alloc((size_t)stats->rank, sizeof *stats->origin);
    if (stats->origin == NULL)
        return jemi_fail_memory("mean of features");
    for (int64_t k = 0; k < stats->rank; k++) {
        double sum = 0.0;
        for (int64_t e = 0; e < rows->stride; e++)
            sum += (double)stats->basis.matrix[k * rows->stride + e] * (double)stats->mean[e];
        stats->origin[k] = (float)sum;
        stats->basis.bias[k] = -stats->origin[k];
    }
    jemi_linear_map_pack(&stats->basis);
    return JEM_OK;
}

// ---- what is made of coordinates ---------------------------------------------------------------

static void find_residuals(jemi_feature_stats *stats, const jemi_feature_maps *maps)
{
    const double left = (double)(stats->width - stats->rank);
    double beside = 0.0, unit_beside = 0.0, squares = 0.0;
    for (int64_t i = 0; i < maps->n; i++) {
        beside += maps->beside[i];
        squares += maps->squares[i];
        unit_beside += maps->squares[i] > 0.0 ? maps->beside[i] / maps->squares[i] : 0.0;
    }
    if (left == 0.0)
        return;
    const double n = (double)maps->n, mean_along = squares / n / (double)stats->width;
    stats->residual_variance = (float)fmax(beside / n / left, beside_min * mean_along);
    stats->unit_residual_variance =
        (float)fmax(unit_beside / n / left, beside_min / (double)stats->width);
}

static jem_status fit_gaussians(jemi_feature_stats *stats, const jemi_feature_request *request,
                                const jemi_feature_rows *rows, const jemi_feature_maps *maps)
{
    const int64_t stride = jemi_linear_map_stride(stats->rank);
    jemi_labelled_rows labelled = {rows->n, stats->rank, stride, maps->z, rows->labels};
    if (request->tied)
        JEMI_TRY(jemi_tied_gaussian_fit(&stats->tied, rows->n_classes, &labelled));
    if (request->unit) {
        labelled.x = maps->unit_z;
        JEMI_TRY(jemi_tied_gaussian_fit(&stats->unit, rows->n_classes, &labelled));
    }
    labelled = (jemi_labelled_rows){rows->n, stats->rank, stride, maps->z, NULL};
    return request->background ? jemi_tied_gaussian_fit(&stats->background, 1, &labelled) : JEM_OK;
}

// How many rows `n_classes` classes give if none gives more than `level`.
static int64_t count_up_to(int64_t n_classes, const int64_t *counts, int64_t level)
{
    int64_t sum = 0;
    for (int64_t c = 0; c < n_classes; c++)
        sum += counts[c] < level ? counts[c] : level;
    return sum;
}

// How many rows each class gives to a bank of `most`: shares as equal as the classes allow.
static void find_shares(int64_t n_classes, const int64_t *counts, int64_t most, int64_t *shares)
{
    int64_t level = 0, above = most + 1; // the largest level that has room is below
    while (above - level > 1) {
        const int64_t middle = level + (above - level) / 2;
        if (count_up_to(n_classes, counts, middle) <= most)
            level = middle;
        else
            above = middle;
    }
    int64_t left = most - count_up_to(n_classes, counts, level);
    for (int64_t c = 0; c < n_classes; c++) {
        const bool one_more = counts[c] > level && left > 0;
        shares[c] = one_more ? level + 1 : counts[c] < level ? counts[c] : level;
        left -= one_more;
    }
}

// Of each class every so many-th row, class by class.
static void take_shares(const jemi_feature_rows *rows, const int64_t *counts, const int64_t *shares,
                        int64_t *seen, int64_t *next, int64_t *chosen)
{
    int64_t begin = 0;
    for (int64_t c = 0; c < rows->n_classes; c++) {
        seen[c] = 0;
        next[c] = begin;
        begin += shares[c];
    }
    for (int64_t i = 0; i < rows->n; i++) {
        const int64_t c = rows->labels[i], before = seen[c]++;
        if ((before + 1) * shares[c] / counts[c] > before * shares[c] / counts[c])
            chosen[next[c]++] = i;
    }
}

// @param chosen  Out. (most), of at most rows->n.
static jem_status choose_bank(const jemi_feature_rows *rows, int64_t most, int64_t *chosen)
{
    const size_t n_classes = (size_t)rows->n_classes;
    int64_t *counts = jemi_calloc(4 * n_classes, sizeof *counts);
    if (counts == NULL)
        return jemi_fail_memory("bank of features");
    int64_t *shares = counts + n_classes, *seen = shares + n_classes, *next = seen + n_classes;
    for (int64_t i = 0; i < rows->n; i++)
        counts[rows->labels[i]]++;
    find_shares(rows->n_classes, counts, most, shares);
    take_shares(rows, counts, shares, seen, next, chosen);
    jemi_free(counts);
    return JEM_OK;
}

// How many rows the budget has room for, where each cell may end with a panel that is hardly full,
// and has a pivot.
static int64_t room_in_bank(int64_t bytes, int64_t rank)
{
    const int64_t most = bytes / (rank * (int64_t)sizeof(float));
    const int64_t cells = jemi_bank_cells(most);
    return most - cells * (JEMI_BANK_PANEL + 1) - JEMI_BANK_PANEL;
}

static jem_status fit_bank(jemi_feature_stats *stats, const jemi_feature_request *request,
                           const jemi_feature_rows *rows, const jemi_feature_maps *maps)
{
    const int64_t room = room_in_bank(request->bank_bytes, stats->rank);
    const int64_t most = room < rows->n ? room : rows->n;
    if (!request->bank)
        return JEM_OK;
    if (most < 1)
        return jemi_fail(JEM_EINVAL, "bank_bytes is %lld; expected at least %lld for rows of %lld",
                         (long long)request->bank_bytes,
                         (long long)(4 * JEMI_BANK_PANEL * stats->rank) * (long long)sizeof(float),
                         (long long)stats->rank);
    int64_t *chosen = jemi_alloc((size_t)most, sizeof *chosen);
    if (chosen == NULL)
        return jemi_fail_memory("bank of features");
    jem_status status = choose_bank(rows, most, chosen);
    const jemi_bank_rows unit = {most, stats->rank, jemi_linear_map_stride(stats->rank),
                                 maps->unit_z, chosen};
    if (status == JEM_OK)
        status = jemi_bank_build(&stats->bank, &unit);
    jemi_free(chosen);
    return status;
}

// alpha makes the virtual logit as large, on average, as the largest real one (eq. 9).
static void find_vim_scale(jemi_feature_stats *stats, const jemi_feature_rows *rows,
                           const jemi_feature_maps *maps)
{
    const int64_t half = stats->width / 2;
    stats->vim_rank = half < stats->rank ? half : stats->rank;
    double logits = 0.0, residuals = 0.0;
    for (int64_t i = 0; i < rows->n; i++) {
        const float *row = rows->logits + i * rows->n_classes;
        float largest = row[0];
        for (int64_t k = 1; k < rows->n_classes; k++)
            largest = row[k] > largest ? row[k] : largest;
        logits += (double)largest;
        residuals += sqrt(jemi_feature_beside_principal(maps, stats, i));
    }
    stats->vim_scale = residuals > 0.0 ? (float)fabs(logits / residuals) : 0.0f;
}

// Of whole rows at even distances, so that every feature counts alike.
static jem_status find_react_clip(jemi_feature_stats *stats, double percentile,
                                  const jemi_feature_rows *rows)
{
    const int64_t room = PERCENTILE_VALUES / rows->width > 1 ? PERCENTILE_VALUES / rows->width : 1;
    const int64_t taken = room < rows->n ? room : rows->n, n = taken * rows->width;
    float *values = jemi_alloc((size_t)n, sizeof *values);
    if (values == NULL)
        return jemi_fail_memory("percentile of features");
    for (int64_t i = 0; i < taken; i++)
        memcpy(values + i * rows->width, rows->features + (i * rows->n / taken) * rows->stride,
               (size_t)rows->width * sizeof *values);
    jemi_sort_floats(n, values);
    stats->react_clip = values[(int64_t)(percentile / 100.0 * (double)(n - 1))];
    jemi_free(values);
    return JEM_OK;
}

static jem_status fit_coordinates(jemi_feature_stats *stats, const jemi_feature_request *request,
                                  const jemi_feature_rows *rows, const jemi_feature_maps *maps)
{
    find_residuals(stats, maps);
    find_vim_scale(stats, rows, maps);
    JEMI_TRY(find_react_clip(stats, request->react_percentile, rows));
    JEMI_TRY(fit_gaussians(stats, request, rows, maps));
    return fit_bank(stats, request, rows, maps);
}

jem_status jemi_feature_stats_fit(jemi_feature_stats *stats, const jemi_feature_request *request,
                                  const jemi_feature_rows *rows, jemi_progress *progress)
{
    stats->width = rows->width;
    stats->n_classes = rows->n_classes;
    JEMI_TRY(find_basis(stats, request, rows, progress));
    jemi_feature_maps maps = {0};
    jem_status status = jemi_feature_maps_create(&maps, stats, rows->n);
    if (status == JEM_OK) {
        jemi_feature_maps_fill(&maps, stats, 0, rows->n, rows->features);
        status = fit_coordinates(stats, request, rows, &maps);
    }
    jemi_feature_maps_fini(&maps);
    return status;
}
