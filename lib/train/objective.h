/*
 * The loss of a training step as coefficients on rows, so that labelled, data and sample rows go
 * through the same code (Grathwohl et al. 2020, eq. 9; energy penalty of Du & Mordatch 2019):
 *
 *     L = sum over rows of  px * F(x) + l2 * F(x)^2 + pyx * CE(f(x), y) + pxy * f(x)[y]
 *
 * with px = -w_px / n for data and +w_px / n for samples, and so on.
 */
#ifndef JEMI_TRAIN_OBJECTIVE_H
#define JEMI_TRAIN_OBJECTIVE_H

#include <stdint.h>

/** Weights of one row of a group; means are already divided by the group's size. */
typedef struct jemi_row_weights {
    double px, l2, pyx, pxy;
} jemi_row_weights;

/** Sums over rows; the first four are weighted, the others are not. */
typedef struct jemi_objective_sums {
    double px, l2, pyx, pxy;
    double f;
    int64_t correct; /* rows whose largest logit is the label's */
} jemi_objective_sums;

/**
 * dL/dlogits of n rows.
 *
 * @param labels   In, may be NULL when pyx and pxy are 0. (n).
 * @param dlogits  Out. (n, K).
 */
void jemi_objective_gradient(int64_t n, int64_t n_classes, const float *logits,
                             const int64_t *labels, const jemi_row_weights *weights,
                             float *dlogits);

/** Adds n rows to `sums`. */
void jemi_objective_add(int64_t n, int64_t n_classes, const float *logits, const int64_t *labels,
                        const jemi_row_weights *weights, jemi_objective_sums *sums);

#endif
