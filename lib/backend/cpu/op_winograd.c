/*
 * 3x3 convolutions by Winograd's algorithm, in all directions.
 */
#include "backend/cpu/native_conv.h"
#include "base/status.h"
#include "kernels/winograd.h"

typedef struct state {
    jemi_native_fusion fusion;
    jemi_winograd conv; // without pointers
} state;

static const char *name_of(const jemi_winograd *conv)
{
    return conv->stride == 1 ? "own Winograd F(4x4, 3x3)" : "own Winograd F(4x4, 2x2) by phases";
}

static jemi_winograd conv_of(const jemi_node *node, const jemi_layout *from, const jemi_layout *to,
                             bool transposed)
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
        .transposed = transposed,
    };
}

// ---- weights -----------------------------------------------------------------------------------

enum { TRANSPOSED = 1, STRIDE2 = 2 }; // of a packing's variant

static int64_t stride_of(const jemi_packing *packing)
{
    return (packing->variant & STRIDE2) != 0 ? 2 : 1;
}

static size_t packed_bytes(const jemi_packing *packing, const jemi_param *param)
{
    const jemi_native_dims d = jemi_native_dims_of(param);
    return (size_t)jemi_winograd_weights_count(d.in, d.out, stride_of(packing)) * sizeof(float);
}

static void pack(const jemi_packing *packing, const jemi_param *param, void *packed,
                 const float *plain)
{
    const jemi_native_dims d = jemi_native_dims_of(param);
    jemi_winograd_pack(packed, plain, d.out, d.in, stride_of(packing),
                       (packing->variant & TRANSPOSED) != 0);
}

static const jemi_packing_type packing_type = {.bytes = packed_bytes, .pack = pack};

static jem_status take_weights(jemi_compile *c, const jemi_winograd *conv, int32_t param,
                               int32_t *slot)
{
    const jemi_packing packing = {
        .type = &packing_type,
        .param = param,
        .variant = (conv->transposed ? TRANSPOSED : 0) | (conv->stride == 2 ? STRIDE2 : 0),
    };
    return jemi_cpu_program_slot(c->plan->base.program, &packing, slot);
}

// ---- forward and gradient of the source --------------------------------------------------------

static jem_status run(jemi_cpu_plan *plan, jemi_op *op)
{
    jemi_winograd conv = ((const state *)op->private)->conv;
    conv.weights = op->packed;
    conv.then = jemi_native_epilogue(plan, op);
    jemi_winograd_run(&conv, jemi_plan_data(plan, op->reads[JEMI_NATIVE_SRC]),
                      jemi_plan_data(plan, op->writes[JEMI_NATIVE_DST]), jemi_plan_scratch(plan));
    return JEM_OK;
}

static void describe(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    jemi_native_describe(plan, op, JEMI_KERNEL_WINOGRAD,
                         name_of(&((const state *)op->private)->conv), words);
}

static const jemi_op_type product = {
    .name = "convolution", .run = run, .describe = describe, .contracts = true, .fuses = true};

static jem_status append(jemi_compile *c, const jemi_native_step *step, jemi_op **op)
{
    const jemi_node *node = &c->graph->nodes[step->at.node];
    JEMI_TRY(jemi_compile_op(c, &product, step->at.node, step->at.wants, sizeof(state), op));
    state *s = (*op)->private;
    s->conv = conv_of(node, &step->from, &step->to, step->transposed);
    (*op)->reads[JEMI_NATIVE_SRC] = step->src;
    (*op)->writes[JEMI_NATIVE_DST] = step->dst;
    (*op)->scratch_bytes =
        (size_t)jemi_winograd_workspace(&s->conv, c->plan->base.spec.threads) * sizeof(float);
    return take_weights(c, &s->conv, node->weight, &(*op)->slot);
}

static jem_status forward(jemi_compile *c, int32_t node, int32_t *dst, jemi_conv_fused *fused)
{
    return jemi_native_forward(c, append, JEMI_NATIVE_BLOCK, node, dst, fused);
}

static jem_status transposed(jemi_compile *c, int32_t node, int32_t diff_dst, int32_t *diff_src)
{
    return jemi_native_transposed(c, append, node, diff_dst, diff_src);
}

// ---- gradient of the weights -------------------------------------------------------------------

static jem_status run_weights(jemi_cpu_plan *plan, jemi_op *op)
{
    const jemi_winograd *conv = op->private;
    jemi_winograd_weights_run(conv, jemi_plan_data(plan, op->reads[JEMI_NATIVE_SRC]),
                              jemi_plan_data(plan, op->reads[JEMI_NATIVE_DIFF]),
                              jemi_plan_dparam(plan, jemi_plan_node(plan, op)->weight),
                              jemi_plan_scratch(plan));
    jemi_native_bias_gradient(plan, op);
    return JEM_OK;
}

static void describe_weights(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan;
    words->direction = JEM_STEP_WEIGHTS;
    words->kernel = JEMI_KERNEL_WINOGRAD;
    words->impl = name_of(op->private);
    words->to = op->reads[JEMI_NATIVE_DIFF];
}

static const jemi_op_type weights_type = {
    .name = "convolution", .run = run_weights, .describe = describe_weights, .contracts = true};

static jem_status weights(jemi_compile *c, int32_t index, int32_t diff_dst)
{
    const jemi_native_sides sides = jemi_native_sides_of(c, index, JEMI_NATIVE_BLOCK);
    int32_t src, diff;
    JEMI_TRY(jemi_native_weights_ends(c, index, &sides, diff_dst, &src, &diff));
    jemi_op *op;
    JEMI_TRY(
        jemi_compile_op(c, &weights_type, index, JEMI_WANT_DPARAMS, sizeof(jemi_winograd), &op));
    jemi_winograd *conv = op->private;
    *conv = conv_of(&c->graph->nodes[index], &sides.src, &sides.dst, false);
    op->reads[JEMI_NATIVE_SRC] = src;
    op->reads[JEMI_NATIVE_DIFF] = diff;
    op->scratch_bytes =
        (size_t)jemi_winograd_weights_workspace(conv, c->plan->base.spec.threads) * sizeof(float);
    return JEM_OK;
}

// ---- the row -----------------------------------------------------------------------------------

// nChw16c has no padding for these channels.
static bool whole_blocks(int64_t channels)
{
    return channels % JEMI_NATIVE_BLOCK == 0;
}

static bool fits(const jemi_conv *conv)
{
    const jemi_node *node = conv->node;
    return conv->precision != JEM_PRECISION_F32_STRICT && node->kind == JEMI_NODE_CONV &&
           node->kernel == 3 && node->stride <= 2 && node->pad == 1 && whole_blocks(conv->in.c) &&
           whole_blocks(node->shape.c) && node->shape.h >= 4 && node->shape.w >= 4;
}

// With stride 2 a few tiles do not repay the reading of four times the weights: of one row direct
// summation takes .5 to .9 of the time (128 to 256 channels; Zen 5, one thread).
static bool worthwhile(const jemi_conv *conv)
{
    return !(conv->latency && conv->node->stride == 2);
}

const jemi_conv_impl jemi_conv_winograd = {.kernel = JEMI_KERNEL_WINOGRAD,
                                           .fits = fits,
                                           .worthwhile = worthwhile,
                                           .forward = forward,
                                           .transposed = transposed,
                                           .weights = weights};
