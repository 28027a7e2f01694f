/*
 * 3x3 convolution, stride 1, padding 1, by Winograd's F(4x4, 3x3) (Lavin & Gray 2016): 36
 * multiplications for 16 outputs instead of 144. AVX-512 only.
 *
 * Tensors are nChw16c: (n, C / 16, h, w, 16) floats, C a multiple of 16. Backward data of such a
 * convolution is one more such convolution, with other weights.
 *
 * Every output is a fixed sequence of operations, whatever the batch and the thread count.
 */
#ifndef JEMI_KERNELS_WINOGRAD_H
#define JEMI_KERNELS_WINOGRAD_H

#include "kernels/epilogue.h"

/** Floats of packed weights. Channels are multiples of 16, here and below. */
int64_t jemi_winograd_weights_count(int64_t in, int64_t out);

/**
 * Packs weights (out, in, 3, 3). With `backward`, for dx from dy: then the packed convolution takes
 * `out` channels and gives `in`.
 */
void jemi_winograd_pack(float *packed, const float *weights, int64_t out, int64_t in,
                        bool backward);

typedef struct jemi_winograd {
    int64_t n, h, w;
    int64_t in, out; /* channels, multiples of 16 */
    const float *weights;
    jemi_epilogue then;
} jemi_winograd;

/** Floats of workspace that `threads` threads need. */
int64_t jemi_winograd_workspace(int64_t in, int64_t out, int threads);

/** Parallel over tiles. `workspace` for the OpenMP count of this call. */
void jemi_winograd_run(const jemi_winograd *conv, const float *x, float *y, float *workspace);

#endif
