/*
 * Plans are compiled for batches that are powers of two, so that calls of any size share a few. A
 * remainder that fills three quarters of the next power is padded up to it, a smaller one
 * is split: at most a third of a pass is wasted. Under batch statistics neither is allowed: there a
 * plan has the size of its batch.
 */
#include "model/runner.h"

#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/threads.h"

enum {
    // Batches 1, 2, .. 256 times gradient kinds times precisions; far more than one host uses.
    PLANS_MAX = 96,
    // Of plans for one batch size each, whose sizes could go on and on. A training step needs four
    // kinds, each in two sizes when rows are shared out unevenly.
    SIZED_PLANS_MAX = 12,
    CHUNK_LIMIT = 256,
};

// Values of one chunk are kept below this, so that large inputs do not ask for large workspaces.
static const int64_t chunk_bytes_max = 512 << 20;

struct jemi_runner {
    jemi_runner_pool *pool;
    jemi_generation *generation;
    int host_threads;
    jemi_plan *plans[PLANS_MAX];
    int n_plans;
    jemi_mode mode; /* as asked for */
    jemi_dropout dropout;
    jemi_plan *active; /* of the last forward */
    int64_t active_n;
    float *logits, *dlogits; /* (batch_max, K) */
    float *input_scratch;    /* (batch_max, C, H, W), made on first use */
    size_t bytes;
    jemi_runner *next;
};

static int64_t input_size(const jemi_program *program)
{
    return jemi_shape_size(program->graph->nodes[0].shape);
}

static int64_t output_size(const jemi_program *program)
{
    return jemi_shape_size(program->graph->nodes[program->graph->n_nodes - 1].shape);
}

static int64_t choose_chunk_max(const jemi_graph *graph)
{
    int64_t row_bytes = 0;
    for (int32_t i = 0; i < graph->n_nodes; i++)
        row_bytes += jemi_shape_size(graph->nodes[i].shape) * (int64_t)sizeof(float);
    int64_t chunk = CHUNK_LIMIT;
    while (chunk > 1 && chunk * row_bytes > chunk_bytes_max)
        chunk /= 2;
    return chunk;
}

jem_status jemi_runner_pool_init(jemi_runner_pool *pool, jemi_program *program,
                                 jemi_generations *generations, int32_t threads,
                                 int32_t runners_max)
{
    if (pthread_mutex_init(&pool->lock, NULL) != 0)
        return jemi_fail_memory("lock of the runners");
    if (pthread_cond_init(&pool->returned, NULL) != 0) {
        pthread_mutex_destroy(&pool->lock);
        return jemi_fail_memory("lock of the runners");
    }
    pool->program = program;
    pool->generations = generations;
    pool->threads = threads;
    pool->runners_max = runners_max;
    pool->takes_batch = jemi_graph_has(program->graph, JEMI_NODE_BATCHNORM);
    pool->drops_out = jemi_graph_has(program->graph, JEMI_NODE_DROPOUT);
    pool->chunk_max = choose_chunk_max(program->graph);
    pool->batch_max = pool->takes_batch ? CHUNK_LIMIT : pool->chunk_max;
    return JEM_OK;
}

static void destroy_runner(jemi_runner *runner)
{
    if (runner == NULL)
        return;
    for (int i = 0; i < runner->n_plans; i++)
        runner->pool->program->backend->plan_destroy(runner->plans[i]);
    jemi_free(runner->logits);
    jemi_free(runner->dlogits);
    jemi_free(runner->input_scratch);
    jemi_free(runner);
}

void jemi_runner_pool_fini(jemi_runner_pool *pool)
{
    if (pool->program == NULL)
        return;
    while (pool->idle != NULL) {
        jemi_runner *runner = pool->idle;
        pool->idle = runner->next;
        destroy_runner(runner);
    }
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->lock);
    *pool = (jemi_runner_pool){0};
}

size_t jemi_runner_pool_bytes(jemi_runner_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    const size_t bytes = pool->idle_bytes;
    pthread_mutex_unlock(&pool->lock);
    return bytes;
}

static jem_status create_runner(jemi_runner_pool *pool, jemi_runner **out)
{
    jemi_runner *runner = jemi_calloc(1, sizeof *runner);
    if (runner == NULL)
        return jemi_fail_memory("runner");
    runner->pool = pool;
    const size_t count = (size_t)(pool->batch_max * output_size(pool->program));
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

// An idle runner, or NULL after counting in a new one that the caller must create.
static jemi_runner *take_idle_or_place(jemi_runner_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->idle == NULL && pool->n_runners >= pool->runners_max)
        pthread_cond_wait(&pool->returned, &pool->lock);
    jemi_runner *runner = pool->idle;
    if (runner != NULL) {
        pool->idle = runner->next;
        pool->idle_bytes -= runner->bytes;
    } else {
        pool->n_runners++;
    }
    pthread_mutex_unlock(&pool->lock);
    return runner;
}

static void give_up_place(jemi_runner_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->n_runners--;
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->lock);
}

jem_status jemi_runner_borrow(jemi_runner_pool *pool, jemi_runner **out)
{
    jemi_runner *runner = take_idle_or_place(pool);
    if (runner == NULL) {
        const jem_status status = create_runner(pool, &runner);
        if (status != JEM_OK) {
            give_up_place(pool);
            return status;
        }
    }
    runner->generation = jemi_generation_pin(pool->generations);
    runner->host_threads = jemi_threads_enter(jemi_threads_usable(pool->threads));
    runner->mode = JEMI_MODE_EVAL;
    *out = runner;
    return JEM_OK;
}

void jemi_runner_return(jemi_runner *runner)
{
    jemi_runner_pool *pool = runner->pool;
    jemi_threads_leave(runner->host_threads);
    jemi_generation_unpin(pool->generations, runner->generation);
    runner->generation = NULL;
    runner->active = NULL;
    pthread_mutex_lock(&pool->lock);
    runner->next = pool->idle;
    pool->idle = runner;
    pool->idle_bytes += runner->bytes;
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->lock);
}

void jemi_runner_set_mode(jemi_runner *runner, jemi_mode mode)
{
    runner->mode = mode;
}

void jemi_runner_set_dropout(jemi_runner *runner, const jemi_dropout *dropout)
{
    runner->dropout = *dropout;
}

static bool mixes_rows(const jemi_runner *runner)
{
    return runner->mode != JEMI_MODE_EVAL && runner->pool->takes_batch;
}

// The mode that its plans need: modes that do the same to this network share theirs.
static jemi_mode plan_mode(const jemi_runner *runner)
{
    if (runner->mode == JEMI_MODE_TRAIN && runner->pool->drops_out)
        return JEMI_MODE_TRAIN;
    return mixes_rows(runner) ? JEMI_MODE_CHAIN : JEMI_MODE_EVAL;
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
    if (mixes_rows(runner)) {
        const int64_t n_chunks = (n_left + together - 1) / together;
        return (n_left + n_chunks - 1) / n_chunks;
    }
    const int64_t most = runner->pool->chunk_max;
    if (n_left >= most)
        return most;
    const int64_t batch = padded(n_left);
    return 4 * n_left >= 3 * batch ? n_left : batch / 2;
}

static void drop_plan(jemi_runner *runner, int index)
{
    const jemi_backend *backend = runner->pool->program->backend;
    runner->bytes -= backend->plan_bytes(runner->plans[index]);
    backend->plan_destroy(runner->plans[index]);
    runner->n_plans--;
    memmove(&runner->plans[index], &runner->plans[index + 1],
            (size_t)(runner->n_plans - index) * sizeof runner->plans[0]);
}

// Before another plan: the oldest one goes, or the oldest one of its own size.
static void make_room(jemi_runner *runner)
{
    if (runner->n_plans == PLANS_MAX)
        drop_plan(runner, 0);
    if (!mixes_rows(runner))
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

static jem_status find_plan(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                            jemi_plan **out)
{
    const jemi_plan_spec spec = {
        .batch = mixes_rows(runner) ? n : padded(n),
        .threads = jemi_threads_usable(runner->pool->threads),
        .precision = precision,
        .wants = wants,
        .mode = plan_mode(runner),
    };
    for (int i = 0; i < runner->n_plans; i++) {
        const jemi_plan_spec *have = &runner->plans[i]->spec;
        if (have->batch == spec.batch && have->threads == spec.threads &&
            have->precision == precision && have->wants == wants && have->mode == spec.mode) {
            *out = runner->plans[i];
            return JEM_OK;
        }
    }
    make_room(runner);
    const jemi_backend *backend = runner->pool->program->backend;
    const double begin = jemi_seconds();
    JEMI_TRY(backend->plan_create(out, runner->pool->program, &spec));
    jemi_log(JEM_LOG_DEBUG, "compiled a %s plan: batch %lld, gradients %u, %d threads, %.1f ms",
             backend->name, (long long)spec.batch, (unsigned)wants, (int)spec.threads,
             1e3 * (jemi_seconds() - begin));
    runner->plans[runner->n_plans++] = *out;
    runner->bytes += backend->plan_bytes(*out);
    return JEM_OK;
}

// What is left of n rows after the chunks of `rows`, which all use one plan.
static int64_t rest_after(const jemi_runner *runner, int64_t n, int64_t rows)
{
    do
        n -= rows;
    while (n > 0 && jemi_runner_chunk(runner, n) == rows);
    return n;
}

jem_status jemi_runner_prepare_rows(jemi_runner *runner, int32_t precision, uint32_t wants,
                                    int64_t n)
{
    while (n > 0) {
        const int64_t rows = jemi_runner_chunk(runner, n);
        jemi_plan *plan;
        JEMI_TRY(find_plan(runner, precision, wants, rows, &plan));
        n = rest_after(runner, n, rows);
    }
    return JEM_OK;
}

jem_status jemi_runner_forward(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                               const float *x, const float **logits)
{
    jemi_plan *plan;
    JEMI_TRY(find_plan(runner, precision, wants, n, &plan));
    plan->dropout = runner->dropout;
    JEMI_TRY(runner->pool->program->backend->forward(plan, runner->generation->weights, n, x,
                                                     runner->logits));
    runner->active = plan;
    runner->active_n = n;
    *logits = runner->logits;
    return JEM_OK;
}

float *jemi_runner_dlogits(jemi_runner *runner)
{
    return runner->dlogits;
}

jem_status jemi_runner_backward(jemi_runner *runner, float *dx, float *dparams)
{
    return runner->pool->program->backend->backward(runner->active, runner->generation->weights,
                                                    runner->active_n, runner->dlogits, dx, dparams);
}

bool jemi_runner_takes_batch(const jemi_runner *runner)
{
    return runner->pool->takes_batch;
}

void jemi_runner_statistics(const jemi_runner *runner, float *state)
{
    runner->pool->program->backend->statistics(runner->active, runner->active_n, state);
}

float *jemi_runner_input_scratch(jemi_runner *runner)
{
    const size_t count = (size_t)(runner->pool->batch_max * input_size(runner->pool->program));
    if (runner->input_scratch == NULL) {
        runner->input_scratch = jemi_alloc(count, sizeof(float));
        if (runner->input_scratch != NULL)
            runner->bytes += count * sizeof(float);
    }
    return runner->input_scratch;
}

// Arrays of a run whose results nobody wants.
typedef struct dry_run {
    float *x, *dx; /* (chunk, C, H, W) */
    float *dparams;
} dry_run;

static jem_status warm_chunk(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t rows,
                             const dry_run *dry)
{
    const float *logits;
    JEMI_TRY(jemi_runner_forward(runner, precision, wants, rows, dry->x, &logits));
    if (wants == 0)
        return JEM_OK;
    const int64_t count = rows * output_size(runner->pool->program);
    memset(runner->dlogits, 0, (size_t)count * sizeof *runner->dlogits);
    return jemi_runner_backward(runner, dry->dx, dry->dparams);
}

jem_status jemi_runner_warm(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n)
{
    const jemi_program *program = runner->pool->program;
    const size_t count = (size_t)(jemi_runner_chunk(runner, n > 0 ? n : 1) * input_size(program));
    const bool with_dx = (wants & JEMI_WANT_DINPUT) != 0;
    const bool with_dparams = (wants & JEMI_WANT_DPARAMS) != 0;
    const dry_run dry = {
        .x = jemi_calloc(count, sizeof(float)),
        .dx = with_dx ? jemi_alloc(count, sizeof(float)) : NULL,
        .dparams =
            with_dparams ? jemi_alloc((size_t)program->graph->param_count, sizeof(float)) : NULL,
    };
    jem_status status = JEM_OK;
    if (dry.x == NULL || (with_dx && dry.dx == NULL) || (with_dparams && dry.dparams == NULL))
        status = jemi_fail_memory("first run of a plan");
    while (n > 0 && status == JEM_OK) {
        const int64_t rows = jemi_runner_chunk(runner, n);
        status = warm_chunk(runner, precision, wants, rows, &dry);
        n = rest_after(runner, n, rows);
    }
    jemi_free(dry.x);
    jemi_free(dry.dx);
    jemi_free(dry.dparams);
    return status;
}

const float *jemi_runner_params(const jemi_runner *runner)
{
    return runner->generation->params;
}
