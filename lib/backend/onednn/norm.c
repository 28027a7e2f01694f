/*
 * Normalisation layers as steps of our own kernels. Scale, shift and running statistics are read
 * where they lie in the flat vector, and gradients written where they lie in the caller's. The
 * statistics of a forward step stay in the arena for its backward step, those of a batch also for
 * jemi_dnnl_plan_statistics().
 */
#include <assert.h>
#include <string.h>

#include "backend/onednn/compile.h"
#include "base/status.h"

static jemi_norm_over over_of(const jemi_compile *c, const jemi_node *node)
{
    if (node->kind == JEMI_NODE_GROUPNORM)
        return JEMI_OVER_GROUPS;
    return c->plan->base.spec.mode == JEMI_MODE_EVAL ? JEMI_OVER_NONE : JEMI_OVER_BATCH;
}

static const char *text_of(jemi_norm_over over)
{
    return over == JEMI_OVER_GROUPS  ? "own, by groups"
           : over == JEMI_OVER_BATCH ? "own, by the batch"
                                     : "own, by running statistics";
}

// Of single pixels the channels lie side by side whatever the order is called.
static jemi_layout side_by_side(jemi_layout layout)
{
    if (layout.h * layout.w == 1 && layout.block == 1)
        layout.block = layout.c;
    return layout;
}

// Appends a pass whose `norm` is set.
static jem_status append(jemi_compile *c, const jemi_op *pass)
{
    JEMI_TRY(jemi_compile_pass(c, pass));
    jemi_compile_touch(c, pass->moments);
    jemi_compile_scratch(c, jemi_norm_scratch_bytes(&pass->norm));
    return JEM_OK;
}

jem_status jemi_compile_norm_forward(jemi_compile *c, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_norm_over over = over_of(c, node);
    jemi_op pass = {.kind = JEMI_OP_NORM, .node = index, .kept = -1, .add = -1, .moments = -1};
    pass.impl = text_of(over);
    pass.src = c->values[node->input[0]];
    pass.dst = pass.src;
    const jemi_layout layout = c->plan->tensors[pass.src].layout;
    pass.norm = (jemi_norm_pass){side_by_side(layout), over, node->groups, JEMI_NORM_EPS};
    if (!jemi_lowered_in_place(c->lowered, index, node->input[0]))
        JEMI_TRY(jemi_compile_tensor(c, &layout, 0, &pass.dst));
    if (over != JEMI_OVER_NONE) {
        const size_t count = 2 * (size_t)jemi_norm_statistics(&pass.norm);
        JEMI_TRY(jemi_compile_tensor(c, NULL, count * sizeof(float), &pass.moments));
    }
    c->values[index] = pass.dst;
    return append(c, &pass);
}

jem_status jemi_compile_norm_backward(jemi_compile *c, jemi_op *pass)
{
    const jemi_op *forward = jemi_compile_find(c, JEMI_OP_NORM, pass->node);
    pass->kind = JEMI_OP_NORM_BACKWARD;
    pass->kept = c->values[c->graph->nodes[pass->node].input[0]];
    pass->norm = forward->norm;
    pass->impl = forward->impl;
    pass->moments = forward->moments;
    return append(c, pass);
}

void jemi_compile_keep_statistics(jemi_compile *c)
{
    for (int32_t i = 0; i < c->plan->n_ops; i++)
        if (c->plan->ops[i].kind == JEMI_OP_NORM)
            jemi_compile_touch(c, c->plan->ops[i].moments);
}

// ---- runs --------------------------------------------------------------------------------------

// What a step computes with beside its images.
typedef struct operands {
    const float *weight, *bias;
    float *mean, *var;
    void *scratch;
} operands;

static operands operands_of(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    const jemi_graph *graph = plan->base.program->graph;
    const jemi_node *node = &graph->nodes[op->node];
    operands with = {
        .weight = plan->params + graph->params[node->weight].offset,
        .bias = plan->params + graph->params[node->bias].offset,
        .scratch = plan->arena + plan->scratchpad.offset / sizeof(float),
    };
    if (op->moments >= 0) {
        with.mean = plan->tensors[op->moments].data;
        with.var = with.mean + jemi_norm_statistics(&op->norm);
    } else { // only read
        with.mean = (float *)plan->params + graph->states[node->mean].offset;
        with.var = (float *)plan->params + graph->states[node->var].offset;
    }
    return with;
}

static float *dparam_at(const jemi_dnnl_plan *plan, int32_t param)
{
    return plan->dparams != NULL ? plan->dparams + plan->base.program->graph->params[param].offset
                                 : NULL;
}

void jemi_dnnl_run_norm(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    const jemi_node *node = &plan->base.program->graph->nodes[op->node];
    const operands with = operands_of(plan, op);
    float *dst = plan->tensors[op->dst].data;
    const float *src = plan->tensors[op->src].data;
    assert(op->norm.over != JEMI_OVER_BATCH || plan->n == plan->base.spec.batch);
    if (op->kind == JEMI_OP_NORM)
        jemi_norm_forward(&op->norm, dst, src, with.weight, with.bias, with.mean, with.var,
                          with.scratch);
    else
        jemi_norm_backward(&op->norm, dst, src, plan->tensors[op->kept].data, with.weight,
                           with.mean, with.var, dparam_at(plan, node->weight),
                           dparam_at(plan, node->bias), with.scratch);
}

static void put_statistics(const jemi_dnnl_plan *plan, const jemi_op *op, int64_t n, float *state)
{
    const jemi_graph *graph = plan->base.program->graph;
    const jemi_node *node = &graph->nodes[op->node];
    const operands with = operands_of(plan, op);
    float *mean = state + graph->states[node->mean].offset - graph->param_count;
    float *var = state + graph->states[node->var].offset - graph->param_count;
    const double count = (double)(n * node->shape.h * node->shape.w);
    for (int64_t c = 0; c < node->shape.c; c++) {
        mean[c] = with.mean[c];
        var[c] = (float)((double)with.var[c] * count / (count - 1.0));
    }
}

void jemi_dnnl_plan_statistics(const jemi_plan *base, int64_t n, float *state)
{
    const jemi_dnnl_plan *plan = (const jemi_dnnl_plan *)base;
    memset(state, 0, (size_t)base->program->graph->state_count * sizeof *state);
    for (int32_t i = 0; i < plan->n_forward; i++)
        if (plan->ops[i].kind == JEMI_OP_NORM && plan->ops[i].norm.over == JEMI_OVER_BATCH)
            put_statistics(plan, &plan->ops[i], n, state);
}
