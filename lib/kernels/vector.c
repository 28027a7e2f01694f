/*
 * Every pass cuts its vector into blocks of a fixed length; threads share out blocks, and results
 * of blocks are joined in order. So nothing here depends on how many threads there are.
 *
 * An optimizer update comes in two passes, parameters first and state second: when the new
 * parameters turn out not to be finite, nothing has been overwritten.
 */
#include "kernels/vector.h"

#include <math.h>
#include <stddef.h>

#include "kernels/clones.h"
#include "kernels/parallel.h"

enum { BLOCK = 16384, LANES = 16 };

static int64_t block_count(int64_t count)
{
    return (count + BLOCK - 1) / BLOCK;
}

static int64_t block_length(int64_t block, int64_t count)
{
    const int64_t left = count - block * BLOCK;
    return left < BLOCK ? left : BLOCK;
}

void jemi_accumulate(float *sum, const float *x, int64_t count)
{
    JEMI_PARALLEL(for (int64_t i = 0; i < count; i++) sum[i] += x[i];);
}

void jemi_multiply(float *out, const float *a, const float *b, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        out[i] = a[i] * b[i];
}

void jemi_add_scaled(float *out, const float *x, const float *y, float scale, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        out[i] = x[i] + scale * y[i];
}

void jemi_blend(float *mean, const float *x, float weight, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        mean[i] += weight * (x[i] - mean[i]);
}

static double sum_lanes(const double lanes[LANES])
{
    double sum = 0.0;
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

JEMI_CLONES
static double block_sum_squares(const float *x, int64_t count)
{
    double lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)x[i + lane] * (double)x[i + lane];
    for (; i < count; i++)
        lanes[i % LANES] += (double)x[i] * (double)x[i];
    return sum_lanes(lanes);
}

JEMI_CLONES
static double block_sum_squares_difference(const float *x, const float *y, int64_t count)
{
    double lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++) {
            const double d = (double)x[i + lane] - (double)y[i + lane];
            lanes[lane] += d * d;
        }
    for (; i < count; i++)
        lanes[i % LANES] += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum_lanes(lanes);
}

// Of x, or of x - y.
static double block_of(const float *x, const float *y, int64_t block, int64_t count)
{
    const int64_t first = block * BLOCK, length = block_length(block, count);
    return y != NULL ? block_sum_squares_difference(x + first, y + first, length)
                     : block_sum_squares(x + first, length);
}

static double sum_blocks(const float *x, const float *y, int64_t count)
{
    // Groups of blocks, so that their sums fit a fixed array whatever the length.
    enum { GROUP = 256 };
    double total = 0.0;
    for (int64_t first = 0; first < block_count(count); first += GROUP) {
        double sums[GROUP] = {0};
        const int64_t left = block_count(count) - first;
        const int64_t here = left < GROUP ? left : GROUP;
        JEMI_PARALLEL_IF(here > 1, for (int64_t b = 0; b < here; b++) sums[b] =
                                       block_of(x, y, first + b, count););
        for (int64_t b = 0; b < here; b++)
            total += sums[b];
    }
    return total;
}

double jemi_sum_squares(const float *x, int64_t count)
{
    return sum_blocks(x, NULL, count);
}

double jemi_sum_squares_difference(const float *x, const float *y, int64_t count)
{
    return sum_blocks(x, y, count);
}

// x * 0 is 0 exactly as long as x is finite.
static inline void note_size(float x, float *largest, float *zero)
{
    const float size = fabsf(x);
    *largest = size > *largest ? size : *largest;
    *zero += x * 0.0f;
}

JEMI_CLONES
float jemi_max_abs(const float *x, int64_t count)
{
    float largest[LANES] = {0}, zero[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            note_size(x[i + lane], &largest[lane], &zero[lane]);
    for (; i < count; i++)
        note_size(x[i], &largest[i % LANES], &zero[i % LANES]);
    for (int lane = 1; lane < LANES; lane++) {
        note_size(largest[lane], &largest[0], &zero[0]);
        zero[0] += zero[lane];
    }
    return largest[0] + zero[0];
}

bool jemi_all_finite(const float *x, int64_t count, int64_t *index)
{
    for (int64_t begin = 0; begin < count; begin += BLOCK) {
        const int64_t length = count - begin < BLOCK ? count - begin : BLOCK;
        float poison = 0.0f; // stays 0 exactly as long as everything is finite
#pragma omp simd reduction(+ : poison)
        for (int64_t i = 0; i < length; i++)
            poison += x[begin + i] * 0.0f;
        if (poison == 0.0f)
            continue;
        int64_t i = begin;
        while (isfinite(x[i]))
            i++;
        if (index != NULL)
            *index = i;
        return false;
    }
    return true;
}

JEMI_CLONES
static float adam_step_block(float *theta_new, const float *theta, const float *grad,
                             const float *m, const float *v, int64_t count,
                             const jemi_adam_params *p)
{
    const float rate = p->lr / p->bias_correction1;
    float poison = 0.0f;
#pragma omp simd reduction(+ : poison)
    for (int64_t i = 0; i < count; i++) {
        const float g = p->grad_scale * grad[i] + p->weight_decay * theta[i];
        const float m_new = p->beta1 * m[i] + (1.0f - p->beta1) * g;
        const float v_new = p->beta2 * v[i] + (1.0f - p->beta2) * g * g;
        const float scale = sqrtf(v_new) / p->bias_correction2_sqrt + p->eps;
        theta_new[i] = theta[i] - rate * m_new / scale;
        poison += (theta_new[i] + m_new + v_new) * 0.0f;
    }
    return poison;
}

bool jemi_adam_step(float *theta_new, const float *theta, const float *grad, const float *m,
                    const float *v, int64_t count, const jemi_adam_params *p)
{
    float poison = 0.0f;
#pragma omp parallel for schedule(static) reduction(+ : poison)
    for (int64_t b = 0; b < block_count(count); b++) {
        const int64_t at = b * BLOCK;
        poison += adam_step_block(theta_new + at, theta + at, grad + at, m + at, v + at,
                                  block_length(b, count), p);
    }
    return poison == 0.0f;
}

void jemi_adam_moments(float *m, float *v, const float *theta, const float *grad, int64_t count,
                       const jemi_adam_params *p)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) {
        const float g = p->grad_scale * grad[i] + p->weight_decay * theta[i];
        m[i] = p->beta1 * m[i] + (1.0f - p->beta1) * g;
        v[i] = p->beta2 * v[i] + (1.0f - p->beta2) * g * g;
    }
}

static inline float sgd_velocity(float velocity, float theta, float grad, const jemi_sgd_params *p)
{
    const float g = p->grad_scale * grad + p->weight_decay * theta;
    return p->first ? g : p->momentum * velocity + g;
}

bool jemi_sgd_step(float *theta_new, const float *theta, const float *grad, const float *velocity,
                   int64_t count, const jemi_sgd_params *p)
{
    float poison = 0.0f;
#pragma omp parallel for simd schedule(static) reduction(+ : poison)
    for (int64_t i = 0; i < count; i++) {
        theta_new[i] = theta[i] - p->lr * sgd_velocity(velocity[i], theta[i], grad[i], p);
        poison += theta_new[i] * 0.0f;
    }
    return poison == 0.0f;
}

void jemi_sgd_velocity(float *velocity, const float *theta, const float *grad, int64_t count,
                       const jemi_sgd_params *p)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        velocity[i] = sgd_velocity(velocity[i], theta[i], grad[i], p);
}
