/*
 * Dropout, in training plans; others are compiled as if it was not there. The forward op draws a
 * mask, a byte per element, and saves it for the backward op.
 */
#include "backend/cpu/ops.h"
#include "base/status.h"
#include "kernels/dropout.h"

enum { DST, MASK };        // writes of the forward op
enum { DIFF, SAVED_MASK }; // reads of the backward op

static void apply(const jemi_cpu_plan *plan, const jemi_op *op, int32_t mask)
{
    const int32_t dst = op->writes[DST];
    jemi_dropout_apply(jemi_plan_data(plan, dst), jemi_plan_data(plan, op->reads[0]),
                       (const uint8_t *)jemi_plan_data(plan, mask),
                       jemi_layout_size(jemi_plan_layout(plan, dst)),
                       jemi_plan_node(plan, op)->rate);
}

static jem_status run_forward(jemi_cpu_plan *plan, jemi_op *op)
{
    const jemi_node *node = jemi_plan_node(plan, op);
    const jemi_dropout *dropout = &plan->dropout;
    const jemi_dropout_draw draw = {
        .key = dropout->key,
        .step = dropout->step,
        .first_row = dropout->first_row,
        .offset = node->mask_offset,
        .rate = node->rate,
    };
    jemi_dropout_mask((uint8_t *)jemi_plan_data(plan, op->writes[MASK]),
                      jemi_plan_layout(plan, op->writes[DST]), &draw);
    apply(plan, op, op->writes[MASK]);
    return JEM_OK;
}

static jem_status run_backward(jemi_cpu_plan *plan, jemi_op *op)
{
    apply(plan, op, op->reads[SAVED_MASK]);
    return JEM_OK;
}

static const jemi_op_type forward = {.name = "dropout", .run = run_forward};
static const jemi_op_type backward = {.name = "dropout", .run = run_backward};

jem_status jemi_op_dropout(jemi_compile *c, int32_t index)
{
    const int32_t input = c->graph->nodes[index].input[0];
    const int32_t src = c->values[input];
    const jemi_layout layout = *jemi_plan_layout(c->plan, src); // the list of tensors may move
    int32_t dst = src, mask;
    if (!jemi_lowered_in_place(c->lowered, index, input))
        JEMI_TRY(jemi_compile_tensor(c, &layout, 0, &dst));
    JEMI_TRY(jemi_compile_tensor(c, NULL, (size_t)jemi_layout_size(&layout), &mask));
    jemi_op *op;
    JEMI_TRY(jemi_compile_op(c, &forward, index, 0, 0, &op));
    op->reads[0] = src;
    op->writes[DST] = dst;
    op->writes[MASK] = mask;
    c->values[index] = dst;
    return JEM_OK;
}

jem_status jemi_op_dropout_backward(jemi_compile *c, jemi_op_place at, int32_t dst, int32_t diff)
{
    const int32_t mask = jemi_compile_find(c, &forward, at.node)->writes[MASK];
    jemi_op *op;
    JEMI_TRY(jemi_compile_op(c, &backward, at.node, at.wants, 0, &op));
    op->reads[DIFF] = diff;
    op->reads[SAVED_MASK] = mask;
    op->writes[0] = dst;
    return JEM_OK;
}
