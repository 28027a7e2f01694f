/*
 * What the penultimate features of training rows are like, as far as scores ask for it.
 *
 * All distances are taken between z = P h, the coordinates of features h along their `rank` leading
 * directions (of the second moment about 0, so the mean lies among them), and what is left of |h|^2
 * beside them. With a rank as large as the width nothing is left.
 */
#ifndef JEMI_DETECT_FEATURE_STATS_H
#define JEMI_DETECT_FEATURE_STATS_H

#include "detect/bank.h"
#include "detect/tied_gaussian.h"

/** Zeroed = not fitted. */
typedef struct jemi_feature_stats {
    int64_t width, n_classes, rank;
    jemi_linear_map basis;         /* (rank, padded width): h -> z - origin */
    float *origin;                 /* (rank), z of the mean */
    float *mean;                   /* (width) */
    float residual_variance;       /* of an element of h beside the basis; 0 where none is left */
    float unit_residual_variance;  /* the same of h / |h| */
    jemi_tied_gaussian tied;       /* of z - origin, by class */
    jemi_tied_gaussian background; /* of z - origin, one class */
    jemi_tied_gaussian unit;       /* of z / |h|, by class */
    jemi_bank bank;                /* of z / |h| */
    int64_t vim_rank;              /* ViM's principal space, the first of the basis */
    float vim_scale;               /* its alpha */
    float react_clip;              /* that percentile of all features */
} jemi_feature_stats;

void jemi_feature_stats_fini(jemi_feature_stats *stats);

#endif
