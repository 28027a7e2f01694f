/*
 * The epilogue as a pass of its own: activations that keep signs, and derivatives taken of these.
 */
#include "kernels/epilogue.h"

#include <assert.h>

#if defined(__x86_64__)

JEMI_AVX512 void jemi_epilogue_alone(float *dst, const float *src, int64_t count,
                                     const jemi_epilogue *then)
{
    const jemi_epilogue here = *then; // which no store can change
    for (int64_t i = 0; i < count; i += JEMI_LANES)
        jemi_epilogue_finish(&here, _mm512_loadu_ps(src + i), i, dst);
}

#else

void jemi_epilogue_alone(float *dst, const float *src, int64_t count, const jemi_epilogue *then)
{
    (void)dst, (void)src, (void)count, (void)then;
    assert(!"no epilogues for this processor");
}

#endif
