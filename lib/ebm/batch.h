/*
 * Whole batches of any size through one borrowed runner. Rows that overflow are told as overflow.h
 * says.
 */
#ifndef JEMI_EBM_BATCH_H
#define JEMI_EBM_BATCH_H

#include "model/pass.h"

/** Logits or features. @param values  Out. (n, width of the cut). */
jem_status jemi_batch_values(const jem_model *model, jemi_cut cut, int64_t n, const float *x,
                             float *values);

/**
 * The product of cotangents with the Jacobian of the cut.
 *
 * @param cotangents  In. (n, width of the cut).
 * @param values      Out, may be NULL. (n, width of the cut).
 * @param grad        Out. (n, C, H, W).
 */
jem_status jemi_batch_vjp(const jem_model *model, jemi_cut cut, int64_t n, const float *x,
                          const float *cotangents, float *values, float *grad);

/** The same through a runner that the caller has borrowed. */
jem_status jemi_batch_vjp_by(jemi_runner *runner, const jem_model *model, jemi_cut cut, int64_t n,
                             const float *x, const float *cotangents, float *grad);

/** labels, energy and grad may be NULL; labels as in jemi_density(). */
jem_status jemi_batch_energy(const jem_model *model, int64_t n, const float *x,
                             const int64_t *labels, float *energy, float *grad);

#endif
