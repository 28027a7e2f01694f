/*
 * The formulas stand at JEM_SCORE_* in jem.h. Distances take features by their leading directions,
 * and what lies beside these as if it had the same variance everywhere.
 */
#include "detect/feature_scores.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/elementary.h"
#include "detect/largest.h"
#include "ebm/density.h"

// ---- distances ---------------------------------------------------------------------------------

static double distance(const jemi_tied_gaussian *gaussian, const float *mapped, int64_t row)
{
    return jemi_tied_gaussian_distance(gaussian,
                                       mapped + row * jemi_linear_map_stride(gaussian->map.out));
}

double jemi_score_mahalanobis(const jem_score_config *config, const jemi_feature_row *row)
{
    (void)config;
    const jemi_feature_stats *stats = row->stats;
    const double variance = (double)stats->residual_variance;
    const double beside = variance > 0.0 ? row->maps->beside[row->index] / variance : 0.0;
    return distance(&stats->tied, row->maps->tied, row->index) + beside;
}

// What lies beside the basis is in both distances.
double jemi_score_relative_mahalanobis(const jem_score_config *config, const jemi_feature_row *row)
{
    (void)config;
    return distance(&row->stats->tied, row->maps->tied, row->index) -
           distance(&row->stats->background, row->maps->background, row->index);
}

double jemi_score_unit_mahalanobis(const jem_score_config *config, const jemi_feature_row *row)
{
    (void)config;
    const jemi_feature_stats *stats = row->stats;
    const double variance = (double)stats->unit_residual_variance;
    const double square = row->maps->squares[row->index];
    const bool has_rest = variance > 0.0 && square > 0.0;
    const double beside = has_rest ? row->maps->beside[row->index] / square / variance : 0.0;
    return distance(&stats->unit, row->maps->unit, row->index) + beside;
}

double jemi_score_knn(const jem_score_config *config, const jemi_feature_row *row)
{
    const jemi_feature_stats *stats = row->stats;
    const float *unit = row->maps->unit_z + row->index * jemi_linear_map_stride(stats->rank);
    if (row->maps->squares[row->index] == 0.0)
        return sqrt(2.0); // at right angles to all
    const float similarity = jemi_bank_similarity(&stats->bank, unit, config->neighbours);
    return sqrt(fmax(2.0 - 2.0 * (double)similarity, 0.0));
}

// ---- features and the last layer ---------------------------------------------------------------

int64_t jemi_feature_row_top(const jemi_feature_row *row)
{
    return jemi_find_top(row->stats->n_classes, row->logits);
}

static const float *weights_of(const jemi_feature_row *row, int64_t k)
{
    return row->head_weights + k * row->stats->width;
}

double jemi_feature_row_square(const jemi_feature_row *row)
{
    double square = 0.0;
    for (int64_t e = 0; e < row->stats->width; e++)
        square += jemi_feature_from_mean(row, e) * jemi_feature_from_mean(row, e);
    return square;
}

double jemi_head_apart(const jemi_feature_row *row, int64_t a, int64_t b)
{
    const float *of_a = weights_of(row, a), *of_b = weights_of(row, b);
    double square = 0.0;
    for (int64_t e = 0; e < row->stats->width; e++) {
        const double d = (double)of_a[e] - (double)of_b[e];
        square += d * d;
    }
    return sqrt(square);
}

double jemi_score_fdbd(const jem_score_config *config, const jemi_feature_row *row)
{
    (void)config;
    const int64_t n_classes = row->stats->n_classes, top = jemi_feature_row_top(row);
    double sum = 0.0;
    for (int64_t c = 0; c < n_classes; c++) {
        const double apart = jemi_head_apart(row, top, c);
        if (apart > 0.0)
            sum += fabs((double)row->logits[top] - (double)row->logits[c]) / apart;
    }
    const double from_mean = sqrt(jemi_feature_row_square(row));
    return from_mean > 0.0 ? -sum / (double)(n_classes - 1) / from_mean : 0.0;
}

double jemi_score_vim(const jem_score_config *config, const jemi_feature_row *row)
{
    (void)config;
    const jemi_feature_stats *stats = row->stats;
    const double beside = jemi_feature_beside_principal(row->maps, stats, row->index);
    return (double)stats->vim_scale * sqrt(beside) -
           jemi_logsumexp(row->logits, stats->n_classes, NULL);
}

static double sum_abs(const jemi_feature_row *row)
{
    double sum = 0.0;
    for (int64_t e = 0; e < row->stats->width; e++)
        sum += fabs((double)row->features[e]);
    return sum;
}

double jemi_score_nci(const jem_score_config *config, const jemi_feature_row *row)
{
    const float *weights = weights_of(row, jemi_feature_row_top(row));
    double along = 0.0;
    for (int64_t e = 0; e < row->stats->width; e++)
        along += (double)weights[e] * jemi_feature_from_mean(row, e);
    const double from_mean = sqrt(jemi_feature_row_square(row));
    return -(from_mean > 0.0 ? along / from_mean : 0.0) -
           (double)config->nci_norm_weight * sum_abs(row);
}

// ---- the last layer on other features ----------------------------------------------------------

// E of the logits that the last layer makes of scale * min(h, clip).
static double energy_of_shaped(const jemi_feature_row *row, double scale, double clip)
{
    const int64_t n_classes = row->stats->n_classes;
    double largest = -INFINITY, sum = 0.0; // of exp(f - largest)
    for (int64_t k = 0; k < n_classes; k++) {
        const float *weights = weights_of(row, k);
        double f = 0.0;
        for (int64_t e = 0; e < row->stats->width; e++)
            f += (double)weights[e] * fmin((double)row->features[e], clip);
        f = scale * f + (double)row->head_bias[k];
        if (f > largest) {
            sum = sum * jemi_exp(largest - f) + 1.0;
            largest = f;
        } else {
            sum += jemi_exp(f - largest);
        }
    }
    return -(largest + jemi_ln(sum));
}

double jemi_score_react(const jem_score_config *config, const jemi_feature_row *row)
{
    (void)config;
    return energy_of_shaped(row, 1.0, (double)row->stats->react_clip);
}

// r is limited, so that the logits of exp(r) h are numbers.
jemi_feature_shape jemi_feature_shape_of(const jem_score_config *config,
                                         const jemi_feature_row *row)
{
    const int64_t width = row->stats->width;
    const double most = 50.0;
    int64_t left = width - (int64_t)((double)config->scale_percentile / 100.0 * (double)width);
    left = left > 0 ? left : 1;
    jemi_feature_shape shape = {.least = jemi_kth_largest(width, row->features, left)};
    double sum = 0.0;
    for (int64_t e = 0; e < width; e++) {
        sum += (double)row->features[e];
        if (row->features[e] > shape.least) {
            shape.top += (double)row->features[e];
            left--;
        }
    }
    shape.ties = left;
    shape.top += (double)left * (double)shape.least;
    const double ratio = shape.top > 0.0 ? sum / shape.top : 1.0;
    shape.is_limited = !(shape.top > 0.0 && ratio > 0.0 && ratio < most);
    shape.ratio = fmin(fmax(ratio, 0.0), most);
    return shape;
}

double jemi_score_scale(const jem_score_config *config, const jemi_feature_row *row)
{
    return energy_of_shaped(row, jemi_exp(jemi_feature_shape_of(config, row).ratio), INFINITY);
}

// |d KL(uniform, softmax) / d W|_1 = |h|_1 |1 / K - softmax|_1.
double jemi_score_gradnorm(const jem_score_config *config, const jemi_feature_row *row)
{
    (void)config;
    const int64_t n_classes = row->stats->n_classes;
    const double f = jemi_logsumexp(row->logits, n_classes, NULL);
    double apart = 0.0;
    for (int64_t k = 0; k < n_classes; k++)
        apart += fabs(1.0 / (double)n_classes - jemi_exp((double)row->logits[k] - f));
    return -apart * sum_abs(row);
}
