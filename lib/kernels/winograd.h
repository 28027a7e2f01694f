/*
 * 3x3 convolution, stride 1, padding 1, by Winograd's F(4x4, 3x3) (Lavin & Gray 2016): 36
 * multiplications for 16 outputs instead of 144. AVX-512 only.
 *
 * Tensors are nChw16c: (n, C / 16, h, w, 16) floats, C a multiple of 16. Backward-data of such a convolution is one more such convolution, with other weights.
 *
 * What stands between two convolutions of a residual network is done on the way in or out, so that
 * no value is read or written for it alone:
 *
 *     y = conv(in_act(x)) + bias;  y = mask > 0 ? y : slope * y;  y += add;  y = out_act(y)
 *
 * Every output is a fixed sequence of operations, whatever the batch and the thread count.
 */
#ifndef JEMI_KERNELS_WINOGRAD_H
#define JEMI_KERNELS_WINOGRAD_H

#include <stdbool.h>
#include <stdint.h>

/** Whether this processor runs these kernels. */
bool jemi_winograd_available(void);

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
    const float *bias; /* (out), NULL = none */
    bool in_act;       /* leaky ReLU on the way in */
    const float *mask; /* a tensor like y; where it is <= 0, y is scaled. NULL = none */
    const float *add;  /* a tensor like y, may be y itself; NULL = none */
    bool out_act;      /* leaky ReLU on the way out */
    float slope;       /* of all three */
} jemi_winograd;

/** Floats of workspace that `threads` threads need. */
int64_t jemi_winograd_workspace(int64_t in, int64_t out, int threads);

/** Parallel over tiles. `workspace` for the OpenMP count of this call. */
void jemi_winograd_run(const jemi_winograd *conv, const float *x, float *y, float *workspace);

#endif
