/*
 * Executing a primitive: its memory objects are made once and pointed at the data of each run, where
 * that has moved. Not so for weights: oneDNN writes zeros into the padding of what it is pointed at,
 * which other threads may be reading, and version 3 spoils some orders of weights by that. For them
 * there are memory objects made with the data, two of them, since training alternates between two.
 */
#include "backend/onednn/primitive.h"

#include <assert.h>

#include "backend/onednn/creation.h"
#include "backend/onednn/engine.h"
#include "base/status.h"

enum { ARGS_MAX = 6, WEIGHT_MEMORIES = 2 };

typedef struct argument {
    jemi_dnnl_source source;
    int32_t index;
    const void *bound;
    jemi_md md;                              // of weights
    dnnl_memory_t memories[WEIGHT_MEMORIES]; // of weights; exec has one of them
    const void *data[WEIGHT_MEMORIES];
    int next; // to be replaced
} argument;

static bool is_weights(const argument *arg)
{
    return arg->source == JEMI_DNNL_PACKED || arg->source == JEMI_DNNL_PARAM;
}

typedef struct state {
    jemi_dnnl_words words;
    const char *impl;
    dnnl_primitive_t primitive;
    int32_t n_args;
    argument args[ARGS_MAX];
    dnnl_exec_arg_t exec[ARGS_MAX];
} state;

// ---- runs --------------------------------------------------------------------------------------

static void *data_of(const jemi_cpu_plan *plan, const jemi_op *op, const argument *arg)
{
    switch (arg->source) {
    case JEMI_DNNL_TENSOR:
        return jemi_plan_data(plan, arg->index);
    case JEMI_DNNL_PACKED:
        return (void *)op->packed;
    case JEMI_DNNL_PARAM:
        return (void *)jemi_plan_param(plan, arg->index);
    case JEMI_DNNL_DPARAM:
        return jemi_plan_dparam(plan, arg->index);
    case JEMI_DNNL_SCRATCH:
        return jemi_plan_scratch(plan);
    }
    return NULL;
}

static dnnl_status_t bind_weights(argument *arg, dnnl_exec_arg_t *exec, void *data)
{
    for (int i = 0; i < WEIGHT_MEMORIES; i++)
        if (arg->memories[i] != NULL && arg->data[i] == data) {
            exec->memory = arg->memories[i];
            return dnnl_success;
        }
    dnnl_engine_t engine;
    dnnl_memory_t memory;
    if (jemi_dnnl_engine(&engine) != JEM_OK)
        return dnnl_runtime_error;
    const dnnl_status_t status = jemi_memory_create(&memory, &arg->md, engine, data);
    if (status != dnnl_success)
        return status;
    if (arg->memories[arg->next] != NULL)
        dnnl_memory_destroy(arg->memories[arg->next]);
    arg->memories[arg->next] = exec->memory = memory;
    arg->data[arg->next] = data;
    arg->next = (arg->next + 1) % WEIGHT_MEMORIES;
    return dnnl_success;
}

static dnnl_status_t bind(const jemi_cpu_plan *plan, const jemi_op *op, state *s)
{
    for (int32_t i = 0; i < s->n_args; i++) {
        void *data = data_of(plan, op, &s->args[i]);
        if (data == s->args[i].bound)
            continue;
        const dnnl_status_t status = is_weights(&s->args[i])
                                         ? bind_weights(&s->args[i], &s->exec[i], data)
                                         : dnnl_memory_set_data_handle(s->exec[i].memory, data);
        if (status != dnnl_success)
            return status;
        s->args[i].bound = data;
    }
    return dnnl_success;
}

static jem_status run(jemi_cpu_plan *plan, jemi_op *op)
{
    state *s = op->private;
    dnnl_stream_t stream = plan->provider;
    dnnl_status_t status = bind(plan, op, s);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(s->primitive, stream, s->n_args, s->exec);
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    return jemi_dnnl_check(status, s->words.what);
}

static void describe(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words)
{
    (void)plan;
    const state *s = op->private;
    words->what = s->words.what;
    words->direction = s->words.direction;
    words->kernel = op->type->contracts ? JEMI_KERNEL_ONEDNN : JEMI_KERNEL_AUTO;
    words->impl = s->impl;
    words->sum = s->words.sum;
    words->lrelu = s->words.lrelu;
    if (words->to < 0)
        words->to = op->reads[1]; // a weights' gradient is about its two sources
}

static void destroy(jemi_op *op)
{
    state *s = op->private;
    for (int32_t i = 0; i < s->n_args; i++) {
        argument *arg = &s->args[i];
        if (!is_weights(arg))
            dnnl_memory_destroy(s->exec[i].memory);
        for (int k = 0; k < WEIGHT_MEMORIES; k++)
            if (arg->memories[k] != NULL)
                dnnl_memory_destroy(arg->memories[k]);
        jemi_md_fini(&arg->md);
    }
    if (s->primitive != NULL)
        dnnl_primitive_destroy(s->primitive);
}

static const jemi_op_type product = {.name = "primitive",
                                     .run = run,
                                     .describe = describe,
                                     .contracts = true,
                                     .by_team = true,
                                     .destroy = destroy};
static const jemi_op_type reorder = {
    .name = "primitive", .run = run, .describe = describe, .by_team = true, .destroy = destroy};

// ---- compiling ---------------------------------------------------------------------------------

static void destroy_stream(void *stream)
{
    dnnl_stream_destroy(stream);
}

// The plan's stream, made for its first primitive.
static jem_status need_stream(jemi_cpu_plan *plan)
{
    if (plan->provider != NULL)
        return JEM_OK;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    JEMI_TRY(jemi_dnnl_engine(&engine));
    JEMI_TRY(
        jemi_dnnl_check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream"));
    plan->provider = stream;
    plan->provider_destroy = destroy_stream;
    return JEM_OK;
}

static jem_status scratch_arg(jemi_op *op, const_dnnl_primitive_desc_t pd)
{
    jemi_md md = {0};
    jem_status status =
        jemi_dnnl_check(jemi_pd_query(pd, JEMI_PD_SCRATCHPAD, &md), "size of a scratchpad");
    op->scratch_bytes = status == JEM_OK ? jemi_md_bytes(&md) : 0;
    if (op->scratch_bytes > 0)
        status = jemi_dnnl_op_arg(op, DNNL_ARG_SCRATCHPAD, &md, JEMI_DNNL_SCRATCH, -1);
    jemi_md_fini(&md);
    return status;
}

jem_status jemi_dnnl_op(jemi_compile *c, jemi_dnnl_words words, jemi_op_place at,
                        const_dnnl_primitive_desc_t pd, jemi_op **op)
{
    JEMI_TRY(need_stream(c->plan));
    JEMI_TRY(jemi_compile_op(c, words.contracts ? &product : &reorder, at.node, at.wants,
                             sizeof(state), op));
    state *s = (*op)->private;
    s->words = words;
    s->impl = jemi_pd_impl(pd);
    JEMI_TRY(jemi_dnnl_check(jemi_dnnl_primitive_create(&s->primitive, pd), words.what));
    // The name belongs to a descriptor: take it from the primitive's own, which lives on.
    const_dnnl_primitive_desc_t own;
    if (dnnl_primitive_get_primitive_desc(s->primitive, &own) == dnnl_success)
        s->impl = jemi_pd_impl(own);
    return scratch_arg(*op, pd);
}

jem_status jemi_dnnl_op_arg(jemi_op *op, int name, const jemi_md *md, jemi_dnnl_source source,
                            int32_t index)
{
    state *s = op->private;
    dnnl_engine_t engine;
    assert(s->n_args < ARGS_MAX);
    JEMI_TRY(jemi_dnnl_engine(&engine));
    argument *arg = &s->args[s->n_args];
    dnnl_exec_arg_t *exec = &s->exec[s->n_args];
    *arg = (argument){.source = source, .index = index};
    exec->arg = name;
    JEMI_TRY(jemi_dnnl_check(is_weights(arg) ? jemi_md_copy(&arg->md, md)
                                             : jemi_memory_create(&exec->memory, md, engine, NULL),
                             "memory object of a plan"));
    s->n_args++;
    return JEM_OK;
}
