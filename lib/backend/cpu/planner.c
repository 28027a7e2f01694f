/*
 * The life of a plan: compile both halves, find out how long every tensor lives, place all of them
 * in one arena; later take it all down, complete or not.
 */
#include "backend/cpu/plan.h"

#include "backend/cpu/choose.h"
#include "backend/cpu/compile.h"
#include "backend/cpu/cpu_program.h"
#include "base/memory.h"
#include "base/openmp.h"
#include "base/status.h"

// What a core computes in some hundred microseconds.
static const int64_t alone_macs_max = 8 << 20;

static void compile_fini(jemi_compile *c)
{
    if (c->provider_destroy != NULL)
        c->provider_destroy(c->provider);
    jemi_free(c->signs);
    jemi_free(c->values);
    jemi_free(c->lowered);
    jemi_free(c->nodes);
}

// Only training drops out.
static jem_status choose_graph(jemi_compile *c)
{
    const jemi_plan *base = &c->plan->base;
    c->view = jemi_graph_until(base->program->graph, base->spec.cut);
    c->graph = &c->view;
    if (base->spec.mode == JEMI_MODE_TRAIN || !jemi_graph_has(c->graph, JEMI_NODE_DROPOUT))
        return JEM_OK;
    JEMI_TRY(jemi_lower_without_dropout(&c->nodes, c->graph));
    c->view.nodes = c->nodes;
    return JEM_OK;
}

static jem_status compile_init(jemi_compile *c)
{
    JEMI_TRY(choose_graph(c));
    const size_t n_nodes = (size_t)c->graph->n_nodes;
    JEMI_TRY(jemi_lower(&c->lowered, c->graph, c->plan->base.spec.wants));
    c->values = jemi_alloc(n_nodes, sizeof *c->values);
    c->signs = jemi_alloc(n_nodes, sizeof *c->signs);
    if (c->values == NULL || c->signs == NULL)
        return jemi_fail_memory("plan");
    for (size_t i = 0; i < n_nodes; i++)
        c->values[i] = c->signs[i] = -1;
    return JEM_OK;
}

static jem_status compile(jemi_cpu_plan *plan)
{
    const jemi_cpu_program *program = (const jemi_cpu_program *)plan->base.program;
    jemi_compile c = {.plan = plan, .rows = &program->rows};
    jem_status status = compile_init(&c);
    if (status == JEM_OK)
        status = jemi_compile_forward(&c);
    plan->n_forward = plan->n_ops;
    if (status == JEM_OK && plan->base.spec.wants != 0)
        status = jemi_compile_backward(&c);
    compile_fini(&c);
    return status;
}

// ---- lifetimes ---------------------------------------------------------------------------------

static void live_at(jemi_span *span, int32_t step)
{
    span->first = step < span->first ? step : span->first;
    span->last = step > span->last ? step : span->last;
}

static void live_in_op(jemi_cpu_plan *plan, int32_t step)
{
    const jemi_op *op = &plan->ops[step];
    for (int i = 0; i < JEMI_OP_READS; i++)
        if (op->reads[i] >= 0)
            live_at(&plan->tensors[op->reads[i]].span, step);
    for (int i = 0; i < JEMI_OP_WRITES; i++)
        if (op->writes[i] >= 0)
            live_at(&plan->tensors[op->writes[i]].span, step);
    if (op->scratch_bytes == 0)
        return;
    live_at(&plan->scratchpad, step);
    if (op->scratch_bytes > plan->scratchpad.bytes)
        plan->scratchpad.bytes = op->scratch_bytes;
}

static void find_lifetimes(jemi_cpu_plan *plan)
{
    for (int32_t step = 0; step < plan->n_ops; step++)
        live_in_op(plan, step);
    for (int32_t i = 0; i < plan->n_tensors; i++)
        if (plan->tensors[i].outlives_forward)
            live_at(&plan->tensors[i].span, plan->n_forward - 1);
}

static jem_status place(jemi_cpu_plan *plan)
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

// ---- create and destroy ------------------------------------------------------------------------

static jem_status plan_init(jemi_cpu_plan *plan)
{
    JEMI_TRY(jemi_choose_check(plan->base.spec.precision));
    JEMI_TRY(compile(plan));
    find_lifetimes(plan);
    return place(plan);
}

static jem_status create(jemi_plan **out, jemi_program *program, const jemi_plan_spec *spec)
{
    *out = NULL;
    jemi_cpu_plan *plan = jemi_calloc(1, sizeof *plan);
    if (plan == NULL)
        return jemi_fail_memory("plan");
    plan->base = (jemi_plan){.program = program, .spec = *spec};
    plan->scratchpad = (jemi_span){.first = INT32_MAX, .last = -1};
    const jem_status status = plan_init(plan);
    if (status != JEM_OK) {
        jemi_cpu_plan_destroy(&plan->base);
        return status;
    }
    *out = &plan->base;
    return JEM_OK;
}

// Multiply-adds of a run's primitives.
static int64_t work_of_team(const jemi_cpu_plan *plan)
{
    int64_t macs = 0;
    for (int32_t i = 0; i < plan->n_ops; i++)
        if (plan->ops[i].type->by_team)
            macs += jemi_graph_node_macs(plan->base.program->graph, plan->ops[i].node);
    return macs * plan->base.spec.batch;
}

// Primitives are made for a count of threads. Where they have little to do, as beside our own
// kernels, that is one: then the plan needs no team of OpenMP's, whose barriers wait for every
// thread, on a busy machine long.
jem_status jemi_cpu_plan_create(jemi_plan **out, jemi_program *program, const jemi_plan_spec *spec)
{
    const int team = jemi_openmp_can_have(spec->threads) ? spec->threads : 1;
    const int before = jemi_openmp_set_count(team);
    jem_status status = create(out, program, spec);
    const int64_t work = status == JEM_OK ? work_of_team((jemi_cpu_plan *)*out) : 0;
    if (work > 0 && work <= alone_macs_max && team > 1) {
        jemi_cpu_plan_destroy(*out);
        jemi_openmp_set_count(1);
        status = create(out, program, spec);
    }
    if (status == JEM_OK)
        (*out)->team = work > alone_macs_max ? team : 1;
    jemi_openmp_set_count(before);
    return status;
}

size_t jemi_cpu_plan_bytes(const jemi_plan *base)
{
    const jemi_cpu_plan *plan = (const jemi_cpu_plan *)base;
    return sizeof *plan + (size_t)plan->tensors_max * sizeof *plan->tensors +
           (size_t)plan->ops_max * sizeof *plan->ops + plan->arena_bytes;
}

static void op_fini(jemi_op *op)
{
    if (op->type->destroy != NULL)
        op->type->destroy(op);
    jemi_free(op->private);
}

void jemi_cpu_plan_destroy(jemi_plan *base)
{
    if (base == NULL)
        return;
    jemi_cpu_plan *plan = (jemi_cpu_plan *)base;
    for (int32_t i = 0; i < plan->n_ops; i++)
        op_fini(&plan->ops[i]);
    if (plan->provider_destroy != NULL)
        plan->provider_destroy(plan->provider);
    jemi_free(plan->ops);
    jemi_free(plan->tensors);
    jemi_free(plan->arena);
    jemi_free(plan);
}
