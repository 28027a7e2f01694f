/*
 * Activations that no convolution computes along, and their derivatives.
 */
#include "backend/cpu/ops.h"
#include "base/status.h"

enum { DIFF, SAVED, ADD }; // reads of the backward op
enum { DST, SIGNS };       // writes of the forward op

static jem_status run_forward(jemi_cpu_plan *plan, jemi_op *op)
{
    const jemi_activation *activation = op->private;
    const jemi_layout *layout = jemi_plan_layout(plan, op->writes[DST]);
    float *dst = jemi_plan_data(plan, op->writes[DST]);
    const float *src = jemi_plan_data(plan, op->reads[0]);
    const int64_t count = jemi_layout_size(layout);
    if (op->writes[SIGNS] >= 0)
        jemi_act_forward_signs(dst, (uint16_t *)jemi_plan_data(plan, op->writes[SIGNS]), src, count,
                               *activation);
    else
        jemi_act_forward(dst, src, count, *activation);
    if (!jemi_act_keeps_zero(*activation))
        jemi_layout_clear_padding(dst, layout);
    return JEM_OK;
}

static void describe_forward(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan;
    words->signs = op->writes[SIGNS] >= 0;
}

static jem_status run_backward(jemi_cpu_plan *plan, jemi_op *op)
{
    const jemi_activation *activation = op->private;
    const int32_t dst = op->writes[0];
    jemi_act_gradient(jemi_plan_data(plan, dst), jemi_plan_data(plan, op->reads[DIFF]),
                      jemi_plan_saved(plan, op->reads[SAVED]), jemi_plan_data(plan, op->reads[ADD]),
                      jemi_layout_size(jemi_plan_layout(plan, dst)), *activation);
    return JEM_OK;
}

static void describe_backward(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan;
    words->derivative = true;
    words->sum = op->reads[ADD] >= 0;
}

static const jemi_op_type forward = {
    .name = "activation", .run = run_forward, .describe = describe_forward};
static const jemi_op_type backward = {
    .name = "activation", .run = run_backward, .describe = describe_backward};

// `act` is the ACT node.
static jem_status append(jemi_compile *c, const jemi_op_type *type, jemi_op_place at, int32_t act,
                         jemi_op **op)
{
    JEMI_TRY(jemi_compile_op(c, type, at.node, at.wants, sizeof(jemi_activation), op));
    *(jemi_activation *)(*op)->private = jemi_lowered_activation(&c->graph->nodes[act]);
    return JEM_OK;
}

jem_status jemi_op_act(jemi_compile *c, int32_t node, int32_t dst, int32_t src, int32_t signs)
{
    jemi_op *op;
    JEMI_TRY(append(c, &forward, (jemi_op_place){node, 0}, node, &op));
    op->reads[0] = src;
    op->writes[DST] = dst;
    op->writes[SIGNS] = signs;
    return JEM_OK;
}

jem_status jemi_op_act_backward(jemi_compile *c, jemi_op_place at, int32_t act, int32_t dst,
                                int32_t diff, int32_t saved, int32_t add)
{
    jemi_op *op;
    JEMI_TRY(append(c, &backward, at, act, &op));
    op->reads[DIFF] = diff;
    op->reads[SAVED] = saved;
    op->reads[ADD] = add;
    op->writes[0] = dst;
    return JEM_OK;
}
