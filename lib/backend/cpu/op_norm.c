/*
 * Normalisation layers. Scale, shift and running statistics are read where they lie in the flat
 * vector, and gradients written where they lie in the caller's. The statistics of a forward op stay
 * in the arena for its backward op, those of a batch also for jemi_cpu_plan_statistics().
 */
#include <assert.h>
#include <string.h>

#include "backend/cpu/ops.h"
#include "base/status.h"
#include "kernels/norm.h"

enum { DST, MOMENTS };               // writes of the forward op: means, then variances
enum { DIFF, SAVED, SAVED_MOMENTS }; // reads of the backward op; saved is what entered the norm

static jemi_norm_over over_of(const jemi_compile *c, const jemi_node *node)
{
    if (node->kind == JEMI_NODE_GROUPNORM)
        return JEMI_OVER_GROUPS;
    return c->plan->base.spec.mode == JEMI_MODE_EVAL ? JEMI_OVER_NONE : JEMI_OVER_BATCH;
}

// ---- runs --------------------------------------------------------------------------------------

// What a norm computes with beside its images.
typedef struct operands {
    const float *weight, *bias;
    float *mean, *var;
} operands;

// `moments` is the tensor of the statistics; -1 = the running ones, which are only read.
static operands operands_of(const jemi_cpu_plan *plan, const jemi_op *op, int32_t moments)
{
    const jemi_norm_pass *pass = op->private;
    const jemi_graph *graph = plan->base.program->graph;
    const jemi_node *node = jemi_plan_node(plan, op);
    operands with = {jemi_plan_param(plan, node->weight), jemi_plan_param(plan, node->bias), NULL,
                     NULL};
    if (moments >= 0) {
        with.mean = jemi_plan_data(plan, moments);
        with.var = with.mean + jemi_norm_statistics(pass);
    } else {
        with.mean = (float *)plan->params + graph->states[node->mean].offset;
        with.var = (float *)plan->params + graph->states[node->var].offset;
    }
    return with;
}

static void check_batch(const jemi_cpu_plan *plan, const jemi_norm_pass *pass)
{
    assert(pass->over != JEMI_OVER_BATCH || plan->n == plan->base.spec.batch);
    (void)plan, (void)pass;
}

static jem_status run_forward(jemi_cpu_plan *plan, jemi_op *op)
{
    const jemi_norm_pass *pass = op->private;
    const operands with = operands_of(plan, op, op->writes[MOMENTS]);
    check_batch(plan, pass);
    jemi_norm_forward(pass, jemi_plan_data(plan, op->writes[DST]),
                      jemi_plan_data(plan, op->reads[0]), with.weight, with.bias, with.mean,
                      with.var, jemi_plan_scratch(plan));
    return JEM_OK;
}

static jem_status run_backward(jemi_cpu_plan *plan, jemi_op *op)
{
    const jemi_norm_pass *pass = op->private;
    const jemi_node *node = jemi_plan_node(plan, op);
    const operands with = operands_of(plan, op, op->reads[SAVED_MOMENTS]);
    check_batch(plan, pass);
    jemi_norm_gradient(pass, jemi_plan_data(plan, op->writes[0]),
                       jemi_plan_data(plan, op->reads[DIFF]),
                       jemi_plan_data(plan, op->reads[SAVED]), with.weight, with.mean, with.var,
                       jemi_plan_dparam(plan, node->weight), jemi_plan_dparam(plan, node->bias),
                       jemi_plan_scratch(plan));
    return JEM_OK;
}

static void describe(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan;
    const jemi_norm_pass *pass = op->private;
    words->impl = pass->over == JEMI_OVER_GROUPS  ? "own, by groups"
                  : pass->over == JEMI_OVER_BATCH ? "own, by the batch"
                                                  : "own, by running statistics";
}

static const jemi_op_type forward = {.name = "norm", .run = run_forward, .describe = describe};
static const jemi_op_type backward = {.name = "norm", .run = run_backward, .describe = describe};

// ---- compiling ---------------------------------------------------------------------------------

// The channels of single pixels lie side by side, whatever their order is called.
static jemi_layout side_by_side(jemi_layout layout)
{
    if (layout.h * layout.w == 1 && layout.block == 1)
        layout.block = layout.c;
    return layout;
}

static jem_status append(jemi_compile *c, const jemi_op_type *type, jemi_op_place at,
                         const jemi_norm_pass *pass, jemi_op **op)
{
    JEMI_TRY(jemi_compile_op(c, type, at.node, at.wants, sizeof *pass, op));
    *(jemi_norm_pass *)(*op)->private = *pass;
    (*op)->scratch_bytes = jemi_norm_scratch_bytes(pass);
    return JEM_OK;
}

jem_status jemi_op_norm(jemi_compile *c, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_norm_over over = over_of(c, node);
    const int32_t src = c->values[node->input[0]];
    const jemi_layout layout = *jemi_plan_layout(c->plan, src); // the list of tensors may move
    const jemi_norm_pass pass = {side_by_side(layout), over, node->groups, JEMI_NORM_EPS};
    int32_t dst = src, moments = -1;
    if (!jemi_lowered_in_place(c->lowered, index, node->input[0]))
        JEMI_TRY(jemi_compile_tensor(c, &layout, 0, &dst));
    if (over != JEMI_OVER_NONE) {
        const size_t count = 2 * (size_t)jemi_norm_statistics(&pass);
        JEMI_TRY(jemi_compile_tensor(c, NULL, count * sizeof(float), &moments));
        c->plan->tensors[moments].outlives_forward = true;
    }
    jemi_op *op;
    JEMI_TRY(append(c, &forward, (jemi_op_place){index, 0}, &pass, &op));
    op->reads[0] = src;
    op->writes[DST] = dst;
    op->writes[MOMENTS] = moments;
    c->values[index] = dst;
    return JEM_OK;
}

jem_status jemi_op_norm_backward(jemi_compile *c, jemi_op_place at, int32_t dst, int32_t diff)
{
    const jemi_op *made = jemi_compile_find(c, &forward, at.node);
    const int32_t moments = made->writes[MOMENTS];
    jemi_op *op;
    JEMI_TRY(append(c, &backward, at, made->private, &op));
    op->reads[DIFF] = diff;
    op->reads[SAVED] = c->values[c->graph->nodes[at.node].input[0]];
    op->reads[SAVED_MOMENTS] = moments;
    op->writes[0] = dst;
    return JEM_OK;
}

// ---- statistics of a batch ---------------------------------------------------------------------

static void put_statistics(const jemi_cpu_plan *plan, const jemi_op *op, int64_t n, float *state)
{
    const jemi_graph *graph = plan->base.program->graph;
    const jemi_node *node = jemi_plan_node(plan, op);
    const operands with = operands_of(plan, op, op->writes[MOMENTS]);
    float *mean = state + graph->states[node->mean].offset - graph->param_count;
    float *var = state + graph->states[node->var].offset - graph->param_count;
    const double count = (double)(n * node->shape.h * node->shape.w);
    for (int64_t c = 0; c < node->shape.c; c++) {
        mean[c] = with.mean[c];
        var[c] = (float)((double)with.var[c] * count / (count - 1.0));
    }
}

void jemi_cpu_plan_statistics(const jemi_plan *base, int64_t n, float *state)
{
    const jemi_cpu_plan *plan = (const jemi_cpu_plan *)base;
    memset(state, 0, (size_t)base->program->graph->state_count * sizeof *state);
    for (int32_t i = 0; i < plan->n_forward; i++) {
        const jemi_op *op = &plan->ops[i];
        const jemi_norm_pass *pass = op->private;
        if (op->type == &forward && pass->over == JEMI_OVER_BATCH)
            put_statistics(plan, op, n, state);
    }
}
