/*
 * Chains in pieces. Samples are constants for training, so nothing of a step is kept. With batch
 * normalisation each step of a chunk takes the statistics of its rows, as training on them will,
 * and leaves the running ones alone.
 */
#include "ebm/langevin.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/progress.h"
#include "ebm/density.h"

enum { ROWS_MAX = 256 };

// What all pieces of a run share.
typedef struct run {
    const jemi_langevin_run_config *config;
    const jemi_chains *chains;
    _Atomic int64_t steps_done; // of all chains
    int64_t reported;           // by the caller's thread
    atomic_bool stopped;        // something failed: the other pieces need not go on
} run;

static jem_status check_norms(const float *norms, int64_t first, int64_t n, uint64_t step)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(norms[i]))
            return jemi_fail(JEM_EDIVERGED,
                             "chain %lld became non-finite in Langevin step %llu; a smaller step "
                             "size or a gradient clamp helps",
                             (long long)(first + i), (unsigned long long)step);
    return JEM_OK;
}

// Counts everybody's steps; the caller's thread tells.
static jem_status report(run *r, bool caller, int64_t n)
{
    const jemi_langevin_run_config *config = r->config;
    const int64_t done = atomic_fetch_add(&r->steps_done, n) + n;
    if (!caller)
        return JEM_OK;
    r->reported = done;
    jemi_progress progress = {config->progress, config->progress_user, "chain steps", done,
                              config->steps * r->chains->n};
    return jemi_progress_add(&progress, 0);
}

static void keep_norms(const run *r, const float *norms, int64_t first, int64_t n)
{
    if (r->chains->norms != NULL)
        memcpy(r->chains->norms + first, norms, (size_t)n * sizeof *norms);
}

static jem_status run_steps(run *r, jemi_chunk *chunk)
{
    const jemi_langevin_run_config *config = r->config;
    const int64_t first = chunk->first, n = chunk->n;
    float *x = r->chains->x + first * config->row_len, *grad = chunk->scratch;
    const int64_t *labels = r->chains->labels != NULL ? r->chains->labels + first : NULL;
    jemi_langevin_params kernel = config->kernel;
    kernel.rows = r->chains->rows != NULL ? r->chains->rows + first : NULL;
    kernel.first_row = (uint32_t)first;
    float norms[ROWS_MAX];
    for (int32_t k = 0; k < config->steps && !atomic_load(&r->stopped); k++) {
        JEMI_TRY(jemi_energy_grad_chunk(chunk, x, labels, NULL, grad));
        kernel.step = config->kernel.step + (uint64_t)k;
        jemi_langevin(x, grad, n, config->row_len, &kernel, norms);
        keep_norms(r, norms, first, n);
        JEMI_TRY(check_norms(norms, first, n, kernel.step));
        JEMI_TRY(report(r, chunk->caller, n));
    }
    return JEM_OK;
}

static jem_status run_rows(void *context, jemi_chunk *chunk)
{
    run *r = context;
    const jem_status status = run_steps(r, chunk);
    if (status != JEM_OK)
        atomic_store(&r->stopped, true);
    return status;
}

jem_status jemi_langevin_chains(const jemi_pass *pass, jemi_runner *runner,
                                const jemi_langevin_run_config *config, const jemi_chains *chains)
{
    jemi_workspace *workspace = jemi_runner_workspace(runner);
    const jemi_backend *backend = workspace->program->backend;
    if (backend->chain != NULL)
        return backend->chain(workspace, pass, config, chains);
    run r = {.config = config, .chains = chains};
    JEMI_TRY(jemi_pass_run(pass, runner, chains->n,
                           &(jemi_rows_work){.compute = run_rows, .context = &r}));
    return r.reported < config->steps * chains->n ? report(&r, true, 0) : JEM_OK;
}
