/*
 * How images lie in memory, for all kernels of this folder: [row][channel block][pixel][lane].
 *
 * One description covers what libraries call nchw (block 1), nhwc (block = channels) and nChw16c
 * (block 16, the last block padded). Padded lanes hold zeros: who writes them keeps them so.
 */
#ifndef JEMI_KERNELS_LAYOUT_H
#define JEMI_KERNELS_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/lanes.h"

typedef struct jemi_layout {
    int64_t n, c, h, w;
    int64_t block; /* channels that lie side by side */
} jemi_layout;

static inline int64_t jemi_layout_blocks(const jemi_layout *layout)
{
    return (layout->c + layout->block - 1) / layout->block;
}

/** Floats of one row, padded lanes included. */
static inline int64_t jemi_layout_row(const jemi_layout *layout)
{
    return jemi_layout_blocks(layout) * layout->h * layout->w * layout->block;
}

static inline int64_t jemi_layout_size(const jemi_layout *layout)
{
    return layout->n * jemi_layout_row(layout);
}

/** Is this memory the canonical (n, C, H, W)? */
static inline bool jemi_layout_is_canonical(const jemi_layout *layout)
{
    return layout->block == 1 || (layout->h * layout->w == 1 && layout->c % layout->block == 0);
}

/** Is element i of the one element i of the other? */
static inline bool jemi_layout_same(const jemi_layout *a, const jemi_layout *b)
{
    if (a->n != b->n || a->c != b->c || a->h != b->h || a->w != b->w)
        return false;
    return a->block == b->block || (jemi_layout_is_canonical(a) && jemi_layout_is_canonical(b));
}

/** Canonical (n, C, H, W) into `layout`, whose rows from n on become zeros. Parallel. */
void jemi_layout_load(float *dst, const jemi_layout *layout, const float *canonical, int64_t n);

/** The first n rows of `src` to canonical (n, C, H, W). Parallel. */
void jemi_layout_store(float *canonical, const float *src, const jemi_layout *layout, int64_t n);

/** Zeros into the padded lanes. */
void jemi_layout_clear_padding(float *data, const jemi_layout *layout);

#endif
