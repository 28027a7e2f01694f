/*
 * What a detector knows of held-out in-distribution rows: the tails of each kind of score, and the
 * combined scores, with thresholds.
 */
#ifndef JEMI_DETECT_CALIBRATION_H
#define JEMI_DETECT_CALIBRATION_H

#include "detect/conformal.h"
#include "detect/tail.h"

/** Rows that score above the threshold of their group, or +infinity, are flagged. */
typedef struct jemi_thresholds {
    double fpr, confidence;
    float of_group[];
} jemi_thresholds;

/** Zeroed = none. */
typedef struct jemi_calibration {
    int32_t n_kinds;
    int32_t combine;  /* JEM_COMBINE_*; 0: the score of the only kind serves as it is */
    jemi_tail *tails; /* (n_kinds); NULL where nothing is combined */
    bool *two_sided;  /* (n_kinds) */
    int64_t n;        /* combined scores */
    int32_t n_groups; /* 1, or one for each predicted class */
    int64_t *begin;   /* (n_groups + 1), where each group's scores begin */
    float *sorted;    /* (n), ascending in each group */
    jemi_thresholds *thresholds;
    int64_t n_labelled;  /* rows whose labels were known; 0: there are no label sets */
    float *label_scores; /* (n_labelled), ascending, see jemi_label_surprises() */
} jemi_calibration;

/** Rows that were scored. */
typedef struct jemi_scored_rows {
    int64_t n;
    const float *scores;       /* (n, n_kinds) */
    const int64_t *labels;     /* (n), predicted; -1 = none */
    const float *label_scores; /* (n), of the true labels; NULL = they are not known */
    const bool *rejected;      /* (n), they score +infinity, whatever their kinds do */
} jemi_scored_rows;

/**
 * Tails from some of the rows, combined scores from the others; from all where nothing is combined.
 * The thresholds are not there yet.
 *
 * @param calibration  With n_kinds, combine, n_groups set and all else zeroed; fini'd by the caller,
 *                     also after a failure.
 * @param two_sided    (n_kinds).
 */
jem_status jemi_calibration_fit(jemi_calibration *calibration, const bool *two_sided, uint64_t seed,
                                const jemi_scored_rows *rows);
/** Room for the scores of n rows, all else zero. Of what begins as in jemi_calibration_fit(). */
jem_status jemi_calibration_allocate(jemi_calibration *calibration, const bool *two_sided,
                                     int64_t n);
/** Where there are none yet. Not NaN. */
jem_status jemi_calibration_set_labels(jemi_calibration *calibration, int64_t n,
                                       const float *label_scores);
void jemi_calibration_fini(jemi_calibration *calibration);

/** +infinity of a row that is rejected. @param top  Out, may be NULL. The most surprising kind's index. */
float jemi_calibration_combine(const jemi_calibration *calibration, const float *scores,
                               bool rejected, int32_t *top);

/**
 * The derivative of the combination by the score of each kind, as jemi_tail_slope() has it: of the
 * largest surprise that of its kind alone, 0 for all others.
 *
 * @param slopes  Out. (n_kinds).
 */
void jemi_calibration_slopes(const jemi_calibration *calibration, const float *scores,
                             double *slopes);

/** The scores that rows predicted as `label` are compared with. Rows of none count to class 0's. */
jemi_conformal jemi_calibration_group(const jemi_calibration *calibration, int64_t label);

/** Above it rows predicted as `label` are flagged. */
float jemi_calibration_threshold(const jemi_calibration *calibration, int64_t label);

/** Whether a row of that score, predicted as `label`, is flagged. */
bool jemi_calibration_flags(const jemi_calibration *calibration, int64_t label, float score);

/** JEM_EINVAL, and nothing has changed, where a group has too few scores, or too many infinite ones. */
jem_status jemi_calibration_set_threshold(jemi_calibration *calibration, double fpr,
                                          double confidence);

#endif
