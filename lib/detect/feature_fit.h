/*
 * From the features of training rows to their statistics.
 */
#ifndef JEMI_DETECT_FEATURE_FIT_H
#define JEMI_DETECT_FEATURE_FIT_H

#include <stdbool.h>

#include "base/progress.h"
#include "detect/feature_stats.h"

/** What a fit is asked for. */
typedef struct jemi_feature_request {
    bool tied, background, unit, bank;
    int32_t rank_max;
    int64_t bank_bytes;
    double react_percentile;
    uint64_t seed;
} jemi_feature_request;

/** Features and logits of training rows. */
typedef struct jemi_feature_rows {
    int64_t n, width, stride; /* row i begins at features + i * stride */
    const float *features;
    int64_t n_classes;
    const float *logits;   /* (n, n_classes) */
    const int64_t *labels; /* (n) */
} jemi_feature_rows;

/**
 * @param stats     Zeroed before; fini'd by the caller, also after a failure.
 * @param progress  Counts JEMI_LOW_RANK_PASSES visits of each row.
 */
jem_status jemi_feature_stats_fit(jemi_feature_stats *stats, const jemi_feature_request *request,
                                  const jemi_feature_rows *rows, jemi_progress *progress);

#endif
