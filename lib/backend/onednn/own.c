/*
 * Convolutions and linear layers as steps of our own kernels, forward and backward data.
 *
 * Their layout is nChw16c; a linear layer is a 1x1 convolution of single pixels. The forward step
 * takes along what the convolution absorbed; the backward step, the derivative and the sum that
 * follow it, when these turn out to be next.
 */
#include "backend/onednn/own.h"
#include "backend/onednn/packed.h"
#include "base/status.h"

jemi_sides jemi_own_sides(const jemi_compile *c, int32_t kernel, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_shape in = c->graph->nodes[node->input[0]].shape;
    const int64_t n = c->plan->base.spec.batch;
    const bool linear = node->kind == JEMI_NODE_LINEAR;
    return (jemi_sides){
        .src = linear ? (jemi_layout){n, jemi_shape_size(in), 1, 1, JEMI_STEM_BLOCK}
                      : (jemi_layout){n, in.c, in.h, in.w,
                                      kernel == JEM_KERNEL_STEM ? 1 : JEMI_STEM_BLOCK},
        .dst = {n, node->shape.c, node->shape.h, node->shape.w, JEMI_STEM_BLOCK},
    };
}

// A linear layer over images reads them as (n, C * H * W): in canonical order, then as features.
static jem_status to_features(jemi_compile *c, int32_t *tensor, const jemi_layout *features,
                              int32_t node, uint32_t wants)
{
    jemi_layout canonical = c->plan->tensors[*tensor].layout;
    if (canonical.h * canonical.w == 1)
        return jemi_compile_convert(c, tensor, features, node, wants);
    canonical.block = 1;
    JEMI_TRY(jemi_compile_convert(c, tensor, &canonical, node, wants));
    return jemi_layout_is_canonical(features)
               ? JEM_OK
               : jemi_compile_copy(c, JEMI_OP_LOAD, tensor, features, node, wants);
}

// The node's input as a kernel of ours wants it.
jem_status jemi_own_source(jemi_compile *c, int32_t index, const jemi_layout *layout,
                           uint32_t wants, int32_t *tensor)
{
    const jemi_node *node = &c->graph->nodes[index];
    *tensor = c->values[node->input[0]];
    return node->kind == JEMI_NODE_LINEAR ? to_features(c, tensor, layout, index, wants)
                                          : jemi_compile_convert(c, tensor, layout, index, wants);
}

static jemi_packing packing_of(int32_t kernel, const jemi_node *node, bool backward)
{
    if (kernel == JEM_KERNEL_STEM)
        return JEMI_PACK_STEM;
    if (kernel == JEM_KERNEL_DIRECT_BF16)
        return backward ? JEMI_PACK_DIRECT_BF16_BACKWARD : JEMI_PACK_DIRECT_BF16;
    if (kernel == JEM_KERNEL_DIRECT)
        return backward ? JEMI_PACK_DIRECT_BACKWARD : JEMI_PACK_DIRECT;
    if (node->stride == 1)
        return backward ? JEMI_PACK_WINOGRAD_BACKWARD : JEMI_PACK_WINOGRAD;
    return backward ? JEMI_PACK_WINOGRAD_STRIDE2_BACKWARD : JEMI_PACK_WINOGRAD_STRIDE2;
}

static jem_status weights_arg(jemi_compile *c, jemi_packing how, int32_t param)
{
    jemi_arg arg = {.source = JEMI_ARG_WEIGHT};
    JEMI_TRY(jemi_dnnl_program_own_slot(c->plan->base.program, how, param, &arg.index));
    return jemi_compile_arg(c, DNNL_ARG_WEIGHTS, NULL, arg);
}

static jem_status bias_arg(jemi_compile *c, int32_t param)
{
    jemi_arg arg = {.source = JEMI_ARG_WEIGHT};
    jemi_md md = {0};
    const int64_t count = c->graph->params[param].count;
    jem_status status = jemi_dnnl_check(jemi_md_init(&md, 1, &count, JEMI_MD_PLAIN), "bias");
    if (status == JEM_OK)
        status = jemi_dnnl_program_slot(c->plan->base.program, param, &md, &md, &arg.index);
    jemi_md_fini(&md);
    return status == JEM_OK ? jemi_compile_arg(c, DNNL_ARG_BIAS, NULL, arg) : status;
}

const char *jemi_own_winograd_name(const jemi_node *node)
{
    return node->stride == 1 ? "own Winograd F(4x4, 3x3)" : "own Winograd F(4x4, 2x2) by phases";
}

jemi_winograd jemi_own_winograd(const jemi_node *node, const jemi_layout *from,
                                const jemi_layout *to, bool backward)
{
    return (jemi_winograd){
        .n = from->n,
        .in = from->c,
        .out = to->c,
        .src_h = from->h,
        .src_w = from->w,
        .dst_h = to->h,
        .dst_w = to->w,
        .stride = node->stride,
        .backward = backward,
    };
}

static jem_status append_winograd(jemi_compile *c, jemi_op *pass, const jemi_layout *from,
                                  const jemi_layout *to, bool backward)
{
    const jemi_node *node = &c->graph->nodes[pass->node];
    pass->kind = JEMI_OP_WINOGRAD;
    pass->impl = jemi_own_winograd_name(node);
    pass->winograd = jemi_own_winograd(node, from, to, backward);
    JEMI_TRY(jemi_compile_pass(c, pass));
    const int64_t floats = jemi_winograd_workspace(&pass->winograd, c->plan->base.spec.threads);
    jemi_compile_scratch(c, (size_t)floats * sizeof(float));
    return JEM_OK;
}

// *tensor becomes a copy of itself in bf16.
static jem_status append_rounding(jemi_compile *c, int32_t *tensor, int32_t node, uint32_t wants)
{
    const jemi_layout layout = c->plan->tensors[*tensor].layout;
    jemi_op pass = {
        .kind = JEMI_OP_BF16, .node = node, .wants = wants, .src = *tensor, .kept = -1, .add = -1};
    JEMI_TRY(jemi_compile_tensor(c, &layout, (size_t)jemi_layout_size(&layout) * sizeof(uint16_t),
                                 &pass.dst));
    *tensor = pass.dst;
    return jemi_compile_pass(c, &pass);
}

static jem_status append_direct(jemi_compile *c, int32_t kernel, jemi_op *pass,
                                const jemi_layout *from, const jemi_layout *to, bool backward)
{
    const bool bf16 = kernel == JEM_KERNEL_DIRECT_BF16;
    if (bf16)
        JEMI_TRY(append_rounding(c, &pass->src, pass->node, pass->wants));
    const jemi_node *node = &c->graph->nodes[pass->node];
    const bool linear = node->kind == JEMI_NODE_LINEAR;
    pass->kind = JEMI_OP_DIRECT;
    pass->impl = bf16 ? "own direct, bf16" : "own direct";
    pass->direct = (jemi_direct){
        .n = from->n,
        .in = from->c,
        .out = to->c,
        .src_h = from->h,
        .src_w = from->w,
        .dst_h = to->h,
        .dst_w = to->w,
        .kernel = linear ? 1 : node->kernel,
        .stride = linear ? 1 : node->stride,
        .pad = linear ? 0 : node->pad,
        .backward = backward,
        .bf16 = bf16,
    };
    return jemi_compile_pass(c, pass);
}

static const char stem_name[] = "own, first layer";

jemi_stem jemi_own_stem(const jemi_node *node, const jemi_layout *image, const jemi_layout *to)
{
    return (jemi_stem){*to, image->c, image->h, image->w, node->kernel, node->stride, node->pad};
}

static jem_status append_stem(jemi_compile *c, jemi_op *pass, const jemi_layout *from,
                              const jemi_layout *to)
{
    pass->kind = JEMI_OP_STEM;
    pass->impl = stem_name;
    pass->stem = jemi_own_stem(&c->graph->nodes[pass->node], from, to);
    return jemi_compile_pass(c, pass);
}

// The step, with its weights.
static jem_status append(jemi_compile *c, int32_t kernel, jemi_op *pass, const jemi_layout *from,
                         const jemi_layout *to, bool backward)
{
    const jemi_node *node = &c->graph->nodes[pass->node];
    JEMI_TRY(kernel == JEM_KERNEL_STEM       ? append_stem(c, pass, from, to)
             : kernel == JEM_KERNEL_WINOGRAD ? append_winograd(c, pass, from, to, backward)
                                             : append_direct(c, kernel, pass, from, to, backward));
    return weights_arg(c, packing_of(kernel, node, backward), node->weight);
}

jem_status jemi_compile_own_forward(jemi_compile *c, int32_t kernel, int32_t index, int32_t *dst,
                                    jemi_conv_fused *fused)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_lowered *low = &c->lowered[index];
    const jemi_sides s = jemi_own_sides(c, kernel, index);
    jemi_op pass = {.node = index, .kept = -1, .add = -1};
    JEMI_TRY(jemi_own_source(c, index, &s.src, 0, &pass.src));
    *fused = (jemi_conv_fused){low->add >= 0, low->act >= 0};
    if (fused->add) {
        *dst = c->values[low->addend];
        JEMI_TRY(jemi_compile_convert(c, dst, &s.dst, index, 0));
        pass.add = *dst;
    } else {
        JEMI_TRY(jemi_compile_tensor(c, &s.dst, 0, dst));
    }
    pass.dst = *dst;
    pass.fused_act = fused->act;
    if (fused->act) {
        pass.activation = jemi_lowered_activation(&c->graph->nodes[low->act]);
        JEMI_TRY(jemi_compile_signs(c, low->act, &s.dst, &pass.kept));
    }
    JEMI_TRY(append(c, kernel, &pass, &s.src, &s.dst, false));
    return bias_arg(c, node->bias);
}

// To the image itself, in canonical order.
static jem_status stem_data(jemi_compile *c, int32_t index, int32_t diff_dst, int32_t *diff_src)
{
    const jemi_node *node = &c->graph->nodes[index];
    const uint32_t wants = c->lowered[node->input[0]].wants;
    const jemi_sides s = jemi_own_sides(c, JEM_KERNEL_STEM, index);
    JEMI_TRY(jemi_compile_convert(c, &diff_dst, &s.dst, index, wants));
    JEMI_TRY(jemi_compile_tensor(c, &s.src, 0, diff_src));
    const jemi_op pass = {
        .kind = JEMI_OP_STEM_BACKWARD,
        .node = index,
        .wants = wants,
        .dst = *diff_src,
        .src = diff_dst,
        .kept = -1,
        .add = -1,
        .impl = stem_name,
        .stem = jemi_own_stem(node, &s.src, &s.dst),
    };
    JEMI_TRY(jemi_compile_pass(c, &pass));
    return weights_arg(c, JEMI_PACK_STEM, node->weight);
}

jem_status jemi_compile_own_data(jemi_compile *c, int32_t kernel, int32_t index, int32_t diff_dst,
                                 int32_t *diff_src)
{
    if (kernel == JEM_KERNEL_STEM)
        return stem_data(c, index, diff_dst, diff_src);
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_sides s = jemi_own_sides(c, kernel, index);
    jemi_op pass = {
        .node = index, .wants = c->lowered[node->input[0]].wants, .kept = -1, .add = -1};
    JEMI_TRY(jemi_compile_convert(c, &diff_dst, &s.dst, index, pass.wants));
    const jemi_shape in = c->graph->nodes[node->input[0]].shape;
    const jemi_layout image = {s.src.n, in.c, in.h, in.w, 1};
    // The features of whole blocks lie in memory as the images they came from.
    const bool flat = node->kind == JEMI_NODE_LINEAR && in.h * in.w > 1;
    const bool as_image = flat && jemi_layout_is_canonical(&s.src);
    JEMI_TRY(jemi_compile_tensor(c, as_image ? &image : &s.src, 0, diff_src));
    pass.src = diff_dst;
    pass.dst = *diff_src;
    JEMI_TRY(append(c, kernel, &pass, &s.dst, &s.src, true));
    return flat && !as_image
               ? jemi_compile_copy(c, JEMI_OP_STORE, diff_src, &image, index, pass.wants)
               : JEM_OK;
}

// ---- fusion ------------------------------------------------------------------------------------

// The last step that wrote a tensor, or -1. A primitive that only reads its `dst` counts as well.
static int32_t last_writer(const jemi_dnnl_plan *plan, int32_t tensor)
{
    int32_t step = plan->n_ops - 1;
    while (step >= 0 && plan->ops[step].dst != tensor)
        step--;
    return step;
}

static bool reads(const jemi_op *op, int32_t tensor)
{
    for (int32_t k = 0; k < op->n_args; k++)
        if (op->args[k].source == JEMI_ARG_TENSOR && op->args[k].index == tensor)
            return true;
    return op->src == tensor || op->kept == tensor || op->add == tensor;
}

static bool read_after(const jemi_dnnl_plan *plan, int32_t tensor, int32_t step)
{
    for (int32_t i = step + 1; i < plan->n_ops; i++)
        if (reads(&plan->ops[i], tensor))
            return true;
    return false;
}

static void live_at(jemi_dnnl_plan *plan, int32_t tensor, int32_t step)
{
    jemi_span *span = &plan->tensors[tensor].span;
    span->first = step < span->first ? step : span->first;
    span->last = step > span->last ? step : span->last;
}

bool jemi_compile_own_absorb(jemi_compile *c, int32_t tensor, jemi_activation activation,
                             int32_t kept, int32_t add)
{
    jemi_dnnl_plan *plan = c->plan;
    const int32_t step = last_writer(plan, tensor);
    const bool own = step >= 0 && (plan->ops[step].kind == JEMI_OP_WINOGRAD ||
                                   plan->ops[step].kind == JEMI_OP_DIRECT);
    if (!own || read_after(plan, tensor, step))
        return false;
    jemi_op *op = &plan->ops[step];
    if (op->kept >= 0 || op->add >= 0 || activation.curve != JEMI_CURVE_LRELU ||
        (add >= 0 && last_writer(plan, add) >= step))
        return false;
    op->activation = activation;
    op->kept = kept;
    op->add = add;
    live_at(plan, kept, step);
    if (add >= 0)
        live_at(plan, add, step);
    return true;
}

static jem_status pointer_of(const jemi_op *op, int32_t arg, const float **pointer)
{
    void *data = NULL;
    if (arg < op->n_args)
        JEMI_TRY(jemi_dnnl_check(dnnl_memory_get_data_handle(op->exec[arg].memory, &data),
                                 "weights of a convolution"));
    *pointer = data;
    return JEM_OK;
}

jem_status jemi_dnnl_run_own(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    const jemi_tensor *tensors = plan->tensors;
    jemi_epilogue then = {
        .channels = tensors[op->dst].layout.c,
        .add = op->add >= 0 ? tensors[op->add].data : NULL,
        .act = op->fused_act,
        .slope = op->activation.slope,
    };
    if (!op->fused_act)
        then.mask = jemi_dnnl_kept(plan, op->kept);
    else if (op->kept >= 0)
        then.signs = (uint16_t *)tensors[op->kept].data;
    const float *weights;
    JEMI_TRY(pointer_of(op, 0, &weights));
    JEMI_TRY(pointer_of(op, 1, &then.bias));
    if (op->kind == JEMI_OP_STEM) {
        jemi_stem_forward(tensors[op->dst].data, tensors[op->src].data, weights, &op->stem, &then);
    } else if (op->kind == JEMI_OP_WINOGRAD) {
        jemi_winograd conv = op->winograd;
        conv.weights = weights;
        conv.then = then;
        jemi_winograd_run(&conv, tensors[op->src].data, tensors[op->dst].data,
                          plan->arena + plan->scratchpad.offset / sizeof(float));
    } else {
        jemi_direct conv = op->direct;
        conv.weights = weights;
        conv.then = then;
        jemi_direct_run(&conv, tensors[op->src].data, tensors[op->dst].data);
    }
    return JEM_OK;
}
