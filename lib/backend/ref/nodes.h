/*
 * One row through one node, in double: the arithmetic of each node kind, written to be read.
 *
 * Forward overwrites y. Backward adds to dx, because a value may be read by several nodes, and to
 * dw and db, because they are sums over rows; dw and db may be NULL. Shapes are those of one row:
 * `in` of x, node->shape of y.
 */
#ifndef JEMI_BACKEND_REF_NODES_H
#define JEMI_BACKEND_REF_NODES_H

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

/** dx += dy; also what an addition passes back to each of its inputs. */
void jemi_ref_accumulate(int64_t size, const double *dy, double *dx);

#endif
