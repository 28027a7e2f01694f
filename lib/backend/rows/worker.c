/*
 * Plans are found by their specs or compiled, and run on the thread count that they are for.
 */
#include "backend/rows/worker.h"

#include <stdatomic.h>
#include <string.h>

#include "backend/rows/rows.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/openmp.h"
#include "base/status.h"
#include "base/threads.h"

enum {
    // Of plans for one batch size each, whose sizes could go on and on. A training step needs four
    // kinds, each in two sizes when rows are shared out unevenly.
    SIZED_PLANS_MAX = 12,
};

static int64_t input_size(const jemi_program *program)
{
    return jemi_shape_size(program->graph->nodes[0].shape);
}

void jemi_worker_init(jemi_worker *worker, jemi_program *program, int32_t threads, int64_t rows_max,
                      int64_t rows_room)
{
    worker->program = program;
    worker->threads = threads;
    worker->rows_max = rows_max;
    worker->rows_room = rows_room;
    worker->takes_batch = jemi_graph_has(program->graph, JEMI_NODE_BATCHNORM);
    worker->drops_out = jemi_graph_has(program->graph, JEMI_NODE_DROPOUT);
    worker->bytes = sizeof *worker;
}

void jemi_worker_fini(jemi_worker *worker)
{
    for (int i = 0; i < worker->n_plans; i++)
        worker->program->backend->planner->destroy(worker->plans[i]);
    for (int i = 0; i < JEMI_CUTS; i++) {
        jemi_free(worker->out[i]);
        jemi_free(worker->dout[i]);
    }
    jemi_free(worker->scratch);
    jemi_free(worker->dparams);
    *worker = (jemi_worker){0};
}

bool jemi_worker_mixes_rows(const jemi_worker *worker, jemi_mode mode)
{
    return mode != JEMI_MODE_EVAL && worker->takes_batch;
}

// The mode that a plan needs: modes that do the same to this network share theirs.
static jemi_mode plan_mode(const jemi_worker *worker, jemi_mode mode)
{
    if (mode == JEMI_MODE_TRAIN && worker->drops_out)
        return JEMI_MODE_TRAIN;
    return jemi_worker_mixes_rows(worker, mode) ? JEMI_MODE_CHAIN : JEMI_MODE_EVAL;
}

// The smallest power of two that holds n rows.
static int64_t padded(int64_t n)
{
    int64_t batch = 1;
    while (batch < n)
        batch *= 2;
    return batch;
}

int64_t jemi_worker_rows(const jemi_worker *worker, int64_t n_left)
{
    if (n_left >= worker->rows_max)
        return worker->rows_max;
    const int64_t batch = padded(n_left);
    return 4 * n_left >= 3 * batch ? n_left : batch / 2;
}

// ---- plans -------------------------------------------------------------------------------------

static bool same_spec(const jemi_plan_spec *a, const jemi_plan_spec *b)
{
    return a->batch == b->batch && a->threads == b->threads && a->precision == b->precision &&
           a->wants == b->wants && a->mode == b->mode && a->cut == b->cut &&
           a->features == b->features;
}

static void drop_plan(jemi_worker *worker, int index)
{
    const jemi_planner *planner = worker->program->backend->planner;
    jemi_plan *plan = worker->plans[index];
    const int n_plans = worker->n_plans;
    worker->n_plans = index; // less, but never a wrong one: another thread may fork here
    atomic_signal_fence(memory_order_seq_cst);
    memmove(&worker->plans[index], &worker->plans[index + 1],
            (size_t)(n_plans - index - 1) * sizeof worker->plans[0]);
    atomic_signal_fence(memory_order_seq_cst);
    worker->n_plans = n_plans - 1;
    worker->bytes -= planner->bytes(plan);
    planner->destroy(plan);
}

// Before another plan: the oldest one goes, or the oldest one of its own size.
static void make_room(jemi_worker *worker, const jemi_plan_spec *spec)
{
    if (worker->n_plans == JEMI_WORKER_PLANS_MAX)
        drop_plan(worker, 0);
    if (!jemi_worker_mixes_rows(worker, spec->mode))
        return;
    int oldest = -1, n_sized = 0;
    for (int i = worker->n_plans - 1; i >= 0; i--)
        if (worker->plans[i]->spec.mode != JEMI_MODE_EVAL) {
            oldest = i;
            n_sized++;
        }
    if (n_sized >= SIZED_PLANS_MAX)
        drop_plan(worker, oldest);
}

static jem_status find_or_compile(jemi_worker *worker, const jemi_plan_spec *spec, jemi_plan **out)
{
    for (int i = 0; i < worker->n_plans; i++)
        if (same_spec(&worker->plans[i]->spec, spec)) {
            *out = worker->plans[i];
            return JEM_OK;
        }
    make_room(worker, spec);
    const jemi_backend *backend = worker->program->backend;
    const double begin = jemi_seconds();
    JEMI_TRY(backend->planner->create(out, worker->program, spec));
    jemi_log(JEM_LOG_DEBUG, "compiled a %s plan: batch %lld, gradients %u, %d threads, %.1f ms",
             backend->name, (long long)spec->batch, (unsigned)spec->wants, (int)spec->threads,
             1e3 * (jemi_seconds() - begin));
    worker->plans[worker->n_plans] = *out;
    atomic_signal_fence(memory_order_seq_cst); // see drop_plan()
    worker->n_plans++;
    worker->bytes += backend->planner->bytes(*out);
    return JEM_OK;
}

jem_status jemi_worker_plan(jemi_worker *worker, const jemi_pass *pass, int64_t n, jemi_plan **out)
{
    const int now = jemi_threads_now();
    jemi_plan_spec spec = {
        .batch = jemi_worker_mixes_rows(worker, pass->mode) ? n : padded(n),
        .threads = now < worker->threads ? now : worker->threads,
        .precision = pass->precision,
        .wants = pass->wants,
        .mode = plan_mode(worker, pass->mode),
        .cut = pass->cut,
        .features = pass->features,
    };
    JEMI_TRY(find_or_compile(worker, &spec, out));
    if (jemi_openmp_can_have((*out)->team))
        return JEM_OK;
    spec.threads = 1; // OpenMP would end the process
    return find_or_compile(worker, &spec, out);
}

// ---- chunks ------------------------------------------------------------------------------------

// Made when first asked for.
static jem_status make_array(jemi_worker *worker, float **array, int64_t count, const char *what)
{
    if (*array != NULL)
        return JEM_OK;
    *array = jemi_alloc((size_t)count, sizeof(float));
    if (*array == NULL)
        return jemi_fail_memory(what);
    worker->bytes += (size_t)count * sizeof(float);
    return JEM_OK;
}

jem_status jemi_worker_prepare(jemi_worker *worker, const jemi_pass *pass, int64_t n)
{
    const jemi_program *program = worker->program;
    const int64_t values = worker->rows_room * jemi_graph_cut_size(program->graph, pass->cut);
    JEMI_TRY(make_array(worker, &worker->out[pass->cut], values, "values of a chunk"));
    if (pass->features)
        JEMI_TRY(
            make_array(worker, &worker->out[JEMI_CUT_FEATURES],
                       worker->rows_room * jemi_graph_cut_size(program->graph, JEMI_CUT_FEATURES),
                       "features of a chunk"));
    if (pass->wants != 0)
        JEMI_TRY(make_array(worker, &worker->dout[pass->cut], values, "cotangents of a chunk"));
    if (pass->wants != 0)
        JEMI_TRY(make_array(worker, &worker->scratch, worker->rows_room * input_size(program),
                            "inputs of a chunk"));
    if ((pass->wants & JEMI_WANT_DPARAMS) != 0)
        JEMI_TRY(make_array(worker, &worker->dparams, program->graph->param_count,
                            "parameter gradients of a chunk"));
    jemi_plan *plan;
    return jemi_worker_plan(worker, pass, n, &plan);
}

// Where they go that are handed out beside the output's values.
static float *features_of(const jemi_worker *worker, const jemi_pass *pass)
{
    return pass->features ? worker->out[JEMI_CUT_FEATURES] : NULL;
}

jemi_worker_chunk jemi_worker_chunk_of(jemi_worker *worker, const jemi_pass *pass, int64_t first,
                                       int64_t n, bool caller)
{
    return (jemi_worker_chunk){
        .base = {.program = worker->program,
                 .pass = pass,
                 .first = first,
                 .n = n,
                 .caller = caller,
                 .scratch = pass->wants != 0 ? worker->scratch : NULL,
                 .out = worker->out[pass->cut],
                 .features = features_of(worker, pass),
                 .dout = pass->wants != 0 ? worker->dout[pass->cut] : NULL,
                 .dparams = (pass->wants & JEMI_WANT_DPARAMS) != 0 ? worker->dparams : NULL},
        .worker = worker,
    };
}

jem_status jemi_rows_forward(jemi_chunk *base, const float *x)
{
    jemi_worker_chunk *chunk = (jemi_worker_chunk *)base;
    const jemi_pass *pass = base->pass;
    JEMI_TRY(jemi_worker_plan(chunk->worker, pass, base->n, &chunk->plan));
    jemi_dropout dropout = pass->dropout;
    dropout.first_row += (uint32_t)base->first;
    const int before = jemi_threads_enter(chunk->plan->spec.threads);
    const jem_status status = base->program->backend->planner->forward(
        chunk->plan, pass->weights, &dropout, base->n, x, chunk->worker->out[pass->cut],
        features_of(chunk->worker, pass));
    jemi_threads_leave(before);
    return status;
}

jem_status jemi_rows_backward(jemi_chunk *base, float *dx)
{
    const jemi_worker_chunk *chunk = (jemi_worker_chunk *)base;
    const int before = jemi_threads_enter(chunk->plan->spec.threads);
    const jem_status status = base->program->backend->planner->backward(
        chunk->plan, base->pass->weights, base->n, base->dout, dx, base->dparams);
    jemi_threads_leave(before);
    return status;
}

void jemi_rows_statistics(const jemi_chunk *base, float *state)
{
    const jemi_worker_chunk *chunk = (const jemi_worker_chunk *)base;
    base->program->backend->planner->statistics(chunk->plan, base->n, state);
}
