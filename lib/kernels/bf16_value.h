/*
 * One value in bfloat16, the upper half of a float, eight bits of precision. It is rounded to
 * nearest even, NaN stays NaN, subnormal floats become zeros, as the instructions have it.
 */
#ifndef JEMI_KERNELS_BF16_VALUE_H
#define JEMI_KERNELS_BF16_VALUE_H

#include <stdint.h>
#include <string.h>

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

#endif
