/*
 * The forward half of a plan: one step per node in graph order, less those that a convolution has
 * absorbed.
 */
#include "backend/onednn/compile.h"
#include "base/status.h"

static jemi_op pass_of(jemi_op_kind kind, int32_t node)
{
    return (jemi_op){.kind = kind, .node = node, .dst = -1, .src = -1, .kept = -1, .add = -1};
}

static jem_status input(jemi_compile *c, int32_t index)
{
    const jemi_shape shape = c->graph->nodes[index].shape;
    const jemi_layout layout = {c->plan->base.spec.batch, shape.c, shape.h, shape.w, 1};
    JEMI_TRY(jemi_compile_tensor(c, &layout, 0, &c->values[index]));
    c->plan->input = c->values[index];
    c->plan->input_kept = c->lowered[index].kept;
    jemi_op pass = pass_of(JEMI_OP_INPUT, index);
    pass.dst = c->values[index];
    return jemi_compile_pass(c, &pass);
}

static jem_status act(jemi_compile *c, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    jemi_op pass = pass_of(JEMI_OP_ACT, index);
    pass.activation = jemi_lowered_activation(node);
    pass.src = c->values[node->input[0]];
    pass.dst = pass.src;
    const jemi_layout layout = c->plan->tensors[pass.src].layout; // the list of tensors may move
    if (!jemi_lowered_in_place(c->lowered, index, node->input[0]))
        JEMI_TRY(jemi_compile_tensor(c, &layout, 0, &pass.dst));
    JEMI_TRY(jemi_compile_signs(c, index, &layout, &pass.kept));
    c->values[index] = pass.dst;
    return jemi_compile_pass(c, &pass);
}

static jem_status add(jemi_compile *c, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    jemi_op pass = pass_of(JEMI_OP_SUM, index);
    pass.src = c->values[node->input[0]];
    pass.add = c->values[node->input[1]];
    const jemi_layout layout = c->plan->tensors[pass.src].layout;
    JEMI_TRY(jemi_compile_convert(c, &pass.add, &layout, index, 0));
    pass.dst = pass.src;
    if (!jemi_lowered_in_place(c->lowered, index, node->input[0]))
        JEMI_TRY(jemi_compile_tensor(c, &layout, 0, &pass.dst));
    c->values[index] = pass.dst;
    return jemi_compile_pass(c, &pass);
}

static jem_status avgpool(jemi_compile *c, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    jemi_op pass = pass_of(JEMI_OP_POOL, index);
    pass.src = c->values[node->input[0]];
    const jemi_layout src = c->plan->tensors[pass.src].layout;
    const jemi_layout dst = jemi_pooling_dst(&src, node->shape.h, node->shape.w);
    pass.pooling = (jemi_pooling){src, dst, node->window_h, node->window_w};
    JEMI_TRY(jemi_compile_tensor(c, &dst, 0, &pass.dst));
    c->values[index] = pass.dst;
    return jemi_compile_pass(c, &pass);
}

// The convolution, and with own passes what it absorbed but oneDNN would not fuse.
static jem_status contraction(jemi_compile *c, int32_t index)
{
    const jemi_lowered *low = &c->lowered[index];
    jemi_conv_fused fused;
    int32_t dst;
    JEMI_TRY(jemi_compile_conv_forward(c, index, &dst, &fused));
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
        return jemi_compile_norm_forward(c, index);
    case JEMI_NODE_DROPOUT: // which reads nothing where it does nothing
        return c->graph->nodes[index].input[0] < 0 ? JEM_OK
                                                   : jemi_compile_dropout_forward(c, index);
    }
    return jemi_fail(JEM_EUNSUPPORTED, "the oneDNN backend has no node of kind %d",
                     (int)c->graph->nodes[index].kind);
}

jem_status jemi_compile_forward(jemi_compile *c)
{
    for (int32_t i = 0; i < c->graph->n_nodes; i++)
        JEMI_TRY(node_forward(c, i));
    jemi_op pass = pass_of(JEMI_OP_OUTPUT, c->graph->n_nodes - 1);
    pass.src = c->values[pass.node];
    JEMI_TRY(jemi_compile_pass(c, &pass));
    jemi_compile_keep_statistics(c);
    return JEM_OK;
}
