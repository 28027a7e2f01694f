/*
 * Copies of a tensor in another order or precision.
 */
#include "backend/cpu/ops.h"
#include "base/status.h"
#include "kernels/bf16.h"

static jem_status run_load(jemi_cpu_plan *plan, jemi_op *op)
{
    const int32_t dst = op->writes[0];
    jemi_layout_load(jemi_plan_data(plan, dst), jemi_plan_layout(plan, dst),
                     jemi_plan_data(plan, op->reads[0]), plan->base.spec.batch);
    return JEM_OK;
}

static jem_status run_store(jemi_cpu_plan *plan, jemi_op *op)
{
    const int32_t src = op->reads[0];
    jemi_layout_store(jemi_plan_data(plan, op->writes[0]), jemi_plan_data(plan, src),
                      jemi_plan_layout(plan, src), plan->base.spec.batch);
    return JEM_OK;
}

static jem_status run_round(jemi_cpu_plan *plan, jemi_op *op)
{
    const int32_t src = op->reads[0];
    jemi_bf16_from_floats((uint16_t *)jemi_plan_data(plan, op->writes[0]),
                          jemi_plan_data(plan, src), jemi_layout_size(jemi_plan_layout(plan, src)));
    return JEM_OK;
}

const jemi_op_type jemi_op_load = {.name = "to layout", .run = run_load};
const jemi_op_type jemi_op_store = {.name = "to canonical", .run = run_store};
static const jemi_op_type round_to_bf16 = {.name = "to bf16", .run = run_round};

// The new tensor has `bytes`, 0 = what the layout takes.
static jem_status append(jemi_compile *c, const jemi_op_type *type, int32_t *tensor,
                         const jemi_layout *layout, size_t bytes, jemi_op_place at)
{
    int32_t copy;
    jemi_op *op;
    JEMI_TRY(jemi_compile_tensor(c, layout, bytes, &copy));
    JEMI_TRY(jemi_compile_op(c, type, at.node, at.wants, 0, &op));
    op->reads[0] = *tensor;
    op->writes[0] = copy;
    *tensor = copy;
    return JEM_OK;
}

jem_status jemi_op_copy(jemi_compile *c, const jemi_op_type *type, int32_t *tensor,
                        const jemi_layout *layout, int32_t node, uint32_t wants)
{
    return append(c, type, tensor, layout, 0, (jemi_op_place){node, wants});
}

jem_status jemi_op_round(jemi_compile *c, int32_t *tensor, int32_t node, uint32_t wants)
{
    const jemi_layout layout = *jemi_plan_layout(c->plan, *tensor); // the list of tensors may move
    return append(c, &round_to_bf16, tensor, &layout,
                  (size_t)jemi_layout_size(&layout) * sizeof(uint16_t),
                  (jemi_op_place){node, wants});
}

jem_status jemi_op_convert(jemi_compile *c, int32_t *tensor, const jemi_layout *layout,
                           int32_t node, uint32_t wants)
{
    jemi_layout from = c->plan->tensors[*tensor].layout;
    if (jemi_layout_same(&from, layout))
        return JEM_OK;
    if (!jemi_layout_is_canonical(&from)) {
        from.block = 1;
        JEMI_TRY(jemi_op_copy(c, &jemi_op_store, tensor, &from, node, wants));
    }
    if (!jemi_layout_is_canonical(layout))
        JEMI_TRY(jemi_op_copy(c, &jemi_op_load, tensor, layout, node, wants));
    return JEM_OK;
}
