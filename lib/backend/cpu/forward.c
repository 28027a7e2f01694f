/*
 * The forward half of a plan: one step per node in graph order, less those that a convolution has
 * absorbed.
 */
#include "backend/cpu/choose.h"
#include "backend/cpu/ops.h"
#include "base/status.h"

static jem_status input(jemi_compile *c, int32_t index)
{
    const jemi_shape shape = c->graph->nodes[index].shape;
    const jemi_layout layout = {c->plan->base.spec.batch, shape.c, shape.h, shape.w, 1};
    JEMI_TRY(jemi_compile_tensor(c, &layout, 0, &c->values[index]));
    c->plan->input_saved = c->lowered[index].saved;
    return jemi_op_input(c, index, c->values[index]);
}

// Where a node writes its value: over its first input's, or to a new tensor like it.
static jem_status target(jemi_compile *c, int32_t index, int32_t *dst)
{
    const int32_t input = c->graph->nodes[index].input[0];
    *dst = c->values[input];
    if (jemi_lowered_in_place(c->lowered, index, input))
        return JEM_OK;
    const jemi_layout layout = *jemi_plan_layout(c->plan, *dst); // the list of tensors may move
    return jemi_compile_tensor(c, &layout, 0, dst);
}

static jem_status act(jemi_compile *c, int32_t index)
{
    const int32_t src = c->values[c->graph->nodes[index].input[0]];
    const jemi_layout layout = *jemi_plan_layout(c->plan, src);
    int32_t signs;
    JEMI_TRY(target(c, index, &c->values[index]));
    JEMI_TRY(jemi_compile_signs(c, index, &layout, &signs));
    return jemi_op_act(c, index, c->values[index], src, signs);
}

static jem_status add(jemi_compile *c, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    const int32_t a = c->values[node->input[0]];
    int32_t b = c->values[node->input[1]];
    const jemi_layout layout = *jemi_plan_layout(c->plan, a);
    JEMI_TRY(jemi_op_convert(c, &b, &layout, index, 0));
    JEMI_TRY(target(c, index, &c->values[index]));
    return jemi_op_sum(c, (jemi_op_place){index, 0}, c->values[index], a, b);
}

static jem_status avgpool(jemi_compile *c, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    const int32_t src = c->values[node->input[0]];
    const jemi_layout from = *jemi_plan_layout(c->plan, src); // the list of tensors may move
    const jemi_layout to = jemi_pooling_dst(&from, node->shape.h, node->shape.w);
    const jemi_pooling pooling = {from, to, node->window_h, node->window_w};
    JEMI_TRY(jemi_compile_tensor(c, &to, 0, &c->values[index]));
    return jemi_op_pool(c, index, c->values[index], src, &pooling);
}

// The convolution, and with own passes what it absorbed but its row does not fuse.
static jem_status contraction(jemi_compile *c, int32_t index)
{
    const jemi_lowered *low = &c->lowered[index];
    jemi_conv_fused fused;
    int32_t dst;
    JEMI_TRY(jemi_choose_for(c, index, JEMI_CONV_FORWARD)->forward(c, index, &dst, &fused));
    const int32_t last_fused = fused.act ? low->act : fused.add ? low->add : index;
    c->values[last_fused] = dst;
    if (low->add >= 0 && !fused.add)
        JEMI_TRY(add(c, low->add));
    if (low->act >= 0 && !fused.act)
        JEMI_TRY(act(c, low->act));
    return JEM_OK;
}

static jem_status node_forward(jemi_compile *c, int32_t index)
{
    if (c->lowered[index].absorbed)
        return JEM_OK;
    switch (c->graph->nodes[index].kind) {
    case JEMI_NODE_INPUT:
        return input(c, index);
    case JEMI_NODE_CONV:
    case JEMI_NODE_LINEAR:
        return contraction(c, index);
    case JEMI_NODE_ACT:
        return act(c, index);
    case JEMI_NODE_AVGPOOL:
        return avgpool(c, index);
    case JEMI_NODE_ADD:
        return add(c, index);
    case JEMI_NODE_GROUPNORM:
    case JEMI_NODE_BATCHNORM:
        return jemi_op_norm(c, index);
    case JEMI_NODE_DROPOUT: // which reads nothing where it does nothing
        return c->graph->nodes[index].input[0] < 0 ? JEM_OK : jemi_op_dropout(c, index);
    }
    return jemi_fail(JEM_EUNSUPPORTED, "this backend has no node of kind %d",
                     (int)c->graph->nodes[index].kind);
}

jem_status jemi_compile_forward(jemi_compile *c)
{
    for (int32_t i = 0; i < c->graph->n_nodes; i++)
        JEMI_TRY(node_forward(c, i));
    const int32_t last = c->graph->n_nodes - 1, features = c->graph->features;
    if (c->plan->base.spec.features)
        JEMI_TRY(jemi_op_features(c, features, c->values[features]));
    return jemi_op_output(c, last, c->values[last]);
}
