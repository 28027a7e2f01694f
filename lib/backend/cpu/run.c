/*
 * Running a plan: find the packed weights of all its ops, then take these in order. Nothing is
 * allocated here once the weights are packed.
 */
#include <assert.h>
#include <string.h>

#include "backend/cpu/plan.h"
#include "backend/cpu/weight_cache.h"
#include "base/openmp.h"
#include "base/status.h"
#include "base/threads.h"

static bool asked_for(const jemi_op *op, uint32_t asked)
{
    return asked == 0 || (op->wants & asked) != 0;
}

// Before any op has run, so that a lack of memory leaves nothing half done.
static jem_status find_weights(jemi_cpu_plan *plan, int32_t first, int32_t last, uint32_t asked,
                               jemi_weights *weights)
{
    for (int32_t i = first; i < last; i++) {
        jemi_op *op = &plan->ops[i];
        if (op->slot >= 0 && asked_for(op, asked))
            JEMI_TRY(jemi_cpu_weights_get(weights, op->slot, &op->packed));
    }
    return JEM_OK;
}

// Runs the ops first .. last - 1 that are asked for.
static jem_status run_ops(jemi_cpu_plan *plan, int32_t first, int32_t last, uint32_t asked)
{
    for (int32_t i = first; i < last; i++) {
        jemi_op *op = &plan->ops[i];
        if (!asked_for(op, asked))
            continue;
        const double begin = plan->timed ? jemi_seconds() : 0.0;
        JEMI_TRY(op->type->run(plan, op));
        if (plan->timed)
            op->seconds += jemi_seconds() - begin;
    }
    return JEM_OK;
}

static void time_ops(jemi_plan *base, bool on)
{
    jemi_cpu_plan *plan = (jemi_cpu_plan *)base;
    plan->timed = on;
    for (int32_t i = 0; on && i < plan->n_ops; i++)
        plan->ops[i].seconds = 0.0;
}

static jem_status run_forward(jemi_plan *base, jemi_weights *weights, const jemi_dropout *dropout,
                              int64_t n, const float *in, float *out, float *features)
{
    jemi_cpu_plan *plan = (jemi_cpu_plan *)base;
    assert(n >= 1 && n <= base->spec.batch && in != NULL && out != NULL);
    assert((features != NULL) == base->spec.features);
    assert(dropout != NULL || base->spec.mode != JEMI_MODE_TRAIN);
    plan->n = n;
    plan->dropout = dropout != NULL ? *dropout : (jemi_dropout){.step = 0};
    plan->params = jemi_cpu_weights_params(weights);
    plan->in = in;
    plan->out = out;
    plan->features = features;
    JEMI_TRY(find_weights(plan, 0, plan->n_forward, 0, weights));
    return run_ops(plan, 0, plan->n_forward, 0);
}

static jem_status run_backward(jemi_plan *base, jemi_weights *weights, int64_t n, const float *dout,
                               float *din, float *dparams)
{
    jemi_cpu_plan *plan = (jemi_cpu_plan *)base;
    const uint32_t asked = (din != NULL ? (uint32_t)JEMI_WANT_DINPUT : 0u) |
                           (dparams != NULL ? (uint32_t)JEMI_WANT_DPARAMS : 0u);
    assert(n == plan->n && dout != NULL && (asked & ~base->spec.wants) == 0);
    assert(plan->params == jemi_cpu_weights_params(weights));
    (void)n;
    if (asked == 0)
        return JEM_OK;
    plan->dout = dout;
    plan->din = din;
    plan->dparams = dparams;
    if (dparams != NULL && base->spec.cut != JEMI_CUT_OUTPUT)
        memset(dparams, 0, (size_t)base->program->graph->param_count * sizeof *dparams);
    JEMI_TRY(find_weights(plan, plan->n_forward, plan->n_ops, asked, weights));
    return run_ops(plan, plan->n_forward, plan->n_ops, asked);
}

static jem_status forward(jemi_plan *plan, jemi_weights *weights, const jemi_dropout *dropout,
                          int64_t n, const float *in, float *out, float *features)
{
    const jemi_openmp_before before = jemi_openmp_enter(plan->team);
    const jem_status status = run_forward(plan, weights, dropout, n, in, out, features);
    jemi_openmp_leave(before);
    return status;
}

static jem_status backward(jemi_plan *plan, jemi_weights *weights, int64_t n, const float *dout,
                           float *din, float *dparams)
{
    const jemi_openmp_before before = jemi_openmp_enter(plan->team);
    const jem_status status = run_backward(plan, weights, n, dout, din, dparams);
    jemi_openmp_leave(before);
    return status;
}

const jemi_planner jemi_cpu_planner = {
    .create = jemi_cpu_plan_create,
    .bytes = jemi_cpu_plan_bytes,
    .time = time_ops,
    .describe = jemi_cpu_plan_describe,
    .destroy = jemi_cpu_plan_destroy,
    .forward = forward,
    .backward = backward,
    .statistics = jemi_cpu_plan_statistics,
};
