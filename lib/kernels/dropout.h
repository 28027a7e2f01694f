/*
 * Dropout on any layout: a mask, drawn once for a pass, and what it does to values and, in the
 * backward pass, to gradients. Which element is dropped does not depend on the layout.
 */
#ifndef JEMI_KERNELS_DROPOUT_H
#define JEMI_KERNELS_DROPOUT_H

#include "base/random.h"
#include "kernels/layout.h"

/** Element e (canonical: channel, line, column) of row r is dropped when the number at (key,
 *  offset + e, first_row + r, step) lies below the rate. */
typedef struct jemi_dropout_draw {
    jemi_random_key key;
    uint64_t step;
    uint32_t first_row;
    int64_t offset; /* a multiple of 4 */
    float rate;
} jemi_dropout_draw;

/** kept[i] = 1 or 0 for the element at place i of `layout`; 0 in padded lanes. Parallel. */
void jemi_dropout_mask(uint8_t *kept, const jemi_layout *layout, const jemi_dropout_draw *draw);

/** dst = src / (1 - rate) where kept, else src * 0: NaN stays visible. dst may be src. Parallel. */
void jemi_dropout_apply(float *dst, const float *src, const uint8_t *kept, int64_t count,
                        float rate);

#endif
