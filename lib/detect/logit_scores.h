/*
 * Outlier scores of one row of logits. All are higher = more out-of-distribution.
 */
#ifndef JEMI_DETECT_LOGIT_SCORES_H
#define JEMI_DETECT_LOGIT_SCORES_H

#include <jem/jem.h>

typedef double jemi_logit_score(const jem_score_config *config, int64_t n_classes,
                                const float *logits);

jemi_logit_score jemi_score_energy, jemi_score_max_softmax, jemi_score_max_logit, jemi_score_margin,
    jemi_score_entropy, jemi_score_gen;

#endif
