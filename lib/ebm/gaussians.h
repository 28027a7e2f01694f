/*
 * Gaussians fitted to the rows of each class: independent elements, or a few directions besides.
 */
#ifndef JEMI_EBM_GAUSSIANS_H
#define JEMI_EBM_GAUSSIANS_H

#include <stdbool.h>

#include "base/progress.h"
#include "base/random.h"

enum { JEMI_RANK_MAX = 256 };

/** Covariance U U^T + diag(rest^2). Zeroed = not fitted. */
typedef struct jemi_gaussians {
    int64_t n_classes; /* 1 when fitted without labels */
    int64_t row_len;
    int32_t rank;
    float *mean;    /* (n_classes, row_len) */
    float *rest;    /* (n_classes, row_len) */
    float *factors; /* (n_classes, rank, row_len), U transposed; NULL for rank 0 */
} jemi_gaussians;

/** Rows in memory of the caller. */
typedef struct jemi_table {
    int64_t n, row_len;
    const float *x;
    const int64_t *labels; /* NULL = no classes */
} jemi_table;

/** How many rows a fit to n of them visits; what its progress counts. */
int64_t jemi_gaussians_visits(int64_t n, int32_t rank);

/** `next` is zeroed before, and again when memory ran out or the progress function cancelled. */
jem_status jemi_gaussians_fit(jemi_gaussians *next, int64_t n_classes, int32_t rank, uint64_t seed,
                              const jemi_table *data, jemi_progress *progress);
void jemi_gaussians_fini(jemi_gaussians *gaussians);

/** Room for n_classes, row_len and rank, which are set. False: out of memory; _fini() it then. */
bool jemi_gaussians_allocate(jemi_gaussians *gaussians);

/**
 * A draw from class c's, a function of (keys, row, step).
 *
 * @param elements, directions  Keys of the two parts' normal numbers.
 */
void jemi_gaussians_draw(const jemi_gaussians *gaussians, int64_t c, jemi_random_key elements,
                         jemi_random_key directions, uint32_t row, uint64_t step, float *x);

#endif
