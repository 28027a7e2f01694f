/*
 * A network of networks.h with parameters, data and a program of one backend, and how its plans are run.
 */
#ifndef JEM_TESTS_CONFORMANCE_FIXTURE_H
#define JEM_TESTS_CONFORMANCE_FIXTURE_H

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/choose.h"
#include "backend/cpu/cpu_program.h"
#include "backend/plan.h"
#include "base/memory.h"
#include "conformance/networks.h"
#include "support.h"

static const jemi_backend *backend;

// The backend that the program is called with, "native" or "onednn".
static inline void choose_backend(int argc, char **argv)
{
    for (int32_t id = JEM_BACKEND_REF; argc == 2 && id <= JEM_BACKEND_NATIVE; id++)
        if (jemi_backend_find(id) != NULL && strcmp(jemi_backend_find(id)->name, argv[1]) == 0)
            backend = jemi_backend_find(id);
    if (backend != NULL)
        return;
    fprintf(stderr, "the one argument is the name of a backend of this build\n");
    exit(EXIT_FAILURE);
}

typedef struct net {
    jemi_graph graph;
    jemi_program *program;
    jemi_weights *weights;
    int64_t in_size, out_size; // floats per row
    float *params, *in, *dout;
    int32_t precision; /* JEM_PRECISION_F32, by net_init() */
    jemi_mode mode;    /* JEMI_MODE_EVAL, by net_init() */
    jemi_cut cut;      /* JEMI_CUT_OUTPUT, by net_init() */
} net;

typedef struct result {
    float *out, *din, *dparams;
} result;

// -1 .. 1 from a counter: the same on every machine.
static float uniform(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-23f - 1.0f;
}

static float *random_array(int64_t count, uint32_t seed)
{
    float *array = jemi_alloc((size_t)count, sizeof *array);
    for (int64_t i = 0; i < count; i++)
        array[i] = uniform(&seed);
    return array;
}

static void ok(jem_status status)
{
    ck_assert_msg(status == JEM_OK, "status %d", (int)status);
}

// What norms begin with, ones and zeros, at random; variances above 0.
static void randomize_norms(const jemi_graph *graph, float *params)
{
    uint32_t state = 3;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const jemi_node *node = &graph->nodes[i];
        const bool batch = node->kind == JEMI_NODE_BATCHNORM;
        if (!batch && node->kind != JEMI_NODE_GROUPNORM)
            continue;
        for (int64_t c = 0; c < node->shape.c; c++) {
            params[graph->params[node->weight].offset + c] = 1.0f + 0.5f * uniform(&state);
            params[graph->params[node->bias].offset + c] = uniform(&state);
            if (batch)
                params[graph->states[node->mean].offset + c] = 0.3f * uniform(&state);
            if (batch)
                params[graph->states[node->var].offset + c] = 1.0f + 0.7f * uniform(&state);
        }
    }
}

enum { ROW_NAME = 64 };

// The layer of a row of the table, after an activation.
static inline net_case row_case(const jemi_choice *row, char name[ROW_NAME])
{
    snprintf(name, ROW_NAME, "made:layer-%d-%d-%d", (int)row->out, (int)row->kernel,
             (int)row->stride);
    return (net_case){name, (int32_t)row->in, (int32_t)row->h, (int32_t)row->w, 0, 3, 2, 2};
}

// Does the backend have kernels for this network? oneDNN's are for all.
static inline bool computes(const net_case *c)
{
    jemi_graph graph;
    jemi_program *program;
    ok(net_graph(&graph, c));
    const jem_status status = backend->program_create(&program, &graph);
    ck_assert(status == JEM_OK ||
              (status == JEM_EUNSUPPORTED && backend->id == JEM_BACKEND_NATIVE));
    backend->program_destroy(program);
    jemi_graph_fini(&graph);
    return status == JEM_OK;
}

static void net_init(net *t, const net_case *c, int64_t rows)
{
    memset(t, 0, sizeof *t);
    ok(net_graph(&t->graph, c));
    t->in_size = jemi_shape_size(t->graph.nodes[0].shape);
    t->out_size = jemi_shape_size(t->graph.nodes[t->graph.n_nodes - 1].shape);
    t->params = jemi_alloc((size_t)jemi_graph_size(&t->graph), sizeof *t->params);
    jemi_graph_init_params(&t->graph, 5, t->params);
    randomize_norms(&t->graph, t->params);
    t->in = random_array(rows * t->in_size, 1);
    t->dout = random_array(rows * t->out_size, 2);
    t->precision = JEM_PRECISION_F32;
    ok(backend->program_create(&t->program, &t->graph));
    ok(backend->weights_create(&t->weights, t->program));
    backend->weights_set(t->weights, t->params);
}

// Plans of this net end at the cut from now on.
static inline void net_cut(net *t, jemi_cut cut, int64_t rows)
{
    t->cut = cut;
    t->out_size = jemi_graph_cut_size(&t->graph, cut);
    jemi_free(t->dout);
    t->dout = random_array(rows * t->out_size, 2);
}

static void net_fini(net *t)
{
    backend->weights_destroy(t->weights);
    backend->program_destroy(t->program);
    jemi_graph_fini(&t->graph);
    jemi_free(t->params);
    jemi_free(t->in);
    jemi_free(t->dout);
}

static jemi_plan *new_plan(const net *t, int64_t batch, int32_t threads, uint32_t wants)
{
    const jemi_plan_spec spec = {.batch = batch,
                                 .threads = threads,
                                 .precision = t->precision,
                                 .wants = wants,
                                 .mode = t->mode,
                                 .cut = t->cut};
    jemi_plan *plan;
    support_threads(threads);
    ok(backend->planner->create(&plan, t->program, &spec));
    return plan;
}

static inline void result_init(result *r, const net *t, int64_t rows)
{
    r->out = jemi_alloc((size_t)(rows * t->out_size), sizeof(float));
    r->din = jemi_alloc((size_t)(rows * t->in_size), sizeof(float));
    r->dparams = jemi_alloc((size_t)t->graph.param_count, sizeof(float));
    for (int64_t i = 0; i < t->graph.param_count; i++)
        r->dparams[i] = NAN; // to be overwritten, all of it
}

static inline void result_fini(result *r)
{
    jemi_free(r->out);
    jemi_free(r->din);
    jemi_free(r->dparams);
}

// The masks of rows from first_row on.
static jemi_dropout masks_from(int64_t first_row)
{
    return (jemi_dropout){.key = {{7, 8}}, .step = 9, .first_row = (uint32_t)first_row};
}

static inline void run(const net *t, jemi_plan *plan, int64_t n, int64_t first_row, result *r)
{
    const uint32_t wants = plan->spec.wants;
    const jemi_dropout dropout = masks_from(first_row);
    ok(backend->planner->forward(plan, t->weights, &dropout, n, t->in + first_row * t->in_size,
                                 r->out, NULL));
    if (wants != 0)
        ok(backend->planner->backward(plan, t->weights, n, t->dout + first_row * t->out_size,
                                      (wants & JEMI_WANT_DINPUT) != 0 ? r->din : NULL,
                                      (wants & JEMI_WANT_DPARAMS) != 0 ? r->dparams : NULL));
}

static inline double *to_double(const float *from, int64_t count)
{
    double *to = jemi_alloc((size_t)count, sizeof *to);
    for (int64_t i = 0; i < count; i++)
        to[i] = (double)from[i];
    return to;
}

// Relative to the largest element.
static inline void near(const char *name, const char *what, uint32_t wants, const float *got,
                        const double *expected, int64_t count, double tolerance)
{
    double largest = 0.0;
    double error = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - expected[i]);
        error = e <= error ? error : e; // NaN wins
        largest = fmax(largest, fabs(expected[i]));
    }
    ck_assert_msg(largest > 0.0 && error <= tolerance * largest,
                  "%s, wants %u: %s is off by %g of %g", name, wants, what, error, largest);
}

#endif
