/*
 * Outlier scores: higher = more out-of-distribution, every kind.
 */
#ifndef JEMI_DETECT_SCORE_H
#define JEMI_DETECT_SCORE_H

#include "model/pass.h"

/** `kind` is a JEM_SCORE_*. scores (n). */
jem_status jemi_score(const jem_model *model, int32_t kind, int64_t n, const float *x,
                      float *scores);

#endif
