/*
 * A convolution that winograd.h computes, in whichever direction.
 */
#ifndef JEMI_KERNELS_WINOGRAD_LAYER_H
#define JEMI_KERNELS_WINOGRAD_LAYER_H

#include "kernels/epilogue.h"

typedef struct jemi_winograd {
    int64_t n;
    int64_t in, out; /* channels of source and destination, multiples of 16 */
    int64_t src_h, src_w, dst_h, dst_w;
    int64_t stride;       /* 1 or 2 */
    bool transposed;      /* the transposed convolution, from dy to dx */
    const float *weights; /* packed */
    jemi_epilogue then;
} jemi_winograd;

#endif
