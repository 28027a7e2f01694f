/*
 * Running a plan: put the weights and the caller's arrays into the bound arguments, then take the
 * steps in order. Nothing is allocated here.
 */
#include <assert.h>
#include <string.h>

#include "backend/onednn/packed.h"
#include "backend/onednn/plan.h"
#include "base/status.h"
#include "base/threads.h"
#include "kernels/bf16.h"

static float *data_of(const jemi_dnnl_plan *plan, int32_t tensor)
{
    return tensor >= 0 ? plan->tensors[tensor].data : NULL;
}

jemi_kept jemi_dnnl_kept(const jemi_dnnl_plan *plan, int32_t tensor)
{
    const float *data = data_of(plan, tensor);
    if (tensor >= 0 && plan->tensors[tensor].signs)
        return (jemi_kept){.signs = (const uint16_t *)data};
    return (jemi_kept){.values = data};
}

static jem_status put_weights(jemi_op *ops, int32_t n_ops, jemi_weights *weights)
{
    for (int32_t i = 0; i < n_ops; i++)
        for (int32_t k = 0; k < ops[i].n_args; k++)
            if (ops[i].args[k].source == JEMI_ARG_WEIGHT)
                JEMI_TRY(
                    jemi_dnnl_weights_get(weights, ops[i].args[k].index, &ops[i].exec[k].memory));
    return JEM_OK;
}

static dnnl_status_t put_dparams(jemi_dnnl_plan *plan, float *dparams)
{
    if (plan->bound_dparams == dparams)
        return dnnl_success;
    for (int32_t i = plan->n_forward; i < plan->n_ops; i++)
        for (int32_t k = 0; k < plan->ops[i].n_args; k++) {
            const jemi_arg *arg = &plan->ops[i].args[k];
            if (arg->source != JEMI_ARG_DPARAM)
                continue;
            const dnnl_status_t status =
                dnnl_memory_set_data_handle(plan->ops[i].exec[k].memory, dparams + arg->offset);
            if (status != dnnl_success)
                return status;
        }
    plan->bound_dparams = dparams;
    return dnnl_success;
}

// The caller's own array serves as it is when it is whole and need not outlive the call.
static jem_status take_input(jemi_dnnl_plan *plan, const jemi_op *op)
{
    jemi_tensor *tensor = &plan->tensors[op->dst];
    float *place = plan->arena + tensor->span.offset / sizeof(float);
    const bool direct = plan->n == tensor->layout.n && !plan->input_kept;
    if (!direct)
        jemi_layout_load(place, &tensor->layout, plan->in, plan->n);
    float *data = direct ? (float *)plan->in : place;
    if (data == tensor->data)
        return JEM_OK;
    tensor->data = data;
    return jemi_dnnl_check(jemi_dnnl_plan_bind(plan, op->dst), "input of a plan");
}

static void run_act(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    const jemi_layout *layout = &plan->tensors[op->dst].layout;
    float *dst = data_of(plan, op->dst);
    const float *src = data_of(plan, op->src);
    const int64_t count = jemi_layout_size(layout);
    if (op->kept >= 0)
        jemi_act_forward_signs(dst, (uint16_t *)data_of(plan, op->kept), src, count,
                               op->activation);
    else
        jemi_act_forward(dst, src, count, op->activation);
    if (!jemi_act_keeps_zero(op->activation))
        jemi_layout_clear_padding(dst, layout);
}

static jem_status run_stem(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    void *weights = NULL;
    JEMI_TRY(jemi_dnnl_check(dnnl_memory_get_data_handle(op->exec[0].memory, &weights),
                             "weights of the first convolution"));
    jemi_stem_backward(data_of(plan, op->dst), data_of(plan, op->src), weights, &op->stem);
    return JEM_OK;
}

static void run_pass(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    float *dst = data_of(plan, op->dst);
    const float *src = data_of(plan, op->src);
    const jemi_kept kept = jemi_dnnl_kept(plan, op->kept);
    const float *add = data_of(plan, op->add);
    switch (op->kind) {
    case JEMI_OP_LOAD:
        jemi_layout_load(dst, &plan->tensors[op->dst].layout, src, plan->base.spec.batch);
        break;
    case JEMI_OP_STORE:
        jemi_layout_store(dst, src, &plan->tensors[op->src].layout, plan->base.spec.batch);
        break;
    case JEMI_OP_BF16:
        jemi_bf16_from_floats((uint16_t *)dst, src,
                              jemi_layout_size(&plan->tensors[op->src].layout));
        break;
    case JEMI_OP_ACT:
        run_act(plan, op);
        break;
    case JEMI_OP_ACT_BACKWARD:
        jemi_act_backward(dst, src, kept, add, jemi_layout_size(&plan->tensors[op->dst].layout),
                          op->activation);
        break;
    case JEMI_OP_SUM:
        jemi_sum(dst, src, add, jemi_layout_size(&plan->tensors[op->dst].layout));
        break;
    case JEMI_OP_POOL:
        jemi_avgpool_forward(dst, src, &op->pooling);
        break;
    case JEMI_OP_POOL_BACKWARD:
        jemi_avgpool_backward(dst, src, kept, op->activation, &op->pooling);
        break;
    default:
        assert(!"a step of no kind");
    }
}

static jem_status run_op(jemi_dnnl_plan *plan, const jemi_op *op)
{
    switch (op->kind) {
    case JEMI_OP_PRIMITIVE:
        return jemi_dnnl_check(
            dnnl_primitive_execute(op->primitive, plan->stream, op->n_args, op->exec), op->what);
    case JEMI_OP_INPUT:
        return take_input(plan, op);
    case JEMI_OP_OUTPUT:
        jemi_layout_store(plan->out, data_of(plan, op->src), &plan->tensors[op->src].layout,
                          plan->n);
        return JEM_OK;
    case JEMI_OP_DIFF_OUTPUT:
        jemi_layout_load(data_of(plan, op->dst), &plan->tensors[op->dst].layout, plan->dout,
                         plan->n);
        return JEM_OK;
    case JEMI_OP_DIFF_INPUT:
        jemi_layout_store(plan->din, data_of(plan, op->src), &plan->tensors[op->src].layout,
                          plan->n);
        return JEM_OK;
    case JEMI_OP_NORM:
    case JEMI_OP_NORM_BACKWARD:
        jemi_dnnl_run_norm(plan, op);
        return JEM_OK;
    case JEMI_OP_DROPOUT:
    case JEMI_OP_DROPOUT_BACKWARD:
        jemi_dnnl_run_dropout(plan, op);
        return JEM_OK;
    case JEMI_OP_STEM_BACKWARD:
        return run_stem(plan, op);
    case JEMI_OP_STEM:
    case JEMI_OP_WINOGRAD:
    case JEMI_OP_DIRECT:
        return jemi_dnnl_run_own(plan, op);
    case JEMI_OP_STEM_WEIGHTS:
    case JEMI_OP_WINOGRAD_WEIGHTS:
    case JEMI_OP_DIRECT_WEIGHTS:
        jemi_dnnl_run_own_weights(plan, op);
        return JEM_OK;
    default:
        run_pass(plan, op);
        return JEM_OK;
    }
}

// The wanted ones of the steps first .. last - 1.
static jem_status run_ops(jemi_dnnl_plan *plan, int32_t first, int32_t last, uint32_t asked)
{
    for (int32_t i = first; i < last; i++) {
        jemi_op *op = &plan->ops[i];
        if (asked != 0 && (op->wants & asked) == 0)
            continue;
        const double begin = plan->timed ? jemi_seconds() : 0.0;
        JEMI_TRY(run_op(plan, op));
        if (plan->timed)
            op->seconds += jemi_seconds() - begin;
    }
    return JEM_OK;
}

void jemi_dnnl_plan_time(jemi_plan *base, bool on)
{
    jemi_dnnl_plan *plan = (jemi_dnnl_plan *)base;
    plan->timed = on;
    for (int32_t i = 0; on && i < plan->n_ops; i++)
        plan->ops[i].seconds = 0.0;
}

jem_status jemi_dnnl_plan_forward(jemi_plan *base, jemi_weights *weights, int64_t n,
                                  const float *in, float *out)
{
    jemi_dnnl_plan *plan = (jemi_dnnl_plan *)base;
    assert(n >= 1 && n <= base->spec.batch && in != NULL && out != NULL);
    plan->n = n;
    plan->params = jemi_dnnl_weights_params(weights);
    plan->in = in;
    plan->out = out;
    JEMI_TRY(put_weights(plan->ops, plan->n_forward, weights));
    JEMI_TRY(run_ops(plan, 0, plan->n_forward, 0));
    return jemi_dnnl_check(dnnl_stream_wait(plan->stream), "forward pass");
}

jem_status jemi_dnnl_plan_backward(jemi_plan *base, jemi_weights *weights, int64_t n,
                                   const float *dout, float *din, float *dparams)
{
    jemi_dnnl_plan *plan = (jemi_dnnl_plan *)base;
    const uint32_t asked = (din != NULL ? (uint32_t)JEMI_WANT_DINPUT : 0u) |
                           (dparams != NULL ? (uint32_t)JEMI_WANT_DPARAMS : 0u);
    assert(n == plan->n && dout != NULL && (asked & ~base->spec.wants) == 0);
    plan->dout = dout;
    plan->din = din;
    plan->dparams = dparams;
    (void)n;
    JEMI_TRY(put_weights(plan->ops + plan->n_forward, plan->n_ops - plan->n_forward, weights));
    if (dparams != NULL)
        JEMI_TRY(jemi_dnnl_check(put_dparams(plan, dparams), "parameter gradients of a plan"));
    if (asked != 0)
        JEMI_TRY(run_ops(plan, plan->n_forward, plan->n_ops, asked));
    return jemi_dnnl_check(dnnl_stream_wait(plan->stream), "backward pass");
}
