/*
 * Percentile intervals by the bootstrap (Efron & Tibshirani 1993, chapter 13). A figure is computed
 * from how often each row was drawn, so nothing is copied or sorted anew for a resample.
 */
#ifndef JEMI_DETECT_BOOTSTRAP_H
#define JEMI_DETECT_BOOTSTRAP_H

#include "base/random.h"

#include <jem/jem.h>

/**
 * Draws n of n rows with replacement, and adds to `counts` how often each group was drawn. The draw
 * depends on the key and the resample alone.
 *
 * @param group  (n), of each row; NULL: each row is a group.
 */
void jemi_resample(jemi_random_key key, int32_t resample, int64_t n, const uint32_t *group,
                   int32_t *counts);

/** The figures of a result struct are all of its fields but struct_size, each a double. */
#define JEMI_FIGURES(type) ((int)((sizeof(type) - sizeof(size_t)) / sizeof(double)))

static inline double *jemi_figures_of(void *result)
{
    return (double *)((char *)result + sizeof(size_t));
}

/** Computes the figures of one resample. Several workers call it at once. */
typedef void (*jemi_resample_figures)(void *context, int32_t resample, int worker, double *figures);

/** The intervals of n_figures figures; low and high are (n_figures). */
jem_status jemi_bootstrap(const jem_bootstrap_config *config, int n_figures,
                          jemi_resample_figures compute, void *context, double *low, double *high);

#endif
