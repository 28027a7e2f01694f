/*
 * The reference backend's normalisation layers. With r = 1 / sqrt(var + eps) and xh = (x - mean) r:
 *
 *     y = w xh + b        dw = sum of dy xh        db = sum of dy
 *     dx = w r dy                                                   mean and var constant
 *     dx = r (g - mean of g - xh * mean of (g xh)),   g = w dy      mean and var those of x
 *
 * with the means over what shares the statistics: a group of channels of one row (Wu & He 2018), or
 * one channel of all rows (Ioffe & Szegedy 2015).
 */
#include <math.h>
#include <stddef.h>

#include "backend/ref/nodes.h"

static int64_t pixels(const jemi_node *node)
{
    return node->shape.h * node->shape.w;
}

static double inverse_deviation(double var)
{
    return 1.0 / sqrt(var + JEMI_NORM_EPS);
}

// Mean and biased variance of `n` stretches of `count` values, `stride` apart.
static void moments(const double *x, int64_t n, int64_t stride, int64_t count, double *mean,
                    double *var)
{
    double sum = 0.0, squares = 0.0;
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < count; i++)
            sum += x[r * stride + i];
    *mean = sum / (double)(n * count);
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < count; i++)
            squares += (x[r * stride + i] - *mean) * (x[r * stride + i] - *mean);
    *var = squares / (double)(n * count);
}

// Adds one channel's share of one row to dw[c] and db[c], where they are wanted.
static void add_param_grads(const double *x, const double *dy, int64_t count, double mean, double r,
                            double *dw, double *db)
{
    for (int64_t i = 0; i < count; i++) {
        if (dw != NULL)
            *dw += dy[i] * (x[i] - mean) * r;
        if (db != NULL)
            *db += dy[i];
    }
}

// ---- groups of one row -------------------------------------------------------------------------

void jemi_ref_groupnorm_forward(const jemi_node *node, const double *x, const double *w,
                                const double *b, double *y)
{
    const int64_t area = pixels(node);
    const int64_t channels = node->shape.c / node->groups;
    for (int64_t g = 0; g < node->groups; g++) {
        const int64_t first = g * channels;
        double mean, var;
        moments(x + first * area, 1, 0, channels * area, &mean, &var);
        const double r = inverse_deviation(var);
        for (int64_t i = first * area; i < (first + channels) * area; i++)
            y[i] = w[i / area] * (x[i] - mean) * r + b[i / area];
    }
}

static void group_backward(const double *x, const double *w, const double *dy, double *dx,
                           int64_t channels, int64_t area, double mean, double r)
{
    const int64_t count = channels * area;
    double sum = 0.0, product = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double grad = w[i / area] * dy[i];
        sum += grad;
        product += grad * (x[i] - mean) * r;
    }
    for (int64_t i = 0; i < count; i++) {
        const double xh = (x[i] - mean) * r;
        dx[i] += r * (w[i / area] * dy[i] - (sum + xh * product) / (double)count);
    }
}

void jemi_ref_groupnorm_backward(const jemi_node *node, const double *x, const double *w,
                                 const double *dy, double *dx, double *dw, double *db)
{
    const int64_t area = pixels(node);
    const int64_t channels = node->shape.c / node->groups;
    for (int64_t g = 0; g < node->groups; g++) {
        const int64_t first = g * channels;
        const int64_t at = first * area;
        double mean, var;
        moments(x + at, 1, 0, channels * area, &mean, &var);
        const double r = inverse_deviation(var);
        group_backward(x + at, w + first, dy + at, dx + at, channels, area, mean, r);
        for (int64_t c = first; c < first + channels; c++)
            add_param_grads(x + c * area, dy + c * area, area, mean, r, dw != NULL ? dw + c : NULL,
                            db != NULL ? db + c : NULL);
    }
}

// ---- channels ----------------------------------------------------------------------------------

void jemi_ref_batchnorm_forward(const jemi_node *node, const double *mean, const double *var,
                                const double *x, const double *w, const double *b, double *y)
{
    const int64_t area = pixels(node);
    for (int64_t c = 0; c < node->shape.c; c++) {
        const double r = inverse_deviation(var[c]);
        for (int64_t i = c * area; i < (c + 1) * area; i++)
            y[i] = w[c] * (x[i] - mean[c]) * r + b[c];
    }
}

void jemi_ref_batchnorm_backward(const jemi_node *node, const double *mean, const double *var,
                                 const double *x, const double *w, const double *dy, double *dx,
                                 double *dw, double *db)
{
    const int64_t area = pixels(node);
    for (int64_t c = 0; c < node->shape.c; c++) {
        const double r = inverse_deviation(var[c]);
        for (int64_t i = c * area; i < (c + 1) * area; i++)
            dx[i] += w[c] * r * dy[i];
        add_param_grads(x + c * area, dy + c * area, area, mean[c], r, dw != NULL ? dw + c : NULL,
                        db != NULL ? db + c : NULL);
    }
}

void jemi_ref_batch_statistics(const jemi_node *node, const jemi_ref_rows *x, int64_t channel,
                               double *mean, double *var)
{
    const int64_t area = pixels(node);
    moments(x->data + channel * area, x->n, x->stride, area, mean, var);
}

static void channel_backward(const jemi_ref_rows *x, const jemi_ref_rows *dy,
                             const jemi_ref_rows *dx, int64_t first, int64_t area, double mean,
                             double r, double w, double dw, double db)
{
    const double count = (double)(x->n * area);
    for (int64_t row = 0; row < x->n; row++)
        for (int64_t i = first; i < first + area; i++) {
            const double xh = (x->data[row * x->stride + i] - mean) * r;
            const double dy_i = dy->data[row * dy->stride + i];
            dx->data[row * dx->stride + i] += w * r * (dy_i - (db + xh * dw) / count);
        }
}

void jemi_ref_batchnorm_backward_batch(const jemi_node *node, const double *mean, const double *var,
                                       const jemi_ref_rows *x, const double *w,
                                       const jemi_ref_rows *dy, const jemi_ref_rows *dx, double *dw,
                                       double *db)
{
    const int64_t area = pixels(node);
    for (int64_t c = 0; c < node->shape.c; c++) {
        const double r = inverse_deviation(var[c]);
        double dw_c = 0.0, db_c = 0.0;
        for (int64_t row = 0; row < x->n; row++)
            add_param_grads(x->data + row * x->stride + c * area,
                            dy->data + row * dy->stride + c * area, area, mean[c], r, &dw_c, &db_c);
        channel_backward(x, dy, dx, c * area, area, mean[c], r, w[c], dw_c, db_c);
        if (dw != NULL)
            dw[c] += dw_c;
        if (db != NULL)
            db[c] += db_c;
    }
}
