/*
 * Convolutions of images of one to four channels, in canonical order, in all directions.
 */
#include "backend/cpu/native_conv.h"
#include "base/status.h"
#include "kernels/direct_weights.h"
#include "kernels/stem.h"

static const char impl[] = "own, first layer";

typedef struct state {
    jemi_native_fusion fusion;
    jemi_stem stem;
} state;

static jemi_stem stem_of(const jemi_node *node, const jemi_native_sides *sides)
{
    return (jemi_stem){sides->dst,   sides->src.c, sides->src.h, sides->src.w,
                       node->kernel, node->stride, node->pad};
}

// ---- weights -----------------------------------------------------------------------------------

static size_t packed_bytes(const jemi_packing *packing, const jemi_param *param)
{
    (void)packing;
    const jemi_native_dims d = jemi_native_dims_of(param);
    return (size_t)jemi_stem_weights_count(d.out, d.in, d.kernel) * sizeof(float);
}

static void pack(const jemi_packing *packing, const jemi_param *param, void *packed,
                 const float *plain)
{
    (void)packing;
    const jemi_native_dims d = jemi_native_dims_of(param);
    jemi_stem_pack(packed, plain, d.out, d.in, d.kernel);
}

static const jemi_packing_type packing_type = {.bytes = packed_bytes, .pack = pack};

// Both directions read the same copy.
static jem_status take_weights(jemi_compile *c, int32_t node, int32_t *slot)
{
    const jemi_packing packing = {.type = &packing_type, .param = c->graph->nodes[node].weight};
    return jemi_cpu_program_slot(c->plan->base.program, &packing, slot);
}

// ---- forward -----------------------------------------------------------------------------------

static jem_status run_forward(jemi_cpu_plan *plan, jemi_op *op)
{
    const state *s = op->private;
    const jemi_epilogue then = jemi_native_epilogue(plan, op);
    jemi_stem_forward(jemi_plan_data(plan, op->writes[JEMI_NATIVE_DST]),
                      jemi_plan_data(plan, op->reads[JEMI_NATIVE_SRC]), op->packed, &s->stem,
                      &then);
    return JEM_OK;
}

static void describe_forward(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    jemi_native_describe(plan, op, JEMI_KERNEL_STEM, impl, words);
}

static const jemi_op_type forward_type = {
    .name = "convolution", .run = run_forward, .describe = describe_forward, .contracts = true};

static jem_status append(jemi_compile *c, const jemi_native_step *step, jemi_op **op)
{
    const jemi_native_sides sides = {step->from, step->to};
    JEMI_TRY(jemi_compile_op(c, &forward_type, step->at.node, 0, sizeof(state), op));
    state *s = (*op)->private;
    s->stem = stem_of(&c->graph->nodes[step->at.node], &sides);
    (*op)->reads[JEMI_NATIVE_SRC] = step->src;
    (*op)->writes[JEMI_NATIVE_DST] = step->dst;
    return take_weights(c, step->at.node, &(*op)->slot);
}

static jem_status forward(jemi_compile *c, int32_t node, int32_t *dst, jemi_conv_fused *fused)
{
    return jemi_native_forward(c, append, 1, node, dst, fused);
}

// ---- gradient of the image ---------------------------------------------------------------------

static jem_status run_transposed(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_stem_transposed(jemi_plan_data(plan, op->writes[0]), jemi_plan_data(plan, op->reads[0]),
                         op->packed, op->private);
    return JEM_OK;
}

static void describe_transposed(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan, (void)op;
    words->kernel = JEMI_KERNEL_STEM;
    words->impl = impl;
}

static const jemi_op_type transposed_type = {.name = "convolution",
                                             .run = run_transposed,
                                             .describe = describe_transposed,
                                             .contracts = true};

static jem_status transposed(jemi_compile *c, int32_t index, int32_t diff_dst, int32_t *diff_src)
{
    const jemi_node *node = &c->graph->nodes[index];
    const uint32_t wants = c->lowered[node->input[0]].wants;
    const jemi_native_sides sides = jemi_native_sides_of(c, index, 1);
    JEMI_TRY(jemi_op_convert(c, &diff_dst, &sides.dst, index, wants));
    JEMI_TRY(jemi_compile_tensor(c, &sides.src, 0, diff_src));
    jemi_op *op;
    JEMI_TRY(jemi_compile_op(c, &transposed_type, index, wants, sizeof(jemi_stem), &op));
    *(jemi_stem *)op->private = stem_of(node, &sides);
    op->reads[0] = diff_dst;
    op->writes[0] = *diff_src;
    return take_weights(c, index, &op->slot);
}

// ---- gradient of the weights -------------------------------------------------------------------

static jem_status run_weights(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_stem_weights(jemi_plan_dparam(plan, jemi_plan_node(plan, op)->weight),
                      jemi_plan_data(plan, op->reads[JEMI_NATIVE_SRC]),
                      jemi_plan_data(plan, op->reads[JEMI_NATIVE_DIFF]), op->private,
                      jemi_plan_scratch(plan));
    jemi_native_bias_gradient(plan, op);
    return JEM_OK;
}

static void describe_weights(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan;
    words->direction = JEM_STEP_WEIGHTS;
    words->kernel = JEMI_KERNEL_STEM;
    words->impl = impl;
    words->to = op->reads[JEMI_NATIVE_DIFF];
}

static const jemi_op_type weights_type = {
    .name = "convolution", .run = run_weights, .describe = describe_weights, .contracts = true};

static jem_status weights(jemi_compile *c, int32_t index, int32_t diff_dst)
{
    const jemi_native_sides sides = jemi_native_sides_of(c, index, 1);
    int32_t src, diff;
    JEMI_TRY(jemi_native_weights_ends(c, index, &sides, diff_dst, &src, &diff));
    jemi_op *op;
    JEMI_TRY(jemi_compile_op(c, &weights_type, index, JEMI_WANT_DPARAMS, sizeof(jemi_stem), &op));
    jemi_stem *stem = op->private;
    *stem = stem_of(&c->graph->nodes[index], &sides);
    op->reads[JEMI_NATIVE_SRC] = src;
    op->reads[JEMI_NATIVE_DIFF] = diff;
    op->scratch_bytes = (size_t)jemi_stem_weights_workspace(stem) * sizeof(float);
    return JEM_OK;
}

// ---- the row -----------------------------------------------------------------------------------

static bool fits(const jemi_conv *conv)
{
    const jemi_node *node = conv->node;
    const bool limits = conv->direction == JEMI_CONV_TRANSPOSED ? node->stride == 1
                                                                : node->kernel <= JEMI_STEM_KERNEL;
    return node->kind == JEMI_NODE_CONV && conv->in.c <= JEMI_STEM_CHANNELS && limits;
}

// In f32-strict a provider's direct convolution goes before ours, but for the gradient of an image:
// oneDNN has none that is fast.
static bool worthwhile(const jemi_conv *conv)
{
    return conv->precision != JEM_PRECISION_F32_STRICT || conv->direction == JEMI_CONV_TRANSPOSED;
}

const jemi_conv_impl jemi_conv_stem = {
    .kernel = JEMI_KERNEL_STEM,
    .fits = fits,
    .worthwhile = worthwhile,
    .forward = forward,
    .transposed = transposed,
    .weights = weights,
};
