/*
 * Elementwise passes: activations, their derivatives, sums. They see flat arrays, so any layout
 * will do as long as all arguments share it.
 *
 * Own polynomials, a few units in the last place, no libm, nothing contracted or reassociated: the
 * bits of an element depend on its value alone. NaN comes out as NaN. Outputs may be inputs.
 */
#ifndef JEMI_KERNELS_ACTIVATION_H
#define JEMI_KERNELS_ACTIVATION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kept.h"

typedef enum jemi_curve {
    JEMI_CURVE_LRELU, /* x > 0 ? x : slope * x */
    JEMI_CURVE_SILU,
    JEMI_CURVE_ELU,
    JEMI_CURVE_SOFTPLUS,
    JEMI_CURVE_TANH,
} jemi_curve;

typedef struct jemi_activation {
    jemi_curve curve;
    float slope; /* lrelu */
} jemi_activation;

/**
 * Can the derivative be had from the activation's value? Else it needs the argument, which then has
 * to be kept.
 */
static inline bool jemi_act_grad_from_value(jemi_activation activation)
{
    switch (activation.curve) {
    case JEMI_CURVE_LRELU:
        return activation.slope >= 0.0f; // else the sign is lost
    case JEMI_CURVE_SILU:
        return false; // not monotone
    default:
        return true;
    }
}

/** Can it be had from the signs of the value? */
static inline bool jemi_act_grad_from_signs(jemi_activation activation)
{
    return activation.curve == JEMI_CURVE_LRELU && activation.slope >= 0.0f;
}

/** Does it map 0 to 0, and so leave padded lanes alone? */
static inline bool jemi_act_keeps_zero(jemi_activation activation)
{
    return activation.curve != JEMI_CURVE_SOFTPLUS;
}

/** dst = act(src). Parallel. */
void jemi_act_forward(float *dst, const float *src, int64_t count, jemi_activation activation);

/**
 * The same where jemi_act_grad_from_signs().
 *
 * @param signs  Out. Those of dst, see kept.h; count is a multiple of JEMI_SIGNS.
 */
void jemi_act_forward_signs(float *dst, uint16_t *signs, const float *src, int64_t count,
                            jemi_activation activation);

/**
 * dst = diff * act' + add.
 *
 * @param kept  The activation's value or its argument, as jemi_act_grad_from_value() says, or
 *              the value's signs; then count is a multiple of JEMI_SIGNS.
 * @param add   May be NULL.
 */
void jemi_act_gradient(float *dst, const float *diff, jemi_kept kept, const float *add,
                       int64_t count, jemi_activation activation);

/** dst[i] = diff[i] * act', serial and for one short run of elements: for fused passes. */
void jemi_act_gradient_run(float *dst, const float *diff, jemi_kept kept, int64_t count,
                           jemi_activation activation);

/** dst = a + b. Parallel. */
void jemi_sum(float *dst, const float *a, const float *b, int64_t count);

#endif
