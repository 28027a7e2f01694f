/*
 * Convolutions of any stride and linear layers by direct summation, in all directions; forward and
 * for the gradient of the source also with factors in bfloat16.
 */
#include "backend/cpu/native_conv.h"
#include "base/status.h"
#include "kernels/direct.h"
#include "kernels/direct_weights.h"
#include "kernels/isa.h"

typedef struct state {
    jemi_native_fusion fusion;
    jemi_direct conv; // without pointers
} state;

// ---- weights -----------------------------------------------------------------------------------

enum { TRANSPOSED = 1, BF16 = 2 }; // of a packing's variant

static size_t packed_bytes(const jemi_packing *packing, const jemi_param *param)
{
    const jemi_native_dims d = jemi_native_dims_of(param);
    const size_t size = (packing->variant & BF16) != 0 ? sizeof(uint16_t) : sizeof(float);
    return (size_t)jemi_direct_weights_count(d.in, d.out, d.kernel) * size;
}

static void pack(const jemi_packing *packing, const jemi_param *param, void *packed,
                 const float *plain)
{
    const jemi_native_dims d = jemi_native_dims_of(param);
    const bool transposed = (packing->variant & TRANSPOSED) != 0;
    if ((packing->variant & BF16) != 0)
        jemi_direct_pack_bf16(packed, plain, d.out, d.in, d.kernel, transposed);
    else
        jemi_direct_pack(packed, plain, d.out, d.in, d.kernel, transposed);
}

static const jemi_packing_type packing_type = {.bytes = packed_bytes, .pack = pack};

static jem_status take_weights(jemi_compile *c, const jemi_direct *conv, int32_t param,
                               int32_t *slot)
{
    const jemi_packing packing = {
        .type = &packing_type,
        .param = param,
        .variant = (conv->transposed ? TRANSPOSED : 0) | (conv->bf16 ? BF16 : 0),
    };
    return jemi_cpu_program_slot(c->plan->base.program, &packing, slot);
}

// ---- forward and gradient of the source --------------------------------------------------------

static jem_status run(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_direct conv = ((const state *)op->private)->conv;
    conv.weights = op->packed;
    conv.then = jemi_native_epilogue(plan, op);
    jemi_direct_run(&conv, jemi_plan_data(plan, op->reads[JEMI_NATIVE_SRC]),
                    jemi_plan_data(plan, op->writes[JEMI_NATIVE_DST]));
    return JEM_OK;
}

static void describe(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    if (((const state *)op->private)->conv.bf16)
        jemi_native_describe(plan, op, JEMI_KERNEL_DIRECT_BF16, "own direct, bf16", words);
    else
        jemi_native_describe(plan, op, JEMI_KERNEL_DIRECT, "own direct", words);
}

static const jemi_op_type product = {
    .name = "convolution", .run = run, .describe = describe, .contracts = true, .fuses = true};

static jem_status append(jemi_compile *c, const jemi_native_step *step, bool bf16, jemi_op **op)
{
    const jemi_node *node = &c->graph->nodes[step->at.node];
    const jemi_native_geometry g = jemi_native_geometry_of(node);
    int32_t src = step->src;
    if (bf16)
        JEMI_TRY(jemi_op_round(c, &src, step->at.node, step->at.wants));
    JEMI_TRY(jemi_compile_op(c, &product, step->at.node, step->at.wants, sizeof(state), op));
    state *s = (*op)->private;
    s->conv = (jemi_direct){
        .n = step->from.n,
        .in = step->from.c,
        .out = step->to.c,
        .src_h = step->from.h,
        .src_w = step->from.w,
        .dst_h = step->to.h,
        .dst_w = step->to.w,
        .kernel = g.kernel,
        .stride = g.stride,
        .pad = g.pad,
        .transposed = step->transposed,
        .bf16 = bf16,
    };
    (*op)->reads[JEMI_NATIVE_SRC] = src;
    (*op)->writes[JEMI_NATIVE_DST] = step->dst;
    return take_weights(c, &s->conv, node->weight, &(*op)->slot);
}

static jem_status append_f32(jemi_compile *c, const jemi_native_step *step, jemi_op **op)
{
    return append(c, step, false, op);
}

static jem_status append_bf16(jemi_compile *c, const jemi_native_step *step, jemi_op **op)
{
    return append(c, step, true, op);
}

static jem_status forward_f32(jemi_compile *c, int32_t node, int32_t *dst, jemi_conv_fused *fused)
{
    return jemi_native_forward(c, append_f32, JEMI_NATIVE_BLOCK, node, dst, fused);
}

static jem_status forward_bf16(jemi_compile *c, int32_t node, int32_t *dst, jemi_conv_fused *fused)
{
    return jemi_native_forward(c, append_bf16, JEMI_NATIVE_BLOCK, node, dst, fused);
}

static jem_status transposed_f32(jemi_compile *c, int32_t node, int32_t diff_dst, int32_t *diff_src)
{
    return jemi_native_transposed(c, append_f32, node, diff_dst, diff_src);
}

static jem_status transposed_bf16(jemi_compile *c, int32_t node, int32_t diff_dst,
                                  int32_t *diff_src)
{
    return jemi_native_transposed(c, append_bf16, node, diff_dst, diff_src);
}

// ---- gradient of the weights -------------------------------------------------------------------

static jem_status run_weights(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_direct_weights_run(op->private, jemi_plan_data(plan, op->reads[JEMI_NATIVE_SRC]),
                            jemi_plan_data(plan, op->reads[JEMI_NATIVE_DIFF]),
                            jemi_plan_dparam(plan, jemi_plan_node(plan, op)->weight),
                            jemi_plan_scratch(plan));
    jemi_native_bias_gradient(plan, op);
    return JEM_OK;
}

static void describe_weights(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    if (jemi_plan_node(plan, op)->kind == JEMI_NODE_LINEAR)
        words->what = "linear";
    words->direction = JEM_STEP_WEIGHTS;
    words->kernel = JEMI_KERNEL_DIRECT;
    words->impl = "own direct";
    words->to = op->reads[JEMI_NATIVE_DIFF];
}

static const jemi_op_type weights_type = {
    .name = "convolution", .run = run_weights, .describe = describe_weights, .contracts = true};

static jem_status weights(jemi_compile *c, int32_t index, int32_t diff_dst)
{
    const jemi_native_sides sides = jemi_native_sides_of(c, index, JEMI_NATIVE_BLOCK);
    const jemi_native_geometry g = jemi_native_geometry_of(&c->graph->nodes[index]);
    int32_t src, diff;
    JEMI_TRY(jemi_native_weights_ends(c, index, &sides, diff_dst, &src, &diff));
    jemi_op *op;
    JEMI_TRY(jemi_compile_op(c, &weights_type, index, JEMI_WANT_DPARAMS,
                             sizeof(jemi_direct_weights), &op));
    jemi_direct_weights *conv = op->private;
    *conv = (jemi_direct_weights){sides.src, sides.dst, g.kernel, g.stride, g.pad};
    op->reads[JEMI_NATIVE_SRC] = src;
    op->reads[JEMI_NATIVE_DIFF] = diff;
    op->scratch_bytes = (size_t)jemi_direct_weights_workspace(conv) * sizeof(float);
    return JEM_OK;
}

// ---- the rows ----------------------------------------------------------------------------------

static bool fits_f32(const jemi_conv *conv)
{
    const jemi_node *node = conv->node;
    return (node->kind != JEMI_NODE_CONV || node->kernel <= JEMI_DIRECT_KERNEL_MAX);
}

static bool fits_bf16(const jemi_conv *conv)
{
    return conv->precision == JEM_PRECISION_BF16 && jemi_bf16_available() &&
           conv->direction != JEMI_CONV_WEIGHTS && fits_f32(conv);
}

// Two thirds of a multiplication and of a byte per tap: where Winograd saves less than that.
static bool worthwhile_in_bf16(const jemi_conv *conv)
{
    if (conv->node->kind == JEMI_NODE_LINEAR)
        return jemi_shape_size(conv->in) % JEMI_NATIVE_BLOCK == 0;
    return conv->node->stride > 1 && conv->node->kernel == 3 && conv->in.c % JEMI_NATIVE_BLOCK == 0;
}

// In f32-strict a provider's direct convolution goes before ours, if there is one.
static bool worthwhile_in_f32(const jemi_conv *conv)
{
    return conv->precision != JEM_PRECISION_F32_STRICT;
}

const jemi_conv_impl jemi_conv_direct = {
    .kernel = JEMI_KERNEL_DIRECT,
    .fits = fits_f32,
    .worthwhile = worthwhile_in_f32,
    .forward = forward_f32,
    .transposed = transposed_f32,
    .weights = weights,
};

const jemi_conv_impl jemi_conv_direct_bf16 = {
    .kernel = JEMI_KERNEL_DIRECT_BF16,
    .fits = fits_bf16,
    .worthwhile = worthwhile_in_bf16,
    .forward = forward_bf16,
    .transposed = transposed_bf16,
};
