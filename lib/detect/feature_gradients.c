/*
 * Term by term those of feature_scores.c.
 */
#include "detect/feature_gradients.h"

#include <math.h>
#include <stddef.h>

#include "base/elementary.h"
#include "detect/softmax.h"

// The rows of the basis are padded.
void jemi_feature_slopes_join(const jemi_feature_stats *stats, const jemi_feature_slopes *slopes)
{
    for (int64_t k = 0; k < stats->rank; k++)
        for (int64_t e = 0; e < stats->width; e++)
            slopes->features[e] +=
                slopes->z[k] * (double)stats->basis.matrix[k * stats->basis.in + e];
}

// ---- distances ---------------------------------------------------------------------------------

static const float *mapped_row(const jemi_tied_gaussian *gaussian, const float *mapped,
                               int64_t index)
{
    return mapped + index * jemi_linear_map_stride(gaussian->map.out);
}

static double whole(const jemi_feature_row *row, int64_t k)
{
    return jemi_feature_coordinate(row->maps, row->stats, row->index, k);
}

// What lies beside the basis is |h|^2 - |P h|^2.
void jemi_gradient_mahalanobis(const jem_score_config *config, const jemi_feature_row *row,
                               const jemi_feature_slopes *slopes)
{
    (void)config;
    const jemi_feature_stats *stats = row->stats;
    const double variance = (double)stats->residual_variance;
    jemi_tied_gaussian_gradient(&stats->tied, mapped_row(&stats->tied, row->maps->tied, row->index),
                                1.0, slopes->z);
    if (!(variance > 0.0 && row->maps->beside[row->index] > 0.0))
        return;
    for (int64_t e = 0; e < stats->width; e++)
        slopes->features[e] += 2.0 * (double)row->features[e] / variance;
    for (int64_t k = 0; k < stats->rank; k++)
        slopes->z[k] -= 2.0 * whole(row, k) / variance;
}

void jemi_gradient_relative_mahalanobis(const jem_score_config *config, const jemi_feature_row *row,
                                        const jemi_feature_slopes *slopes)
{
    (void)config;
    const jemi_tied_gaussian *tied = &row->stats->tied, *all = &row->stats->background;
    jemi_tied_gaussian_gradient(tied, mapped_row(tied, row->maps->tied, row->index), 1.0,
                                slopes->z);
    jemi_tied_gaussian_gradient(all, mapped_row(all, row->maps->background, row->index), -1.0,
                                slopes->z);
}

static const float *unit_row(const jemi_feature_row *row)
{
    return row->maps->unit_z + row->index * jemi_linear_map_stride(row->stats->rank);
}

// From derivatives by u = P h / |h|, which slopes->z holds, to those by P h and h.
static void leave_unit(const jemi_feature_row *row, const jemi_feature_slopes *slopes)
{
    const float *unit = unit_row(row);
    const double square = row->maps->squares[row->index], length = sqrt(square);
    double along = 0.0;
    for (int64_t k = 0; k < row->stats->rank; k++) {
        along += slopes->z[k] * (double)unit[k];
        slopes->z[k] /= length;
    }
    for (int64_t e = 0; e < row->stats->width; e++)
        slopes->features[e] -= along * (double)row->features[e] / square;
}

// The part of h / |h| beside the basis is 1 - |u|^2.
void jemi_gradient_unit_mahalanobis(const jem_score_config *config, const jemi_feature_row *row,
                                    const jemi_feature_slopes *slopes)
{
    (void)config;
    const jemi_feature_stats *stats = row->stats;
    const double variance = (double)stats->unit_residual_variance;
    if (!(row->maps->squares[row->index] > 0.0))
        return;
    jemi_tied_gaussian_gradient(&stats->unit, mapped_row(&stats->unit, row->maps->unit, row->index),
                                1.0, slopes->z);
    if (variance > 0.0 && row->maps->beside[row->index] > 0.0)
        for (int64_t k = 0; k < stats->rank; k++)
            slopes->z[k] -= 2.0 * (double)unit_row(row)[k] / variance;
    leave_unit(row, slopes);
}

// sqrt(2 - 2 u . v) with the vector v that the bank finds.
void jemi_gradient_knn(const jem_score_config *config, const jemi_feature_row *row,
                       const jemi_feature_slopes *slopes)
{
    const jemi_feature_stats *stats = row->stats;
    const double score = jemi_score_knn(config, row);
    if (!(row->maps->squares[row->index] > 0.0 && score > 0.0))
        return;
    const float *vector = jemi_bank_neighbour(&stats->bank, unit_row(row), config->neighbours);
    for (int64_t k = 0; k < stats->rank; k++)
        slopes->z[k] = -(double)vector[k * JEMI_BANK_PANEL] / score;
    leave_unit(row, slopes);
}

void jemi_gradient_vim(const jem_score_config *config, const jemi_feature_row *row,
                       const jemi_feature_slopes *slopes)
{
    (void)config;
    const jemi_feature_stats *stats = row->stats;
    const double left = jemi_feature_beside_principal(row->maps, stats, row->index);
    const double slope = left > 0.0 ? (double)stats->vim_scale / sqrt(left) : 0.0;
    for (int64_t e = 0; e < stats->width; e++)
        slopes->features[e] = slope * (double)row->features[e];
    for (int64_t k = 0; k < stats->vim_rank; k++)
        slopes->z[k] = -slope * whole(row, k);
    jemi_softmax_row(row->logits, (int32_t)stats->n_classes, 1.0, slopes->logits);
    for (int64_t k = 0; k < stats->n_classes; k++)
        slopes->logits[k] = -slopes->logits[k];
}

// ---- features and the last layer ---------------------------------------------------------------

static double sign_of(double value)
{
    return (double)((value > 0.0) - (value < 0.0));
}

void jemi_gradient_fdbd(const jem_score_config *config, const jemi_feature_row *row,
                        const jemi_feature_slopes *slopes)
{
    const int64_t n_classes = row->stats->n_classes, top = jemi_feature_row_top(row);
    const double square = jemi_feature_row_square(row);
    if (!(square > 0.0))
        return;
    const double share = 1.0 / (double)(n_classes - 1) / sqrt(square);
    for (int64_t c = 0; c < n_classes; c++) {
        const double apart = jemi_head_apart(row, top, c);
        if (!(apart > 0.0))
            continue;
        slopes->logits[c] += share / apart;
        slopes->logits[top] -= share / apart;
    }
    const double score = jemi_score_fdbd(config, row);
    for (int64_t e = 0; e < row->stats->width; e++)
        slopes->features[e] = -score * jemi_feature_from_mean(row, e) / square;
}

void jemi_gradient_nci(const jem_score_config *config, const jemi_feature_row *row,
                       const jemi_feature_slopes *slopes)
{
    const int64_t width = row->stats->width;
    const float *weights = row->head_weights + jemi_feature_row_top(row) * width;
    const double square = jemi_feature_row_square(row), length = sqrt(square);
    double along = 0.0;
    for (int64_t e = 0; e < width; e++)
        along += (double)weights[e] * jemi_feature_from_mean(row, e);
    for (int64_t e = 0; e < width; e++) {
        slopes->features[e] = -(double)config->nci_norm_weight * sign_of((double)row->features[e]);
        if (square > 0.0)
            slopes->features[e] +=
                (along / square * jemi_feature_from_mean(row, e) - (double)weights[e]) / length;
    }
}

// S = |h|_1 times A = |1 / K - p|_1, whose derivative is dA/df[k] = p[k] (s[k] - sum_i s[i] p[i])
// with the signs s of p - 1 / K.
void jemi_gradient_gradnorm(const jem_score_config *config, const jemi_feature_row *row,
                            const jemi_feature_slopes *slopes)
{
    (void)config;
    const int64_t n_classes = row->stats->n_classes;
    double *p = slopes->logits, sum = 0.0, apart = 0.0, mean = 0.0;
    jemi_softmax_row(row->logits, (int32_t)n_classes, 1.0, p);
    for (int64_t k = 0; k < n_classes; k++) {
        const double over = p[k] - 1.0 / (double)n_classes;
        apart += fabs(over);
        mean += sign_of(over) * p[k];
    }
    for (int64_t e = 0; e < row->stats->width; e++) {
        sum += fabs((double)row->features[e]);
        slopes->features[e] = -apart * sign_of((double)row->features[e]);
    }
    for (int64_t k = 0; k < n_classes; k++)
        p[k] *= -sum * (sign_of(p[k] - 1.0 / (double)n_classes) - mean);
}

// ---- the last layer on other features ----------------------------------------------------------

// Derivatives of the energy by g, of the logits that the last layer makes of g = scale * min(h, c),
// into slopes->features.
static void energy_by_shaped(const jemi_feature_row *row, double scale, double clip,
                             const jemi_feature_slopes *slopes)
{
    const int64_t n_classes = row->stats->n_classes, width = row->stats->width;
    double largest = -INFINITY, sum = 0.0;
    for (int64_t k = 0; k < n_classes; k++) {
        double f = 0.0;
        for (int64_t e = 0; e < width; e++)
            f += (double)row->head_weights[k * width + e] * fmin((double)row->features[e], clip);
        slopes->logits[k] = scale * f + (double)row->head_bias[k];
        largest = fmax(largest, slopes->logits[k]);
    }
    for (int64_t k = 0; k < n_classes; k++)
        sum += jemi_exp(slopes->logits[k] - largest);
    for (int64_t k = 0; k < n_classes; k++) {
        const double p = jemi_exp(slopes->logits[k] - largest) / sum;
        for (int64_t e = 0; e < width; e++)
            slopes->features[e] -= p * (double)row->head_weights[k * width + e];
        slopes->logits[k] = 0.0;
    }
}

void jemi_gradient_react(const jem_score_config *config, const jemi_feature_row *row,
                         const jemi_feature_slopes *slopes)
{
    (void)config;
    const double clip = (double)row->stats->react_clip;
    energy_by_shaped(row, 1.0, clip, slopes);
    for (int64_t e = 0; e < row->stats->width; e++)
        if ((double)row->features[e] >= clip)
            slopes->features[e] = 0.0;
}

// d(h exp(r)) = exp(r) (dh + h dr), and dr = (dh - r dh of the largest) / their sum.
void jemi_gradient_scale(const jem_score_config *config, const jemi_feature_row *row,
                         const jemi_feature_slopes *slopes)
{
    const int64_t width = row->stats->width;
    const jemi_feature_shape shape = jemi_feature_shape_of(config, row);
    const double scale = jemi_exp(shape.ratio);
    double along = 0.0;
    int64_t ties = shape.ties;
    energy_by_shaped(row, scale, INFINITY, slopes);
    for (int64_t e = 0; e < width; e++)
        along += slopes->features[e] * (double)row->features[e];
    for (int64_t e = 0; e < width; e++) {
        const float h = row->features[e];
        const bool is_top = h > shape.least || (h == shape.least && ties-- > 0);
        const double by_ratio = (is_top ? 1.0 - shape.ratio : 1.0) / shape.top;
        slopes->features[e] =
            scale * (slopes->features[e] + (shape.is_limited ? 0.0 : along * by_ratio));
    }
}
