/*
 * Many rows through one runner: in chunks, or by lanes. Memory is all taken before the first row.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/text.h"
#include "base/threads.h"
#include "model/runner_struct.h"

enum {
    // Of a sum over rows, so that this many threads have something to do.
    PIECES_MIN = 8,
};

// A request, and how far it got.
typedef struct request {
    jemi_runner *runner;
    int32_t precision;
    uint32_t wants;
    int64_t n;
    jemi_rows_fn work;
    jemi_rows_fn add; // NULL: the rows have no sum
    void *context;
    int64_t piece;        // rows that a lane takes at a time
    _Atomic int64_t next; // row that no lane has taken
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t added; // rows that `add` has seen
    atomic_bool failed;
    jem_status status;
    char message[512];
} request;

static int64_t piece_of_independent_rows(const jemi_runner *runner, int64_t n)
{
    const int64_t threads = jemi_threads_now();
    if (n < threads)
        return 0;
    int64_t piece = runner->pool->lane_max;
    while (piece > (n + threads - 1) / threads)
        piece /= 2;
    return piece;
}

// By the network and n alone: rounding depends on where a sum is cut.
static int64_t piece_of_sum(const jemi_runner *runner, int64_t n)
{
    int64_t piece = runner->pool->sum_lane_max;
    while (piece > 1 && piece * PIECES_MIN > n)
        piece /= 2;
    return piece;
}

// Rows of a lane's piece, or 0: not by lanes.
static int64_t piece_of(const jemi_runner *runner, uint32_t wants, int64_t n)
{
    const int64_t threads = jemi_threads_now();
    if (jemi_runner_mixes_rows(runner) || (threads != 1 && threads != runner->threads))
        return 0;
    return (wants & JEMI_WANT_DPARAMS) != 0 ? piece_of_sum(runner, n)
                                            : piece_of_independent_rows(runner, n);
}

// Room for what callers will ask for: input gradients, or changed inputs and parameter gradients.
static jem_status prepare_scratch(uint32_t wants, jemi_runner *runner)
{
    if (wants != 0 && jemi_runner_input_scratch(runner) == NULL)
        return jemi_fail_memory("inputs of a runner");
    if ((wants & JEMI_WANT_DPARAMS) != 0 && jemi_runner_dparams(runner) == NULL)
        return jemi_fail_memory("parameter gradients of a runner");
    return JEM_OK;
}

// ---- chunks ------------------------------------------------------------------------------------

// What is left of n rows after the chunks of `rows`, which all use one plan.
static int64_t rest_after(const jemi_runner *runner, int64_t n, int64_t rows)
{
    do
        n -= rows;
    while (n > 0 && jemi_runner_chunk(runner, n) == rows);
    return n;
}

static jem_status prepare_chunks(const request *r)
{
    for (int64_t n = r->n; n > 0;) {
        const int64_t rows = jemi_runner_chunk(r->runner, n);
        jemi_plan *plan;
        JEMI_TRY(jemi_runner_plan(r->runner, r->precision, r->wants, rows, &plan));
        n = rest_after(r->runner, n, rows);
    }
    return prepare_scratch(r->wants, r->runner);
}

static jem_status by_chunks(request *r)
{
    JEMI_TRY(prepare_chunks(r));
    for (int64_t first = 0; first < r->n;) {
        const int64_t rows = jemi_runner_chunk(r->runner, r->n - first);
        JEMI_TRY(r->work(r->context, r->runner, true, first, rows));
        if (r->add != NULL)
            JEMI_TRY(r->add(r->context, r->runner, true, first, rows));
        first += rows;
    }
    return JEM_OK;
}

// ---- lanes -------------------------------------------------------------------------------------

static jem_status prepare_lane(const request *r, jemi_runner *lane)
{
    jemi_plan *plan;
    JEMI_TRY(prepare_scratch(r->wants, lane));
    JEMI_TRY(jemi_runner_plan(lane, r->precision, r->wants, r->piece, &plan));
    const int64_t rest = r->n % r->piece;
    return rest > 0 ? jemi_runner_plan(lane, r->precision, r->wants, rest, &plan) : JEM_OK;
}

static jem_status prepare_lanes(const request *r)
{
    JEMI_TRY(jemi_runner_make_lanes(r->runner));
    const int before = jemi_threads_enter(1); // that is what their plans are for
    jem_status status = JEM_OK;
    for (int i = 0; i < r->runner->n_lanes && status == JEM_OK; i++)
        status = prepare_lane(r, r->runner->lanes[i]);
    jemi_threads_leave(before);
    return status;
}

// The first failure counts; its message belongs to another thread than the caller's.
static void note_failure(request *r, jem_status status)
{
    pthread_mutex_lock(&r->lock);
    if (!atomic_load(&r->failed)) {
        r->status = status;
        jemi_format(r->message, sizeof r->message, "%s", jemi_last_message());
        atomic_store(&r->failed, true);
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

// In the order of the rows, so that a sum has the same bits whoever computed its parts.
static jem_status add_in_turn(request *r, int lane, int64_t first, int64_t n)
{
    jem_status status = JEM_OK;
    pthread_mutex_lock(&r->lock);
    while (r->added < first && !atomic_load(&r->failed))
        pthread_cond_wait(&r->changed, &r->lock);
    if (!atomic_load(&r->failed))
        status = r->add(r->context, r->runner->lanes[lane], lane == 0, first, n);
    if (status == JEM_OK)
        r->added += n;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return status;
}

static jem_status run_piece(request *r, int lane, int64_t first)
{
    const int64_t left = r->n - first;
    const int64_t n = left < r->piece ? left : r->piece;
    JEMI_TRY(r->work(r->context, r->runner->lanes[lane], lane == 0, first, n));
    if (jemi_parallel_forked())
        return JEM_OK; // run_lane() sees it too
    return r->add != NULL ? add_in_turn(r, lane, first, n) : JEM_OK;
}

// Lane 0 is the caller's. In the child of a fork by its callback the other lanes are gone, with the
// lock if they held it.
static void run_lane(request *r, int lane, int64_t first)
{
    while (first < r->n && !atomic_load(&r->failed)) {
        const jem_status status = run_piece(r, lane, first);
        if (jemi_parallel_forked())
            return;
        if (status != JEM_OK)
            note_failure(r, status);
        first = atomic_fetch_add(&r->next, r->piece);
    }
}

// Piece after piece, as they come: what a lane does once started, it does to the end. The caller has
// the first piece for certain, so that it reports.
static void lane_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)end;
    request *r = context;
    run_lane(r, worker, begin == 0 ? 0 : atomic_fetch_add(&r->next, r->piece));
}

static jem_status by_lanes(request *r)
{
    JEMI_TRY(prepare_lanes(r));
    atomic_store(&r->next, r->piece);
    jemi_parallel(jemi_parallel_width(), 1, lane_task, r);
    if (jemi_parallel_forked())
        return jemi_fail(JEM_ECANCELLED, "this process was forked inside of the call, so threads "
                                         "that were computing for it are missing");
    return atomic_load(&r->failed) ? jemi_fail(r->status, "%s", r->message) : JEM_OK;
}

static jem_status run_request(request *r)
{
    r->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    r->changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    r->piece = piece_of(r->runner, r->wants, r->n);
    return r->piece > 0 ? by_lanes(r) : by_chunks(r);
}

jem_status jemi_runner_for_rows(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                                jemi_rows_fn work, void *context)
{
    request r = {.runner = runner,
                 .precision = precision,
                 .wants = wants,
                 .n = n,
                 .work = work,
                 .context = context};
    return run_request(&r);
}

jem_status jemi_runner_sum_rows(jemi_runner *runner, int32_t precision, int64_t n,
                                jemi_rows_fn work, jemi_rows_fn add, void *context)
{
    request r = {.runner = runner,
                 .precision = precision,
                 .wants = JEMI_WANT_DPARAMS,
                 .n = n,
                 .work = work,
                 .add = add,
                 .context = context};
    return run_request(&r);
}

// ---- dry runs ----------------------------------------------------------------------------------

// A run whose results nobody wants.
typedef struct dry_run {
    int32_t precision;
    uint32_t wants;
} dry_run;

static jem_status run_dry(void *context, jemi_runner *runner, bool caller, int64_t first,
                          int64_t rows)
{
    (void)caller, (void)first;
    const dry_run *dry = context;
    const jemi_graph *graph = runner->pool->program->graph;
    float *x = jemi_runner_input_scratch(runner);
    if (x == NULL)
        return jemi_fail_memory("first run of a plan");
    memset(x, 0, (size_t)(rows * jemi_shape_size(graph->nodes[0].shape)) * sizeof *x);
    const float *logits;
    JEMI_TRY(jemi_runner_forward(runner, dry->precision, dry->wants, rows, x, &logits));
    if (dry->wants == 0)
        return JEM_OK;
    const int64_t n_classes = jemi_shape_size(graph->nodes[graph->n_nodes - 1].shape);
    memset(runner->dlogits, 0, (size_t)(rows * n_classes) * sizeof *runner->dlogits);
    return jemi_runner_backward(runner, (dry->wants & JEMI_WANT_DINPUT) != 0 ? x : NULL,
                                (dry->wants & JEMI_WANT_DPARAMS) != 0 ? jemi_runner_dparams(runner)
                                                                      : NULL);
}

jem_status jemi_runner_warm(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n)
{
    dry_run dry = {precision, wants};
    return jemi_runner_for_rows(runner, precision, wants, n, run_dry, &dry);
}

// Timed on the thread count that its plan is for.
static jem_status time_plan(jemi_runner *runner, dry_run *dry, int64_t rows, int32_t runs,
                            jemi_describe_fn receive, void *user)
{
    const jemi_backend *backend = runner->pool->program->backend;
    jemi_plan *plan;
    JEMI_TRY(prepare_scratch(dry->wants, runner));
    JEMI_TRY(jemi_runner_plan(runner, dry->precision, dry->wants, rows, &plan));
    JEMI_TRY(run_dry(dry, runner, true, 0, rows));
    backend->plan_time(plan, true);
    jem_status status = JEM_OK;
    for (int32_t run = 0; run < runs && status == JEM_OK; run++)
        status = run_dry(dry, runner, true, 0, rows);
    backend->plan_time(plan, false);
    if (status == JEM_OK)
        backend->plan_describe(plan, receive, user);
    return status;
}

jem_status jemi_runner_profile(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                               int32_t runs, jemi_describe_fn receive, void *user)
{
    dry_run dry = {precision, wants};
    const int64_t piece = piece_of(runner, wants, n);
    jem_status status = piece > 0 ? jemi_runner_make_lanes(runner) : JEM_OK;
    const int before = jemi_threads_enter(piece > 0 ? 1 : jemi_threads_now());
    if (status == JEM_OK)
        status = piece > 0
                     ? time_plan(runner->lanes[0], &dry, piece, runs, receive, user)
                     : time_plan(runner, &dry, jemi_runner_chunk(runner, n), runs, receive, user);
    jemi_threads_leave(before);
    return status;
}
