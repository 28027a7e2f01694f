/*
 * Which precision, gradients and mode a purpose has.
 */
#include "model/pass.h"

jemi_pass jemi_pass_scoring(const jem_model *model, const jemi_runner *runner, uint32_t wants)
{
    return (jemi_pass){.precision = model->exec.precision_scoring,
                       .wants = wants,
                       .mode = JEMI_MODE_EVAL,
                       .weights = jemi_runner_generation(runner)->weights};
}

jemi_pass jemi_pass_chain(const jem_model *model, const jemi_runner *runner)
{
    return (jemi_pass){.precision = model->exec.precision_chains,
                       .wants = JEMI_WANT_DINPUT,
                       .mode = JEMI_MODE_CHAIN,
                       .weights = jemi_runner_generation(runner)->weights};
}

jemi_pass jemi_pass_training(const jem_model *model, const jemi_generation *at,
                             const jemi_dropout *dropout)
{
    return (jemi_pass){.precision = model->exec.precision_training,
                       .wants = JEMI_WANT_DPARAMS,
                       .mode = JEMI_MODE_TRAIN,
                       .dropout = dropout != NULL ? *dropout : (jemi_dropout){.step = 0},
                       .weights = at->weights};
}

static const jemi_backend *backend_of(const jemi_runner *runner)
{
    return jemi_runner_workspace(runner)->program->backend;
}

jem_status jemi_pass_run(const jemi_pass *pass, jemi_runner *runner, int64_t n,
                         const jemi_rows_work *work)
{
    return backend_of(runner)->run_rows(jemi_runner_workspace(runner), pass, n, work);
}

jem_status jemi_pass_warm(const jemi_pass *pass, jemi_runner *runner, int64_t n)
{
    return backend_of(runner)->warm(jemi_runner_workspace(runner), pass, n);
}

jem_status jemi_pass_profile(const jemi_pass *pass, jemi_runner *runner, int64_t n, int32_t runs,
                             jemi_describe_fn receive, void *user)
{
    return backend_of(runner)->profile(jemi_runner_workspace(runner), pass, n, runs, receive, user);
}
