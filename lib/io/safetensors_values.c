/*
 * Values of a tensor as float or int64, from data that may lie at any address.
 *
 * Half-precision numbers are widened by their bits, exactly: no value of F16 or BF16 is rounded.
 * Those of F64 are rounded to the nearest float.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "io/header.h"
#include "io/safetensors.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian");

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float float_of_f16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) // infinite or NaN
        return float_of_bits(sign | 0x7F800000 | fraction << 13);
    if (exponent > 0)
        return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    const float magnitude = (float)fraction * 0x1p-24f; // zero or subnormal
    return sign ? -magnitude : magnitude;
}

bool jemi_dtype_is_float(jemi_dtype dtype)
{
    return dtype == JEMI_F32 || dtype == JEMI_F16 || dtype == JEMI_BF16 || dtype == JEMI_F64;
}

const char *jemi_dtype_name(jemi_dtype dtype)
{
    return jemi_dtypes[dtype].name;
}

static jem_status fail_dtype(const jemi_safetensor *tensor, const char *expected)
{
    return jemi_fail(JEM_EMISMATCH, "tensor '%.80s' holds %s; expected %s", tensor->name,
                     jemi_dtype_name(tensor->dtype), expected);
}

static jem_status narrow(const jemi_safetensor *tensor, float *values)
{
    for (int64_t i = 0; i < tensor->count; i++) {
        double wide;
        memcpy(&wide, (const char *)tensor->data + (size_t)i * sizeof wide, sizeof wide);
        values[i] = (float)wide;
        if (isinf(values[i]) && isfinite(wide))
            return jemi_fail(JEM_EFORMAT,
                             "tensor '%.80s' holds %g at element %lld; floats reach %g",
                             tensor->name, wide, (long long)i, (double)FLT_MAX);
    }
    return JEM_OK;
}

static void widen(const jemi_safetensor *tensor, float *values)
{
    for (int64_t i = 0; i < tensor->count; i++) {
        uint16_t half;
        memcpy(&half, (const char *)tensor->data + (size_t)i * sizeof half, sizeof half);
        values[i] =
            tensor->dtype == JEMI_F16 ? float_of_f16(half) : float_of_bits((uint32_t)half << 16);
    }
}

jem_status jemi_safetensors_to_float(const jemi_safetensor *tensor, float *values)
{
    if (!jemi_dtype_is_float(tensor->dtype))
        return fail_dtype(tensor, "floating-point numbers: F32, F16, BF16 or F64");
    if (tensor->dtype == JEMI_F64)
        return narrow(tensor, values);
    if (tensor->dtype != JEMI_F32)
        widen(tensor, values);
    else if (tensor->count > 0)
        memcpy(values, tensor->data, (size_t)tensor->count * sizeof *values);
    return JEM_OK;
}

jem_status jemi_safetensors_to_int64(const jemi_safetensor *tensor, int64_t *values)
{
    if (tensor->dtype != JEMI_I64)
        return fail_dtype(tensor, "I64");
    if (tensor->count > 0)
        memcpy(values, tensor->data, (size_t)tensor->count * sizeof *values);
    return JEM_OK;
}
