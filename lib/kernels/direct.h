/*
 * Convolution of any stride by direct summation, forward and transposed, for kernels of up to 3x3.
 * A linear layer is the 1x1 case whose images are single pixels.
 *
 * Values are nChw16c, (n, ceil(C / 16), h, w, 16), padded channels zero.
 *
 * In bf16, source and weights are rounded to it and products summed in float; so are destination,
 * bias and all else. Needs jemi_bf16_available().
 *
 * Every output is the sum over taps, then channels, in order, whatever the batch and thread count.
 */
#ifndef JEMI_KERNELS_DIRECT_H
#define JEMI_KERNELS_DIRECT_H

#include "kernels/epilogue.h"
#include "kernels/layout.h"

enum { JEMI_DIRECT_KERNEL_MAX = 3 };

typedef struct jemi_direct {
    int64_t n;
    int64_t in, out; /* channels of source and destination */
    int64_t src_h, src_w, dst_h, dst_w;
    int64_t kernel, stride, pad; /* of the forward convolution */
    bool transposed;             /* the transposed convolution, from dy to dx */
    bool bf16;                   /* source and weights are uint16_t */
    const void *weights;         /* packed */
    jemi_epilogue then;
} jemi_direct;

/** Values of packed weights for `in` source and `out` destination channels. */
static inline int64_t jemi_direct_weights_count(int64_t in, int64_t out, int64_t kernel)
{
    const int64_t from = (in + JEMI_LANES - 1) / JEMI_LANES,
                  to = (out + JEMI_LANES - 1) / JEMI_LANES;
    return kernel * kernel * from * to * JEMI_LANES * JEMI_LANES;
}

/** Packs weights (out, in, kernel, kernel) of the forward convolution, for either direction. */
void jemi_direct_pack(float *packed, const float *weights, int64_t out, int64_t in, int64_t kernel,
                      bool transposed);

/** The same in bf16, as many values of half the size. */
void jemi_direct_pack_bf16(uint16_t *packed, const float *weights, int64_t out, int64_t in,
                           int64_t kernel, bool transposed);

/** Parallel over strips of pixels and groups of channels. @param x  float or, in bf16, uint16_t. */
void jemi_direct_run(const jemi_direct *conv, const void *x, float *y);

#endif
