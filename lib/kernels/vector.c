/*
 * Every pass cuts its vector into blocks of a fixed length; threads share out blocks, and results
 * of blocks are joined in order. So nothing here depends on how many threads there are.
 *
 * An optimizer update comes in two passes, parameters first and state second: when the new
 * parameters turn out not to be finite, nothing has been overwritten.
 */
#include "kernels/vector.h"

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>

#include "kernels/grain.h"
#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(accumulate);
JEMI_KERNEL_DECLARE(multiply);
JEMI_KERNEL_DECLARE(add_scaled);
JEMI_KERNEL_DECLARE(blend);
JEMI_KERNEL_DECLARE(sum_squares);
JEMI_KERNEL_DECLARE(sum_squares_difference);
JEMI_KERNEL_DECLARE(max_abs);
JEMI_KERNEL_DECLARE(all_finite);
JEMI_KERNEL_DECLARE(project_run);
JEMI_KERNEL_DECLARE(spread_run);
JEMI_KERNEL_DECLARE(adam_step);
JEMI_KERNEL_DECLARE(adam_moments);
JEMI_KERNEL_DECLARE(sgd_step);
JEMI_KERNEL_DECLARE(sgd_velocity);

enum { BLOCK = 16384, LANES = JEMI_LANES };

static int64_t block_count(int64_t count)
{
    return (count + BLOCK - 1) / BLOCK;
}

static int64_t block_length(int64_t block, int64_t count)
{
    const int64_t left = count - block * BLOCK;
    return left < BLOCK ? left : BLOCK;
}

// ---- elementwise -------------------------------------------------------------------------------

typedef struct combination {
    float *out;
    const float *a, *b;
    float factor;
} combination;

static void share(jemi_task task, void *context, int64_t count)
{
    jemi_parallel(count, jemi_grain_floats(count, JEMI_WORK_OF_FLOAT), task, context);
}

static void accumulate_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const combination c = *(const combination *)context;
#pragma omp simd
    for (int64_t i = begin; i < end; i++)
        c.out[i] += c.a[i];
}

static void multiply_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const combination c = *(const combination *)context;
#pragma omp simd
    for (int64_t i = begin; i < end; i++)
        c.out[i] = c.a[i] * c.b[i];
}

static void add_scaled_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const combination c = *(const combination *)context;
#pragma omp simd
    for (int64_t i = begin; i < end; i++)
        c.out[i] = c.a[i] + c.factor * c.b[i];
}

static void blend_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const combination c = *(const combination *)context;
#pragma omp simd
    for (int64_t i = begin; i < end; i++)
        c.out[i] += c.factor * (c.a[i] - c.out[i]);
}

void JEMI_KERNEL(accumulate)(float *sum, const float *x, int64_t count)
{
    share(accumulate_task, &(combination){.out = sum, .a = x}, count);
}

void JEMI_KERNEL(multiply)(float *out, const float *a, const float *b, int64_t count)
{
    share(multiply_task, &(combination){.out = out, .a = a, .b = b}, count);
}

void JEMI_KERNEL(add_scaled)(float *out, const float *x, const float *y, float scale, int64_t count)
{
    share(add_scaled_task, &(combination){out, x, y, scale}, count);
}

void JEMI_KERNEL(blend)(float *mean, const float *x, float weight, int64_t count)
{
    share(blend_task, &(combination){.out = mean, .a = x, .factor = weight}, count);
}

// ---- sums --------------------------------------------------------------------------------------

static double sum_lanes(const double lanes[LANES])
{
    double sum = 0.0;
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

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

// Groups of blocks, so that their sums fit a fixed array whatever the length.
enum { GROUP = 256 };

typedef struct block_sums {
    const float *x, *y; // without y of x, else of x - y
    int64_t first, count;
    double sums[GROUP]; // of blocks `first` and on
} block_sums;

static void sum_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    block_sums *s = context;
    for (int64_t b = begin; b < end; b++) {
        const int64_t at = (s->first + b) * BLOCK, length = block_length(s->first + b, s->count);
        s->sums[b] = s->y != NULL ? block_sum_squares_difference(s->x + at, s->y + at, length)
                                  : block_sum_squares(s->x + at, length);
    }
}

static double sum_blocks(const float *x, const float *y, int64_t count)
{
    double total = 0.0;
    for (int64_t first = 0; first < block_count(count); first += GROUP) {
        block_sums s = {.x = x, .y = y, .first = first, .count = count};
        const int64_t left = block_count(count) - first;
        const int64_t here = left < GROUP ? left : GROUP;
        jemi_parallel(here, jemi_grain(here, BLOCK * JEMI_WORK_OF_FLOAT), sum_task, &s);
        for (int64_t b = 0; b < here; b++)
            total += s.sums[b];
    }
    return total;
}

double JEMI_KERNEL(sum_squares)(const float *x, int64_t count)
{
    return sum_blocks(x, NULL, count);
}

double JEMI_KERNEL(sum_squares_difference)(const float *x, const float *y, int64_t count)
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

float JEMI_KERNEL(max_abs)(const float *x, int64_t count)
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

bool JEMI_KERNEL(all_finite)(const float *x, int64_t count, int64_t *index)
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

void JEMI_KERNEL(project_run)(const jemi_run *run, const double *restrict basis, int64_t rank,
                              double *restrict z)
{
    for (int64_t e = 0; e < run->count; e++) {
        const double centred = (double)run->x[e] - (double)run->mean[e];
        for (int64_t k = 0; k < rank; k++)
            z[k] += centred * basis[e * rank + k];
    }
}

void JEMI_KERNEL(spread_run)(const jemi_run *run, const double *restrict z, int64_t rank, int64_t n,
                             double *restrict image)
{
    for (int64_t e = 0; e < run->count; e++) {
        const double centred = ((double)run->x[e] - (double)run->mean[e]) / (double)n;
        for (int64_t k = 0; k < rank; k++)
            image[e * rank + k] += centred * z[k];
    }
}

// ---- updates -----------------------------------------------------------------------------------

typedef struct adam {
    float *theta_new, *m_new, *v_new;
    const float *theta, *grad, *m, *v;
    jemi_adam_params params;
    atomic_bool is_finite;
} adam;

static void adam_step_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    adam *a = context;
    float *theta_new = a->theta_new;
    const float *theta = a->theta, *grad = a->grad, *m = a->m, *v = a->v;
    const jemi_adam_params p = a->params;
    const float rate = p.lr / p.bias_correction1;
    float poison = 0.0f; // any order of additions gives 0 or NaN
#pragma omp simd reduction(+ : poison)
    for (int64_t i = begin; i < end; i++) {
        const float g = p.grad_scale * grad[i] + p.weight_decay * theta[i];
        const float m_new = p.beta1 * m[i] + (1.0f - p.beta1) * g;
        const float v_new = p.beta2 * v[i] + (1.0f - p.beta2) * g * g;
        const float scale = sqrtf(v_new) / p.bias_correction2_sqrt + p.eps;
        theta_new[i] = theta[i] - rate * m_new / scale;
        poison += (theta_new[i] + m_new + v_new) * 0.0f;
    }
    if (poison != 0.0f)
        atomic_store_explicit(&a->is_finite, false, memory_order_relaxed);
}

static void adam_moments_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const adam *a = context;
    float *m = a->m_new, *v = a->v_new;
    const float *theta = a->theta, *grad = a->grad;
    const jemi_adam_params p = a->params;
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        const float g = p.grad_scale * grad[i] + p.weight_decay * theta[i];
        m[i] = p.beta1 * m[i] + (1.0f - p.beta1) * g;
        v[i] = p.beta2 * v[i] + (1.0f - p.beta2) * g * g;
    }
}

bool JEMI_KERNEL(adam_step)(float *theta_new, const float *theta, const float *grad, const float *m,
                            const float *v, int64_t count, const jemi_adam_params *p)
{
    adam a = {.theta_new = theta_new,
              .theta = theta,
              .grad = grad,
              .m = m,
              .v = v,
              .params = *p,
              .is_finite = true};
    share(adam_step_task, &a, count);
    return a.is_finite;
}

void JEMI_KERNEL(adam_moments)(float *m, float *v, const float *theta, const float *grad,
                               int64_t count, const jemi_adam_params *p)
{
    adam a = {.m_new = m, .v_new = v, .theta = theta, .grad = grad, .params = *p};
    share(adam_moments_task, &a, count);
}

typedef struct sgd {
    float *out; // theta of the step, or the velocity
    const float *theta, *grad, *velocity;
    jemi_sgd_params params;
    atomic_bool is_finite;
} sgd;

static inline float sgd_velocity(float velocity, float theta, float grad, const jemi_sgd_params *p)
{
    const float g = p->grad_scale * grad + p->weight_decay * theta;
    return p->first ? g : p->momentum * velocity + g;
}

static void sgd_step_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    sgd *s = context;
    float *theta_new = s->out;
    const float *theta = s->theta, *grad = s->grad, *velocity = s->velocity;
    const jemi_sgd_params p = s->params;
    float poison = 0.0f;
#pragma omp simd reduction(+ : poison)
    for (int64_t i = begin; i < end; i++) {
        theta_new[i] = theta[i] - p.lr * sgd_velocity(velocity[i], theta[i], grad[i], &p);
        poison += theta_new[i] * 0.0f;
    }
    if (poison != 0.0f)
        atomic_store_explicit(&s->is_finite, false, memory_order_relaxed);
}

static void sgd_velocity_task(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const sgd *s = context;
    float *velocity = s->out;
    const float *theta = s->theta, *grad = s->grad;
    const jemi_sgd_params p = s->params;
#pragma omp simd
    for (int64_t i = begin; i < end; i++)
        velocity[i] = sgd_velocity(velocity[i], theta[i], grad[i], &p);
}

bool JEMI_KERNEL(sgd_step)(float *theta_new, const float *theta, const float *grad,
                           const float *velocity, int64_t count, const jemi_sgd_params *p)
{
    sgd s = {.out = theta_new,
             .theta = theta,
             .grad = grad,
             .velocity = velocity,
             .params = *p,
             .is_finite = true};
    share(sgd_step_task, &s, count);
    return s.is_finite;
}

void JEMI_KERNEL(sgd_velocity)(float *velocity, const float *theta, const float *grad,
                               int64_t count, const jemi_sgd_params *p)
{
    sgd s = {.out = velocity, .theta = theta, .grad = grad, .params = *p};
    share(sgd_velocity_task, &s, count);
}
