/*
 * Derivatives of the scores of logit_scores.h with respect to the logits, in closed form.
 */
#ifndef JEMI_DETECT_LOGIT_GRADIENTS_H
#define JEMI_DETECT_LOGIT_GRADIENTS_H

#include <jem/jem.h>

/**
 * Where a score has a kink, as between two largest logits, one of its one-sided derivatives.
 *
 * @param logits   In. (n_classes), finite.
 * @param dlogits  Out. (n_classes).
 */
typedef void jemi_logit_gradient(const jem_score_config *config, int64_t n_classes,
                                 const float *logits, double *dlogits);

jemi_logit_gradient jemi_gradient_energy, jemi_gradient_max_softmax, jemi_gradient_max_logit,
    jemi_gradient_margin, jemi_gradient_entropy, jemi_gradient_gen;

#endif
