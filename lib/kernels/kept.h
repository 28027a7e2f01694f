/*
 * What an activation keeps for its derivative: values, or where these need not be known, as with
 * a leaky ReLU, their signs, which are a 32nd of that.
 */
#ifndef JEMI_KERNELS_KEPT_H
#define JEMI_KERNELS_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/layout.h"

enum { JEMI_SIGNS = JEMI_LANES }; /* in a word */

/** Of a tensor, one of the two; of none, neither. */
typedef struct jemi_kept {
    const float *values;   /* or arguments, as jemi_act_grad_from_value() says */
    const uint16_t *signs; /* bit i % 16 of word i / 16: is value i <= 0? */
} jemi_kept;

static inline bool jemi_kept_any(const jemi_kept *kept)
{
    return kept->values != NULL || kept->signs != NULL;
}

/** From element `offset` on; of signs a multiple of JEMI_SIGNS. */
static inline jemi_kept jemi_kept_from(const jemi_kept *kept, int64_t offset)
{
    return (jemi_kept){
        .values = kept->values != NULL ? kept->values + offset : NULL,
        .signs = kept->signs != NULL ? kept->signs + offset / JEMI_SIGNS : NULL,
    };
}

#endif
