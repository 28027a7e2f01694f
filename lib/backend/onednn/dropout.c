/*
 * Dropout as a step of our own kernels, in training plans; others are compiled as if it was not
 * there. The mask that the forward step draws, a byte per element, is kept for its backward step.
 */
#include "kernels/dropout.h"
#include "backend/onednn/compile.h"
#include "base/status.h"

jem_status jemi_compile_dropout_forward(jemi_compile *c, int32_t index)
{
    const int32_t input = c->graph->nodes[index].input[0];
    jemi_op pass = {.kind = JEMI_OP_DROPOUT, .node = index, .add = -1};
    pass.src = c->values[input];
    pass.dst = pass.src;
    const jemi_layout layout = c->plan->tensors[pass.src].layout;
    if (!jemi_lowered_in_place(c->lowered, index, input))
        JEMI_TRY(jemi_compile_tensor(c, &layout, 0, &pass.dst));
    JEMI_TRY(jemi_compile_tensor(c, NULL, (size_t)jemi_layout_size(&layout), &pass.kept));
    c->values[index] = pass.dst;
    return jemi_compile_pass(c, &pass);
}

jem_status jemi_compile_dropout_backward(jemi_compile *c, jemi_op *pass)
{
    pass->kind = JEMI_OP_DROPOUT_BACKWARD;
    pass->kept = jemi_compile_find(c, JEMI_OP_DROPOUT, pass->node)->kept;
    return jemi_compile_pass(c, pass);
}

void jemi_dnnl_run_dropout(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    const jemi_node *node = &plan->base.program->graph->nodes[op->node];
    const jemi_layout *layout = &plan->tensors[op->dst].layout;
    uint8_t *kept = (uint8_t *)plan->tensors[op->kept].data;
    if (op->kind == JEMI_OP_DROPOUT) {
        const jemi_dropout *dropout = &plan->base.dropout;
        const jemi_dropout_draw draw = {
            .key = dropout->key,
            .step = dropout->step,
            .first_row = dropout->first_row,
            .offset = node->mask_offset,
            .rate = node->rate,
        };
        jemi_dropout_mask(kept, layout, &draw);
    }
    jemi_dropout_apply(plan->tensors[op->dst].data, plan->tensors[op->src].data, kept,
                       jemi_layout_size(layout), node->rate);
}
