/*
 * The life of a plan: compile both halves, place all tensors in one arena, point every argument at
 * its place; later take it all down, complete or not.
 */
#include "backend/onednn/plan.h"

#include "backend/onednn/choose.h"
#include "backend/onednn/compile.h"
#include "backend/onednn/engine.h"
#include "base/memory.h"
#include "base/status.h"

static void compile_fini(jemi_compile *c)
{
    for (int32_t i = 0; c->hints != NULL && i < c->graph->n_nodes; i++)
        if (c->hints[i] != NULL)
            dnnl_primitive_desc_destroy(c->hints[i]);
    jemi_free(c->hints);
    jemi_free(c->signs);
    jemi_free(c->values);
    jemi_free(c->lowered);
    jemi_free(c->view.nodes);
}

// Only training drops out.
static jem_status choose_graph(jemi_compile *c)
{
    const jemi_plan *base = &c->plan->base;
    c->graph = base->program->graph;
    if (base->spec.mode == JEMI_MODE_TRAIN || !jemi_graph_has(c->graph, JEMI_NODE_DROPOUT))
        return JEM_OK;
    c->view = *c->graph;
    JEMI_TRY(jemi_lower_without_dropout(&c->view.nodes, c->graph));
    c->graph = &c->view;
    return JEM_OK;
}

static jem_status compile_init(jemi_compile *c)
{
    JEMI_TRY(choose_graph(c));
    const size_t n_nodes = (size_t)c->graph->n_nodes;
    JEMI_TRY(jemi_lower(&c->lowered, c->graph, c->plan->base.spec.wants));
    c->hints = jemi_calloc(n_nodes, sizeof *c->hints);
    c->values = jemi_alloc(n_nodes, sizeof *c->values);
    c->signs = jemi_alloc(n_nodes, sizeof *c->signs);
    if (c->hints == NULL || c->values == NULL || c->signs == NULL)
        return jemi_fail_memory("plan");
    for (size_t i = 0; i < n_nodes; i++)
        c->values[i] = c->signs[i] = -1;
    return JEM_OK;
}

static jem_status compile(jemi_dnnl_plan *plan)
{
    jemi_compile c = {.plan = plan};
    jem_status status = compile_init(&c);
    if (status == JEM_OK)
        status = jemi_compile_forward(&c);
    plan->n_forward = plan->n_ops;
    if (status == JEM_OK && plan->base.spec.wants != 0)
        status = jemi_compile_backward(&c);
    compile_fini(&c);
    return status;
}

static jem_status place(jemi_dnnl_plan *plan)
{
    jemi_span **spans = jemi_alloc((size_t)plan->n_tensors + 1, sizeof(jemi_span *));
    if (spans == NULL)
        return jemi_fail_memory("plan");
    for (int32_t i = 0; i < plan->n_tensors; i++)
        spans[i] = &plan->tensors[i].span;
    spans[plan->n_tensors] = &plan->scratchpad;
    const jem_status status = jemi_arena_place(spans, plan->n_tensors + 1, &plan->arena_bytes);
    jemi_free(spans);
    if (status != JEM_OK)
        return status;
    plan->arena = jemi_alloc(plan->arena_bytes, 1);
    if (plan->arena == NULL)
        return jemi_fail_memory("workspace of a plan");
    for (int32_t i = 0; i < plan->n_tensors; i++)
        plan->tensors[i].data = plan->arena + plan->tensors[i].span.offset / sizeof(float);
    return JEM_OK;
}

static dnnl_status_t bind_scratchpad(jemi_dnnl_plan *plan)
{
    float *data = plan->arena + plan->scratchpad.offset / sizeof(float);
    for (int32_t i = 0; i < plan->n_ops; i++)
        for (int32_t k = 0; k < plan->ops[i].n_args; k++) {
            if (plan->ops[i].args[k].source != JEMI_ARG_SCRATCHPAD)
                continue;
            const dnnl_status_t status =
                dnnl_memory_set_data_handle(plan->ops[i].exec[k].memory, data);
            if (status != dnnl_success)
                return status;
        }
    return dnnl_success;
}

dnnl_status_t jemi_dnnl_plan_bind(jemi_dnnl_plan *plan, int32_t tensor)
{
    float *data = plan->tensors[tensor].data;
    for (int32_t i = 0; i < plan->n_ops; i++)
        for (int32_t k = 0; k < plan->ops[i].n_args; k++) {
            const jemi_arg *arg = &plan->ops[i].args[k];
            if (arg->source != JEMI_ARG_TENSOR || arg->index != tensor)
                continue;
            const dnnl_status_t status =
                dnnl_memory_set_data_handle(plan->ops[i].exec[k].memory, data);
            if (status != dnnl_success)
                return status;
        }
    return dnnl_success;
}

static dnnl_status_t bind_all(jemi_dnnl_plan *plan)
{
    for (int32_t i = 0; i < plan->n_tensors; i++) {
        const dnnl_status_t status = jemi_dnnl_plan_bind(plan, i);
        if (status != dnnl_success)
            return status;
    }
    return bind_scratchpad(plan);
}

static jem_status plan_init(jemi_dnnl_plan *plan)
{
    JEMI_TRY(jemi_choose_check(plan->base.spec.precision));
    JEMI_TRY(jemi_dnnl_engine(&plan->engine));
    JEMI_TRY(jemi_dnnl_check(
        dnnl_stream_create(&plan->stream, plan->engine, dnnl_stream_default_flags), "stream"));
    JEMI_TRY(compile(plan));
    JEMI_TRY(place(plan));
    return jemi_dnnl_check(bind_all(plan), "arguments of a plan");
}

jem_status jemi_dnnl_plan_create(jemi_plan **out, jemi_program *program, const jemi_plan_spec *spec)
{
    *out = NULL;
    jemi_dnnl_plan *plan = jemi_calloc(1, sizeof *plan);
    if (plan == NULL)
        return jemi_fail_memory("plan");
    plan->base = (jemi_plan){.program = program, .spec = *spec};
    plan->scratchpad = (jemi_span){.first = INT32_MAX, .last = -1};
    const jem_status status = plan_init(plan);
    if (status != JEM_OK) {
        jemi_dnnl_plan_destroy(&plan->base);
        return status;
    }
    *out = &plan->base;
    return JEM_OK;
}

size_t jemi_dnnl_plan_bytes(const jemi_plan *base)
{
    const jemi_dnnl_plan *plan = (const jemi_dnnl_plan *)base;
    return sizeof *plan + (size_t)plan->tensors_max * sizeof *plan->tensors +
           (size_t)plan->ops_max * sizeof *plan->ops + plan->arena_bytes;
}

static void op_fini(jemi_op *op)
{
    for (int32_t k = 0; k < op->n_args; k++)
        if (op->args[k].source != JEMI_ARG_WEIGHT && op->exec[k].memory != NULL)
            dnnl_memory_destroy(op->exec[k].memory);
    if (op->primitive != NULL)
        dnnl_primitive_destroy(op->primitive);
}

void jemi_dnnl_plan_destroy(jemi_plan *base)
{
    if (base == NULL)
        return;
    jemi_dnnl_plan *plan = (jemi_dnnl_plan *)base;
    for (int32_t i = 0; i < plan->n_ops; i++)
        op_fini(&plan->ops[i]);
    if (plan->stream != NULL)
        dnnl_stream_destroy(plan->stream);
    jemi_free(plan->ops);
    jemi_free(plan->tensors);
    jemi_free(plan->arena);
    jemi_free(plan);
}
