/*
 * Where chains start: uniform, per-class Gaussian, a mixture of both, or rows of data.
 */
#ifndef JEMI_EBM_STARTS_H
#define JEMI_EBM_STARTS_H

#include <stdbool.h>

#include "ebm/gaussians.h"

/** A copy of the data, sorted by class. Zeroed = none. */
typedef struct jemi_kept_rows {
    int64_t n_classes; /* 1 when kept without labels */
    float *x;          /* (first[n_classes], row_len) */
    int64_t *first;    /* (n_classes + 1), where each class begins */
} jemi_kept_rows;

/** Room for n rows of the n_classes, which are set. False: out of memory; _fini() it then. */
bool jemi_kept_rows_allocate(jemi_kept_rows *kept, int64_t n, int64_t row_len);
void jemi_kept_rows_fini(jemi_kept_rows *kept);

/** How starts are drawn, and from what. */
typedef struct jemi_starts {
    int32_t kind; /* JEM_START_* */
    int64_t row_len;
    float low, high;
    float uniform_fraction;
    float x_low, x_high; /* the chains' range */
    int32_t rank;
    jemi_gaussians gaussians; /* fitted for Gaussian and mixed starts */
    jemi_kept_rows kept;      /* for data starts */
    bool changing;            /* both are not to be looked at */
} jemi_starts;

jemi_starts jemi_starts_make(const jem_sampler_config *config, int64_t row_len);
void jemi_starts_fini(jemi_starts *starts);

/**
 * Takes over both; what was there is freed. In the child of a fork that left the replacing thread
 * behind, the starts are not fitted.
 */
void jemi_starts_replace(jemi_starts *starts, const jemi_gaussians *gaussians,
                         const jemi_kept_rows *kept);

/** How many rows a fit to n of them visits; what its progress counts. */
int64_t jemi_starts_visits(const jemi_starts *starts, int64_t n);

/** On failure and when it is cancelled the previous fit stands. */
jem_status jemi_starts_fit(jemi_starts *starts, int64_t n_classes, uint64_t seed,
                           const jemi_table *data, jemi_progress *progress);

/** Whether starts can be drawn. */
bool jemi_starts_ready(const jemi_starts *starts);

/** The streams of one use: which kind, class or row; the values; those along kept directions. */
typedef struct jemi_start_keys {
    jemi_random_key choice, values, directions;
} jemi_start_keys;

/** One start. `label` < 0: of no class. Depends on (keys, row, step) only. */
void jemi_start_row(const jemi_starts *starts, const jemi_start_keys *keys, uint32_t row,
                    uint64_t step, int64_t label, float *x);

/** A start at the given data. */
void jemi_start_at(const jemi_starts *starts, const float *data, float *x);

#endif
