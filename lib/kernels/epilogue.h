/*
 * What stands between two convolutions of a network and is done while a value is still in
 * registers:
 *
 *     y += bias;  y = mask > 0 ? y : slope * y;  y += add;  y = y > 0 ? y : slope * y
 *
 * each part optional. The mask is the leaky ReLU's derivative in a backward pass, the last part is
 * the leaky ReLU itself in a forward pass, which may keep the signs that a mask can be.
 */
#ifndef JEMI_KERNELS_EPILOGUE_H
#define JEMI_KERNELS_EPILOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kept.h"

typedef struct jemi_epilogue {
    const float *bias; /* (channels), NULL = none */
    int64_t channels;  /* of the bias: lanes beyond get none */
    jemi_kept mask;    /* of a tensor like y */
    const float *add;  /* a tensor like y, may be y itself; NULL = none */
    bool act;
    float slope;     /* >= 0 */
    uint16_t *signs; /* Out. With act: those of y, see kept.h; NULL = none */
} jemi_epilogue;

#endif
