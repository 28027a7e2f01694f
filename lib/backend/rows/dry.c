/*
 * Runs on zeros whose results nobody wants: they pack weights, or are timed.
 */
#include <string.h>

#include "backend/rows/rows.h"
#include "backend/rows/workspace.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"

static jem_status run_on(jemi_chunk *chunk, float *x)
{
    const int64_t width = jemi_graph_cut_size(chunk->program->graph, chunk->pass->cut);
    const uint32_t wants = chunk->pass->wants;
    JEMI_TRY(jemi_rows_forward(chunk, x));
    if (wants == 0)
        return JEM_OK;
    memset(chunk->dout, 0, (size_t)(chunk->n * width) * sizeof *chunk->dout);
    return jemi_rows_backward(chunk, (wants & JEMI_WANT_DINPUT) != 0 ? x : NULL);
}

static jem_status run_dry(void *context, jemi_chunk *chunk)
{
    (void)context;
    const jemi_graph *graph = chunk->program->graph;
    float *x = jemi_calloc((size_t)(chunk->n * jemi_shape_size(graph->nodes[0].shape)), sizeof *x);
    if (x == NULL)
        return jemi_fail_memory("first run of a plan");
    const jem_status status = run_on(chunk, x);
    jemi_free(x);
    return status;
}

jem_status jemi_rows_warm(jemi_workspace *workspace, const jemi_pass *pass, int64_t n)
{
    return jemi_rows_run(workspace, pass, n, &(jemi_rows_work){.compute = run_dry});
}

static jem_status time_plan(jemi_worker *worker, const jemi_pass *pass, int64_t rows, int32_t runs,
                            jemi_describe_fn receive, void *user)
{
    const jemi_planner *planner = worker->program->backend->planner;
    jemi_plan *plan;
    JEMI_TRY(jemi_worker_prepare(worker, pass, rows));
    JEMI_TRY(jemi_worker_plan(worker, pass, rows, &plan));
    jemi_worker_chunk chunk = jemi_worker_chunk_of(worker, pass, 0, rows, true);
    JEMI_TRY(run_dry(NULL, &chunk.base));
    planner->time(plan, true);
    jem_status status = JEM_OK;
    for (int32_t run = 0; run < runs && status == JEM_OK; run++)
        status = run_dry(NULL, &chunk.base);
    planner->time(plan, false);
    if (status == JEM_OK)
        planner->describe(plan, receive, user);
    return status;
}

// Timed on the thread count that its plan is for.
jem_status jemi_rows_profile(jemi_workspace *base, const jemi_pass *pass, int64_t n, int32_t runs,
                             jemi_describe_fn receive, void *user)
{
    jemi_rows_workspace *workspace = (jemi_rows_workspace *)base;
    const int64_t piece = jemi_rows_of_lane(workspace, pass, n);
    if (piece > 0)
        JEMI_TRY(jemi_rows_make_lanes(workspace));
    const int before = jemi_threads_enter(piece > 0 ? 1 : jemi_threads_now());
    const jem_status status =
        piece > 0 ? time_plan(&workspace->lanes[0], pass, piece, runs, receive, user)
                  : time_plan(&workspace->whole, pass, jemi_rows_of_chunk(workspace, pass, n), runs,
                              receive, user);
    jemi_threads_leave(before);
    return status;
}
