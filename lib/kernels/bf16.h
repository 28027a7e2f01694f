/*
 * Arrays in bfloat16. Pairs of such values are multiplied and summed in float by one instruction.
 */
#ifndef JEMI_KERNELS_BF16_H
#define JEMI_KERNELS_BF16_H

#include "kernels/bf16_value.h"

/** count floats, any alignment. Parallel. */
void jemi_bf16_from_floats(uint16_t *dst, const float *src, int64_t count);

#endif
