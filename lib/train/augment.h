/*
 * Random shifts and reflections of images, on copies.
 */
#ifndef JEMI_TRAIN_AUGMENT_H
#define JEMI_TRAIN_AUGMENT_H

#include "base/random.h"
#include "nn/graph.h"

typedef struct jemi_augmentation {
    int32_t crop; /* pixels, below height and width: shifts by -crop .. crop each way */
    int32_t flip; /* 1: mirrored left-right with probability 1/2 */
} jemi_augmentation;

static inline int jemi_augments(const jemi_augmentation *augmentation)
{
    return augmentation->crop > 0 || augmentation->flip != 0;
}

/**
 * n rows of `shape`, padded by reflection (the edge itself not repeated, as torch's "reflect"),
 * cropped back and mirrored. Row r depends on counter row `first + r` and `step`. Parallel.
 */
void jemi_augment_rows(const jemi_augmentation *augmentation, jemi_shape shape, int64_t n,
                       const float *x, float *out, jemi_random_key key, uint32_t first,
                       uint64_t step);

#endif
