/*
 * The kinds of outlier scores, one row each: what a kind is called, what it is made of, how.
 *
 * Every kind is higher for rows that are more out-of-distribution, whatever the sign of its
 * publication.
 */
#ifndef JEMI_DETECT_SCORE_KINDS_H
#define JEMI_DETECT_SCORE_KINDS_H

#include <jem/jem.h>

#include <stdbool.h>

#include "detect/feature_gradients.h"
#include "detect/input_scores.h"
#include "detect/logit_gradients.h"
#include "detect/logit_scores.h"

typedef struct jemi_score_kind {
    int32_t kind; /* JEM_SCORE_* */
    const char *name, *summary;
    int32_t source;      /* JEM_SOURCE_* */
    int32_t classes_min; /* with fewer the score is the same for every row */
    /* Those that belong to the source, and their derivatives; of the input gradient none: */
    jemi_logit_score *of_logits;
    jemi_logit_gradient *grad_of_logits;
    jemi_feature_score *of_features;
    jemi_feature_gradient *grad_of_features;
    jemi_input_score *of_input;
    bool moves_rows; /* that needs room for moved ones */
} jemi_score_kind;

/** NULL when there is no such kind. They count from 1 without a gap. */
const jemi_score_kind *jemi_score_kind_find(int32_t kind);

/** Of one row; +infinity where its logits are not finite. Kinds of JEM_SOURCE_LOGITS only. */
float jemi_score_of_logits(const jemi_score_kind *kind, const jem_score_config *config,
                           int64_t n_classes, const float *logits);

#endif
