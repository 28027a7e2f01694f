/*
 * Gaussians of several classes that share one covariance, and the squared Mahalanobis distance of a
 * point to the nearest of their means.
 *
 * With Sigma = L L^T the distance to class c is |L^-1 z|^2 - 2 (Sigma^-1 mu_c) . z + |L^-1 mu_c|^2:
 * all that depends on the point is linear in it but for one square.
 */
#ifndef JEMI_DETECT_TIED_GAUSSIAN_H
#define JEMI_DETECT_TIED_GAUSSIAN_H

#include "detect/linear_map.h"

/** Zeroed = none. */
typedef struct jemi_tied_gaussian {
    int64_t rank, n_classes;
    jemi_linear_map map; /* (rank + n_classes, rank): L^-1, then 2 Sigma^-1 mu_c */
    float *constants;    /* (n_classes), |L^-1 mu_c|^2; infinite for a class without rows */
} jemi_tied_gaussian;

/** Rows to fit to. */
typedef struct jemi_labelled_rows {
    int64_t n, width, stride; /* row i begins at x + i * stride */
    const float *x;
    const int64_t *labels; /* NULL = all are of class 0 */
} jemi_labelled_rows;

/**
 * Means of the classes, and the covariance about them: the maximum likelihood estimate S, shrunk to
 * (1 - s) S + s tr(S) / rank I with the s of Ledoit & Wolf (2004, lemma 3.2 and after).
 *
 * @param gaussian  Zeroed before; fini'd by the caller, also after a failure.
 * @return JEM_OK; JEM_ENOMEM; JEM_EINVAL where the rows do not vary at all.
 */
jem_status jemi_tied_gaussian_fit(jemi_tied_gaussian *gaussian, int64_t n_classes,
                                  const jemi_labelled_rows *rows);
void jemi_tied_gaussian_fini(jemi_tied_gaussian *gaussian);

/** The least over classes; infinite where the map overflows. @param mapped  A row that `map` gave. */
double jemi_tied_gaussian_distance(const jemi_tied_gaussian *gaussian, const float *mapped);

/** dz += weight times the distance's derivative by z, (rank); 0 where it is 0 or infinite. */
void jemi_tied_gaussian_gradient(const jemi_tied_gaussian *gaussian, const float *mapped,
                                 double weight, double *dz);

#endif
