/*
 * 3x3 convolutions with padding 1 by Winograd's algorithm (Lavin & Gray 2016), in tiles of 4x4:
 * forward, transposed, and the gradient of the weights.
 *
 *   stride 1   F(4x4, 3x3): 36 multiplications for 16 outputs instead of 144
 *   stride 2   F(4x4, 2x2) over the four phases of even and odd rows and columns, where what the
 *              kernel's zeros make superfluous is left out: 81 instead of 144
 *
 * and less where rows and columns of 3, 2 or 1 are left (winograd_tiles.h).
 *
 * Tensors are nChw16c: (n, C / 16, h, w, 16) floats, C a multiple of 16.
 *
 * Every output is a fixed sequence of operations, whatever the thread count, and but for the
 * weights' gradient, which is a sum over rows, whatever the batch.
 */
#ifndef JEMI_KERNELS_WINOGRAD_H
#define JEMI_KERNELS_WINOGRAD_H

#include "kernels/winograd_layer.h"
#include "kernels/winograd_pack.h"

/** Floats of workspace that up to `threads` threads need. Reads no pointers of `conv`. */
int64_t jemi_winograd_workspace(const jemi_winograd *conv, int threads);

/** The same of the weights' gradient. */
int64_t jemi_winograd_weights_workspace(const jemi_winograd *conv, int threads);

/**
 * The gradient of a forward convolution's weights; conv->weights and ->then are not used. Parallel.
 *
 * @param x          In. The source of `conv`.
 * @param dy         In. The gradient of its destination.
 * @param dw         Out. (out, in, 3, 3).
 * @param workspace  For jemi_parallel_width() threads.
 */
void jemi_winograd_weights_run(const jemi_winograd *conv, const float *x, const float *dy,
                               float *dw, float *workspace);

/** Parallel over tiles, or within them where tiles are few. `workspace` for
 *  jemi_parallel_width() threads. */
void jemi_winograd_run(const jemi_winograd *conv, const float *x, float *y, float *workspace);

#endif
