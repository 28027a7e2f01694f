/*
 * Derivatives of the scores of feature_scores.h, in closed form.
 */
#ifndef JEMI_DETECT_FEATURE_GRADIENTS_H
#define JEMI_DETECT_FEATURE_GRADIENTS_H

#include "detect/feature_scores.h"

/** Partial derivatives, each with the other two held still. Zeroed before. */
typedef struct jemi_feature_slopes {
    double *features; /* (width), by h */
    double *z;        /* (rank), by P h, coordinates along the basis */
    double *logits;   /* (n_classes), by f */
} jemi_feature_slopes;

/** Where a score has a kink, one of its one-sided derivatives; 0 where it is at its end. */
typedef void jemi_feature_gradient(const jem_score_config *config, const jemi_feature_row *row,
                                   const jemi_feature_slopes *slopes);

jemi_feature_gradient jemi_gradient_mahalanobis, jemi_gradient_relative_mahalanobis,
    jemi_gradient_unit_mahalanobis, jemi_gradient_knn, jemi_gradient_fdbd, jemi_gradient_vim,
    jemi_gradient_nci, jemi_gradient_react, jemi_gradient_scale, jemi_gradient_gradnorm;

/** Adds what the derivatives by P h mean to those by h. */
void jemi_feature_slopes_join(const jemi_feature_stats *stats, const jemi_feature_slopes *slopes);

#endif
