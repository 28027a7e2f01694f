/*
 * What a detector knows of held-out in-distribution rows: the tails of each kind of score, and the
 * combined scores, with thresholds.
 */
#ifndef JEMI_DETECT_CALIBRATION_H
#define JEMI_DETECT_CALIBRATION_H

#include "detect/conformal.h"
#include "detect/tail.h"

/** Zeroed = none. */
typedef struct jemi_calibration {
    int32_t n_kinds;
    int32_t combine;   /* JEM_COMBINE_*; 0: the score of the only kind serves as it is */
    jemi_tail *tails;  /* (n_kinds); NULL where nothing is combined */
    bool *two_sided;   /* (n_kinds) */
    int64_t n;         /* combined scores */
    int32_t n_groups;  /* 1, or one for each predicted class */
    int64_t *begin;    /* (n_groups + 1), where each group's scores begin */
    float *sorted;     /* (n), ascending in each group */
    float *thresholds; /* (n_groups) */
    double fpr, confidence;
} jemi_calibration;

/** Scores of rows: (n, n_kinds), and the class predicted for each. */
typedef struct jemi_scored_rows {
    int64_t n;
    const float *scores;
    const int64_t *labels;
} jemi_scored_rows;

/**
 * Tails from some of the rows, combined scores from the others; from all where nothing is combined.
 * Thresholds are not set yet.
 *
 * @param calibration  With n_kinds, combine, n_groups set and all else zeroed; fini'd by the caller,
 *                     also after a failure.
 * @param two_sided    (n_kinds).
 */
jem_status jemi_calibration_fit(jemi_calibration *calibration, const bool *two_sided, uint64_t seed,
                                const jemi_scored_rows *rows);
void jemi_calibration_fini(jemi_calibration *calibration);

/** @param top  Out, may be NULL. The most surprising kind's index. */
float jemi_calibration_combine(const jemi_calibration *calibration, const float *scores,
                               int32_t *top);

/** The scores that rows predicted as `label` are compared with. */
jemi_conformal jemi_calibration_group(const jemi_calibration *calibration, int64_t label);

/** Of rows predicted as `label`: higher scores are flagged. */
float jemi_calibration_threshold(const jemi_calibration *calibration, int64_t label);

/** JEM_EINVAL, and nothing has changed, where a group has too few scores. */
jem_status jemi_calibration_set_threshold(jemi_calibration *calibration, double fpr,
                                          double confidence);

#endif
