/*
 * Rows of random numbers from counters, and the Langevin update that consumes them.
 */
#ifndef JEMI_KERNELS_NOISE_H
#define JEMI_KERNELS_NOISE_H

#include <stdint.h>

#include "base/random.h"

/** out[i] ~ U(low, high), i < len, from counters (i / 4, row, step). */
void jemi_fill_uniform(float *out, int64_t len, float low, float high, jemi_random_key key,
                       uint32_t row, uint64_t step);

/** out[i] ~ N(0, 1), likewise. Box-Muller with polynomials of our own: the same bits everywhere. */
void jemi_fill_normal(float *out, int64_t len, jemi_random_key key, uint32_t row, uint64_t step);

/** x[i] += std * N(0, 1) over n rows of len; row r uses counter row `first + r`. Parallel. */
void jemi_add_noise(float *x, int64_t n, int64_t len, float std, jemi_random_key key,
                    uint32_t first, uint64_t step);

typedef struct jemi_langevin_params {
    float step_size;
    float noise_std;
    float grad_clamp; /* INFINITY = none */
    float low, high;  /* of x afterwards; infinite = none */
    jemi_random_key key;
    const uint32_t *rows; /* counter row of each row; NULL = first_row + r */
    uint32_t first_row;
    uint64_t step;
} jemi_langevin_params;

/**
 * x -= step_size * clamp(grad); x += noise_std * N(0, 1); x = clamp(x), over n rows of len.
 *
 * @param grad_norm  Out, may be NULL. (n). 2-norm of each row's gradient before its clamp; NaN or
 *                   infinite if that row's gradient or new x is not finite. Parallel.
 */
void jemi_langevin(float *x, const float *grad, int64_t n, int64_t len,
                   const jemi_langevin_params *p, float *grad_norm);

#endif
