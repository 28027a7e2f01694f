/*
 * Langevin chains: K steps of x <- x - step * clamp(dE/dx) + noise, for rows of any origin.
 */
#ifndef JEMI_EBM_LANGEVIN_H
#define JEMI_EBM_LANGEVIN_H

#include "kernels/noise.h"
#include "model/pass.h"

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
    jemi_langevin_params
        kernel;               /* rows and first_row are set per piece; step is that of the first */
    jem_progress_fn progress; /* may be NULL */
    void *progress_user;
} jemi_langevin_run_config;

/**
 * All steps of some chains before the next ones, so that they stay in cache. Until memory for all
 * of it is there, no chain moves.
 *
 * @param pass  That of jemi_pass_chain().
 * @return JEM_EDIVERGED when something is not finite, JEM_ECANCELLED, or what the backend says.
 */
jem_status jemi_langevin_chains(const jemi_pass *pass, jemi_runner *runner,
                                const jemi_langevin_run_config *config, const jemi_chains *chains);

#endif
