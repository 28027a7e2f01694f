/*
 * Chains in chunks. Samples are constants for training, so nothing of a step is kept. With batch
 * normalisation each step of a chunk takes the statistics of its rows, as training on them will,
 * and leaves the running ones alone.
 */
#include "ebm/langevin.h"

#include <math.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "ebm/density.h"

enum { CHUNK_ROWS_MAX = 256 };

typedef struct chunk {
    int64_t first, n;
    int64_t steps_done; /* of all chunks, for progress */
} chunk;

static jem_status check_norms(const float *norms, const chunk *at, uint64_t step, double *sum)
{
    for (int64_t i = 0; i < at->n; i++) {
        if (!isfinite(norms[i]))
            return jemi_fail(JEM_EDIVERGED,
                             "chain %lld became non-finite in Langevin step %llu; a smaller step "
                             "size or a gradient clamp helps",
                             (long long)(at->first + i), (unsigned long long)step);
        *sum += norms[i];
    }
    return JEM_OK;
}

static jem_status report(const jemi_langevin_run_config *config, int64_t done, int64_t total)
{
    if (config->progress != NULL && config->progress(config->progress_user, done, total) != 0)
        return jemi_fail(JEM_ECANCELLED, "cancelled after %lld of %lld chain steps",
                         (long long)done, (long long)total);
    return JEM_OK;
}

jem_status jemi_langevin_prepare(jemi_runner *runner, int32_t precision, int64_t n)
{
    if (n > 0 && jemi_runner_input_scratch(runner) == NULL)
        return jemi_fail_memory("chain gradient");
    jemi_runner_set_mode(runner, JEMI_MODE_CHAIN);
    return jemi_runner_prepare_rows(runner, precision, JEMI_WANT_DINPUT, n);
}

static jem_status run_chunk(jemi_runner *runner, const jemi_langevin_run_config *config,
                            const jemi_chains *chains, const chunk *at, double *norm_sum)
{
    float *grad = jemi_runner_input_scratch(runner);
    if (grad == NULL)
        return jemi_fail_memory("chain gradient");
    float *x = chains->x + at->first * config->row_len;
    const int64_t *labels = chains->labels != NULL ? chains->labels + at->first : NULL;
    jemi_langevin_params kernel = config->kernel;
    kernel.rows = chains->rows != NULL ? chains->rows + at->first : NULL;
    kernel.first_row = (uint32_t)at->first;
    float norms[CHUNK_ROWS_MAX];
    double sum = 0.0;
    for (int32_t k = 0; k < config->steps; k++) {
        JEMI_TRY(jemi_energy_grad_chunk(runner, config->precision, config->n_classes, at->n, x,
                                        labels, NULL, grad));
        kernel.step = config->kernel.step + (uint64_t)k;
        jemi_langevin(x, grad, at->n, config->row_len, &kernel, norms);
        sum = 0.0;
        JEMI_TRY(check_norms(norms, at, kernel.step, &sum));
        JEMI_TRY(report(config, at->steps_done + (k + 1) * at->n, config->steps * chains->n));
    }
    *norm_sum += sum;
    return JEM_OK;
}

jem_status jemi_langevin_chains(jemi_runner *runner, const jemi_langevin_run_config *config,
                                const jemi_chains *chains, double *grad_norm)
{
    double norm_sum = 0.0;
    chunk at = {0, 0, 0};
    jemi_runner_set_mode(runner, JEMI_MODE_CHAIN);
    while (at.first < chains->n) {
        at.n = jemi_runner_chunk(runner, chains->n - at.first);
        JEMI_TRY(run_chunk(runner, config, chains, &at, &norm_sum));
        at.first += at.n;
        at.steps_done += at.n * config->steps;
    }
    if (grad_norm != NULL)
        *grad_norm = chains->n > 0 ? norm_sum / (double)chains->n : 0.0;
    return JEM_OK;
}
