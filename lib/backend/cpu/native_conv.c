/*
 * How a convolution of ours finds its source, its destination and what it takes along.
 */
#include "backend/cpu/native_conv.h"

#include "base/status.h"
#include "kernels/direct_weights.h"

jemi_native_sides jemi_native_sides_of(const jemi_compile *c, int32_t index, int64_t block)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_shape in = c->graph->nodes[node->input[0]].shape;
    const int64_t n = c->plan->base.spec.batch;
    const bool linear = node->kind == JEMI_NODE_LINEAR;
    return (jemi_native_sides){
        .src = linear ? (jemi_layout){n, jemi_shape_size(in), 1, 1, JEMI_NATIVE_BLOCK}
                      : (jemi_layout){n, in.c, in.h, in.w, block},
        .dst = {n, node->shape.c, node->shape.h, node->shape.w, JEMI_NATIVE_BLOCK},
    };
}

jemi_native_geometry jemi_native_geometry_of(const jemi_node *node)
{
    if (node->kind == JEMI_NODE_LINEAR)
        return (jemi_native_geometry){1, 1, 0};
    return (jemi_native_geometry){node->kernel, node->stride, node->pad};
}

jemi_native_dims jemi_native_dims_of(const jemi_param *param)
{
    return (jemi_native_dims){param->shape[0], param->shape[1],
                              param->rank == 4 ? param->shape[2] : 1};
}

// ---- sources and destinations ------------------------------------------------------------------

// A linear layer over images reads them as (n, C * H * W): in canonical order, then as features.
static jem_status to_features(jemi_compile *c, int32_t *tensor, const jemi_layout *features,
                              int32_t node, uint32_t wants)
{
    jemi_layout canonical = *jemi_plan_layout(c->plan, *tensor);
    if (canonical.h * canonical.w == 1)
        return jemi_op_convert(c, tensor, features, node, wants);
    canonical.block = 1;
    JEMI_TRY(jemi_op_convert(c, tensor, &canonical, node, wants));
    return jemi_layout_is_canonical(features)
               ? JEM_OK
               : jemi_op_copy(c, &jemi_op_load, tensor, features, node, wants);
}

// The node's input as a kernel of ours reads it.
static jem_status source(jemi_compile *c, int32_t index, const jemi_layout *layout, uint32_t wants,
                         int32_t *tensor)
{
    const jemi_node *node = &c->graph->nodes[index];
    *tensor = c->values[node->input[0]];
    return node->kind == JEMI_NODE_LINEAR ? to_features(c, tensor, layout, index, wants)
                                          : jemi_op_convert(c, tensor, layout, index, wants);
}

jem_status jemi_native_forward(jemi_compile *c, jemi_native_append append, int64_t block,
                               int32_t index, int32_t *dst, jemi_conv_fused *fused)
{
    const jemi_lowered *low = &c->lowered[index];
    const jemi_native_sides sides = jemi_native_sides_of(c, index, block);
    jemi_native_step step = {.at = {index, 0}, .from = sides.src, .to = sides.dst};
    int32_t add = -1, signs = -1;
    JEMI_TRY(source(c, index, &step.from, 0, &step.src));
    *fused = (jemi_conv_fused){low->add >= 0, low->act >= 0};
    if (fused->add) {
        *dst = c->values[low->addend];
        JEMI_TRY(jemi_op_convert(c, dst, &step.to, index, 0));
        add = *dst;
    } else {
        JEMI_TRY(jemi_compile_tensor(c, &step.to, 0, dst));
    }
    step.dst = *dst;
    if (fused->act)
        JEMI_TRY(jemi_compile_signs(c, low->act, &step.to, &signs));
    jemi_op *op;
    JEMI_TRY(append(c, &step, &op));
    op->reads[JEMI_NATIVE_ADD] = add;
    op->writes[JEMI_NATIVE_SIGNS] = signs;
    jemi_native_fusion *fusion = op->private;
    fusion->bias = true;
    fusion->act = fused->act;
    fusion->slope = fused->act ? c->graph->nodes[low->act].slope : 0.0f;
    return JEM_OK;
}

jem_status jemi_native_transposed(jemi_compile *c, jemi_native_append append, int32_t index,
                                  int32_t diff_dst, int32_t *diff_src)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_shape in = c->graph->nodes[node->input[0]].shape;
    const jemi_native_sides sides = jemi_native_sides_of(c, index, JEMI_NATIVE_BLOCK);
    const uint32_t wants = c->lowered[node->input[0]].wants;
    const jemi_layout image = {sides.src.n, in.c, in.h, in.w, 1};
    JEMI_TRY(jemi_op_convert(c, &diff_dst, &sides.dst, index, wants));
    // The features of whole blocks lie in memory as the images they came from.
    const bool flat = node->kind == JEMI_NODE_LINEAR && in.h * in.w > 1;
    const bool as_image = flat && jemi_layout_is_canonical(&sides.src);
    JEMI_TRY(jemi_compile_tensor(c, as_image ? &image : &sides.src, 0, diff_src));
    const jemi_native_step step = {
        .at = {index, wants},
        .from = sides.dst,
        .to = sides.src,
        .src = diff_dst,
        .dst = *diff_src,
        .transposed = true,
    };
    jemi_op *op;
    JEMI_TRY(append(c, &step, &op));
    return flat && !as_image ? jemi_op_copy(c, &jemi_op_store, diff_src, &image, index, wants)
                             : JEM_OK;
}

jem_status jemi_native_weights_ends(jemi_compile *c, int32_t index, const jemi_native_sides *sides,
                                    int32_t diff_dst, int32_t *src, int32_t *diff)
{
    JEMI_TRY(source(c, index, &sides->src, JEMI_WANT_DPARAMS, src));
    *diff = diff_dst;
    return jemi_op_convert(c, diff, &sides->dst, index, JEMI_WANT_DPARAMS);
}

void jemi_native_bias_gradient(const jemi_cpu_plan *plan, const jemi_op *op)
{
    const jemi_node *node = jemi_plan_node(plan, op);
    // Not the tensor's own layout: single pixels lie the same in any.
    const jemi_layout layout = {plan->base.spec.batch, node->shape.c, node->shape.h, node->shape.w,
                                JEMI_NATIVE_BLOCK};
    jemi_bias_gradient(&layout, jemi_plan_data(plan, op->reads[JEMI_NATIVE_DIFF]),
                       jemi_plan_dparam(plan, node->bias));
}

// ---- fusion ------------------------------------------------------------------------------------

bool jemi_op_absorb(jemi_compile *c, int32_t tensor, jemi_activation activation, int32_t saved,
                    int32_t add)
{
    const int32_t step = jemi_compile_writer(c, tensor);
    if (step < 0 || jemi_compile_read_after(c, tensor, step))
        return false;
    jemi_op *op = &c->plan->ops[step];
    if (!op->type->fuses || op->reads[JEMI_NATIVE_SAVED] >= 0 || op->reads[JEMI_NATIVE_ADD] >= 0 ||
        activation.curve != JEMI_CURVE_LRELU || (add >= 0 && jemi_compile_writer(c, add) >= step))
        return false;
    jemi_native_fusion *fusion = op->private;
    fusion->slope = activation.slope;
    op->reads[JEMI_NATIVE_SAVED] = saved;
    op->reads[JEMI_NATIVE_ADD] = add;
    return true;
}

jemi_epilogue jemi_native_epilogue(const jemi_cpu_plan *plan, const jemi_op *op)
{
    const jemi_native_fusion *fusion = op->private;
    return (jemi_epilogue){
        .bias = fusion->bias ? jemi_plan_param(plan, jemi_plan_node(plan, op)->bias) : NULL,
        .channels = jemi_plan_layout(plan, op->writes[JEMI_NATIVE_DST])->c,
        .mask = jemi_plan_saved(plan, op->reads[JEMI_NATIVE_SAVED]),
        .add = jemi_plan_data(plan, op->reads[JEMI_NATIVE_ADD]),
        .act = fusion->act,
        .slope = fusion->slope,
        .signs = (uint16_t *)jemi_plan_data(plan, op->writes[JEMI_NATIVE_SIGNS]),
    };
}

void jemi_native_describe(const jemi_cpu_plan *plan, const jemi_op *op, jemi_kernel kernel,
                          const char *impl, jemi_op_words *words)
{
    const jemi_native_fusion *fusion = op->private;
    if (jemi_plan_node(plan, op)->kind == JEMI_NODE_LINEAR)
        words->what = "linear";
    words->kernel = kernel;
    words->impl = impl;
    words->sum = op->reads[JEMI_NATIVE_ADD] >= 0;
    words->lrelu = fusion->act;
    words->derivative = op->reads[JEMI_NATIVE_SAVED] >= 0;
    words->signs = op->writes[JEMI_NATIVE_SIGNS] >= 0;
}
