/*
 * From logits to energies. With F(x) = logsumexp_y f(x)[y] (Grathwohl et al. 2020, eq. 4-7):
 *
 *     E(x) = -F(x)            dE(x)/df = -softmax f(x)
 *     E(x, y) = -f(x)[y]      dE(x, y)/df = -onehot(y)
 */
#ifndef JEMI_EBM_DENSITY_H
#define JEMI_EBM_DENSITY_H

#include <stdint.h>

#include "model/pass.h"

/** logsumexp over one row of K logits; its softmax too unless p is NULL. Double inside. */
double jemi_logsumexp(const float *logits, int64_t n_classes, float *p);

/**
 * @param labels   In, may be NULL: then E(x). (n).
 * @param energy   Out, may be NULL. (n).
 * @param dlogits  Out, may be NULL. (n, K). dE/df.
 */
void jemi_density(int64_t n, int64_t n_classes, const float *logits, const int64_t *labels,
                  float *energy, float *dlogits);

/**
 * Energies and dE/dx of one chunk. Leaves the logits in chunk->out.
 *
 * @param x       In. (chunk->n, C, H, W).
 * @param labels  In, may be NULL, as in jemi_density(). (chunk->n).
 * @param energy  Out, may be NULL.
 * @param grad    Out, may be NULL: there is no backward pass. (chunk->n, C, H, W).
 */
jem_status jemi_energy_grad_chunk(jemi_chunk *chunk, const float *x, const int64_t *labels,
                                  float *energy, float *grad);

#endif
