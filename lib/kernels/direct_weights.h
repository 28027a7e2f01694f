/*
 * The gradients of a convolution's weights and bias by direct summation, for kernels up to 3x3; a
 * linear layer is the 1x1 case whose images are single pixels.
 *
 * Every sum is taken image after image, pixel after pixel, whatever the thread count.
 */
#ifndef JEMI_KERNELS_DIRECT_WEIGHTS_H
#define JEMI_KERNELS_DIRECT_WEIGHTS_H

#include "kernels/layout.h"

typedef struct jemi_direct_weights {
    jemi_layout src; /* block 16 */
    jemi_layout dst; /* block 16 */
    int64_t kernel, stride, pad;
} jemi_direct_weights;

/** Floats of workspace. */
int64_t jemi_direct_weights_workspace(const jemi_direct_weights *conv);

/** @param dw  Out. (out, in, kernel, kernel). Parallel. */
void jemi_direct_weights_run(const jemi_direct_weights *conv, const float *x, const float *dy,
                             float *dw, float *workspace);

/** @param db  Out. (C) of `layout`: dy summed over rows and pixels. Parallel. */
void jemi_bias_gradient(const jemi_layout *layout, const float *dy, float *db);

#endif
