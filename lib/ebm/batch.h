/*
 * Whole batches of any size through one borrowed runner. Rows that overflow are told as overflow.h
 * says.
 */
#ifndef JEMI_EBM_BATCH_H
#define JEMI_EBM_BATCH_H

#include "model/pass.h"

jem_status jemi_batch_logits(const jem_model *model, int64_t n, const float *x, float *logits);

/** labels, energy and grad may be NULL; labels as in jemi_density(). */
jem_status jemi_batch_energy(const jem_model *model, int64_t n, const float *x,
                             const int64_t *labels, float *energy, float *grad);

#endif
