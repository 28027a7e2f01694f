/*
 * Average pooling, window = stride, no padding; pixels that fill no window are dropped.
 */
#ifndef JEMI_KERNELS_POOLING_H
#define JEMI_KERNELS_POOLING_H

#include "kernels/activation.h"
#include "kernels/layout.h"

typedef struct jemi_pooling {
    jemi_layout src, dst; /* equal blocks, or a canonical dst of one pixel */
    int64_t window_h, window_w;
} jemi_pooling;

/** The layout that the pooled value of `src` gets. */
static inline jemi_layout jemi_pooling_dst(const jemi_layout *src, int64_t h, int64_t w)
{
    jemi_layout dst = {src->n, src->c, h, w, src->block};
    if (h * w == 1)
        dst.block = src->c; // one pixel is left: canonical, without padding
    return dst;
}

/** dst = mean of each window of src. Parallel. */
void jemi_avgpool_forward(float *dst, const float *src, const jemi_pooling *pooling);

/**
 * The transposed pooling: diff_src = diff_dst spread over the windows, times the derivative of an
 * activation.
 *
 * @param kept  What the activation before the pooling kept; none = there is no activation. Signs
 *              only where src->block is a multiple of JEMI_SIGNS. Parallel.
 */
void jemi_avgpool_transposed(float *diff_src, const float *diff_dst, jemi_kept kept,
                             jemi_activation activation, const jemi_pooling *pooling);

#endif
