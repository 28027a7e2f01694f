/*
 * 3x3 convolutions of stride 1 as steps of our own Winograd kernels, forward and backward data.
 *
 * Their layout is nChw16c. The forward step takes along what the convolution absorbed; the backward
 * step, the derivative and the sum that follow it, when these turn out to be next.
 */
#include "backend/onednn/compile.h"
#include "backend/onednn/packed.h"
#include "base/status.h"

enum { BLOCK = 16 };

static jemi_layout blocked(const jemi_compile *c, jemi_shape shape)
{
    return (jemi_layout){c->plan->base.spec.batch, shape.c, shape.h, shape.w, BLOCK};
}

static jem_status weights_arg(jemi_compile *c, int32_t param, bool backward)
{
    jemi_arg arg = {.source = JEMI_ARG_WEIGHT};
    JEMI_TRY(jemi_dnnl_program_winograd(c->plan->base.program, param, backward, &arg.index));
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

static jem_status append(jemi_compile *c, jemi_op *pass, jemi_shape in, jemi_shape out)
{
    pass->impl = "Winograd F(4x4, 3x3)";
    pass->winograd = (jemi_winograd){
        .n = c->plan->base.spec.batch, .h = in.h, .w = in.w, .in = in.c, .out = out.c};
    JEMI_TRY(jemi_compile_pass(c, pass));
    const int64_t floats = jemi_winograd_workspace(in.c, out.c, c->plan->base.spec.threads);
    jemi_compile_scratch(c, (size_t)floats * sizeof(float));
    return JEM_OK;
}

jem_status jemi_compile_winograd_forward(jemi_compile *c, int32_t index, int32_t *dst,
                                         jemi_conv_fused *fused)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_lowered *low = &c->lowered[index];
    const jemi_shape in = c->graph->nodes[node->input[0]].shape;
    const jemi_layout src_layout = blocked(c, in), dst_layout = blocked(c, node->shape);
    jemi_op pass = {.kind = JEMI_OP_WINOGRAD, .node = index, .kept = -1, .add = -1};
    pass.src = c->values[node->input[0]];
    JEMI_TRY(jemi_compile_convert(c, &pass.src, &src_layout, index, 0));
    *fused = (jemi_conv_fused){low->add >= 0, low->act >= 0};
    if (fused->add) {
        *dst = c->values[low->addend];
        JEMI_TRY(jemi_compile_convert(c, dst, &dst_layout, index, 0));
        pass.add = *dst;
    } else {
        JEMI_TRY(jemi_compile_tensor(c, &dst_layout, 0, dst));
    }
    pass.dst = *dst;
    pass.fused_act = fused->act;
    if (fused->act)
        pass.activation = jemi_lowered_activation(&c->graph->nodes[low->act]);
    JEMI_TRY(append(c, &pass, in, node->shape));
    JEMI_TRY(weights_arg(c, node->weight, false));
    return bias_arg(c, node->bias);
}

jem_status jemi_compile_winograd_data(jemi_compile *c, int32_t index, int32_t diff_dst,
                                      int32_t *diff_src)
{
    const jemi_node *node = &c->graph->nodes[index];
    const jemi_shape in = c->graph->nodes[node->input[0]].shape;
    const jemi_layout src_layout = blocked(c, in), dst_layout = blocked(c, node->shape);
    jemi_op pass = {.kind = JEMI_OP_WINOGRAD,
                    .node = index,
                    .wants = c->lowered[node->input[0]].wants,
                    .kept = -1,
                    .add = -1};
    JEMI_TRY(jemi_compile_convert(c, &diff_dst, &dst_layout, index, pass.wants));
    JEMI_TRY(jemi_compile_tensor(c, &src_layout, 0, diff_src));
    pass.src = diff_dst;
    pass.dst = *diff_src;
    JEMI_TRY(append(c, &pass, node->shape, in));
    return weights_arg(c, node->weight, true);
}

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

bool jemi_compile_winograd_absorb(jemi_compile *c, int32_t tensor, jemi_activation activation,
                                  int32_t kept, int32_t add)
{
    jemi_dnnl_plan *plan = c->plan;
    const int32_t step = last_writer(plan, tensor);
    if (step < 0 || plan->ops[step].kind != JEMI_OP_WINOGRAD || read_after(plan, tensor, step))
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

jem_status jemi_dnnl_run_winograd(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    jemi_winograd conv = op->winograd;
    JEMI_TRY(pointer_of(op, 0, &conv.weights));
    JEMI_TRY(pointer_of(op, 1, &conv.bias));
    conv.mask = op->kept >= 0 ? plan->tensors[op->kept].data : NULL;
    conv.add = op->add >= 0 ? plan->tensors[op->add].data : NULL;
    conv.out_act = op->fused_act;
    conv.slope = op->activation.slope;
    jemi_winograd_run(&conv, plan->tensors[op->src].data, plan->tensors[op->dst].data,
                      plan->arena + plan->scratchpad.offset / sizeof(float));
    return JEM_OK;
}
