/*
 * Convolutions and linear layers as oneDNN primitives, in three directions.
 *
 * A linear layer is run as a 1x1 convolution over an image whose pixels are the rows: oneDNN's
 * inner product splits long sums by batch and thread count, its 1x1 convolution never does, so a
 * row's bits depend on the row alone.
 *
 * oneDNN chooses the memory orders. Where its choice would be a reference implementation, or an
 * order that our kernels do not know, the plain orders are tried too.
 */
#include <string.h>

#include "backend/onednn/choose.h"
#include "backend/onednn/compile.h"
#include "backend/onednn/packed.h"
#include "base/status.h"

typedef struct geometry {
    int64_t src[4], weights[4], bias[1], dst[4];
    bool linear;         // the pixels are rows
    jemi_layout in, out; // canonical, as other nodes see the values
} geometry;

// A primitive descriptor with the layouts that it settled on.
typedef struct chosen {
    dnnl_primitive_desc_t pd;
    jemi_md src, weights, dst; // or their gradients
    jemi_layout src_layout, dst_layout;
} chosen;

static geometry geometry_of(const jemi_compile *c, int32_t index)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_shape in = c->graph->nodes[node->input[0]].shape;
    const jemi_shape out = node->shape;
    const int64_t n = c->plan->base.spec.batch;
    const int64_t k = node->kernel;
    const int64_t features = jemi_shape_size(in);
    geometry g = {
        .src = {n, in.c, in.h, in.w},
        .weights = {out.c, in.c, k, k},
        .bias = {out.c},
        .dst = {n, out.c, out.h, out.w},
        .linear = node->kind == JEMI_NODE_LINEAR,
        .in = {n, in.c, in.h, in.w, 1},
        .out = {n, out.c, out.h, out.w, 1},
    };
    if (g.linear) {
        memcpy(g.src, (const int64_t[]){1, features, n, 1}, sizeof g.src);
        memcpy(g.weights, (const int64_t[]){out.c, features, 1, 1}, sizeof g.weights);
        memcpy(g.dst, (const int64_t[]){1, out.c, n, 1}, sizeof g.dst);
    }
    return g;
}

static dnnl_status_t desc_init(jemi_conv_desc *desc, const geometry *g, jemi_md_order order)
{
    const jemi_md_order images = g->linear ? JEMI_MD_PIXELS : order;
    dnnl_status_t status = jemi_md_init(&desc->src, 4, g->src, images);
    if (status == dnnl_success)
        status = jemi_md_init(&desc->weights, 4, g->weights, JEMI_MD_ANY);
    if (status == dnnl_success)
        status = jemi_md_init(&desc->bias, 1, g->bias, JEMI_MD_PLAIN);
    if (status == dnnl_success)
        status = jemi_md_init(&desc->dst, 4, g->dst, images);
    return status;
}

static void chosen_fini(chosen *ch)
{
    if (ch->pd != NULL)
        dnnl_primitive_desc_destroy(ch->pd);
    jemi_md_fini(&ch->src);
    jemi_md_fini(&ch->weights);
    jemi_md_fini(&ch->dst);
    memset(ch, 0, sizeof *ch);
}

static bool is_reference(const chosen *ch)
{
    return strncmp(jemi_pd_impl(ch->pd), "ref", 3) == 0;
}

static dnnl_status_t query(chosen *ch, jemi_conv_direction direction)
{
    const jemi_pd_md src = direction == JEMI_CONV_DATA ? JEMI_PD_DIFF_SRC : JEMI_PD_SRC;
    const jemi_pd_md weights =
        direction == JEMI_CONV_WEIGHTS ? JEMI_PD_DIFF_WEIGHTS : JEMI_PD_WEIGHTS;
    const bool backward = direction == JEMI_CONV_DATA || direction == JEMI_CONV_WEIGHTS;
    dnnl_status_t status = jemi_pd_query(ch->pd, src, &ch->src);
    if (status == dnnl_success)
        status = jemi_pd_query(ch->pd, weights, &ch->weights);
    if (status == dnnl_success)
        status = jemi_pd_query(ch->pd, backward ? JEMI_PD_DIFF_DST : JEMI_PD_DST, &ch->dst);
    return status;
}

static bool read_layouts(chosen *ch, const geometry *g)
{
    ch->src_layout = g->in;
    ch->dst_layout = g->out;
    return g->linear ||
           (jemi_md_layout(&ch->src, &ch->src_layout) && jemi_md_layout(&ch->dst, &ch->dst_layout));
}

static dnnl_status_t try_order(chosen *ch, jemi_compile *c, jemi_conv_desc *desc, const geometry *g,
                               jemi_md_order order)
{
    dnnl_status_t status = desc_init(desc, g, order);
    if (status == dnnl_success)
        status = jemi_dnnl_conv_create(&ch->pd, desc, c->plan->engine);
    if (status == dnnl_success)
        status = query(ch, desc->direction);
    if (status == dnnl_success && !read_layouts(ch, g))
        status = dnnl_unimplemented;
    if (status != dnnl_success)
        chosen_fini(ch);
    jemi_conv_desc_fini(desc);
    return status;
}

// The first order with a fast implementation; otherwise the first that works at all.
static dnnl_status_t choose(chosen *ch, jemi_compile *c, jemi_conv_desc *desc, const geometry *g)
{
    static const jemi_md_order orders[] = {JEMI_MD_ANY, JEMI_MD_PIXELS, JEMI_MD_PLAIN};
    dnnl_status_t first_status = dnnl_unimplemented;
    for (int i = 0; i < 3; i++) {
        const dnnl_status_t status = try_order(ch, c, desc, g, orders[i]);
        if (i == 0)
            first_status = status;
        if (status == dnnl_success && !is_reference(ch))
            return dnnl_success;
        chosen_fini(ch);
        if (status == dnnl_out_of_memory)
            return status;
    }
    return first_status == dnnl_success ? try_order(ch, c, desc, g, JEMI_MD_ANY) : first_status;
}

static jemi_conv_desc desc_of(const jemi_compile *c, int32_t index, jemi_conv_direction direction)
{
    const jemi_node *node = &c->graph->nodes[index];
    const bool linear = node->kind == JEMI_NODE_LINEAR;
    return (jemi_conv_desc){
        .direction = direction,
        .stride = linear ? 1 : node->stride,
        .pad = linear ? 0 : node->pad,
        .hint = c->hints[index],
    };
}

static jem_status weight_arg(jemi_compile *c, int name, int32_t param, const geometry *g,
                             const jemi_md *packed)
{
    const bool bias = name == DNNL_ARG_BIAS;
    jemi_md plain = {0};
    jemi_arg arg = {.source = JEMI_ARG_WEIGHT};
    jem_status status = jemi_dnnl_check(
        jemi_md_init(&plain, bias ? 1 : 4, bias ? g->bias : g->weights, JEMI_MD_PLAIN), "weights");
    if (status == JEM_OK)
        status = jemi_dnnl_program_slot(c->plan->base.program, param, &plain,
                                        bias ? &plain : packed, &arg.index);
    jemi_md_fini(&plain);
    return status == JEM_OK ? jemi_compile_arg(c, name, NULL, arg) : status;
}

static jem_status tensor_arg(jemi_compile *c, int name, const jemi_md *md, int32_t tensor)
{
    return jemi_compile_arg(c, name, md, (jemi_arg){.source = JEMI_ARG_TENSOR, .index = tensor});
}

static jem_status scratchpad_arg(jemi_compile *c, const_dnnl_primitive_desc_t pd)
{
    jemi_md md = {0};
    jem_status status =
        jemi_dnnl_check(jemi_pd_query(pd, JEMI_PD_SCRATCHPAD, &md), "size of a scratchpad");
    if (status == JEM_OK && jemi_md_bytes(&md) > 0)
        status = jemi_compile_arg(c, DNNL_ARG_SCRATCHPAD, &md,
                                  (jemi_arg){.source = JEMI_ARG_SCRATCHPAD});
    jemi_md_fini(&md);
    return status;
}

// Appends the step of a primitive; its arguments follow.
static jem_status primitive_op(jemi_compile *c, const char *what, int32_t node, uint32_t wants,
                               const_dnnl_primitive_desc_t pd)
{
    jemi_op *op = jemi_compile_op(c, JEMI_OP_PRIMITIVE, node, wants);
    if (op == NULL)
        return jemi_fail_memory("plan");
    op->what = what;
    op->impl = jemi_pd_impl(pd);
    JEMI_TRY(jemi_dnnl_check(dnnl_primitive_create(&op->primitive, pd), what));
    // The name belongs to a descriptor: take it from the primitive's own, which lives on.
    const_dnnl_primitive_desc_t own;
    if (dnnl_primitive_get_primitive_desc(op->primitive, &own) == dnnl_success)
        op->impl = jemi_pd_impl(own);
    return scratchpad_arg(c, pd);
}

static int32_t kernel_of(const jemi_compile *c, int32_t node, jemi_conv_direction direction)
{
    return jemi_choose(c->graph, node, direction, c->plan->base.spec.precision,
                       c->plan->base.program->kernel);
}

// The backward directions want a forward descriptor even where the forward pass took another way.
static jem_status need_hint(jemi_compile *c, int32_t node, const geometry *g)
{
    if (c->hints[node] != NULL)
        return JEM_OK;
    chosen ch = {0};
    jemi_conv_desc desc = desc_of(c, node, JEMI_CONV_FORWARD);
    JEMI_TRY(jemi_dnnl_check(choose(&ch, c, &desc, g), "convolution"));
    c->hints[node] = ch.pd;
    ch.pd = NULL;
    chosen_fini(&ch);
    return JEM_OK;
}

// ---- forward -----------------------------------------------------------------------------------

// With as many of the absorbed operations as have a fast implementation.
static dnnl_status_t choose_fused(chosen *ch, jemi_compile *c, int32_t index, const geometry *g,
                                  jemi_conv_fused *fused)
{
    const jemi_lowered *low = &c->lowered[index];
    jemi_conv_desc desc = desc_of(c, index, JEMI_CONV_FORWARD);
    desc.sum = low->add >= 0;
    desc.lrelu = low->act >= 0;
    desc.slope = desc.lrelu ? c->graph->nodes[low->act].slope : 0.0f;
    for (;;) {
        const dnnl_status_t status = choose(ch, c, &desc, g);
        *fused = (jemi_conv_fused){desc.sum, desc.lrelu};
        const bool good = status == dnnl_success && !is_reference(ch);
        if (good || (!desc.lrelu && !desc.sum) || status == dnnl_out_of_memory)
            return status;
        chosen_fini(ch);
        if (desc.lrelu)
            desc.lrelu = false;
        else
            desc.sum = false;
    }
}

static jem_status forward_with(jemi_compile *c, int32_t index, const geometry *g, const chosen *ch,
                               jemi_conv_fused fused, int32_t *dst)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_lowered *low = &c->lowered[index];
    int32_t src = c->values[node->input[0]];
    JEMI_TRY(jemi_compile_convert(c, &src, &ch->src_layout, index, 0));
    if (fused.add) {
        *dst = c->values[low->addend];
        JEMI_TRY(jemi_compile_convert(c, dst, &ch->dst_layout, index, 0));
    } else {
        JEMI_TRY(jemi_compile_tensor(c, &ch->dst_layout, 0, dst));
    }
    JEMI_TRY(primitive_op(c, g->linear ? "linear" : "convolution", index, 0, ch->pd));
    jemi_op *op = &c->plan->ops[c->plan->n_ops - 1];
    op->src = src;
    op->dst = *dst;
    op->fused_sum = fused.add;
    op->fused_act = fused.act;
    JEMI_TRY(tensor_arg(c, DNNL_ARG_SRC, &ch->src, src));
    JEMI_TRY(weight_arg(c, DNNL_ARG_WEIGHTS, node->weight, g, &ch->weights));
    JEMI_TRY(weight_arg(c, DNNL_ARG_BIAS, node->bias, g, NULL));
    return tensor_arg(c, DNNL_ARG_DST, &ch->dst, *dst);
}

jem_status jemi_compile_conv_forward(jemi_compile *c, int32_t node, int32_t *dst,
                                     jemi_conv_fused *fused)
{
    const int32_t kernel = kernel_of(c, node, JEMI_CONV_FORWARD);
    if (kernel != JEM_KERNEL_ONEDNN)
        return jemi_compile_own_forward(c, kernel, node, dst, fused);
    const geometry g = geometry_of(c, node);
    chosen ch = {0};
    jem_status status = jemi_dnnl_check(choose_fused(&ch, c, node, &g, fused), "convolution");
    if (status == JEM_OK)
        status = forward_with(c, node, &g, &ch, *fused, dst);
    c->hints[node] = ch.pd; // kept for the backward directions
    ch.pd = NULL;
    chosen_fini(&ch);
    return status;
}

// ---- backward data -----------------------------------------------------------------------------

static jem_status data_with(jemi_compile *c, int32_t index, const geometry *g, const chosen *ch,
                            int32_t diff_dst, int32_t *diff_src)
{
    const jemi_node *node = &c->graph->nodes[index];
    const uint32_t wants = c->lowered[node->input[0]].wants;
    JEMI_TRY(jemi_compile_convert(c, &diff_dst, &ch->dst_layout, index, wants));
    JEMI_TRY(jemi_compile_tensor(c, &ch->src_layout, 0, diff_src));
    JEMI_TRY(primitive_op(c, g->linear ? "linear backward data" : "convolution backward data",
                          index, wants, ch->pd));
    jemi_op *op = &c->plan->ops[c->plan->n_ops - 1];
    op->src = diff_dst;
    op->dst = *diff_src;
    JEMI_TRY(tensor_arg(c, DNNL_ARG_DIFF_DST, &ch->dst, diff_dst));
    JEMI_TRY(weight_arg(c, DNNL_ARG_WEIGHTS, node->weight, g, &ch->weights));
    return tensor_arg(c, DNNL_ARG_DIFF_SRC, &ch->src, *diff_src);
}

jem_status jemi_compile_conv_data(jemi_compile *c, int32_t node, int32_t diff_dst,
                                  int32_t *diff_src)
{
    const int32_t kernel = kernel_of(c, node, JEMI_CONV_DATA);
    if (kernel != JEM_KERNEL_ONEDNN)
        return jemi_compile_own_data(c, kernel, node, diff_dst, diff_src);
    const geometry g = geometry_of(c, node);
    JEMI_TRY(need_hint(c, node, &g));
    chosen ch = {0};
    jemi_conv_desc desc = desc_of(c, node, JEMI_CONV_DATA);
    jem_status status =
        jemi_dnnl_check(choose(&ch, c, &desc, &g), "gradient of a convolution's input");
    if (status == JEM_OK)
        status = data_with(c, node, &g, &ch, diff_dst, diff_src);
    chosen_fini(&ch);
    return status;
}

// ---- backward weights --------------------------------------------------------------------------

static jemi_arg dparam(const jemi_compile *c, int32_t param)
{
    return (jemi_arg){.source = JEMI_ARG_DPARAM, .offset = c->graph->params[param].offset};
}

static jem_status unpack_with(jemi_compile *c, int32_t index, const chosen *ch, int32_t packed,
                              const jemi_md *plain, const_dnnl_primitive_desc_t pd)
{
    const jemi_node *node = &c->graph->nodes[index];
    JEMI_TRY(primitive_op(c, "reorder of diff_weights", index, JEMI_WANT_DPARAMS, pd));
    JEMI_TRY(tensor_arg(c, DNNL_ARG_FROM, &ch->weights, packed));
    return jemi_compile_arg(c, DNNL_ARG_TO, plain, dparam(c, node->weight));
}

static jem_status unpack(jemi_compile *c, int32_t index, const chosen *ch, int32_t packed,
                         const jemi_md *plain)
{
    dnnl_primitive_desc_t pd;
    JEMI_TRY(jemi_dnnl_check(jemi_dnnl_reorder_create(&pd, &ch->weights, plain, c->plan->engine),
                             "reorder of diff_weights"));
    const jem_status status = unpack_with(c, index, ch, packed, plain, pd);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

static jem_status weights_with(jemi_compile *c, int32_t index, const geometry *g, const chosen *ch,
                               int32_t diff_dst, const jemi_md *plain, const jemi_md *bias)
{
    const jemi_node *node = &c->graph->nodes[index];
    const bool direct = jemi_md_equal(plain, &ch->weights);
    int32_t src = c->values[node->input[0]];
    JEMI_TRY(jemi_compile_convert(c, &src, &ch->src_layout, index, JEMI_WANT_DPARAMS));
    JEMI_TRY(jemi_compile_convert(c, &diff_dst, &ch->dst_layout, index, JEMI_WANT_DPARAMS));
    int32_t packed = -1;
    if (!direct)
        JEMI_TRY(jemi_compile_tensor(c, NULL, jemi_md_bytes(&ch->weights), &packed));
    JEMI_TRY(primitive_op(c, g->linear ? "linear backward weights" : "convolution backward weights",
                          index, JEMI_WANT_DPARAMS, ch->pd));
    jemi_op *op = &c->plan->ops[c->plan->n_ops - 1];
    op->src = src;
    op->dst = diff_dst;
    JEMI_TRY(tensor_arg(c, DNNL_ARG_SRC, &ch->src, src));
    JEMI_TRY(tensor_arg(c, DNNL_ARG_DIFF_DST, &ch->dst, diff_dst));
    JEMI_TRY(jemi_compile_arg(c, DNNL_ARG_DIFF_BIAS, bias, dparam(c, node->bias)));
    if (direct)
        return jemi_compile_arg(c, DNNL_ARG_DIFF_WEIGHTS, plain, dparam(c, node->weight));
    JEMI_TRY(tensor_arg(c, DNNL_ARG_DIFF_WEIGHTS, &ch->weights, packed));
    return unpack(c, index, ch, packed, plain);
}

jem_status jemi_compile_conv_weights(jemi_compile *c, int32_t node, int32_t diff_dst)
{
    const int32_t kernel = kernel_of(c, node, JEMI_CONV_WEIGHTS);
    if (kernel != JEM_KERNEL_ONEDNN)
        return jemi_compile_own_weights(c, kernel, node, diff_dst);
    const geometry g = geometry_of(c, node);
    JEMI_TRY(need_hint(c, node, &g));
    chosen ch = {0};
    jemi_md plain = {0};
    jemi_md bias = {0};
    jemi_conv_desc desc = desc_of(c, node, JEMI_CONV_WEIGHTS);
    dnnl_status_t made = choose(&ch, c, &desc, &g);
    if (made == dnnl_success)
        made = jemi_md_init(&plain, 4, g.weights, JEMI_MD_PLAIN);
    if (made == dnnl_success)
        made = jemi_md_init(&bias, 1, g.bias, JEMI_MD_PLAIN);
    jem_status status = jemi_dnnl_check(made, "gradient of a convolution's weights");
    if (status == JEM_OK)
        status = weights_with(c, node, &g, &ch, diff_dst, &plain, &bias);
    jemi_md_fini(&plain);
    jemi_md_fini(&bias);
    chosen_fini(&ch);
    return status;
}
