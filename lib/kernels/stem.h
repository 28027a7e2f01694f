/*
 * The input gradient of a first convolution: from many channels to the one to four of an image.
 *
 * Libraries compute a full vector of input channels there and throw most of it away. Here the
 * vector runs over the output channels instead, and is summed up once per pixel.
 */
#ifndef JEMI_KERNELS_STEM_H
#define JEMI_KERNELS_STEM_H

#include "kernels/layout.h"

enum { JEMI_STEM_BLOCK = 16, JEMI_STEM_CHANNELS = 4 };

typedef struct jemi_stem {
    jemi_layout diff_dst; /* block 16; padded lanes zero */
    int64_t c, h, w;      /* of the image, c <= JEMI_STEM_CHANNELS */
    int64_t kernel, pad;  /* stride 1 */
} jemi_stem;

/**
 * @param diff_src  Out. Canonical (n, c, h, w).
 * @param weights   In. [output channel block][kernel y][kernel x][c][16], padded lanes zero.
 *                  Parallel.
 */
void jemi_stem_backward(float *diff_src, const float *diff_dst, const float *weights,
                        const jemi_stem *stem);

#endif
