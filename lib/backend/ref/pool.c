/*
 * The reference backend's average pooling: windows side by side, none padded, and what does not
 * fill a window at the right or the bottom is dropped.
 */
#include "backend/ref/nodes.h"

// Index in the input of the element (wy, wx) of the window of output (c, oy, ox).
static int64_t window_at(const jemi_node *node, jemi_shape in, int64_t c, int64_t oy, int64_t ox,
                         int64_t wy, int64_t wx)
{
    return (c * in.h + oy * node->window_h + wy) * in.w + ox * node->window_w + wx;
}

static double window_mean(const jemi_node *node, jemi_shape in, const double *x, int64_t c,
                          int64_t oy, int64_t ox)
{
    double sum = 0.0;
    for (int64_t wy = 0; wy < node->window_h; wy++)
        for (int64_t wx = 0; wx < node->window_w; wx++)
            sum += x[window_at(node, in, c, oy, ox, wy, wx)];
    return sum / (double)(node->window_h * node->window_w);
}

static void window_spread(const jemi_node *node, jemi_shape in, double dy, double *dx, int64_t c,
                          int64_t oy, int64_t ox)
{
    const double share = dy / (double)(node->window_h * node->window_w);
    for (int64_t wy = 0; wy < node->window_h; wy++)
        for (int64_t wx = 0; wx < node->window_w; wx++)
            dx[window_at(node, in, c, oy, ox, wy, wx)] += share;
}

void jemi_ref_avgpool_forward(const jemi_node *node, jemi_shape in, const double *x, double *y)
{
    const jemi_shape out = node->shape;
    for (int64_t c = 0; c < out.c; c++)
        for (int64_t oy = 0; oy < out.h; oy++)
            for (int64_t ox = 0; ox < out.w; ox++)
                y[(c * out.h + oy) * out.w + ox] = window_mean(node, in, x, c, oy, ox);
}

void jemi_ref_avgpool_backward(const jemi_node *node, jemi_shape in, const double *dy, double *dx)
{
    const jemi_shape out = node->shape;
    for (int64_t c = 0; c < out.c; c++)
        for (int64_t oy = 0; oy < out.h; oy++)
            for (int64_t ox = 0; ox < out.w; ox++)
                window_spread(node, in, dy[(c * out.h + oy) * out.w + ox], dx, c, oy, ox);
}
