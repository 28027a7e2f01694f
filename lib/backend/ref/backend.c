/*
 * The reference backend: float at its doors, double inside, and nothing compiled. It runs anywhere
 * the library is built, and it is what faster backends are compared with. Its weights are a double
 * copy of the parameters; its plans own the workspace and, for training, a double sum of the
 * parameter gradients over rows in their order.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/plan.h"
#include "backend/ref/run.h"
#include "backend/rows/rows.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

typedef struct ref_weights {
    jemi_weights base;
    double *params;
} ref_weights;

typedef struct ref_plan {
    jemi_plan base;
    jemi_graph graph; /* up to the cut */
    jemi_ref_workspace ws;
    double *dparams; /* NULL unless the spec wants them */
    double *state;   /* statistics of the batch; NULL unless they are taken */
} ref_plan;

static void to_double(int64_t count, const float *from, double *to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (double)from[i];
}

static void to_float(int64_t count, const double *from, float *to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (float)from[i];
}

static jem_status program_create(jemi_program **out, const jemi_graph *graph)
{
    *out = jemi_calloc(1, sizeof **out);
    if (*out == NULL)
        return jemi_fail_memory("reference program");
    **out = (jemi_program){.backend = &jemi_backend_ref, .graph = graph};
    return JEM_OK;
}

static void program_destroy(jemi_program *program)
{
    jemi_free(program);
}

static void weights_destroy(jemi_weights *base)
{
    if (base == NULL)
        return;
    jemi_free(((ref_weights *)base)->params);
    jemi_free(base);
}

static jem_status weights_create(jemi_weights **out, jemi_program *program)
{
    *out = NULL;
    ref_weights *weights = jemi_calloc(1, sizeof *weights);
    if (weights == NULL)
        return jemi_fail_memory("reference weights");
    weights->base.program = program;
    weights->params = jemi_alloc((size_t)jemi_graph_size(program->graph), sizeof *weights->params);
    if (weights->params == NULL) {
        weights_destroy(&weights->base);
        return jemi_fail_memory("reference weights");
    }
    *out = &weights->base;
    return JEM_OK;
}

// Copied here and not on first use: no plan is running now, so no lock is needed.
static void weights_set(jemi_weights *base, const float *params)
{
    to_double(jemi_graph_size(base->program->graph), params, ((ref_weights *)base)->params);
}

static size_t weights_bytes(const jemi_weights *base)
{
    return sizeof(ref_weights) + (size_t)jemi_graph_size(base->program->graph) * sizeof(double);
}

static void plan_destroy(jemi_plan *base)
{
    if (base == NULL)
        return;
    ref_plan *plan = (ref_plan *)base;
    jemi_ref_workspace_fini(&plan->ws);
    jemi_free(plan->dparams);
    jemi_free(plan->state);
    jemi_free(plan);
}

static jem_status plan_create(jemi_plan **out, jemi_program *program, const jemi_plan_spec *spec)
{
    *out = NULL;
    const jemi_graph *graph = program->graph;
    ref_plan *plan = jemi_calloc(1, sizeof *plan);
    if (plan == NULL)
        return jemi_fail_memory("reference plan");
    plan->base = (jemi_plan){.program = program, .spec = *spec};
    plan->graph = jemi_graph_until(graph, spec->cut);

    jem_status status =
        jemi_ref_workspace_init(&plan->ws, &plan->graph, spec->batch, spec->wants != 0, spec->mode);
    if (status == JEM_OK && (spec->wants & JEMI_WANT_DPARAMS) != 0) {
        plan->dparams = jemi_alloc((size_t)graph->param_count, sizeof *plan->dparams);
        if (plan->dparams == NULL)
            status = jemi_fail_memory("reference plan");
    }
    if (status == JEM_OK && plan->ws.statistics != NULL) {
        plan->state = jemi_alloc((size_t)graph->state_count, sizeof *plan->state);
        if (plan->state == NULL)
            status = jemi_fail_memory("reference plan");
    }
    if (status != JEM_OK) {
        plan_destroy(&plan->base);
        return status;
    }
    *out = &plan->base;
    return JEM_OK;
}

static size_t plan_bytes(const jemi_plan *base)
{
    const ref_plan *plan = (const ref_plan *)base;
    const jemi_graph *graph = base->program->graph;
    const size_t n_dparams = plan->dparams != NULL ? (size_t)graph->param_count : 0;
    const size_t n_state = plan->state != NULL ? (size_t)graph->state_count : 0;
    return sizeof *plan + plan->ws.bytes + (n_dparams + n_state) * sizeof(double);
}

static const char *kind_name(jemi_node_kind kind)
{
    switch (kind) {
    case JEMI_NODE_INPUT:
        return "input";
    case JEMI_NODE_CONV:
        return "convolution";
    case JEMI_NODE_LINEAR:
        return "linear";
    case JEMI_NODE_ACT:
        return "activation";
    case JEMI_NODE_AVGPOOL:
        return "average pooling";
    case JEMI_NODE_ADD:
        return "sum";
    case JEMI_NODE_GROUPNORM:
    case JEMI_NODE_BATCHNORM:
        return "norm";
    case JEMI_NODE_DROPOUT:
        return "dropout";
    }
    return "?";
}

static void plan_time(jemi_plan *base, bool on)
{
    (void)base, (void)on; // rows run whole, not step by step
}

static void copy_shape(int64_t n, jemi_shape shape, int64_t sizes[4])
{
    sizes[0] = n;
    sizes[1] = shape.c;
    sizes[2] = shape.h;
    sizes[3] = shape.w;
}

static void describe_node(const jemi_graph *graph, int32_t index, int64_t n, jem_step_info *step)
{
    const jemi_node *node = &graph->nodes[index];
    step->op = kind_name(node->kind);
    step->kernel = "";
    step->node = index;
    step->direction = JEM_STEP_FORWARD;
    step->macs = jemi_graph_node_macs(graph, index) * n;
    copy_shape(n, node->shape, step->dst);
    if (node->kind != JEMI_NODE_INPUT)
        copy_shape(n, graph->nodes[node->input[0]].shape, step->src);
    if (node->kind != JEMI_NODE_CONV && node->kind != JEMI_NODE_LINEAR)
        return;
    const jemi_param *weight = &graph->params[node->weight];
    for (int32_t i = 0; i < 4; i++)
        step->weight[i] = i < weight->rank ? weight->shape[i] : 1;
}

static void plan_describe(const jemi_plan *base, jemi_describe_fn describe, void *user)
{
    const jemi_graph *graph = &((const ref_plan *)base)->graph;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const jemi_shape shape = graph->nodes[i].shape;
        char line[96];
        jem_step_info step = {.struct_size = sizeof step, .text = line};
        describe_node(graph, i, base->spec.batch, &step);
        snprintf(line, sizeof line, "ref %s %lldx%lldx%lld", step.op, (long long)shape.c,
                 (long long)shape.h, (long long)shape.w);
        describe(user, &step);
    }
}

static void get_values(const jemi_ref_workspace *ws, int64_t n, int32_t node, float *values)
{
    const int64_t size = jemi_shape_size(ws->graph->nodes[node].shape);
    for (int64_t row = 0; row < n; row++)
        to_float(size, jemi_ref_value(ws, row, node), values + row * size);
}

static jem_status forward(jemi_plan *base, jemi_weights *weights, const jemi_dropout *dropout,
                          int64_t n, const float *in, float *out, float *features)
{
    jemi_ref_workspace *ws = &((ref_plan *)base)->ws;
    const jemi_graph *graph = ws->graph;
    const int64_t in_size = jemi_shape_size(graph->nodes[0].shape);
    assert(n >= 1 && n <= base->spec.batch && (features != NULL) == base->spec.features);

    ws->dropout = dropout != NULL ? *dropout : (jemi_dropout){.step = 0};
    for (int64_t row = 0; row < n; row++)
        to_double(in_size, in + row * in_size, jemi_ref_value(ws, row, 0));
    jemi_ref_forward(ws, ((ref_weights *)weights)->params, n);
    get_values(ws, n, graph->n_nodes - 1, out);
    if (features != NULL)
        get_values(ws, n, graph->features, features);
    return JEM_OK;
}

static jem_status backward(jemi_plan *base, jemi_weights *weights, int64_t n, const float *dout,
                           float *din, float *dparams)
{
    const ref_plan *plan = (ref_plan *)base;
    const jemi_ref_workspace *ws = &plan->ws;
    const jemi_graph *graph = ws->graph;
    const int32_t last = graph->n_nodes - 1;
    const int64_t in_size = jemi_shape_size(graph->nodes[0].shape);
    const int64_t out_size = jemi_shape_size(graph->nodes[last].shape);
    assert(n >= 1 && n <= base->spec.batch);
    assert(din == NULL || (base->spec.wants & JEMI_WANT_DINPUT) != 0);
    assert(dparams == NULL || (base->spec.wants & JEMI_WANT_DPARAMS) != 0);

    double *sum = dparams != NULL ? plan->dparams : NULL;
    if (sum != NULL)
        memset(sum, 0, (size_t)graph->param_count * sizeof *sum);
    for (int64_t row = 0; row < n; row++)
        to_double(out_size, dout + row * out_size, jemi_ref_grad(ws, row, last));
    jemi_ref_backward(ws, ((ref_weights *)weights)->params, n, sum);
    for (int64_t row = 0; din != NULL && row < n; row++)
        to_float(in_size, jemi_ref_grad(ws, row, 0), din + row * in_size);
    if (sum != NULL)
        to_float(graph->param_count, sum, dparams);
    return JEM_OK;
}

static void statistics(const jemi_plan *base, int64_t n, float *state)
{
    const ref_plan *plan = (const ref_plan *)base;
    jemi_ref_statistics(&plan->ws, n, plan->state);
    to_float(base->program->graph->state_count, plan->state, state);
}

static void choice(const jemi_program *program, int32_t precision, char *out, size_t size)
{
    (void)program, (void)precision;
    jemi_format(out, size, "reference");
}

static const jemi_planner planner = {
    .create = plan_create,
    .bytes = plan_bytes,
    .time = plan_time,
    .describe = plan_describe,
    .destroy = plan_destroy,
    .forward = forward,
    .backward = backward,
    .statistics = statistics,
};

const jemi_backend jemi_backend_ref = {
    .name = "ref",
    .id = JEM_BACKEND_REF,
    .program_create = program_create,
    .program_destroy = program_destroy,
    .weights_create = weights_create,
    .weights_set = weights_set,
    .weights_bytes = weights_bytes,
    .weights_destroy = weights_destroy,
    .planner = &planner,
    JEMI_ROWS_SLOTS,
    .choice = choice,
};
