/*
 * Four panels at a time: an addition takes four cycles, so one sum alone would wait.
 */
#include "kernels/panels.h"

#include "kernels/simd/v16.h"

JEMI_KERNEL_DECLARE(multiply_panels);

enum { LANES = JEMI_LANES, SIDE_BY_SIDE = 4 };

V16_INLINE void multiply(int count, const float *panels, int64_t rank, const float *x,
                         float *products)
{
    v16 sums[SIDE_BY_SIDE];
    for (int p = 0; p < count; p++)
        sums[p] = v16_zero();
    for (int64_t e = 0; e < rank; e++) {
        const v16 value = v16_set1(x[e]);
#pragma GCC unroll 4
        for (int p = 0; p < count; p++)
            sums[p] = v16_fma(value, v16_load(panels + (p * rank + e) * LANES), sums[p]);
    }
    for (int p = 0; p < count; p++)
        v16_store(products + p * LANES, sums[p]);
}

void JEMI_KERNEL(multiply_panels)(const float *panels, int64_t n, int64_t rank, const float *x,
                                  float *products)
{
    int64_t p = 0;
    for (; p + SIDE_BY_SIDE <= n; p += SIDE_BY_SIDE)
        multiply(SIDE_BY_SIDE, panels + p * rank * LANES, rank, x, products + p * LANES);
    for (; p < n; p++)
        multiply(1, panels + p * rank * LANES, rank, x, products + p * LANES);
}
