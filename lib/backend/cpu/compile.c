/*
 * The tools of compilation: growing the plan's lists, finding what is in them.
 */
#include "backend/cpu/compile.h"

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
    jemi_cpu_plan *plan = c->plan;
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

jem_status jemi_compile_op(jemi_compile *c, const jemi_op_type *type, int32_t node, uint32_t wants,
                           size_t private_size, jemi_op **op)
{
    jemi_cpu_plan *plan = c->plan;
    void *items = plan->ops;
    if (!reserve(&items, plan->n_ops, &plan->ops_max, sizeof *plan->ops))
        return jemi_fail_memory("plan");
    plan->ops = items;
    void *private = private_size > 0 ? jemi_calloc(1, private_size) : NULL;
    if (private_size > 0 && private == NULL)
        return jemi_fail_memory("plan");
    *op = &plan->ops[plan->n_ops++];
    **op = (jemi_op){
        .type = type,
        .node = node,
        .wants = wants,
        .reads = {-1, -1, -1},
        .writes = {-1, -1},
        .slot = -1,
        .private = private,
    };
    return JEM_OK;
}

const jemi_op *jemi_compile_find(const jemi_compile *c, const jemi_op_type *type, int32_t node)
{
    const jemi_op *op = c->plan->ops;
    while (op->type != type || op->node != node)
        op++;
    return op;
}

static bool writes(const jemi_op *op, int32_t tensor)
{
    return op->writes[0] == tensor || op->writes[1] == tensor;
}

static bool reads(const jemi_op *op, int32_t tensor)
{
    return op->reads[0] == tensor || op->reads[1] == tensor || op->reads[2] == tensor;
}

int32_t jemi_compile_writer(const jemi_compile *c, int32_t tensor)
{
    int32_t step = c->plan->n_ops - 1;
    while (step >= 0 && !writes(&c->plan->ops[step], tensor))
        step--;
    return step;
}

bool jemi_compile_read_after(const jemi_compile *c, int32_t tensor, int32_t step)
{
    for (int32_t i = step + 1; i < c->plan->n_ops; i++)
        if (reads(&c->plan->ops[i], tensor))
            return true;
    return false;
}
