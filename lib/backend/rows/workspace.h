/*
 * What a workspace of backend/rows is made of.
 */
#ifndef JEMI_BACKEND_ROWS_WORKSPACE_H
#define JEMI_BACKEND_ROWS_WORKSPACE_H

#include "backend/rows/worker.h"

typedef struct jemi_rows_workspace {
    jemi_workspace base;
    int64_t lane_max;     /* rows of a lane's largest chunk of independent rows; 0 = not by lanes */
    int64_t sum_lane_max; /* of a lane's largest chunk for parameter gradients; 0 = not by lanes */
    int64_t batch_max;    /* rows whose statistics are taken together */
    jemi_worker whole;    /* its plans have all threads */
    jemi_worker *lanes;   /* one per thread, made on first use; their plans have one thread */
    int n_lanes;
} jemi_rows_workspace;

/** Makes the lanes if there are none yet. */
jem_status jemi_rows_make_lanes(jemi_rows_workspace *workspace);

/** Rows that a lane takes at a time of n rows; 0 = these go in chunks, one after the other. */
int64_t jemi_rows_of_lane(const jemi_rows_workspace *workspace, const jemi_pass *pass, int64_t n);

/** Rows of the next chunk, of n_left. */
int64_t jemi_rows_of_chunk(const jemi_rows_workspace *workspace, const jemi_pass *pass,
                           int64_t n_left);

#endif
