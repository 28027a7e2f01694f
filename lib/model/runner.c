/*
 * Plans are compiled for batches that are powers of two, so that calls of any size share a few. A
 * remainder that fills three quarters of the next power is padded up to it, a smaller one
 * is split: at most a third of a pass is wasted. Under batch statistics neither is allowed: there a
 * plan has the size of its batch.
 */
#include "model/runner.h"

#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/openmp.h"
#include "base/threads.h"
#include "model/runner_struct.h"

enum {
    CHUNK_LIMIT = 256,
    LANE_LIMIT = 64,
    SUM_LANE_LIMIT = 16,
    // Of plans for one batch size each, whose sizes could go on and on. A training step needs four
    // kinds, each in two sizes when rows are shared out unevenly.
    SIZED_PLANS_MAX = 12,
};

// Values of one chunk are kept below this, so that large inputs do not ask for large workspaces.
static const int64_t chunk_bytes_max = 512 << 20;

// Values of one lane's chunk, about: of a network in lanes, most are dead soon.
static const int64_t lane_bytes_max = 2 << 20;

// Every lane reads all weights for each of its small chunks, so they have to lie near, and the
// values to be worth it.
static const int64_t lane_params_max = 1 << 20;
static const int64_t lane_values_per_param = 2;

// Parameter gradients want more rows at a time, since each piece also writes and adds all of them;
// and values that outweigh them.
static const int64_t sum_lane_bytes_max = 4 << 20;
static const int64_t sum_lane_values_per_param = 4;

static int64_t input_size(const jemi_program *program)
{
    return jemi_shape_size(program->graph->nodes[0].shape);
}

static int64_t output_size(const jemi_program *program)
{
    return jemi_shape_size(program->graph->nodes[program->graph->n_nodes - 1].shape);
}

static int64_t row_bytes(const jemi_graph *graph)
{
    int64_t bytes = 0;
    for (int32_t i = 0; i < graph->n_nodes; i++)
        bytes += jemi_shape_size(graph->nodes[i].shape) * (int64_t)sizeof(float);
    return bytes;
}

// The largest power of two up to `limit` whose rows fit.
static int64_t rows_that_fit(const jemi_graph *graph, int64_t limit, int64_t bytes_max)
{
    int64_t rows = limit;
    while (rows > 1 && rows * row_bytes(graph) > bytes_max)
        rows /= 2;
    return rows;
}

// Have so many rows at least `per_param` values for each parameter?
static bool outweigh(const jemi_graph *graph, int64_t rows, int64_t per_param)
{
    return rows * row_bytes(graph) >= per_param * graph->param_count * (int64_t)sizeof(float);
}

static int64_t lane_rows(const jemi_graph *graph)
{
    if (graph->param_count > lane_params_max)
        return 0;
    int64_t rows = rows_that_fit(graph, LANE_LIMIT, lane_bytes_max);
    while (rows < LANE_LIMIT && !outweigh(graph, rows, lane_values_per_param))
        rows *= 2;
    return rows;
}

static int64_t sum_lane_rows(const jemi_graph *graph)
{
    const int64_t rows = rows_that_fit(graph, SUM_LANE_LIMIT, sum_lane_bytes_max);
    const bool worth_it = outweigh(graph, rows, sum_lane_values_per_param);
    return graph->param_count <= lane_params_max && worth_it ? rows : 0;
}

// Whom the calling thread is creating a runner for.
static _Thread_local const jemi_runner_pool *creating_for;

// In the child of a fork: runners that other threads had borrowed do not come back. Whatever those
// threads were doing to them, they are only good to be destroyed.
static int abandon_runners(void *context)
{
    jemi_runner_pool *pool = context;
    pool->returned = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool->n_runners = creating_for == pool;
    int uses = pool->n_runners;
    jemi_runner **at = &pool->all;
    while (*at != NULL) {
        jemi_runner *runner = *at;
        if (!jemi_thread_vanished(runner->borrower)) {
            pool->n_runners++;
            uses += runner->borrower != 0;
            at = &runner->next_of_all;
            continue;
        }
        *at = runner->next_of_all;
        runner->next_of_all = pool->abandoned;
        pool->abandoned = runner;
    }
    return uses;
}

jem_status jemi_runner_pool_init(jemi_runner_pool *pool, jemi_program *program,
                                 jemi_generations *generations, int32_t threads,
                                 int32_t runners_max)
{
    if (pthread_cond_init(&pool->returned, NULL) != 0)
        return jemi_fail_memory("lock of the runners");
    if (!jemi_lock_init(&pool->lock, JEMI_RANK_RUNNERS, abandon_runners, pool)) {
        pthread_cond_destroy(&pool->returned);
        return jemi_fail_memory("lock of the runners");
    }
    pool->program = program;
    pool->generations = generations;
    pool->threads = threads;
    pool->runners_max = runners_max;
    pool->takes_batch = jemi_graph_has(program->graph, JEMI_NODE_BATCHNORM);
    pool->drops_out = jemi_graph_has(program->graph, JEMI_NODE_DROPOUT);
    pool->chunk_max = rows_that_fit(program->graph, CHUNK_LIMIT, chunk_bytes_max);
    pool->lane_max = lane_rows(program->graph);
    pool->sum_lane_max = sum_lane_rows(program->graph);
    pool->batch_max = pool->takes_batch ? CHUNK_LIMIT : pool->chunk_max;
    return JEM_OK;
}

static void destroy_runner(jemi_runner *runner)
{
    if (runner == NULL)
        return;
    for (int i = 0; i < runner->n_lanes; i++)
        destroy_runner(runner->lanes[i]);
    jemi_free(runner->lanes);
    for (int i = 0; i < runner->n_plans; i++)
        runner->pool->program->backend->plan_destroy(runner->plans[i]);
    jemi_free(runner->logits);
    jemi_free(runner->dlogits);
    jemi_free(runner->input_scratch);
    jemi_free(runner->dparams);
    jemi_free(runner);
}

static void destroy_all(jemi_runner *runner)
{
    while (runner != NULL) {
        jemi_runner *next = runner->next_of_all;
        destroy_runner(runner);
        runner = next;
    }
}

void jemi_runner_pool_fini(jemi_runner_pool *pool)
{
    if (pool->program == NULL)
        return;
    jemi_lock_fini(&pool->lock); // first: a fork from here on leaves it alone
    destroy_all(pool->all);
    destroy_all(pool->abandoned);
    pthread_cond_destroy(&pool->returned);
    *pool = (jemi_runner_pool){0};
}

size_t jemi_runner_pool_bytes(jemi_runner_pool *pool)
{
    jemi_lock_enter(&pool->lock);
    const size_t bytes = pool->idle_bytes;
    jemi_lock_leave(&pool->lock);
    return bytes;
}

static jem_status create_runner(jemi_runner_pool *pool, int32_t threads, int64_t rows_max,
                                int64_t rows_room, jemi_runner **out)
{
    jemi_runner *runner = jemi_calloc(1, sizeof *runner);
    if (runner == NULL)
        return jemi_fail_memory("runner");
    runner->pool = pool;
    runner->threads = threads;
    runner->rows_max = rows_max;
    runner->rows_room = rows_room;
    const size_t count = (size_t)(rows_room * output_size(pool->program));
    runner->logits = jemi_alloc(count, sizeof(float));
    runner->dlogits = jemi_alloc(count, sizeof(float));
    if (runner->logits == NULL || runner->dlogits == NULL) {
        destroy_runner(runner);
        return jemi_fail_memory("logits of a runner");
    }
    runner->bytes = sizeof *runner + 2 * count * sizeof(float);
    *out = runner;
    return JEM_OK;
}

jem_status jemi_runner_make_lanes(jemi_runner *runner)
{
    if (runner->lanes == NULL)
        runner->lanes = jemi_calloc((size_t)runner->threads, sizeof(jemi_runner *));
    if (runner->lanes == NULL)
        return jemi_fail_memory("lanes of a runner");
    while (runner->n_lanes < runner->threads) {
        const jemi_runner_pool *pool = runner->pool;
        const int64_t rows =
            pool->lane_max > pool->sum_lane_max ? pool->lane_max : pool->sum_lane_max;
        JEMI_TRY(create_runner(runner->pool, 1, rows, rows, &runner->lanes[runner->n_lanes]));
        runner->n_lanes++;
    }
    for (int i = 0; i < runner->n_lanes; i++) {
        jemi_runner *lane = runner->lanes[i];
        lane->generation = runner->generation;
        lane->trial = runner->trial;
        lane->mode = runner->mode;
        lane->dropout = runner->dropout;
    }
    return JEM_OK;
}

static size_t bytes_of(const jemi_runner *runner)
{
    size_t bytes = runner->bytes;
    for (int i = 0; i < runner->n_lanes; i++)
        bytes += runner->lanes[i]->bytes;
    return bytes;
}

// An idle runner, or NULL after counting in a new one that the caller must create.
static jemi_runner *take_idle_or_place(jemi_runner_pool *pool)
{
    jemi_lock_enter(&pool->lock);
    jemi_lock_count(&pool->lock, 1); // also while it waits: then the condition has to be mended
    while (pool->idle == NULL && pool->n_runners >= pool->runners_max)
        jemi_lock_wait(&pool->lock, &pool->returned);
    jemi_runner *runner = pool->idle;
    if (runner != NULL) {
        pool->idle = runner->next;
        pool->idle_bytes -= bytes_of(runner);
        runner->borrower = jemi_thread_id();
    } else {
        pool->n_runners++;
        creating_for = pool;
    }
    jemi_lock_leave(&pool->lock);
    return runner;
}

static void give_up_place(jemi_runner_pool *pool)
{
    jemi_lock_enter(&pool->lock);
    pool->n_runners--;
    creating_for = NULL;
    jemi_lock_count(&pool->lock, -1);
    pthread_cond_signal(&pool->returned);
    jemi_lock_leave(&pool->lock);
}

static void enlist(jemi_runner_pool *pool, jemi_runner *runner)
{
    jemi_lock_enter(&pool->lock);
    jemi_runner *abandoned = pool->abandoned;
    pool->abandoned = NULL;
    creating_for = NULL;
    runner->borrower = jemi_thread_id();
    runner->next_of_all = pool->all;
    pool->all = runner;
    jemi_lock_leave(&pool->lock);
    destroy_all(abandoned);
}

jem_status jemi_runner_borrow(jemi_runner_pool *pool, jemi_runner **out)
{
    jemi_runner *runner = take_idle_or_place(pool);
    if (runner == NULL) {
        const jem_status status =
            create_runner(pool, pool->threads, pool->chunk_max, pool->batch_max, &runner);
        if (status != JEM_OK) {
            give_up_place(pool);
            return status;
        }
        enlist(pool, runner);
    }
    runner->generation = jemi_generation_pin(pool->generations, &runner->pin);
    runner->threads_before = jemi_threads_enter(pool->threads);
    runner->mode = JEMI_MODE_EVAL;
    *out = runner;
    return JEM_OK;
}

void jemi_runner_return(jemi_runner *runner)
{
    jemi_runner_pool *pool = runner->pool;
    jemi_threads_leave(runner->threads_before);
    jemi_generation_unpin(&runner->pin);
    runner->generation = NULL;
    runner->trial = NULL;
    runner->active = NULL;
    jemi_lock_enter(&pool->lock);
    runner->borrower = 0;
    jemi_lock_count(&pool->lock, -1);
    runner->next = pool->idle;
    pool->idle = runner;
    pool->idle_bytes += bytes_of(runner);
    pthread_cond_signal(&pool->returned);
    jemi_lock_leave(&pool->lock);
}

void jemi_runner_set_mode(jemi_runner *runner, jemi_mode mode)
{
    runner->mode = mode;
}

void jemi_runner_set_dropout(jemi_runner *runner, const jemi_dropout *dropout)
{
    runner->dropout = *dropout;
}

bool jemi_runner_mixes_rows(const jemi_runner *runner)
{
    return runner->mode != JEMI_MODE_EVAL && runner->pool->takes_batch;
}

// The mode that its plans need: modes that do the same to this network share theirs.
static jemi_mode plan_mode(const jemi_runner *runner)
{
    if (runner->mode == JEMI_MODE_TRAIN && runner->pool->drops_out)
        return JEMI_MODE_TRAIN;
    return jemi_runner_mixes_rows(runner) ? JEMI_MODE_CHAIN : JEMI_MODE_EVAL;
}

// The smallest power of two that holds n rows.
static int64_t padded(int64_t n)
{
    int64_t batch = 1;
    while (batch < n)
        batch *= 2;
    return batch;
}

int64_t jemi_runner_chunk(const jemi_runner *runner, int64_t n_left)
{
    const int64_t together = runner->pool->batch_max;
    if (jemi_runner_mixes_rows(runner)) {
        const int64_t n_chunks = (n_left + together - 1) / together;
        return (n_left + n_chunks - 1) / n_chunks;
    }
    if (n_left >= runner->rows_max)
        return runner->rows_max;
    const int64_t batch = padded(n_left);
    return 4 * n_left >= 3 * batch ? n_left : batch / 2;
}

static bool same_spec(const jemi_plan_spec *a, const jemi_plan_spec *b)
{
    return a->batch == b->batch && a->threads == b->threads && a->precision == b->precision &&
           a->wants == b->wants && a->mode == b->mode;
}

static void drop_plan(jemi_runner *runner, int index)
{
    const jemi_backend *backend = runner->pool->program->backend;
    jemi_plan *plan = runner->plans[index];
    const int n_plans = runner->n_plans;
    runner->n_plans = index; // less, but never a wrong one: another thread may fork here
    atomic_signal_fence(memory_order_seq_cst);
    memmove(&runner->plans[index], &runner->plans[index + 1],
            (size_t)(n_plans - index - 1) * sizeof runner->plans[0]);
    atomic_signal_fence(memory_order_seq_cst);
    runner->n_plans = n_plans - 1;
    runner->bytes -= backend->plan_bytes(plan);
    backend->plan_destroy(plan);
}

// Before another plan: the oldest one goes, or the oldest one of its own size.
static void make_room(jemi_runner *runner)
{
    if (runner->n_plans == JEMI_RUNNER_PLANS_MAX)
        drop_plan(runner, 0);
    if (!jemi_runner_mixes_rows(runner))
        return;
    int oldest = -1, n_sized = 0;
    for (int i = runner->n_plans - 1; i >= 0; i--)
        if (runner->plans[i]->spec.mode != JEMI_MODE_EVAL) {
            oldest = i;
            n_sized++;
        }
    if (n_sized >= SIZED_PLANS_MAX)
        drop_plan(runner, oldest);
}

static jem_status find_or_compile(jemi_runner *runner, const jemi_plan_spec *spec, jemi_plan **out)
{
    for (int i = 0; i < runner->n_plans; i++)
        if (same_spec(&runner->plans[i]->spec, spec)) {
            *out = runner->plans[i];
            return JEM_OK;
        }
    make_room(runner);
    const jemi_backend *backend = runner->pool->program->backend;
    const double begin = jemi_seconds();
    JEMI_TRY(backend->plan_create(out, runner->pool->program, spec));
    jemi_log(JEM_LOG_DEBUG, "compiled a %s plan: batch %lld, gradients %u, %d threads, %.1f ms",
             backend->name, (long long)spec->batch, (unsigned)spec->wants, (int)spec->threads,
             1e3 * (jemi_seconds() - begin));
    runner->plans[runner->n_plans] = *out;
    atomic_signal_fence(memory_order_seq_cst); // see drop_plan()
    runner->n_plans++;
    runner->bytes += backend->plan_bytes(*out);
    return JEM_OK;
}

jem_status jemi_runner_plan(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                            jemi_plan **out)
{
    const int now = jemi_threads_now();
    jemi_plan_spec spec = {
        .batch = jemi_runner_mixes_rows(runner) ? n : padded(n),
        .threads = now < runner->threads ? now : runner->threads,
        .precision = precision,
        .wants = wants,
        .mode = plan_mode(runner),
    };
    JEMI_TRY(find_or_compile(runner, &spec, out));
    if (jemi_openmp_can_have((*out)->team))
        return JEM_OK;
    spec.threads = 1; // OpenMP would end the process
    return find_or_compile(runner, &spec, out);
}

static jemi_generation *generation_of(const jemi_runner *runner)
{
    return runner->trial != NULL ? runner->trial : runner->generation;
}

jem_status jemi_runner_forward(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                               const float *x, const float **logits)
{
    jemi_plan *plan;
    JEMI_TRY(jemi_runner_plan(runner, precision, wants, n, &plan));
    plan->dropout = runner->dropout;
    const int before = jemi_threads_enter(plan->spec.threads);
    const jem_status status = runner->pool->program->backend->forward(
        plan, generation_of(runner)->weights, n, x, runner->logits);
    jemi_threads_leave(before);
    if (status != JEM_OK)
        return status;
    runner->active = plan;
    runner->active_n = n;
    *logits = runner->logits;
    return JEM_OK;
}

const float *jemi_runner_logits(const jemi_runner *runner)
{
    return runner->logits;
}

float *jemi_runner_dlogits(jemi_runner *runner)
{
    return runner->dlogits;
}

jem_status jemi_runner_backward(jemi_runner *runner, float *dx, float *dparams)
{
    const int before = jemi_threads_enter(runner->active->spec.threads);
    const jem_status status =
        runner->pool->program->backend->backward(runner->active, generation_of(runner)->weights,
                                                 runner->active_n, runner->dlogits, dx, dparams);
    jemi_threads_leave(before);
    return status;
}

bool jemi_runner_takes_batch(const jemi_runner *runner)
{
    return runner->pool->takes_batch;
}

void jemi_runner_statistics(const jemi_runner *runner, float *state)
{
    runner->pool->program->backend->statistics(runner->active, runner->active_n, state);
}

// Made when first asked for.
static float *scratch(jemi_runner *runner, float **array, int64_t count)
{
    if (*array == NULL) {
        *array = jemi_alloc((size_t)count, sizeof(float));
        if (*array != NULL)
            runner->bytes += (size_t)count * sizeof(float);
    }
    return *array;
}

float *jemi_runner_input_scratch(jemi_runner *runner)
{
    return scratch(runner, &runner->input_scratch,
                   runner->rows_room * input_size(runner->pool->program));
}

float *jemi_runner_dparams(jemi_runner *runner)
{
    return scratch(runner, &runner->dparams, runner->pool->program->graph->param_count);
}

void jemi_runner_try(jemi_runner *runner, jemi_generation *trial)
{
    runner->trial = trial;
}

const jemi_generation *jemi_runner_generation(const jemi_runner *runner)
{
    return runner->generation;
}

const float *jemi_runner_params(const jemi_runner *runner)
{
    return generation_of(runner)->params;
}
