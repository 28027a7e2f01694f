/*
 * The leading part of a covariance, without forming it.
 */
#ifndef JEMI_EBM_LOW_RANK_H
#define JEMI_EBM_LOW_RANK_H

#include <stdbool.h>

#include "base/progress.h"
#include "base/random.h"

enum { JEMI_LOW_RANK_PASSES = 5 }; /* over the rows, for one fit */

/** The covariance C = mean of (x - mean)(x - mean)^T over some rows of a table. */
typedef struct jemi_covariance {
    int64_t n, row_len;
    const float *x;      /* the table, (.., row_len) */
    const int64_t *rows; /* (n), which of its rows */
    const float *mean;   /* (row_len) */
} jemi_covariance;

/**
 * U with U U^T <= C (as quadratic forms), close to the part of C along its `rank` leading
 * directions: Nystrom approximation on a basis from subspace iteration (Halko, Martinsson & Tropp
 * 2011, algorithms 4.4 and 5.5). Columns beyond the rank of C are 0. The same bits at any thread
 * count.
 *
 * @param key, row  The random test matrix.
 * @param own       Whether the progress counts these rows.
 * @param progress  Told of each pass over each row.
 * @param factors   Out. (rank, row_len), U transposed.
 */
jem_status jemi_low_rank_fit(const jemi_covariance *covariance, int32_t rank, jemi_random_key key,
                             uint32_t row, bool own, jemi_progress *progress, float *factors);

#endif
