/*
 * Many rows through one runner: in chunks, or by lanes. Memory is all taken before the first row.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/threads.h"
#include "model/runner_struct.h"

// A request, and how far it got.
typedef struct request {
    jemi_runner *runner;
    int32_t precision;
    uint32_t wants;
    int64_t n;
    jemi_rows_fn work;
    void *context;
    int64_t piece; // rows that a lane takes at a time
    atomic_bool failed;
    jem_status status;
    char message[512];
} request;

// Rows of a lane's piece, or 0: not by lanes.
static int64_t piece_of(const jemi_runner *runner, int64_t n)
{
    const int64_t threads = jemi_threads_now();
    if (runner->pool->lane_max == 0 || n < threads || jemi_runner_mixes_rows(runner))
        return 0;
    if (threads != 1 && threads != runner->threads)
        return 0;
    int64_t piece = runner->pool->lane_max;
    while (piece > (n + threads - 1) / threads)
        piece /= 2;
    return piece;
}

// Room for the input gradients that callers will ask for.
static jem_status prepare_scratch(const request *r, jemi_runner *runner)
{
    if ((r->wants & JEMI_WANT_DINPUT) != 0 && jemi_runner_input_scratch(runner) == NULL)
        return jemi_fail_memory("input gradients of a runner");
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
    return prepare_scratch(r, r->runner);
}

static jem_status by_chunks(request *r)
{
    JEMI_TRY(prepare_chunks(r));
    for (int64_t first = 0; first < r->n;) {
        const int64_t rows = jemi_runner_chunk(r->runner, r->n - first);
        JEMI_TRY(r->work(r->context, r->runner, true, first, rows));
        first += rows;
    }
    return JEM_OK;
}

// ---- lanes -------------------------------------------------------------------------------------

static jem_status prepare_lane(const request *r, jemi_runner *lane)
{
    jemi_plan *plan;
    JEMI_TRY(prepare_scratch(r, lane));
    JEMI_TRY(jemi_runner_plan(lane, r->precision, r->wants, r->piece, &plan));
    const int64_t rest = r->n % r->piece;
    return rest > 0 ? jemi_runner_plan(lane, r->precision, r->wants, rest, &plan) : JEM_OK;
}

static jem_status prepare_lanes(const request *r)
{
    JEMI_TRY(jemi_runner_make_lanes(r->runner));
    const int threads = jemi_threads_enter(1); // that is what their plans are for
    jem_status status = JEM_OK;
    for (int i = 0; i < r->runner->n_lanes && status == JEM_OK; i++)
        status = prepare_lane(r, r->runner->lanes[i]);
    jemi_threads_leave(threads);
    return status;
}

// The first failure counts; its message belongs to another thread than the caller's.
static void note_failure(request *r, jem_status status)
{
#pragma omp critical(jemi_lane_failure)
    if (!atomic_load(&r->failed)) {
        r->status = status;
        jemi_format(r->message, sizeof r->message, "%s", jemi_last_message());
        atomic_store(&r->failed, true);
    }
}

// Piece after piece, as they come. The caller's lane has the first for certain, so that it reports.
// A counter of our own: libgomp's dynamic loops allocate.
static void run_lane(request *r, int lane, _Atomic int64_t *next)
{
    int64_t first = lane == 0 ? 0 : atomic_fetch_add(next, r->piece);
    while (first < r->n && !atomic_load(&r->failed)) {
        const int64_t left = r->n - first;
        const jem_status status = r->work(r->context, r->runner->lanes[lane], lane == 0, first,
                                          left < r->piece ? left : r->piece);
        if (status != JEM_OK)
            note_failure(r, status);
        first = atomic_fetch_add(next, r->piece);
    }
}

static jem_status by_lanes(request *r)
{
    JEMI_TRY(prepare_lanes(r));
    _Atomic int64_t next = r->piece;
    if (jemi_threads_now() == 1) {
        run_lane(r, 0, &next);
    } else {
#pragma omp parallel
        run_lane(r, jemi_threads_index(), &next);
    }
    return atomic_load(&r->failed) ? jemi_fail(r->status, "%s", r->message) : JEM_OK;
}

jem_status jemi_runner_for_rows(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                                jemi_rows_fn work, void *context)
{
    request r = {.runner = runner,
                 .precision = precision,
                 .wants = wants,
                 .n = n,
                 .work = work,
                 .context = context,
                 .piece = piece_of(runner, n)};
    return r.piece > 0 ? by_lanes(&r) : by_chunks(&r);
}

// ---- dry runs ----------------------------------------------------------------------------------

// A run whose results nobody wants.
typedef struct dry_run {
    int32_t precision;
    uint32_t wants;
    float *dparams;
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
                                dry->dparams);
}

static jem_status dry_init(dry_run *dry, const jemi_runner *runner, int32_t precision,
                           uint32_t wants)
{
    *dry = (dry_run){.precision = precision, .wants = wants};
    if ((wants & JEMI_WANT_DPARAMS) == 0)
        return JEM_OK;
    dry->dparams =
        jemi_alloc((size_t)runner->pool->program->graph->param_count, sizeof *dry->dparams);
    return dry->dparams != NULL ? JEM_OK : jemi_fail_memory("first run of a plan");
}

// Parameter gradients are sums over rows, which no lane could give.
static jem_status run_dry_rows(jemi_runner *runner, dry_run *dry, int64_t n)
{
    request r = {.runner = runner,
                 .precision = dry->precision,
                 .wants = dry->wants,
                 .n = n,
                 .work = run_dry,
                 .context = dry,
                 .piece = dry->dparams == NULL ? piece_of(runner, n) : 0};
    return r.piece > 0 ? by_lanes(&r) : by_chunks(&r);
}

jem_status jemi_runner_warm(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n)
{
    dry_run dry;
    JEMI_TRY(dry_init(&dry, runner, precision, wants));
    const jem_status status = run_dry_rows(runner, &dry, n);
    jemi_free(dry.dparams);
    return status;
}

// Timed on the thread count that its plan is for.
static jem_status time_plan(jemi_runner *runner, dry_run *dry, int64_t rows, int32_t runs,
                            jemi_describe_fn receive, void *user)
{
    const jemi_backend *backend = runner->pool->program->backend;
    jemi_plan *plan;
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
    dry_run dry;
    JEMI_TRY(dry_init(&dry, runner, precision, wants));
    const int64_t piece = dry.dparams == NULL ? piece_of(runner, n) : 0;
    jem_status status = piece > 0 ? jemi_runner_make_lanes(runner) : JEM_OK;
    const int threads = jemi_threads_enter(piece > 0 ? 1 : jemi_threads_now());
    if (status == JEM_OK)
        status = piece > 0
                     ? time_plan(runner->lanes[0], &dry, piece, runs, receive, user)
                     : time_plan(runner, &dry, jemi_runner_chunk(runner, n), runs, receive, user);
    jemi_threads_leave(threads);
    jemi_free(dry.dparams);
    return status;
}
