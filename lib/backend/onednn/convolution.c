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

#include "backend/cpu/ops.h"
#include "backend/onednn/engine.h"
#include "backend/onednn/primitive.h"
#include "base/memory.h"
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
    const jemi_pd_md src = direction == JEMI_CONV_TRANSPOSED ? JEMI_PD_DIFF_SRC : JEMI_PD_SRC;
    const jemi_pd_md weights =
        direction == JEMI_CONV_WEIGHTS ? JEMI_PD_DIFF_WEIGHTS : JEMI_PD_WEIGHTS;
    const bool gradient = direction != JEMI_CONV_FORWARD;
    dnnl_status_t status = jemi_pd_query(ch->pd, src, &ch->src);
    if (status == dnnl_success)
        status = jemi_pd_query(ch->pd, weights, &ch->weights);
    if (status == dnnl_success)
        status = jemi_pd_query(ch->pd, gradient ? JEMI_PD_DIFF_DST : JEMI_PD_DST, &ch->dst);
    return status;
}

static bool read_layouts(chosen *ch, const geometry *g)
{
    ch->src_layout = g->in;
    ch->dst_layout = g->out;
    return g->linear ||
           (jemi_md_layout(&ch->src, &ch->src_layout) && jemi_md_layout(&ch->dst, &ch->dst_layout));
}

static dnnl_status_t try_order(chosen *ch, dnnl_engine_t engine, jemi_conv_desc *desc,
                               const geometry *g, jemi_md_order order)
{
    dnnl_status_t status = desc_init(desc, g, order);
    if (status == dnnl_success)
        status = jemi_dnnl_conv_create(&ch->pd, desc, engine);
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
static dnnl_status_t choose(chosen *ch, dnnl_engine_t engine, jemi_conv_desc *desc,
                            const geometry *g)
{
    static const jemi_md_order orders[] = {JEMI_MD_ANY, JEMI_MD_PIXELS, JEMI_MD_PLAIN};
    dnnl_status_t first_status = dnnl_unimplemented;
    for (int i = 0; i < 3; i++) {
        const dnnl_status_t status = try_order(ch, engine, desc, g, orders[i]);
        if (i == 0)
            first_status = status;
        if (status == dnnl_success && !is_reference(ch))
            return dnnl_success;
        chosen_fini(ch);
        if (status == dnnl_out_of_memory)
            return status;
    }
    return first_status == dnnl_success ? try_order(ch, engine, desc, g, JEMI_MD_ANY)
                                        : first_status;
}

// The forward descriptors of a plan's nodes, which the descriptors of their gradients refer to.
typedef struct hints {
    int32_t count;
    dnnl_primitive_desc_t at[];
} hints;

static void destroy_hints(void *opaque)
{
    hints *h = opaque;
    for (int32_t i = 0; i < h->count; i++)
        if (h->at[i] != NULL)
            dnnl_primitive_desc_destroy(h->at[i]);
    jemi_free(h);
}

static jem_status need_hints(jemi_compile *c)
{
    if (c->provider != NULL)
        return JEM_OK;
    const size_t n_nodes = (size_t)c->graph->n_nodes;
    hints *h = jemi_calloc(1, sizeof *h + n_nodes * sizeof h->at[0]);
    if (h == NULL)
        return jemi_fail_memory("plan");
    h->count = c->graph->n_nodes;
    c->provider = h;
    c->provider_destroy = destroy_hints;
    return JEM_OK;
}

static dnnl_primitive_desc_t *hint_of(const jemi_compile *c, int32_t node)
{
    return &((hints *)c->provider)->at[node];
}

static jemi_conv_desc desc_of(const jemi_compile *c, int32_t index, jemi_conv_direction direction)
{
    const jemi_node *node = &c->graph->nodes[index];
    const bool linear = node->kind == JEMI_NODE_LINEAR;
    return (jemi_conv_desc){
        .direction = direction,
        .stride = linear ? 1 : node->stride,
        .pad = linear ? 0 : node->pad,
        .hint = *hint_of(c, index),
    };
}

// The op's weights, in the flat vector's own order or packed.
static jem_status weights_arg(jemi_compile *c, jemi_op *op, const geometry *g,
                              const jemi_md *packed)
{
    const int32_t param = c->graph->nodes[op->node].weight;
    jemi_md plain = {0};
    jem_status status =
        jemi_dnnl_check(jemi_md_init(&plain, 4, g->weights, JEMI_MD_PLAIN), "weights");
    const bool as_they_are = status == JEM_OK && jemi_md_equal(&plain, packed);
    if (status == JEM_OK && !as_they_are)
        status = jemi_dnnl_packing_slot(c->plan->base.program, param, packed, &op->slot);
    jemi_md_fini(&plain);
    if (status != JEM_OK)
        return status;
    return jemi_dnnl_op_arg(op, DNNL_ARG_WEIGHTS, packed,
                            as_they_are ? JEMI_DNNL_PARAM : JEMI_DNNL_PACKED, param);
}

static jem_status bias_arg(jemi_compile *c, jemi_op *op, const geometry *g)
{
    jemi_md md = {0};
    jem_status status = jemi_dnnl_check(jemi_md_init(&md, 1, g->bias, JEMI_MD_PLAIN), "bias");
    if (status == JEM_OK)
        status = jemi_dnnl_op_arg(op, DNNL_ARG_BIAS, &md, JEMI_DNNL_PARAM,
                                  c->graph->nodes[op->node].bias);
    jemi_md_fini(&md);
    return status;
}

static jem_status tensor_arg(jemi_op *op, int name, const jemi_md *md, int32_t tensor)
{
    return jemi_dnnl_op_arg(op, name, md, JEMI_DNNL_TENSOR, tensor);
}

// The gradients want a forward descriptor even where the forward pass took another way.
static jem_status need_hint(jemi_compile *c, dnnl_engine_t engine, int32_t node, const geometry *g)
{
    JEMI_TRY(need_hints(c));
    if (*hint_of(c, node) != NULL)
        return JEM_OK;
    chosen ch = {0};
    jemi_conv_desc desc = desc_of(c, node, JEMI_CONV_FORWARD);
    JEMI_TRY(jemi_dnnl_check(choose(&ch, engine, &desc, g), "convolution"));
    *hint_of(c, node) = ch.pd;
    ch.pd = NULL;
    chosen_fini(&ch);
    return JEM_OK;
}

// ---- forward -----------------------------------------------------------------------------------

// With as many of the absorbed operations as have a fast implementation.
static dnnl_status_t choose_fused(chosen *ch, jemi_compile *c, dnnl_engine_t engine, int32_t index,
                                  const geometry *g, jemi_conv_fused *fused)
{
    const jemi_lowered *low = &c->lowered[index];
    jemi_conv_desc desc = desc_of(c, index, JEMI_CONV_FORWARD);
    desc.sum = low->add >= 0;
    desc.lrelu = low->act >= 0;
    desc.slope = desc.lrelu ? c->graph->nodes[low->act].slope : 0.0f;
    for (;;) {
        const dnnl_status_t status = choose(ch, engine, &desc, g);
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
    int32_t src = c->values[c->graph->nodes[index].input[0]];
    JEMI_TRY(jemi_op_convert(c, &src, &ch->src_layout, index, 0));
    if (fused.add) {
        *dst = c->values[c->lowered[index].addend];
        JEMI_TRY(jemi_op_convert(c, dst, &ch->dst_layout, index, 0));
    } else {
        JEMI_TRY(jemi_compile_tensor(c, &ch->dst_layout, 0, dst));
    }
    const jemi_dnnl_words words = {
        .what = g->linear ? "linear" : "convolution",
        .direction = JEM_STEP_FORWARD,
        .sum = fused.add,
        .lrelu = fused.act,
        .contracts = true,
    };
    jemi_op *op;
    JEMI_TRY(jemi_dnnl_op(c, words, (jemi_op_place){index, 0}, ch->pd, &op));
    op->reads[0] = src;
    op->reads[1] = fused.add ? *dst : -1;
    op->writes[0] = *dst;
    JEMI_TRY(tensor_arg(op, DNNL_ARG_SRC, &ch->src, src));
    JEMI_TRY(weights_arg(c, op, g, &ch->weights));
    JEMI_TRY(bias_arg(c, op, g));
    return tensor_arg(op, DNNL_ARG_DST, &ch->dst, *dst);
}

static jem_status forward(jemi_compile *c, int32_t node, int32_t *dst, jemi_conv_fused *fused)
{
    const geometry g = geometry_of(c, node);
    dnnl_engine_t engine;
    JEMI_TRY(jemi_dnnl_engine(&engine));
    JEMI_TRY(need_hints(c));
    chosen ch = {0};
    jem_status status =
        jemi_dnnl_check(choose_fused(&ch, c, engine, node, &g, fused), "convolution");
    if (status == JEM_OK)
        status = forward_with(c, node, &g, &ch, *fused, dst);
    *hint_of(c, node) = ch.pd; // for the gradients
    ch.pd = NULL;
    chosen_fini(&ch);
    return status;
}

// ---- gradient of the source --------------------------------------------------------------------

static jem_status transposed_with(jemi_compile *c, int32_t index, const geometry *g,
                                  const chosen *ch, int32_t diff_dst, int32_t *diff_src)
{
    const uint32_t wants = c->lowered[c->graph->nodes[index].input[0]].wants;
    JEMI_TRY(jemi_op_convert(c, &diff_dst, &ch->dst_layout, index, wants));
    JEMI_TRY(jemi_compile_tensor(c, &ch->src_layout, 0, diff_src));
    const jemi_dnnl_words words = {
        .what = g->linear ? "linear" : "convolution",
        .direction = JEM_STEP_TRANSPOSED,
        .contracts = true,
    };
    jemi_op *op;
    JEMI_TRY(jemi_dnnl_op(c, words, (jemi_op_place){index, wants}, ch->pd, &op));
    op->reads[0] = diff_dst;
    op->writes[0] = *diff_src;
    JEMI_TRY(tensor_arg(op, DNNL_ARG_DIFF_DST, &ch->dst, diff_dst));
    JEMI_TRY(weights_arg(c, op, g, &ch->weights));
    return tensor_arg(op, DNNL_ARG_DIFF_SRC, &ch->src, *diff_src);
}

static jem_status transposed(jemi_compile *c, int32_t node, int32_t diff_dst, int32_t *diff_src)
{
    const geometry g = geometry_of(c, node);
    dnnl_engine_t engine;
    JEMI_TRY(jemi_dnnl_engine(&engine));
    JEMI_TRY(need_hint(c, engine, node, &g));
    chosen ch = {0};
    jemi_conv_desc desc = desc_of(c, node, JEMI_CONV_TRANSPOSED);
    jem_status status =
        jemi_dnnl_check(choose(&ch, engine, &desc, &g), "gradient of a convolution's input");
    if (status == JEM_OK)
        status = transposed_with(c, node, &g, &ch, diff_dst, diff_src);
    chosen_fini(&ch);
    return status;
}

// ---- gradients of weights and bias -------------------------------------------------------------

static jem_status unpack_with(jemi_compile *c, int32_t index, const chosen *ch, int32_t packed,
                              const jemi_md *plain, const_dnnl_primitive_desc_t pd)
{
    jemi_op *op;
    const jemi_dnnl_words words = {.what = "reorder", .direction = JEM_STEP_WEIGHTS};
    JEMI_TRY(jemi_dnnl_op(c, words, (jemi_op_place){index, JEMI_WANT_DPARAMS}, pd, &op));
    op->reads[0] = packed;
    JEMI_TRY(tensor_arg(op, DNNL_ARG_FROM, &ch->weights, packed));
    return jemi_dnnl_op_arg(op, DNNL_ARG_TO, plain, JEMI_DNNL_DPARAM,
                            c->graph->nodes[index].weight);
}

static jem_status unpack(jemi_compile *c, int32_t index, const chosen *ch, int32_t packed,
                         const jemi_md *plain)
{
    dnnl_engine_t engine;
    dnnl_primitive_desc_t pd;
    JEMI_TRY(jemi_dnnl_engine(&engine));
    JEMI_TRY(jemi_dnnl_check(jemi_dnnl_reorder_create(&pd, &ch->weights, plain, engine),
                             "reorder of diff_weights"));
    const jem_status status = unpack_with(c, index, ch, packed, plain, pd);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

static jem_status weights_with(jemi_compile *c, int32_t index, const geometry *g, const chosen *ch,
                               int32_t diff_dst, const jemi_md *plain, const jemi_md *bias)
{
    const jemi_node *node = &c->graph->nodes[index];
    const bool as_they_are = jemi_md_equal(plain, &ch->weights);
    int32_t src = c->values[node->input[0]], packed = -1;
    JEMI_TRY(jemi_op_convert(c, &src, &ch->src_layout, index, JEMI_WANT_DPARAMS));
    JEMI_TRY(jemi_op_convert(c, &diff_dst, &ch->dst_layout, index, JEMI_WANT_DPARAMS));
    if (!as_they_are)
        JEMI_TRY(jemi_compile_tensor(c, NULL, jemi_md_bytes(&ch->weights), &packed));
    const jemi_dnnl_words words = {
        .what = g->linear ? "linear" : "convolution",
        .direction = JEM_STEP_WEIGHTS,
        .contracts = true,
    };
    jemi_op *op;
    JEMI_TRY(jemi_dnnl_op(c, words, (jemi_op_place){index, JEMI_WANT_DPARAMS}, ch->pd, &op));
    op->reads[0] = src;
    op->reads[1] = diff_dst;
    op->writes[0] = packed;
    JEMI_TRY(tensor_arg(op, DNNL_ARG_SRC, &ch->src, src));
    JEMI_TRY(tensor_arg(op, DNNL_ARG_DIFF_DST, &ch->dst, diff_dst));
    JEMI_TRY(jemi_dnnl_op_arg(op, DNNL_ARG_DIFF_BIAS, bias, JEMI_DNNL_DPARAM, node->bias));
    if (as_they_are)
        return jemi_dnnl_op_arg(op, DNNL_ARG_DIFF_WEIGHTS, plain, JEMI_DNNL_DPARAM, node->weight);
    JEMI_TRY(tensor_arg(op, DNNL_ARG_DIFF_WEIGHTS, &ch->weights, packed));
    return unpack(c, index, ch, packed, plain);
}

static jem_status weights(jemi_compile *c, int32_t node, int32_t diff_dst)
{
    const geometry g = geometry_of(c, node);
    dnnl_engine_t engine;
    JEMI_TRY(jemi_dnnl_engine(&engine));
    JEMI_TRY(need_hint(c, engine, node, &g));
    chosen ch = {0};
    jemi_md plain = {0};
    jemi_md bias = {0};
    jemi_conv_desc desc = desc_of(c, node, JEMI_CONV_WEIGHTS);
    dnnl_status_t made = choose(&ch, engine, &desc, &g);
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

// ---- the row -----------------------------------------------------------------------------------

const jemi_conv_impl jemi_conv_onednn = {
    .kernel = JEMI_KERNEL_ONEDNN,
    .splits_rows = true,
    .forward = forward,
    .transposed = transposed,
    .weights = weights,
};
