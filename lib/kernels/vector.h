/*
 * Passes over long vectors: sums whose value does not depend on the thread count, and the optimizer
 * updates.
 */
#ifndef JEMI_KERNELS_VECTOR_H
#define JEMI_KERNELS_VECTOR_H

#include <stdbool.h>
#include <stdint.h>

/** sum[i] += x[i]. */
void jemi_accumulate(float *sum, const float *x, int64_t count);

/** out[i] = a[i] * b[i]; out may be either. */
void jemi_multiply(float *out, const float *a, const float *b, int64_t count);

/** out[i] = x[i] + scale * y[i]; out may be either. */
void jemi_add_scaled(float *out, const float *x, const float *y, float scale, int64_t count);

/** mean[i] += weight * (x[i] - mean[i]). */
void jemi_blend(float *mean, const float *x, float weight, int64_t count);

/** Sum of squares in double, over fixed blocks: the same bits at any thread count. */
double jemi_sum_squares(const float *x, int64_t count);

/** The same of x - y. */
double jemi_sum_squares_difference(const float *x, const float *y, int64_t count);

/** Largest |x[i]|; NaN when any value is not finite. 0 for none. */
float jemi_max_abs(const float *x, int64_t count);

/** False when any value is NaN or infinite; then *index, if given, is the first such place. */
bool jemi_all_finite(const float *x, int64_t count, int64_t *index);

/** Some elements of a row, and their means over rows. */
typedef struct jemi_run {
    const float *x, *mean;
    int64_t count;
} jemi_run;

/** z += (x - mean)^T basis, which is (count, rank). Serial. */
void jemi_project_run(const jemi_run *run, const double *basis, int64_t rank, double *z);

/** image += (x - mean) z^T / n; (count, rank). Serial. */
void jemi_spread_run(const jemi_run *run, const double *z, int64_t rank, int64_t n, double *image);

typedef struct jemi_adam_params {
    float lr, beta1, beta2, eps, weight_decay;
    float grad_scale;            /* of clipping */
    float bias_correction1;      /* 1 - beta1^t */
    float bias_correction2_sqrt; /* sqrt(1 - beta2^t) */
} jemi_adam_params;

/**
 * theta of the step after (m, v), which stay as they are (Kingma & Ba 2015, algorithm 1, as in
 * torch.optim.Adam). Returns false when a new value is not finite.
 */
bool jemi_adam_step(float *theta_new, const float *theta, const float *grad, const float *m,
                    const float *v, int64_t count, const jemi_adam_params *p);
/** The moments of that step, in place. */
void jemi_adam_moments(float *m, float *v, const float *theta, const float *grad, int64_t count,
                       const jemi_adam_params *p);

typedef struct jemi_sgd_params {
    float lr, momentum, weight_decay;
    float grad_scale;
    bool first; /* the velocity starts as the gradient itself, as in torch.optim.SGD */
} jemi_sgd_params;

bool jemi_sgd_step(float *theta_new, const float *theta, const float *grad, const float *velocity,
                   int64_t count, const jemi_sgd_params *p);
void jemi_sgd_velocity(float *velocity, const float *theta, const float *grad, int64_t count,
                       const jemi_sgd_params *p);

#endif
