/*
 * Langevin chains, in the words that a backend can take them over by: K steps of
 * x <- x - step * clamp(dE/dx) + noise, E as in ebm/density.h.
 */
#ifndef JEMI_BACKEND_CHAIN_H
#define JEMI_BACKEND_CHAIN_H

#include <jem/jem.h>

#include "kernels/noise.h"

typedef struct jemi_chains {
    int64_t n;
    float *x;              /* (n, C, H, W), moved in place */
    const int64_t *labels; /* (n), or NULL: follow E(x) */
    const uint32_t *rows;  /* (n), counter rows of the noise, or NULL: 0 .. n-1 */
    float *norms;          /* (n), out, may be NULL: |dE/dx| in the last step, also of a failure */
} jemi_chains;

typedef struct jemi_langevin_run_config {
    int64_t row_len;
    int32_t steps;
    jemi_langevin_params kernel; /* step is that of the first; rows and first_row are the chains' */
    jem_progress_fn progress;    /* may be NULL */
    void *progress_user;
} jemi_langevin_run_config;

#endif
