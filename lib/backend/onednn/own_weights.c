/*
 * The gradients of weights and biases as steps of our own kernels. They go straight into dparams.
 */
#include "backend/onednn/own.h"
#include "base/status.h"

// Sets up the step; returns the floats of workspace that it needs.
static int64_t set_stem_weights(jemi_op *pass, const jemi_node *node, const jemi_sides *s)
{
    pass->kind = JEMI_OP_STEM_WEIGHTS;
    pass->impl = "own, first layer";
    pass->stem = jemi_own_stem(node, &s->src, &s->dst);
    return jemi_stem_weights_workspace(&pass->stem);
}

static int64_t set_winograd_weights(jemi_op *pass, const jemi_node *node, const jemi_sides *s,
                                    int threads)
{
    pass->kind = JEMI_OP_WINOGRAD_WEIGHTS;
    pass->impl = jemi_own_winograd_name(node);
    pass->winograd = jemi_own_winograd(node, &s->src, &s->dst, false);
    return jemi_winograd_weights_workspace(&pass->winograd, threads);
}

static int64_t set_direct_weights(jemi_op *pass, const jemi_node *node, const jemi_sides *s)
{
    const bool linear = node->kind == JEMI_NODE_LINEAR;
    pass->kind = JEMI_OP_DIRECT_WEIGHTS;
    pass->impl = "own direct";
    pass->direct_weights = (jemi_direct_weights){
        .src = s->src,
        .dst = s->dst,
        .kernel = linear ? 1 : node->kernel,
        .stride = linear ? 1 : node->stride,
        .pad = linear ? 0 : node->pad,
    };
    return jemi_direct_weights_workspace(&pass->direct_weights);
}

jem_status jemi_compile_own_weights(jemi_compile *c, int32_t kernel, int32_t index,
                                    int32_t diff_dst)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_sides s = jemi_own_sides(c, kernel, index);
    jemi_op pass = {.node = index, .wants = JEMI_WANT_DPARAMS, .dst = -1, .add = -1};
    JEMI_TRY(jemi_own_source(c, index, &s.src, pass.wants, &pass.src));
    JEMI_TRY(jemi_compile_convert(c, &diff_dst, &s.dst, index, pass.wants));
    pass.kept = diff_dst;
    int64_t floats;
    if (kernel == JEM_KERNEL_STEM)
        floats = set_stem_weights(&pass, node, &s);
    else if (kernel == JEM_KERNEL_WINOGRAD)
        floats = set_winograd_weights(&pass, node, &s, c->plan->base.spec.threads);
    else
        floats = set_direct_weights(&pass, node, &s);
    JEMI_TRY(jemi_compile_pass(c, &pass));
    jemi_compile_scratch(c, (size_t)floats * sizeof(float));
    return JEM_OK;
}

void jemi_dnnl_run_own_weights(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    const float *x = plan->tensors[op->src].data, *dy = plan->tensors[op->kept].data;
    const jemi_graph *graph = plan->base.program->graph;
    const jemi_node *node = &graph->nodes[op->node];
    float *dw = plan->dparams + graph->params[node->weight].offset;
    float *db = plan->dparams + graph->params[node->bias].offset;
    float *workspace = plan->arena + plan->scratchpad.offset / sizeof(float);
    if (op->kind == JEMI_OP_STEM_WEIGHTS)
        jemi_stem_weights(dw, x, dy, &op->stem, workspace);
    else if (op->kind == JEMI_OP_WINOGRAD_WEIGHTS)
        jemi_winograd_weights_run(&op->winograd, x, dy, dw, workspace);
    else
        jemi_direct_weights_run(&op->direct_weights, x, dy, dw, workspace);
    // Not the tensor's own layout: single pixels lie the same in any.
    const jemi_layout layout = {plan->base.spec.batch, node->shape.c, node->shape.h, node->shape.w,
                                JEMI_STEM_BLOCK};
    jemi_bias_gradient(&layout, dy, db);
}
