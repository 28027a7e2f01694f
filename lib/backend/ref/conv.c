/*
 * The convolution of the reference backend: cross-correlation with zero padding,
 *
 *     y[o][oy][ox] = b[o] + sum over c, ky, kx of  w[o][c][ky][kx] * x[c][iy][ix]
 *     iy = oy * stride + ky - pad,  ix = ox * stride + kx - pad,  x = 0 outside
 *
 * Forward and backward walk the same pairs of places: for one kernel tap, all outputs whose input
 * lies inside. Only tap_reach() knows where that is.
 */
#include "backend/ref/nodes.h"

// Outputs first .. end - 1 along one dimension, whose input o * stride + shift is inside.
typedef struct reach {
    int64_t first, end;
} reach;

static reach tap_reach(int64_t in_size, int64_t out_size, int64_t stride, int64_t shift)
{
    reach r = {0, out_size};
    while (r.first < r.end && r.first * stride + shift < 0)
        r.first++;
    while (r.end > r.first && (r.end - 1) * stride + shift >= in_size)
        r.end--;
    return r;
}

// One plane of the input, one of the output, and the tap that joins them.
typedef struct tap {
    reach y, x;
    int64_t shift_y, shift_x;
    int64_t in_w, out_w, stride;
} tap;

static tap tap_of(const jemi_node *node, jemi_shape in, int64_t ky, int64_t kx)
{
    const int64_t shift_y = ky - node->pad;
    const int64_t shift_x = kx - node->pad;
    return (tap){.y = tap_reach(in.h, node->shape.h, node->stride, shift_y),
                 .x = tap_reach(in.w, node->shape.w, node->stride, shift_x),
                 .shift_y = shift_y,
                 .shift_x = shift_x,
                 .in_w = in.w,
                 .out_w = node->shape.w,
                 .stride = node->stride};
}

// Index of the input that output (oy, 0) sees through this tap; it may lie outside the plane.
static int64_t in_start(const tap *t, int64_t oy)
{
    return (oy * t->stride + t->shift_y) * t->in_w + t->shift_x;
}

static void plane_forward(const tap *t, double w, const double *x, double *y)
{
    for (int64_t oy = t->y.first; oy < t->y.end; oy++) {
        const int64_t start = in_start(t, oy);
        for (int64_t ox = t->x.first; ox < t->x.end; ox++)
            y[oy * t->out_w + ox] += w * x[start + ox * t->stride];
    }
}

static void plane_backward_input(const tap *t, double w, const double *dy, double *dx)
{
    for (int64_t oy = t->y.first; oy < t->y.end; oy++) {
        const int64_t start = in_start(t, oy);
        for (int64_t ox = t->x.first; ox < t->x.end; ox++)
            dx[start + ox * t->stride] += w * dy[oy * t->out_w + ox];
    }
}

static double plane_backward_weight(const tap *t, const double *x, const double *dy)
{
    double dw = 0.0;
    for (int64_t oy = t->y.first; oy < t->y.end; oy++) {
        const int64_t start = in_start(t, oy);
        for (int64_t ox = t->x.first; ox < t->x.end; ox++)
            dw += x[start + ox * t->stride] * dy[oy * t->out_w + ox];
    }
    return dw;
}

// Index of w[o][c][ky][kx].
static int64_t weight_at(const jemi_node *node, jemi_shape in, int64_t o, int64_t c, int64_t ky,
                         int64_t kx)
{
    return ((o * in.c + c) * node->kernel + ky) * node->kernel + kx;
}

void jemi_ref_conv_forward(const jemi_node *node, jemi_shape in, const double *x, const double *w,
                           const double *b, double *y)
{
    const int64_t in_plane = in.h * in.w;
    const int64_t out_plane = node->shape.h * node->shape.w;
    for (int64_t o = 0; o < node->shape.c; o++)
        for (int64_t i = 0; i < out_plane; i++)
            y[o * out_plane + i] = b[o];

    for (int64_t ky = 0; ky < node->kernel; ky++)
        for (int64_t kx = 0; kx < node->kernel; kx++) {
            const tap t = tap_of(node, in, ky, kx);
            for (int64_t o = 0; o < node->shape.c; o++)
                for (int64_t c = 0; c < in.c; c++)
                    plane_forward(&t, w[weight_at(node, in, o, c, ky, kx)], x + c * in_plane,
                                  y + o * out_plane);
        }
}

void jemi_ref_conv_backward(const jemi_node *node, jemi_shape in, const double *x, const double *w,
                            const double *dy, double *dx, double *dw, double *db)
{
    const int64_t in_plane = in.h * in.w;
    const int64_t out_plane = node->shape.h * node->shape.w;
    for (int64_t o = 0; db != NULL && o < node->shape.c; o++)
        for (int64_t i = 0; i < out_plane; i++)
            db[o] += dy[o * out_plane + i];

    for (int64_t ky = 0; ky < node->kernel; ky++)
        for (int64_t kx = 0; kx < node->kernel; kx++) {
            const tap t = tap_of(node, in, ky, kx);
            for (int64_t o = 0; o < node->shape.c; o++)
                for (int64_t c = 0; c < in.c; c++) {
                    const int64_t at = weight_at(node, in, o, c, ky, kx);
                    const double *dy_plane = dy + o * out_plane;
                    plane_backward_input(&t, w[at], dy_plane, dx + c * in_plane);
                    if (dw != NULL)
                        dw[at] += plane_backward_weight(&t, x + c * in_plane, dy_plane);
                }
        }
}
