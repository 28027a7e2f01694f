/*
 * Where chains start: uniform, per-class Gaussian, or a mixture of both.
 */
#ifndef JEMI_EBM_STARTS_H
#define JEMI_EBM_STARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/status.h"

/** Diagonal Gaussians. Zeroed = not fitted. */
typedef struct jemi_gaussians {
    int64_t n_classes; /* 1 when fitted without labels */
    int64_t row_len;
    float *mean; /* (n_classes, row_len) */
    float *std;
} jemi_gaussians;

/** On failure the previous fit stands. `labels` NULL: one Gaussian of all rows. */
jem_status jemi_gaussians_fit(jemi_gaussians *gaussians, int64_t n_classes, int64_t row_len,
                              int64_t n, const float *x, const int64_t *labels);
void jemi_gaussians_fini(jemi_gaussians *gaussians);

typedef struct jemi_start_config {
    int32_t kind; /* JEM_START_* */
    float low, high;
    float uniform_fraction;
    float x_low, x_high; /* the chains' range */
} jemi_start_config;

/** The two streams of one use: which kind and class, and the values. */
typedef struct jemi_start_keys {
    jemi_random_key choice, values;
} jemi_start_keys;

/** One start. `label` < 0: a class drawn evenly. Depends on (keys, row, step) only. */
void jemi_start_row(const jemi_start_config *config, const jemi_gaussians *gaussians,
                    const jemi_start_keys *keys, uint32_t row, uint64_t step, int64_t label,
                    int64_t row_len, float *x);

#endif
