/*
 * The first convolution, between the one to four channels of an image and the many behind it.
 *
 * Libraries read images in vectors of channels that are mostly not there. Here the vector runs over
 * the other side's channels: forward, each pixel is spread over it; transposed, it is summed up
 * once per pixel.
 */
#ifndef JEMI_KERNELS_STEM_H
#define JEMI_KERNELS_STEM_H

#include "kernels/epilogue.h"
#include "kernels/layout.h"

enum { JEMI_STEM_BLOCK = JEMI_LANES, JEMI_STEM_CHANNELS = 4, JEMI_STEM_KERNEL = 3 };

typedef struct jemi_stem {
    jemi_layout dst;             /* of the convolution; block 16, padded lanes zero */
    int64_t c, h, w;             /* of the image, c <= JEMI_STEM_CHANNELS */
    int64_t kernel, stride, pad; /* transposed: stride 1 */
} jemi_stem;

/** Floats of packed weights. */
static inline int64_t jemi_stem_weights_count(int64_t out, int64_t c, int64_t kernel)
{
    return (out + JEMI_LANES - 1) / JEMI_LANES * JEMI_LANES * c * kernel * kernel;
}

/**
 * @param packed   Out. [output channel block][kernel y][kernel x][c][16], padded lanes zero.
 * @param weights  In. (out, c, kernel, kernel).
 */
void jemi_stem_pack(float *packed, const float *weights, int64_t out, int64_t c, int64_t kernel);

/**
 * @param y        Out. As stem->dst.
 * @param images   In. Canonical (n, c, h, w), w <= 1024.
 * @param weights  In. Packed. Parallel.
 */
void jemi_stem_forward(float *y, const float *images, const float *weights, const jemi_stem *stem,
                       const jemi_epilogue *then);

/** Floats of workspace of the weights' gradient. */
int64_t jemi_stem_weights_workspace(const jemi_stem *stem);

/**
 * @param images  In. As forward. @param dy  In. As stem->dst.
 * @param dw      Out. (out, c, kernel, kernel). Parallel; summed image after image. AVX-512 only.
 */
void jemi_stem_weights(float *dw, const float *images, const float *dy, const jemi_stem *stem,
                       float *workspace);

/**
 * @param diff_src  Out. Canonical (n, c, h, w).
 * @param weights   In. Packed. Parallel.
 */
void jemi_stem_transposed(float *diff_src, const float *diff_dst, const float *weights,
                          const jemi_stem *stem);

#endif
