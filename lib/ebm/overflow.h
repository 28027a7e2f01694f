/*
 * Rows that a network cannot say anything about: a finite input so large that values on the way
 * overflow float, like the "no data" of raster files, -FLT_MAX.
 *
 * Infinities and NaN would otherwise reach the caller beside JEM_OK, and NaN passes every threshold.
 * Such a row has logits of -infinity throughout, whose -logsumexp is its energy, +infinity: the most
 * out-of-distribution that there is. Its input gradient is 0.
 *
 * Chains and training do without this: there anything that is not finite is a divergence.
 */
#ifndef JEMI_EBM_OVERFLOW_H
#define JEMI_EBM_OVERFLOW_H

#include <stdbool.h>
#include <stdint.h>

/** Values (n, width) as they are handed out: `instead` throughout a row that overflows. */
void jemi_overflow_values(int64_t n, int64_t width, float instead, float *values);

/**
 * Energies as they are handed out.
 *
 * @param logits  In. (n, K), as computed.
 * @param energy  In, out. (n).
 */
void jemi_overflow_energy(int64_t n, int64_t n_classes, const float *logits, float *energy);

/**
 * Gradients as they are handed out: 0 where the row, or its gradient alone, overflows.
 *
 * @param values  In. (n, width), as computed: what it is the gradient of.
 * @param grad    In, out. (n, row_len).
 */
void jemi_overflow_grad(int64_t n, int64_t width, const float *values, int64_t row_len,
                        float *grad);

#endif
