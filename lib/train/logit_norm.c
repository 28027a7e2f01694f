/*
 * Everything is computed in double, one row at a time, without memory for g.
 */
#include "train/logit_norm.h"

#include <math.h>

#include "base/elementary.h"

static const double least_length = 1e-7;

// A row of f, and what its softmax needs: exp(f_k / s - most) / sum.
typedef struct scaled_row {
    const float *f;
    double length, s, most, sum;
} scaled_row;

static double exponential(const scaled_row *row, int64_t k)
{
    return jemi_exp(row->f[k] / row->s - row->most);
}

static scaled_row scale(double tau, int64_t n_classes, const float *f)
{
    double squares = 0.0, most = f[0];
    for (int64_t k = 0; k < n_classes; k++) {
        squares += (double)f[k] * f[k];
        most = f[k] > most ? f[k] : most;
    }
    scaled_row row = {.f = f, .length = sqrt(squares)};
    row.s = tau * (row.length + least_length);
    row.most = most / row.s;
    for (int64_t k = 0; k < n_classes; k++)
        row.sum += exponential(&row, k);
    return row;
}

double jemi_logit_norm_loss(double tau, int64_t n_classes, const float *f, int64_t label)
{
    const scaled_row row = scale(tau, n_classes, f);
    return row.most + jemi_ln(row.sum) - f[label] / row.s;
}

void jemi_logit_norm_gradient(double tau, int64_t n_classes, const float *f, int64_t label,
                              double weight, float *df)
{
    const scaled_row row = scale(tau, n_classes, f);
    double mean = 0.0; // of f under p
    for (int64_t k = 0; k < n_classes; k++)
        mean += exponential(&row, k) / row.sum * f[k];
    const double along =
        row.length > 0.0 ? tau * (mean - f[label]) / (row.length * row.s * row.s) : 0.0;
    for (int64_t k = 0; k < n_classes; k++) {
        const double miss = exponential(&row, k) / row.sum - (k == label);
        df[k] += (float)(weight * (miss / row.s - along * f[k]));
    }
}
