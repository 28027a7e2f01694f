/*
 * The reference backend's activations, each beside its derivative, and the sum of gradients. The
 * forms are chosen so that no finite input overflows on the way to a finite result. Derivatives at
 * a kink are those of the side x <= 0.
 */
#include <math.h>

#include "backend/ref/nodes.h"

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double act_value(const jemi_node *node, double x)
{
    switch (node->act) {
    case JEMI_ACT_LRELU:
        return x > 0.0 ? x : (double)node->slope * x;
    case JEMI_ACT_SILU:
        return x * sigmoid(x);
    case JEMI_ACT_ELU:
        return x > 0.0 ? x : expm1(x);
    case JEMI_ACT_SOFTPLUS:
        return (x > 0.0 ? x : 0.0) + log1p(exp(-fabs(x)));
    case JEMI_ACT_TANH:
        return tanh(x);
    }
    return NAN;
}

static double act_derivative(const jemi_node *node, double x)
{
    switch (node->act) {
    case JEMI_ACT_LRELU:
        return x > 0.0 ? 1.0 : (double)node->slope;
    case JEMI_ACT_SILU:
        return sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)));
    case JEMI_ACT_ELU:
        return x > 0.0 ? 1.0 : exp(x);
    case JEMI_ACT_SOFTPLUS:
        return sigmoid(x);
    case JEMI_ACT_TANH:
        return 1.0 - tanh(x) * tanh(x);
    }
    return NAN;
}

void jemi_ref_act_forward(const jemi_node *node, const double *x, double *y)
{
    const int64_t size = jemi_shape_size(node->shape);
    for (int64_t i = 0; i < size; i++)
        y[i] = act_value(node, x[i]);
}

void jemi_ref_act_backward(const jemi_node *node, const double *x, const double *dy, double *dx)
{
    const int64_t size = jemi_shape_size(node->shape);
    for (int64_t i = 0; i < size; i++)
        dx[i] += act_derivative(node, x[i]) * dy[i];
}

void jemi_ref_accumulate(int64_t size, const double *dy, double *dx)
{
    for (int64_t i = 0; i < size; i++)
        dx[i] += dy[i];
}
