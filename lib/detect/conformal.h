/*
 * From scores of held-out in-distribution rows to p-values and thresholds with a promise.
 *
 * With n such scores and a new in-distribution row, all exchangeable, (1 + number of scores >= the
 * new one) / (n + 1) is a valid p-value (Vovk, Gammerman & Shafer 2005). The part of all
 * in-distribution rows beyond the k-th largest score is Beta(k, n + 1 - k) distributed where scores
 * do not tie, and smaller where they do.
 */
#ifndef JEMI_DETECT_CONFORMAL_H
#define JEMI_DETECT_CONFORMAL_H

#include <stdint.h>

#include <jem/jem.h>

/** n >= 1 scores in ascending order; infinite ones are allowed. */
typedef struct jemi_conformal {
    int64_t n;
    const float *sorted;
} jemi_conformal;

double jemi_conformal_p_value(const jemi_conformal *calibration, float score);

/** Of rates and confidences; beyond them numbers of scores would not be those of any machine. */
#define JEMI_RATE_MIN 1e-9
#define JEMI_RATE_MAX (1.0 - 1e-9)

/**
 * The k of the largest part of rows that may be flagged, 0 where there are too few scores; n at
 * most.
 *
 * Without a confidence the expected part is at most fpr: k = floor(fpr (n + 1)). With one it is at
 * most fpr with that probability over the draw of the scores: the largest k with
 * P(Binomial(n, fpr) >= k) >= confidence.
 *
 * @param fpr         JEMI_RATE_MIN .. JEMI_RATE_MAX.
 * @param confidence  0 = none, else in the same range.
 */
int64_t jemi_conformal_rank(int64_t n, double fpr, double confidence);

/** How many scores give a rank of at least 1. */
int64_t jemi_conformal_least(double fpr, double confidence);

/** Rows that score above it are flagged. @param rank  1 .. n. */
float jemi_conformal_threshold(const jemi_conformal *calibration, int64_t rank);

#endif
