/*
 * Where the caller's arrays enter and leave a plan. They are canonical: (n, C, H, W) and (n, K).
 */
#include "backend/cpu/ops.h"
#include "base/status.h"

static const jemi_layout *from_layout(const jemi_cpu_plan *plan, const jemi_op *op)
{
    return jemi_plan_layout(plan, op->reads[0]);
}

// The caller's own array serves as it is when it is whole and need not outlive the call.
static jem_status run_input(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_tensor *tensor = &plan->tensors[op->writes[0]];
    float *place = plan->arena + tensor->span.offset / sizeof(float);
    const bool borrowed = plan->n == tensor->layout.n && !plan->input_saved;
    if (!borrowed)
        jemi_layout_load(place, &tensor->layout, plan->in, plan->n);
    tensor->data = borrowed ? (float *)plan->in : place;
    return JEM_OK;
}

static jem_status run_output(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_layout_store(plan->out, jemi_plan_data(plan, op->reads[0]), from_layout(plan, op),
                      plan->n);
    return JEM_OK;
}

static jem_status run_features(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_layout_store(plan->features, jemi_plan_data(plan, op->reads[0]), from_layout(plan, op),
                      plan->n);
    return JEM_OK;
}

static jem_status run_diff_output(jemi_cpu_plan *plan, jemi_op *op)
{
    const int32_t dst = op->writes[0];
    jemi_layout_load(jemi_plan_data(plan, dst), jemi_plan_layout(plan, dst), plan->dout, plan->n);
    return JEM_OK;
}

static jem_status run_diff_input(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_layout_store(plan->din, jemi_plan_data(plan, op->reads[0]), from_layout(plan, op),
                      plan->n);
    return JEM_OK;
}

static const jemi_op_type input = {.name = "input", .run = run_input};
static const jemi_op_type output = {.name = "output", .run = run_output};
static const jemi_op_type features = {.name = "features", .run = run_features};
static const jemi_op_type diff_output = {.name = "diff of output", .run = run_diff_output};
static const jemi_op_type diff_input = {.name = "diff of input", .run = run_diff_input};

static jem_status append(jemi_compile *c, const jemi_op_type *type, jemi_op_place at, int32_t dst,
                         int32_t src)
{
    jemi_op *op;
    JEMI_TRY(jemi_compile_op(c, type, at.node, at.wants, 0, &op));
    op->writes[0] = dst;
    op->reads[0] = src;
    return JEM_OK;
}

jem_status jemi_op_input(jemi_compile *c, int32_t node, int32_t dst)
{
    return append(c, &input, (jemi_op_place){node, 0}, dst, -1);
}

jem_status jemi_op_output(jemi_compile *c, int32_t node, int32_t src)
{
    return append(c, &output, (jemi_op_place){node, 0}, -1, src);
}

jem_status jemi_op_features(jemi_compile *c, int32_t node, int32_t src)
{
    return append(c, &features, (jemi_op_place){node, 0}, -1, src);
}

jem_status jemi_op_diff_output(jemi_compile *c, jemi_op_place at, int32_t dst)
{
    return append(c, &diff_output, at, dst, -1);
}

jem_status jemi_op_diff_input(jemi_compile *c, jemi_op_place at, int32_t src)
{
    return append(c, &diff_input, at, -1, src);
}
