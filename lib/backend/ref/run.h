/*
 * A row through a whole graph, in double, and the memory for it: the values of every node for a
 * number of rows, kept for the backward pass, and the gradients of every node for one row.
 */
#ifndef JEMI_BACKEND_REF_RUN_H
#define JEMI_BACKEND_REF_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "nn/graph.h"

typedef struct jemi_ref_workspace {
    const jemi_graph *graph;
    int64_t *offset;  /* of each node's value within a row */
    int64_t row_size; /* all nodes of one row */
    double *values;   /* (rows, row_size) */
    double *grads;    /* (row_size); NULL when there is no backward */
    size_t bytes;
} jemi_ref_workspace;

jem_status jemi_ref_workspace_init(jemi_ref_workspace *ws, const jemi_graph *graph, int64_t rows,
                                   bool with_grads);

/** Accepts a zeroed or half-built workspace. */
void jemi_ref_workspace_fini(jemi_ref_workspace *ws);

/** The value of a node for a row: node 0 is the input, to be set before forward. */
double *jemi_ref_value(const jemi_ref_workspace *ws, int64_t row, int32_t node);

/** The gradient of a node for the present row: the last node's is to be set before backward. */
double *jemi_ref_grad(const jemi_ref_workspace *ws, int32_t node);

/** Fills in the values of a row. Rows are independent: any order, any thread. */
void jemi_ref_forward_row(const jemi_ref_workspace *ws, const double *params, int64_t row);

/** Fills in the gradients of one row, after its forward. `dparams` is added to; may be NULL. */
void jemi_ref_backward_row(const jemi_ref_workspace *ws, const double *params, int64_t row,
                           double *dparams);

#endif
