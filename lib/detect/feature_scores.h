/*
 * Outlier scores of one row's penultimate features. All are higher = more out-of-distribution.
 */
#ifndef JEMI_DETECT_FEATURE_SCORES_H
#define JEMI_DETECT_FEATURE_SCORES_H

#include <stdbool.h>

#include "detect/feature_maps.h"

/** A row, and what it is compared with. Logits and features are finite. */
typedef struct jemi_feature_row {
    const jemi_feature_stats *stats;
    const jemi_feature_maps *maps;
    int64_t index; /* in the maps */
    const float *features, *logits;
    const float *head_weights; /* (n_classes, width), of the last layer */
    const float *head_bias;    /* (n_classes) */
} jemi_feature_row;

typedef double jemi_feature_score(const jem_score_config *config, const jemi_feature_row *row);

jemi_feature_score jemi_score_mahalanobis, jemi_score_relative_mahalanobis,
    jemi_score_unit_mahalanobis, jemi_score_knn, jemi_score_fdbd, jemi_score_vim, jemi_score_nci,
    jemi_score_react, jemi_score_scale, jemi_score_gradnorm;

/** The first of the classes with the largest logit. */
int64_t jemi_feature_row_top(const jemi_feature_row *row);

/** Element e of h - mean, and the sum of their squares. */
static inline double jemi_feature_from_mean(const jemi_feature_row *row, int64_t e)
{
    return (double)row->features[e] - (double)row->stats->mean[e];
}
double jemi_feature_row_square(const jemi_feature_row *row);

/** The distance of the last layer's weights of two classes. */
double jemi_head_apart(const jemi_feature_row *row, int64_t a, int64_t b);

/** What SCALE makes of a row: h exp(ratio). */
typedef struct jemi_feature_shape {
    float least; /* elements above it, and so many that equal it, are the largest: */
    int64_t ties;
    double top;      /* the sum of these */
    double ratio;    /* the sum of all elements over that */
    bool is_limited; /* the ratio does not depend on the row */
} jemi_feature_shape;

jemi_feature_shape jemi_feature_shape_of(const jem_score_config *config,
                                         const jemi_feature_row *row);

#endif
