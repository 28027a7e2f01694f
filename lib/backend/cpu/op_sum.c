/*
 * Sums of two tensors of one layout.
 */
#include "backend/cpu/ops.h"
#include "base/status.h"

static jem_status run(jemi_cpu_plan *plan, jemi_op *op)
{
    const int32_t dst = op->writes[0];
    jemi_sum(jemi_plan_data(plan, dst), jemi_plan_data(plan, op->reads[0]),
             jemi_plan_data(plan, op->reads[1]), jemi_layout_size(jemi_plan_layout(plan, dst)));
    return JEM_OK;
}

static void describe(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan, (void)op;
    words->sum = true;
}

static const jemi_op_type type = {.name = "sum", .run = run, .describe = describe};

jem_status jemi_op_sum(jemi_compile *c, jemi_op_place at, int32_t dst, int32_t a, int32_t b)
{
    jemi_op *op;
    JEMI_TRY(jemi_compile_op(c, &type, at.node, at.wants, 0, &op));
    op->reads[0] = a;
    op->reads[1] = b;
    op->writes[0] = dst;
    return JEM_OK;
}
