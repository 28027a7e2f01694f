/*
 * Outlier scores of a batch, of kinds that need no statistics of training rows.
 */
#ifndef JEMI_DETECT_SCORE_H
#define JEMI_DETECT_SCORE_H

#include "detect/score_kinds.h"
#include "model/pass.h"

/** @param kind  Not of features. @param scores  Out. (n). */
jem_status jemi_score(const jem_model *model, const jemi_score_kind *kind,
                      const jem_score_config *config, int64_t n, const float *x, float *scores);

/** The same through a runner that the caller has borrowed. */
jem_status jemi_score_by(jemi_runner *runner, const jem_model *model, const jemi_score_kind *kind,
                         const jem_score_config *config, int64_t n, const float *x, float *scores);

#endif
