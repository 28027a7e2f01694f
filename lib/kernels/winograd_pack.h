/*
 * The weights of winograd.h's convolutions, packed.
 */
#ifndef JEMI_KERNELS_WINOGRAD_PACK_H
#define JEMI_KERNELS_WINOGRAD_PACK_H

#include <stdbool.h>
#include <stdint.h>

/** Floats of a convolution's transformed weights, either direction. */
static inline int64_t jemi_winograd_transformed_count(int64_t in, int64_t out, int64_t stride)
{
    return (stride == 1 ? 36 : 81) * in * out;
}

/**
 * Whether packed weights are the kernels, which are transformed anew for each block of tiles. So it
 * is where four or nine times as much would not stay in a processor's cache, and take more memory
 * than all else. It depends on the shape alone, so that one copy serves all batches.
 */
static inline bool jemi_winograd_keeps_kernels(int64_t in, int64_t out, int64_t stride)
{
    const int64_t transformed_floats_max = 6 << 20; // 24 MiB
    return jemi_winograd_transformed_count(in, out, stride) > transformed_floats_max;
}

/** Floats of packed weights, either direction. */
static inline int64_t jemi_winograd_weights_count(int64_t in, int64_t out, int64_t stride)
{
    return jemi_winograd_keeps_kernels(in, out, stride)
               ? 9 * in * out
               : jemi_winograd_transformed_count(in, out, stride);
}

/** Packs weights (out, in, 3, 3) of the forward convolution, for either direction. */
void jemi_winograd_pack(float *packed, const float *weights, int64_t out, int64_t in,
                        int64_t stride, bool transposed);

#endif
