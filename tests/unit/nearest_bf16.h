/*
 * Rounding to bfloat16 by arithmetic instead of bits: what the tests hold ours against.
 */
#ifndef JEM_TESTS_NEAREST_BF16_H
#define JEM_TESTS_NEAREST_BF16_H

#include <float.h>
#include <math.h>

/** To eight bits of mantissa, ties to even; too large becomes infinite, subnormal zero. */
static inline float nearest_bf16(float value)
{
    if (isnan(value) || isinf(value))
        return value;
    if (fabsf(value) < FLT_MIN)
        return copysignf(0.0f, value);
    int exponent;
    const double mantissa = frexp((double)value, &exponent);
    return (float)ldexp(nearbyint(ldexp(mantissa, 8)), exponent - 8);
}

#endif
