/*
 * Any number of rows through plans: what backends that have a planner share.
 *
 * Rows go in one of two ways: chunk after chunk, the threads sharing each layer; or, where a
 * network is small, by lanes: each thread takes small chunks of its own through all layers, so that
 * their values stay in its core's cache. A row's results are the same bits. Sums over rows are cut
 * into chunks by the network and the number of rows, never by threads.
 *
 * Where the mode makes batch normalisation take the statistics of the batch there are no lanes, and
 * a chunk is as many rows as are left, up to 256 whatever the size of the network; more rows than
 * that are shared out evenly: the statistics of 300 rows are those of 150 and 150.
 */
#ifndef JEMI_BACKEND_ROWS_ROWS_H
#define JEMI_BACKEND_ROWS_ROWS_H

#include "backend/plan.h"

/* Slots of the vtable. */
jem_status jemi_rows_workspace_create(jemi_workspace **out, jemi_program *program, int32_t threads);
size_t jemi_rows_workspace_bytes(const jemi_workspace *workspace);
void jemi_rows_workspace_destroy(jemi_workspace *workspace);
jem_status jemi_rows_run(jemi_workspace *workspace, const jemi_pass *pass, int64_t n,
                         const jemi_rows_work *work);
jem_status jemi_rows_warm(jemi_workspace *workspace, const jemi_pass *pass, int64_t n);
jem_status jemi_rows_profile(jemi_workspace *workspace, const jemi_pass *pass, int64_t n,
                             int32_t runs, jemi_describe_fn receive, void *user);
jem_status jemi_rows_forward(jemi_chunk *chunk, const float *x);
jem_status jemi_rows_backward(jemi_chunk *chunk, float *dx);
void jemi_rows_statistics(const jemi_chunk *chunk, float *state);

/** In the initialiser of a jemi_backend. */
#define JEMI_ROWS_SLOTS                                                                            \
    .workspace_create = jemi_rows_workspace_create, .workspace_bytes = jemi_rows_workspace_bytes,  \
    .workspace_destroy = jemi_rows_workspace_destroy, .run_rows = jemi_rows_run,                   \
    .warm = jemi_rows_warm, .profile = jemi_rows_profile, .forward = jemi_rows_forward,            \
    .backward = jemi_rows_backward, .statistics = jemi_rows_statistics

#endif
