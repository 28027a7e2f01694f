/*
 * The tools of compilation: growing the plan's lists, tracking lifetimes, converting layouts.
 */
#include "backend/onednn/compile.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

// Makes room for one more; the list moves.
static bool reserve(void **items, int32_t count, int32_t *max, size_t size)
{
    if (count < *max)
        return true;
    const int32_t wanted = *max == 0 ? 64 : 2 * *max;
    void *grown = jemi_calloc((size_t)wanted, size);
    if (grown == NULL)
        return false;
    if (count > 0)
        memcpy(grown, *items, (size_t)count * size);
    jemi_free(*items);
    *items = grown;
    *max = wanted;
    return true;
}

jem_status jemi_compile_tensor(jemi_compile *c, const jemi_layout *layout, size_t bytes,
                               int32_t *tensor)
{
    jemi_dnnl_plan *plan = c->plan;
    void *items = plan->tensors;
    if (!reserve(&items, plan->n_tensors, &plan->tensors_max, sizeof *plan->tensors))
        return jemi_fail_memory("plan");
    plan->tensors = items;
    if (bytes == 0)
        bytes = (size_t)jemi_layout_size(layout) * sizeof(float);
    plan->tensors[plan->n_tensors] = (jemi_tensor){
        .layout = layout != NULL ? *layout : (jemi_layout){0},
        .span = {.first = INT32_MAX, .last = -1, .bytes = bytes},
    };
    *tensor = plan->n_tensors++;
    return JEM_OK;
}

// Weights' gradients want the values in any case.
static bool signs_will_do(const jemi_compile *c, int32_t node, const jemi_layout *layout)
{
    return c->plan->base.spec.wants == JEMI_WANT_DINPUT && layout->block % JEMI_SIGNS == 0 &&
           jemi_act_grad_from_signs(jemi_lowered_activation(&c->graph->nodes[node]));
}

jem_status jemi_compile_signs(jemi_compile *c, int32_t node, const jemi_layout *layout,
                              int32_t *tensor)
{
    *tensor = -1;
    if (!signs_will_do(c, node, layout))
        return JEM_OK;
    JEMI_TRY(jemi_compile_tensor(c, layout, (size_t)jemi_layout_size(layout) / 8, tensor));
    c->plan->tensors[*tensor].signs = true;
    c->signs[node] = *tensor;
    return JEM_OK;
}

static void touch(jemi_span *span, int32_t step)
{
    span->first = step < span->first ? step : span->first;
    span->last = step > span->last ? step : span->last;
}

void jemi_compile_touch(jemi_compile *c, int32_t tensor)
{
    if (tensor >= 0)
        touch(&c->plan->tensors[tensor].span, c->plan->n_ops - 1);
}

jemi_op *jemi_compile_op(jemi_compile *c, jemi_op_kind kind, int32_t node, uint32_t wants)
{
    jemi_dnnl_plan *plan = c->plan;
    void *items = plan->ops;
    if (!reserve(&items, plan->n_ops, &plan->ops_max, sizeof *plan->ops))
        return NULL;
    plan->ops = items;
    jemi_op *op = &plan->ops[plan->n_ops++];
    *op = (jemi_op){
        .kind = kind, .node = node, .wants = wants, .dst = -1, .src = -1, .kept = -1, .add = -1};
    return op;
}

jem_status jemi_compile_pass(jemi_compile *c, const jemi_op *pass)
{
    jemi_op *op = jemi_compile_op(c, pass->kind, pass->node, pass->wants);
    if (op == NULL)
        return jemi_fail_memory("plan");
    *op = *pass;
    jemi_compile_touch(c, op->dst);
    jemi_compile_touch(c, op->src);
    jemi_compile_touch(c, op->kept);
    jemi_compile_touch(c, op->add);
    return JEM_OK;
}

const jemi_op *jemi_compile_find(const jemi_compile *c, jemi_op_kind kind, int32_t node)
{
    const jemi_op *op = c->plan->ops;
    while (op->kind != kind || op->node != node)
        op++;
    return op;
}

void jemi_compile_scratch(jemi_compile *c, size_t bytes)
{
    jemi_span *scratchpad = &c->plan->scratchpad;
    touch(scratchpad, c->plan->n_ops - 1);
    scratchpad->bytes = bytes > scratchpad->bytes ? bytes : scratchpad->bytes;
}

jem_status jemi_compile_arg(jemi_compile *c, int name, const jemi_md *md, jemi_arg arg)
{
    jemi_dnnl_plan *plan = c->plan;
    jemi_op *op = &plan->ops[plan->n_ops - 1];
    dnnl_memory_t memory = NULL;
    if (arg.source != JEMI_ARG_WEIGHT)
        JEMI_TRY(jemi_dnnl_check(jemi_memory_create(&memory, md, plan->engine, NULL),
                                 "memory object of a plan"));
    if (arg.source == JEMI_ARG_TENSOR)
        jemi_compile_touch(c, arg.index);
    if (arg.source == JEMI_ARG_SCRATCHPAD)
        jemi_compile_scratch(c, jemi_md_bytes(md));
    op->args[op->n_args] = arg;
    op->exec[op->n_args] = (dnnl_exec_arg_t){name, memory};
    op->n_args++;
    return JEM_OK;
}

jem_status jemi_compile_copy(jemi_compile *c, jemi_op_kind kind, int32_t *tensor,
                             const jemi_layout *layout, int32_t node, uint32_t wants)
{
    int32_t converted = -1;
    JEMI_TRY(jemi_compile_tensor(c, layout, 0, &converted));
    const jemi_op pass = {.kind = kind,
                          .node = node,
                          .wants = wants,
                          .dst = converted,
                          .src = *tensor,
                          .kept = -1,
                          .add = -1};
    *tensor = converted;
    return jemi_compile_pass(c, &pass);
}

jem_status jemi_compile_convert(jemi_compile *c, int32_t *tensor, const jemi_layout *layout,
                                int32_t node, uint32_t wants)
{
    jemi_layout from = c->plan->tensors[*tensor].layout;
    if (jemi_layout_same(&from, layout))
        return JEM_OK;
    if (!jemi_layout_is_canonical(&from)) {
        from.block = 1;
        JEMI_TRY(jemi_compile_copy(c, JEMI_OP_STORE, tensor, &from, node, wants));
    }
    if (!jemi_layout_is_canonical(layout))
        JEMI_TRY(jemi_compile_copy(c, JEMI_OP_LOAD, tensor, layout, node, wants));
    return JEM_OK;
}
