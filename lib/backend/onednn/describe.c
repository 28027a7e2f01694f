/*
 * A plan in words, one line per step: for tests that look for slow implementations, and for people.
 */
#include <inttypes.h>
#include <stdio.h>

#include "backend/onednn/plan.h"

enum { LINE = 256 };

static const char *name_of(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    static const char *const names[] = {
        [JEMI_OP_PRIMITIVE] = "primitive",
        [JEMI_OP_INPUT] = "input",
        [JEMI_OP_OUTPUT] = "output",
        [JEMI_OP_DIFF_OUTPUT] = "diff of output",
        [JEMI_OP_DIFF_INPUT] = "diff of input",
        [JEMI_OP_LOAD] = "to layout",
        [JEMI_OP_STORE] = "to canonical",
        [JEMI_OP_BF16] = "to bf16",
        [JEMI_OP_ACT] = "activation",
        [JEMI_OP_ACT_BACKWARD] = "activation backward",
        [JEMI_OP_SUM] = "sum",
        [JEMI_OP_POOL] = "average pooling",
        [JEMI_OP_POOL_BACKWARD] = "average pooling backward",
        [JEMI_OP_NORM] = "norm",
        [JEMI_OP_NORM_BACKWARD] = "norm backward",
        [JEMI_OP_DROPOUT] = "dropout",
        [JEMI_OP_DROPOUT_BACKWARD] = "dropout backward",
        [JEMI_OP_STEM_BACKWARD] = "first convolution backward data",
        [JEMI_OP_STEM] = "first convolution",
        [JEMI_OP_WINOGRAD] = "convolution",
        [JEMI_OP_DIRECT] = "convolution",
        [JEMI_OP_STEM_WEIGHTS] = "first convolution backward weights",
        [JEMI_OP_WINOGRAD_WEIGHTS] = "convolution backward weights",
        [JEMI_OP_DIRECT_WEIGHTS] = "convolution backward weights",
    };
    const bool linear = plan->base.program->graph->nodes[op->node].kind == JEMI_NODE_LINEAR;
    if (linear && op->kind == JEMI_OP_DIRECT)
        return "linear";
    if (linear && op->kind == JEMI_OP_DIRECT_WEIGHTS)
        return "linear backward weights";
    return op->kind == JEMI_OP_PRIMITIVE ? op->what : names[op->kind];
}

static void describe_tensor(const jemi_dnnl_plan *plan, int32_t tensor, char *text, size_t size)
{
    if (tensor < 0) {
        snprintf(text, size, "-");
        return;
    }
    const jemi_layout *l = &plan->tensors[tensor].layout;
    char order[32];
    if (jemi_layout_is_canonical(l))
        snprintf(order, sizeof order, "nchw");
    else if (l->block == l->c)
        snprintf(order, sizeof order, "nhwc");
    else
        snprintf(order, sizeof order, "nChw%" PRId64 "c", l->block);
    snprintf(text, size, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " %s", l->n, l->c, l->h,
             l->w, order);
}

// Reads dy as `kept`, and writes no tensor.
static bool makes_dparams(const jemi_op *op)
{
    return op->kind >= JEMI_OP_STEM_WEIGHTS;
}

static bool keeps_signs(const jemi_op *op)
{
    return op->kept >= 0 && (op->fused_act || op->kind == JEMI_OP_ACT);
}

// Whether what it keeps is what an activation's derivative is taken of.
static bool masks(const jemi_op *op)
{
    const bool otherwise =
        (op->kind >= JEMI_OP_NORM && op->kind <= JEMI_OP_DROPOUT_BACKWARD) || makes_dparams(op);
    return op->kept >= 0 && !otherwise && !keeps_signs(op);
}

static void describe_op(const jemi_dnnl_plan *plan, const jemi_op *op, const char *half, char *line)
{
    char src[96], dst[96];
    describe_tensor(plan, op->src, src, sizeof src);
    describe_tensor(plan, makes_dparams(op) ? op->kept : op->dst, dst, sizeof dst);
    snprintf(line, LINE, "%s: node %d %s: %s, %s%s%s%s%s%s", half, (int)op->node, name_of(plan, op),
             src, dst, op->fused_sum || op->add >= 0 ? " + sum" : "",
             op->fused_act ? " + lrelu" : "",
             masks(op)         ? " * act'"
             : keeps_signs(op) ? ", keeps signs"
                               : "",
             op->impl != NULL ? ": " : "", op->impl != NULL ? op->impl : "");
}

static int64_t macs_of(const jemi_dnnl_plan *plan, const jemi_op *op)
{
    const bool contracts =
        op->kind == JEMI_OP_PRIMITIVE ? op->src >= 0 : op->kind >= JEMI_OP_STEM_BACKWARD;
    return contracts
               ? jemi_graph_node_macs(plan->base.program->graph, op->node) * plan->base.spec.batch
               : 0;
}

void jemi_dnnl_plan_describe(const jemi_plan *base, jemi_describe_fn describe, void *user)
{
    const jemi_dnnl_plan *plan = (const jemi_dnnl_plan *)base;
    char line[LINE];
    for (int32_t i = 0; i < plan->n_ops; i++) {
        describe_op(plan, &plan->ops[i], i < plan->n_forward ? "forward" : "backward", line);
        const jemi_step step = {line, macs_of(plan, &plan->ops[i]), plan->ops[i].seconds};
        describe(user, &step);
    }
}
