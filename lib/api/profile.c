/*
 * What a pass consists of, and where its time goes.
 */
#include "api/check.h"
#include "base/environment.h"
#include "model/pass.h"

typedef struct step_receiver {
    jem_step_fn receive;
    void *user;
    int32_t runs;
} step_receiver;

static void forward_step(void *user, const jem_step_info *step)
{
    const step_receiver *to = user;
    jem_step_info info = *step;
    info.seconds = to->runs > 0 ? step->seconds / to->runs : 0.0;
    const int begun = jemi_environment_host_begin();
    to->receive(to->user, &info);
    jemi_environment_host_end(begun);
}

static jemi_pass pass_of(const jem_model *model, const jemi_runner *runner, int32_t what)
{
    if (what == JEM_PREPARE_LOGITS)
        return jemi_pass_scoring(model, runner, 0);
    if (what == JEM_PREPARE_GRAD)
        return jemi_pass_chain(model, runner);
    return jemi_pass_training(model, jemi_runner_generation(runner), NULL);
}

JEM_API jem_status jem_model_profile(const jem_model *model, int32_t what, int64_t n, int32_t runs,
                                     jem_step_fn receive, void *user)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_range_int(n, 1, INT32_MAX, "n"));
    JEMI_TRY(jemi_check_range_int(runs, 0, 1000000, "runs"));
    JEMI_TRY(jemi_check_pointer((const void *)(uintptr_t)receive, "receive"));
    if (what != JEM_PREPARE_LOGITS && what != JEM_PREPARE_GRAD && what != JEM_PREPARE_TRAIN)
        return jemi_fail(JEM_EINVAL, "what is %d; expected one of JEM_PREPARE_*", (int)what);
    jemi_runner *runner;
    JEMI_TRY(jemi_runner_borrow(model->runners, &runner));
    step_receiver to = {receive, user, runs};
    const jemi_pass pass = pass_of(model, runner, what);
    const jem_status status = jemi_pass_profile(&pass, runner, n, runs, forward_step, &to);
    jemi_runner_return(runner);
    return status;
}
