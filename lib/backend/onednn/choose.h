/*
 * Which algorithm computes a convolution. The one place that decides it, per shape and direction.
 */
#ifndef JEMI_BACKEND_ONEDNN_CHOOSE_H
#define JEMI_BACKEND_ONEDNN_CHOOSE_H

#include "backend/onednn/dnnl_compat.h"
#include "nn/graph.h"

/** JEM_OK, or JEM_EUNSUPPORTED for a precision that this backend does not compute in. */
jem_status jemi_choose_check(int32_t precision);

/** Our own kernels instead of oneDNN's. */
typedef enum jemi_own {
    JEMI_OWN_NONE,
    JEMI_OWN_WINOGRAD, /* kernels/winograd.h */
    JEMI_OWN_DIRECT,   /* kernels/direct.h */
    JEMI_OWN_DIRECT_BF16,
    JEMI_OWN_STEM, /* kernels/stem.h, forward only */
} jemi_own;

/**
 * For a CONV or LINEAR node. Forward and backward data are alike, but for the first convolution:
 * its input gradient goes by jemi_choose_stem(), or by JEMI_OWN_DIRECT.
 */
jemi_own jemi_choose_own(const jemi_node *node, jemi_shape in, int32_t precision);

/** For the gradient of its weights: any but _BF16. */
jemi_own jemi_choose_own_weights(const jemi_node *node, jemi_shape in, int32_t precision);

/**
 * Is the input gradient of this convolution better computed by kernels/stem.h?
 *
 * @param diff_dst  In. The gradient of its value, as it lies in memory.
 */
bool jemi_choose_stem(const jemi_node *node, jemi_shape in, const jemi_layout *diff_dst);

#endif
