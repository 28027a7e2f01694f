/*
 * Normalisation of images on any layout of layout.h, for group norm, batch norm, and batch norm by
 * running statistics:
 *
 *     dst = (src - mean) / sqrt(var + eps) * weight[channel] + bias[channel]
 *
 * Each pass over the images is one of two: sums per row and channel, in double and in the order of
 * the pixels; and a combination with coefficients per row and channel. What is between them is
 * small. So nothing depends on the thread count, and with groups a row's bits depend on that row
 * alone.
 */
#ifndef JEMI_KERNELS_NORM_H
#define JEMI_KERNELS_NORM_H

#include <stddef.h>

#include "kernels/layout.h"

typedef enum jemi_norm_over {
    JEMI_OVER_GROUPS, /* statistics of each group of channels of each row: (n, groups) */
    JEMI_OVER_BATCH,  /* of each channel over all rows: (c) */
    JEMI_OVER_NONE,   /* given: (c) */
} jemi_norm_over;

typedef struct jemi_norm_pass {
    jemi_layout layout; /* of src, dst and their gradients; n rows, all of them real */
    jemi_norm_over over;
    int64_t groups; /* of JEMI_OVER_GROUPS, divides the channels */
    double eps;
} jemi_norm_pass;

/** Means, and as many variances. */
static inline int64_t jemi_norm_statistics(const jemi_norm_pass *pass)
{
    return pass->over == JEMI_OVER_GROUPS ? pass->layout.n * pass->groups : pass->layout.c;
}

/** Bytes of scratch memory for one pass, aligned for double. */
static inline size_t jemi_norm_scratch_bytes(const jemi_norm_pass *pass)
{
    const jemi_layout *layout = &pass->layout;
    const size_t places = (size_t)(layout->n * jemi_layout_blocks(layout) * layout->block);
    const size_t statistics = (size_t)jemi_norm_statistics(pass);
    return (2 * places + 3 * statistics) * sizeof(double) + 4 * places * sizeof(float);
}

/**
 * @param mean, var  Out, biased variance; In for JEMI_OVER_NONE. Parallel.
 */
void jemi_norm_forward(const jemi_norm_pass *pass, float *dst, const float *src,
                       const float *weight, const float *bias, float *mean, float *var,
                       void *scratch);

/**
 * @param diff_src  Out. May be diff_dst.
 * @param dweight   Out, may be NULL. (c). So is dbias. Parallel.
 */
void jemi_norm_gradient(const jemi_norm_pass *pass, float *diff_src, const float *diff_dst,
                        const float *src, const float *weight, const float *mean, const float *var,
                        float *dweight, float *dbias, void *scratch);

#endif
