/*
 * Many rows through one workspace: in chunks, or by lanes. Memory is all taken before the first row.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "backend/rows/rows.h"
#include "backend/rows/workspace.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"
#include "base/threads.h"

// A request, and how far it got.
typedef struct request {
    jemi_rows_workspace *workspace;
    const jemi_pass *pass;
    int64_t n;
    const jemi_rows_work *work;
    int64_t piece;        // rows that a lane takes at a time
    _Atomic int64_t next; // row that no lane has taken
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t added; // rows that `add` has seen
    atomic_bool failed;
    jem_status status;
    char message[512];
} request;

// ---- chunks ------------------------------------------------------------------------------------

// What is left of n rows after the chunks of `rows`, which all use one plan.
static int64_t rest_after(const request *r, int64_t n, int64_t rows)
{
    do
        n -= rows;
    while (n > 0 && jemi_rows_of_chunk(r->workspace, r->pass, n) == rows);
    return n;
}

static jem_status prepare_chunks(const request *r)
{
    for (int64_t n = r->n; n > 0;) {
        const int64_t rows = jemi_rows_of_chunk(r->workspace, r->pass, n);
        JEMI_TRY(jemi_worker_prepare(&r->workspace->whole, r->pass, rows));
        n = rest_after(r, n, rows);
    }
    return JEM_OK;
}

static jem_status by_chunks(request *r)
{
    JEMI_TRY(prepare_chunks(r));
    for (int64_t first = 0; first < r->n;) {
        const int64_t rows = jemi_rows_of_chunk(r->workspace, r->pass, r->n - first);
        jemi_worker_chunk chunk =
            jemi_worker_chunk_of(&r->workspace->whole, r->pass, first, rows, true);
        JEMI_TRY(r->work->compute(r->work->context, &chunk.base));
        if (r->work->add != NULL)
            JEMI_TRY(r->work->add(r->work->context, &chunk.base));
        first += rows;
    }
    return JEM_OK;
}

// ---- lanes -------------------------------------------------------------------------------------

static jem_status prepare_lane(const request *r, jemi_worker *lane)
{
    const int64_t rest = r->n % r->piece;
    JEMI_TRY(jemi_worker_prepare(lane, r->pass, r->piece));
    return rest > 0 ? jemi_worker_prepare(lane, r->pass, rest) : JEM_OK;
}

static jem_status prepare_lanes(const request *r)
{
    JEMI_TRY(jemi_rows_make_lanes(r->workspace));
    const int before = jemi_threads_enter(1); // that is what their plans are for
    jem_status status = JEM_OK;
    for (int i = 0; i < r->workspace->n_lanes && status == JEM_OK; i++)
        status = prepare_lane(r, &r->workspace->lanes[i]);
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
static jem_status add_in_turn(request *r, jemi_chunk *chunk)
{
    jem_status status = JEM_OK;
    pthread_mutex_lock(&r->lock);
    while (r->added < chunk->first && !atomic_load(&r->failed))
        pthread_cond_wait(&r->changed, &r->lock);
    if (!atomic_load(&r->failed))
        status = r->work->add(r->work->context, chunk);
    if (status == JEM_OK)
        r->added += chunk->n;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return status;
}

static jem_status run_piece(request *r, int lane, int64_t first)
{
    const int64_t left = r->n - first;
    const int64_t n = left < r->piece ? left : r->piece;
    jemi_worker_chunk chunk =
        jemi_worker_chunk_of(&r->workspace->lanes[lane], r->pass, first, n, lane == 0);
    JEMI_TRY(r->work->compute(r->work->context, &chunk.base));
    if (jemi_parallel_forked())
        return JEM_OK; // run_lane() sees it too
    return r->work->add != NULL ? add_in_turn(r, &chunk.base) : JEM_OK;
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

jem_status jemi_rows_run(jemi_workspace *base, const jemi_pass *pass, int64_t n,
                         const jemi_rows_work *work)
{
    jemi_rows_workspace *workspace = (jemi_rows_workspace *)base;
    request r = {.workspace = workspace,
                 .pass = pass,
                 .n = n,
                 .work = work,
                 .piece = jemi_rows_of_lane(workspace, pass, n),
                 .lock = PTHREAD_MUTEX_INITIALIZER,
                 .changed = PTHREAD_COND_INITIALIZER};
    return r.piece > 0 ? by_lanes(&r) : by_chunks(&r);
}
