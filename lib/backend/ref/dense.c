/*
 * The linear layer of the reference backend: y = W x + b, W (O, I) row-major, x the flattened
 * (C, H, W) value of its input.
 */
#include "backend/ref/nodes.h"

void jemi_ref_linear_forward(const jemi_node *node, jemi_shape in, const double *x, const double *w,
                             const double *b, double *y)
{
    const int64_t inputs = jemi_shape_size(in);
    for (int64_t o = 0; o < node->shape.c; o++) {
        double sum = b[o];
        for (int64_t i = 0; i < inputs; i++)
            sum += w[o * inputs + i] * x[i];
        y[o] = sum;
    }
}

void jemi_ref_linear_backward(const jemi_node *node, jemi_shape in, const double *x,
                              const double *w, const double *dy, double *dx, double *dw, double *db)
{
    const int64_t inputs = jemi_shape_size(in);
    for (int64_t o = 0; o < node->shape.c; o++) {
        for (int64_t i = 0; i < inputs; i++)
            dx[i] += w[o * inputs + i] * dy[o];
        for (int64_t i = 0; dw != NULL && i < inputs; i++)
            dw[o * inputs + i] += x[i] * dy[o];
        if (db != NULL)
            db[o] += dy[o];
    }
}
