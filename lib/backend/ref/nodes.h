/*
 * One row through one node, in double: the arithmetic of each node kind, written to be read. Only
 * the statistics of a batch, and the gradient through them, look at several rows.
 *
 * Forward overwrites y. Backward adds to dx, because a value may be read by several nodes, and to
 * dw and db, because they are sums over rows; dw and db may be NULL. Shapes are those of one row:
 * `in` of x, node->shape of y.
 */
#ifndef JEMI_BACKEND_REF_NODES_H
#define JEMI_BACKEND_REF_NODES_H

#include <stdbool.h>

#include "backend/backend.h"
#include "nn/graph.h"

void jemi_ref_conv_forward(const jemi_node *node, jemi_shape in, const double *x, const double *w,
                           const double *b, double *y);
void jemi_ref_conv_backward(const jemi_node *node, jemi_shape in, const double *x, const double *w,
                            const double *dy, double *dx, double *dw, double *db);

void jemi_ref_linear_forward(const jemi_node *node, jemi_shape in, const double *x, const double *w,
                             const double *b, double *y);
void jemi_ref_linear_backward(const jemi_node *node, jemi_shape in, const double *x,
                              const double *w, const double *dy, double *dx, double *dw,
                              double *db);

void jemi_ref_act_forward(const jemi_node *node, const double *x, double *y);
void jemi_ref_act_backward(const jemi_node *node, const double *x, const double *dy, double *dx);

void jemi_ref_avgpool_forward(const jemi_node *node, jemi_shape in, const double *x, double *y);
void jemi_ref_avgpool_backward(const jemi_node *node, jemi_shape in, const double *dy, double *dx);

void jemi_ref_groupnorm_forward(const jemi_node *node, const double *x, const double *w,
                                const double *b, double *y);
void jemi_ref_groupnorm_backward(const jemi_node *node, const double *x, const double *w,
                                 const double *dy, double *dx, double *dw, double *db);

/** By any statistics, `mean` and `var` per channel. */
void jemi_ref_batchnorm_forward(const jemi_node *node, const double *mean, const double *var,
                                const double *x, const double *w, const double *b, double *y);
/** When mean and var are constants. */
void jemi_ref_batchnorm_backward(const jemi_node *node, const double *mean, const double *var,
                                 const double *x, const double *w, const double *dy, double *dx,
                                 double *dw, double *db);

/** A value in every row of a batch: that of row r begins at data + r * stride. */
typedef struct jemi_ref_rows {
    double *data;
    int64_t n, stride;
} jemi_ref_rows;

/** Mean and biased variance of one channel over all rows. */
void jemi_ref_batch_statistics(const jemi_node *node, const jemi_ref_rows *x, int64_t channel,
                               double *mean, double *var);
/** All rows at once, when mean and var are those of the batch. */
void jemi_ref_batchnorm_backward_batch(const jemi_node *node, const double *mean, const double *var,
                                       const jemi_ref_rows *x, const double *w,
                                       const jemi_ref_rows *dy, const jemi_ref_rows *dx, double *dw,
                                       double *db);

/** y = x where kept, scaled, else 0; y += for `add`. The same both ways. */
void jemi_ref_dropout(const jemi_node *node, const jemi_dropout *dropout, int64_t row,
                      const double *x, bool add, double *y);

/** dx += dy; also what an addition passes back to each of its inputs. */
void jemi_ref_accumulate(int64_t size, const double *dy, double *dx);

#endif
