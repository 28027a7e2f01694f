/*
 * The epilogue as a pass of its own: activations that keep signs, and derivatives taken of these.
 */
#include "kernels/epilogue_alone.h"

#include "kernels/epilogue_v16.h"

JEMI_KERNEL_DECLARE(epilogue_alone);

void JEMI_KERNEL(epilogue_alone)(float *dst, const float *src, int64_t count,
                                 const jemi_epilogue *then)
{
    const jemi_epilogue here = *then; // which no store can change
    for (int64_t i = 0; i < count; i += JEMI_LANES)
        jemi_epilogue_finish(&here, v16_load(src + i), i, dst);
}
