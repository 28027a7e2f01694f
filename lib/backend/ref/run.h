/*
 * Rows through a whole graph, in double, and the memory for it: values and gradients of every node
 * for a number of rows.
 */
#ifndef JEMI_BACKEND_REF_RUN_H
#define JEMI_BACKEND_REF_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/plan.h"

typedef struct jemi_ref_workspace {
    const jemi_graph *graph;
    jemi_mode mode;
    jemi_dropout dropout; /* of the next forward and its backward */
    int64_t *offset;      /* of each node's value within a row */
    int64_t row_size;     /* all nodes of one row */
    double *values;       /* (rows, row_size) */
    double *grads;        /* (rows, row_size); NULL when there is no backward */
    double *statistics;   /* (state_count) of the batch, variances biased; NULL when not taken */
    size_t bytes;
} jemi_ref_workspace;

jem_status jemi_ref_workspace_init(jemi_ref_workspace *ws, const jemi_graph *graph, int64_t rows,
                                   bool with_grads, jemi_mode mode);

/** Accepts a zeroed or half-built workspace. */
void jemi_ref_workspace_fini(jemi_ref_workspace *ws);

/** The value of a node for a row: node 0 is the input, to be set before forward. */
double *jemi_ref_value(const jemi_ref_workspace *ws, int64_t row, int32_t node);

/** Its gradient: the last node's is to be set before backward. */
double *jemi_ref_grad(const jemi_ref_workspace *ws, int64_t row, int32_t node);

/** Fills in the values of rows 0 .. n-1. Parallel. */
void jemi_ref_forward(const jemi_ref_workspace *ws, const double *params, int64_t n);

/** Fills in their gradients, after a forward. `dparams` is added to, in the order of the rows; may
 *  be NULL. */
void jemi_ref_backward(const jemi_ref_workspace *ws, const double *params, int64_t n,
                       double *dparams);

/** Statistics of the batch after a forward, as the contract's statistics() gives them. */
void jemi_ref_statistics(const jemi_ref_workspace *ws, int64_t n, double *state);

#endif
