/*
 * The epilogue of 16 values that are in registers.
 */
#ifndef JEMI_KERNELS_EPILOGUE_V16_H
#define JEMI_KERNELS_EPILOGUE_V16_H

#include "kernels/epilogue.h"
#include "kernels/simd/v16.h"

/** The biases of one block of 16 channels. */
V16_INLINE v16 jemi_epilogue_bias(const jemi_epilogue *e, int64_t block)
{
    if (e->bias == NULL)
        return v16_zero();
    const int64_t left = e->channels - block * JEMI_LANES;
    return v16_load_first(e->bias + block * JEMI_LANES, left < JEMI_LANES ? left : JEMI_LANES);
}

/** Which of the 16 values at `offset` are <= 0? Not NaN: what it scales is NaN as well. */
V16_INLINE v16_mask jemi_kept_mask(const jemi_kept *kept, int64_t offset)
{
    if (kept->signs != NULL)
        return v16_mask_of(kept->signs[offset / JEMI_SIGNS]);
    return v16_not_positive(v16_load(kept->values + offset));
}

/** The rest of it, and the store to y + offset, a multiple of 16. */
V16_INLINE void jemi_epilogue_finish(const jemi_epilogue *e, v16 value, int64_t offset, float *y)
{
    const v16 slope = v16_set1(e->slope);
    if (jemi_kept_any(&e->mask))
        value = v16_scale(jemi_kept_mask(&e->mask, offset), value, slope);
    if (e->add != NULL)
        value = v16_add(value, v16_load(e->add + offset));
    if (e->act) {
        // Scaling keeps the sign: it is that of the outcome too.
        const v16_mask signs = v16_not_positive(value);
        value = v16_scale(signs, value, slope);
        if (e->signs != NULL)
            e->signs[offset / JEMI_SIGNS] = v16_mask_bits(signs);
    }
    v16_store(y + offset, value);
}

#endif
