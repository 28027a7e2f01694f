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

/** Are all values of a row finite? */
bool jemi_overflow_none(const float *row, int64_t count);

/** Logits (n, K) as they are handed out. */
void jemi_overflow_logits(int64_t n, int64_t n_classes, float *logits);

/**
 * Energies and gradients as they are handed out. A gradient alone may overflow too: then it is 0
 * and the energy stays.
 *
 * @param logits  In. (n, K), as computed.
 * @param energy  In, out, may be NULL. (n).
 * @param grad    In, out, may be NULL. (n, row_len).
 */
void jemi_overflow_energy(int64_t n, int64_t n_classes, const float *logits, float *energy,
                          int64_t row_len, float *grad);

#endif
