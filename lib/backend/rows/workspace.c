/*
 * A workspace, and by how many rows at a time its network is computed.
 */
#include "backend/rows/workspace.h"

#include "backend/rows/rows.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"

enum {
    CHUNK_LIMIT = 256,
    LANE_LIMIT = 64,
    SUM_LANE_LIMIT = 16,
    // Of a sum over rows, so that this many threads have something to do.
    PIECES_MIN = 8,
};

// Values of one chunk are kept below this, so that large inputs do not ask for large workspaces.
static const int64_t chunk_bytes_max = 512 << 20;

// Values of one lane's chunk, about: of a network in lanes, most are dead soon.
static const int64_t lane_bytes_max = 2 << 20;

// Every lane reads all weights for each of its small chunks, so they have to lie near, and the
// values to be worth it.
static const int64_t lane_params_max = 1 << 20;
static const int64_t lane_values_per_param = 2;

// Parameter gradients want more rows at a time, since each chunk also writes and adds all of them;
// and values that outweigh them.
static const int64_t sum_lane_bytes_max = 4 << 20;
static const int64_t sum_lane_values_per_param = 4;

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

jem_status jemi_rows_workspace_create(jemi_workspace **out, jemi_program *program, int32_t threads)
{
    *out = NULL;
    const jemi_graph *graph = program->graph;
    jemi_rows_workspace *workspace = jemi_calloc(1, sizeof *workspace);
    if (workspace == NULL)
        return jemi_fail_memory("workspace");
    workspace->base = (jemi_workspace){program, threads};
    workspace->lane_max = lane_rows(graph);
    workspace->sum_lane_max = sum_lane_rows(graph);
    const int64_t chunk_max = rows_that_fit(graph, CHUNK_LIMIT, chunk_bytes_max);
    workspace->batch_max = jemi_graph_has(graph, JEMI_NODE_BATCHNORM) ? CHUNK_LIMIT : chunk_max;
    jemi_worker_init(&workspace->whole, program, threads, chunk_max, workspace->batch_max);
    *out = &workspace->base;
    return JEM_OK;
}

void jemi_rows_workspace_destroy(jemi_workspace *base)
{
    if (base == NULL)
        return;
    jemi_rows_workspace *workspace = (jemi_rows_workspace *)base;
    for (int i = 0; i < workspace->n_lanes; i++)
        jemi_worker_fini(&workspace->lanes[i]);
    jemi_free(workspace->lanes);
    jemi_worker_fini(&workspace->whole);
    jemi_free(workspace);
}

size_t jemi_rows_workspace_bytes(const jemi_workspace *base)
{
    const jemi_rows_workspace *workspace = (const jemi_rows_workspace *)base;
    size_t bytes = sizeof *workspace + workspace->whole.bytes;
    for (int i = 0; i < workspace->n_lanes; i++)
        bytes += workspace->lanes[i].bytes;
    return bytes;
}

jem_status jemi_rows_make_lanes(jemi_rows_workspace *workspace)
{
    const int32_t threads = workspace->base.threads;
    const int64_t rows = workspace->lane_max > workspace->sum_lane_max ? workspace->lane_max
                                                                       : workspace->sum_lane_max;
    if (workspace->lanes == NULL)
        workspace->lanes = jemi_calloc((size_t)threads, sizeof *workspace->lanes);
    if (workspace->lanes == NULL)
        return jemi_fail_memory("lanes of a workspace");
    for (; workspace->n_lanes < threads; workspace->n_lanes++)
        jemi_worker_init(&workspace->lanes[workspace->n_lanes], workspace->base.program, 1, rows,
                         rows);
    return JEM_OK;
}

// ---- how many rows at a time ---------------------------------------------------------------------

static bool mixes_rows(const jemi_rows_workspace *workspace, const jemi_pass *pass)
{
    return jemi_worker_mixes_rows(&workspace->whole, pass->mode);
}

static int64_t piece_of_independent_rows(const jemi_rows_workspace *workspace, int64_t n)
{
    const int64_t threads = jemi_threads_now();
    if (n < threads)
        return 0;
    int64_t piece = workspace->lane_max;
    while (piece > (n + threads - 1) / threads)
        piece /= 2;
    return piece;
}

// By the network and n alone: rounding depends on where a sum is cut.
static int64_t piece_of_sum(const jemi_rows_workspace *workspace, int64_t n)
{
    int64_t piece = workspace->sum_lane_max;
    while (piece > 1 && piece * PIECES_MIN > n)
        piece /= 2;
    return piece;
}

int64_t jemi_rows_of_lane(const jemi_rows_workspace *workspace, const jemi_pass *pass, int64_t n)
{
    const int64_t threads = jemi_threads_now();
    if (mixes_rows(workspace, pass) || (threads != 1 && threads != workspace->base.threads))
        return 0;
    return (pass->wants & JEMI_WANT_DPARAMS) != 0 ? piece_of_sum(workspace, n)
                                                  : piece_of_independent_rows(workspace, n);
}

int64_t jemi_rows_of_chunk(const jemi_rows_workspace *workspace, const jemi_pass *pass,
                           int64_t n_left)
{
    const int64_t together = workspace->batch_max;
    if (!mixes_rows(workspace, pass))
        return jemi_worker_rows(&workspace->whole, n_left);
    const int64_t n_chunks = (n_left + together - 1) / together;
    return (n_left + n_chunks - 1) / n_chunks;
}
