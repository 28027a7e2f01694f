/*
 * The loss of a training step as coefficients on rows, so that labelled, data and sample rows go
 * through the same code (Grathwohl et al. 2020, eq. 9; energy penalty of Du & Mordatch 2019):
 *
 *     L = sum over rows of  px * F(x) + l2 * F(x)^2 + pyx * CE(f(x), y) + pxy[y] * f(x)[y]
 *                           + bound.weight * max(0, bound.side * (E(x) - bound.energy))^2
 *
 * with px = -w_px / n for data and +w_px / n for samples, and so on. The last term is that of Liu
 * et al. 2020, eq. 7: the energies of usual rows are bounded from above, those of outliers from
 * below.
 *
 * pxy depends on the class. By eq. 5, p(x|y) = exp(f(x)[y]) / Z(y), and the gradient of maximum
 * likelihood, eq. 2, for a fixed y is
 *
 *     d log p(x|y) = d f(x)[y] - mean of d f(x')[y] over x' from p(x'|y)
 *
 * A batch has n_c labelled rows of class c among n, and m_c samples to estimate that mean, so
 *
 *     mean of log p(x|y):  sum over c of n_c / n * ( mean of f(x)[c] - mean of f(x')[c] )
 *
 * over the labelled rows and over the samples of c: a labelled row counts 1 / n, a sample
 * n_c / (n m_c). A bias of a class is in both means alike, and gets no gradient whatever the shares
 * of the classes are. Where m_c is 0 there is nothing to compare with, and c is left out. (The
 * authors' code draws a sample for each label of the batch: there m_c = n_c, and all count 1 / n.)
 */
#ifndef JEMI_TRAIN_OBJECTIVE_H
#define JEMI_TRAIN_OBJECTIVE_H

#include <stdint.h>

/** A bound of the energy, and what a row costs that lies beyond it. */
typedef struct jemi_energy_bound {
    double weight; /* 0 = there is no bound */
    double energy;
    double side; /* 1: E(x) shall not be above, -1: not below */
} jemi_energy_bound;

/** Weights of one row of a group; means are already divided by the group's size. */
typedef struct jemi_row_weights {
    double px, l2, pyx;
    const double *pxy; /* (K), by the row's label; NULL = 0 */
    jemi_energy_bound bound;
    double logit_norm; /* tau; above 0 CE is that of logit_norm.h */
} jemi_row_weights;

/** Sums over rows; the first five are weighted, the others are not. */
typedef struct jemi_objective_sums {
    double px, l2, pyx, pxy, bound;
    double f;
    int64_t correct; /* rows whose largest logit is the label's */
} jemi_objective_sums;

/**
 * The weights pxy of both groups.
 *
 * @param labelled  In. (n_labelled).
 * @param samples   In, the samples' classes. (n_samples).
 * @param pxy       Out. (2, K): of labelled rows, of samples.
 */
void jemi_objective_weigh_classes(double w_pxy, int64_t n_classes, int64_t n_labelled,
                                  const int64_t *labelled, int64_t n_samples,
                                  const int64_t *samples, double *pxy);

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
