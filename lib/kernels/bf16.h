/*
 * bfloat16: the upper half of a float, eight bits of precision. Values are rounded to nearest even,
 * NaN stays NaN, subnormal floats become zeros, as the instructions have it. Pairs of bfloat16 are
 * multiplied and summed in float by one instruction.
 */
#ifndef JEMI_KERNELS_BF16_H
#define JEMI_KERNELS_BF16_H

#include <stdint.h>
#include <string.h>

#include "kernels/isa.h"

static inline uint16_t jemi_bf16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value)
        return (uint16_t)(bits >> 16 | 0x40); // rounding must not make an infinity of it
    if ((bits & 0x7f800000) == 0)
        return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/** count floats, any alignment. Parallel. */
void jemi_bf16_from_floats(uint16_t *dst, const float *src, int64_t count);

#endif
