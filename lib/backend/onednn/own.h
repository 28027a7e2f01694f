/*
 * What the steps of our own kernels have in common: between own.c, forward and backward data, and
 * own_weights.c, the gradients of the weights.
 */
#ifndef JEMI_BACKEND_ONEDNN_OWN_H
#define JEMI_BACKEND_ONEDNN_OWN_H

#include "backend/onednn/compile.h"

/** How a forward convolution reads and writes; a linear layer is a 1x1 one of single pixels. */
typedef struct jemi_sides {
    jemi_layout src, dst;
} jemi_sides;

jemi_sides jemi_own_sides(const jemi_compile *c, int32_t kernel, int32_t node);

/** The node's input as a kernel of ours wants it. */
jem_status jemi_own_source(jemi_compile *c, int32_t node, const jemi_layout *layout, uint32_t wants,
                           int32_t *tensor);

const char *jemi_own_winograd_name(const jemi_node *node);
jemi_winograd jemi_own_winograd(const jemi_node *node, const jemi_layout *from,
                                const jemi_layout *to, bool backward);
jemi_stem jemi_own_stem(const jemi_node *node, const jemi_layout *image, const jemi_layout *to);

#endif
