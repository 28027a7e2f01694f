/*
 * Average pooling, and the spreading of its gradient, which takes the derivative of an activation
 * behind it along.
 */
#include "backend/cpu/ops.h"
#include "base/status.h"

enum { DIFF, SAVED }; // reads of the backward op

typedef struct state {
    jemi_pooling pooling;
    jemi_activation activation; // backward, if something is saved
} state;

static jem_status run_forward(jemi_cpu_plan *plan, jemi_op *op)
{
    const state *s = op->private;
    jemi_avgpool_forward(jemi_plan_data(plan, op->writes[0]), jemi_plan_data(plan, op->reads[0]),
                         &s->pooling);
    return JEM_OK;
}

static jem_status run_backward(jemi_cpu_plan *plan, jemi_op *op)
{
    const state *s = op->private;
    jemi_avgpool_transposed(jemi_plan_data(plan, op->writes[0]),
                            jemi_plan_data(plan, op->reads[DIFF]),
                            jemi_plan_saved(plan, op->reads[SAVED]), s->activation, &s->pooling);
    return JEM_OK;
}

static void describe_backward(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan;
    words->derivative = op->reads[SAVED] >= 0;
}

static const jemi_op_type forward = {.name = "average pooling", .run = run_forward};
static const jemi_op_type backward = {
    .name = "average pooling", .run = run_backward, .describe = describe_backward};

static jem_status append(jemi_compile *c, const jemi_op_type *type, jemi_op_place at, state s,
                         jemi_op **op)
{
    JEMI_TRY(jemi_compile_op(c, type, at.node, at.wants, sizeof s, op));
    *(state *)(*op)->private = s;
    return JEM_OK;
}

jem_status jemi_op_pool(jemi_compile *c, int32_t node, int32_t dst, int32_t src,
                        const jemi_pooling *pooling)
{
    jemi_op *op;
    JEMI_TRY(append(c, &forward, (jemi_op_place){node, 0}, (state){.pooling = *pooling}, &op));
    op->reads[0] = src;
    op->writes[0] = dst;
    return JEM_OK;
}

jem_status jemi_op_pool_backward(jemi_compile *c, jemi_op_place at, int32_t act, int32_t dst,
                                 int32_t diff, int32_t saved, const jemi_pooling *pooling)
{
    state s = {.pooling = *pooling};
    if (act >= 0)
        s.activation = jemi_lowered_activation(&c->graph->nodes[act]);
    jemi_op *op;
    JEMI_TRY(append(c, &backward, at, s, &op));
    op->reads[DIFF] = diff;
    op->reads[SAVED] = saved;
    op->writes[0] = dst;
    return JEM_OK;
}
