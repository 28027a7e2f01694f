/*
 * The table. A new kind is a row, a function, and a number in jem.h.
 */
#include "detect/score_kinds.h"

#include <math.h>
#include <stddef.h>

#include "detect/logit_scores.h"
#include "kernels/vector.h"

#define OF_LOGITS(kind, name, classes_min, function, summary)                                      \
    {                                                                                              \
        kind, name, summary, JEM_SOURCE_LOGITS, classes_min, function, NULL                        \
    }
#define OF_FEATURES(kind, name, classes_min, function, summary)                                    \
    {                                                                                              \
        kind, name, summary, JEM_SOURCE_FEATURES, classes_min, NULL, function                      \
    }

static const jemi_score_kind kinds[] = {
    OF_LOGITS(JEM_SCORE_ENERGY, "energy", 1, jemi_score_energy, "-F(x) = -logsumexp f(x)"),
    OF_LOGITS(JEM_SCORE_MAX_SOFTMAX, "max-softmax", 2, jemi_score_max_softmax, "-max p(y|x)"),
    OF_LOGITS(JEM_SCORE_MAX_LOGIT, "max-logit", 1, jemi_score_max_logit, "-max f(x)"),
    OF_LOGITS(JEM_SCORE_MARGIN, "margin", 2, jemi_score_margin,
              "the second largest logit minus the largest"),
    OF_LOGITS(JEM_SCORE_ENTROPY, "entropy", 2, jemi_score_entropy, "the entropy of p(y|x)"),
    OF_LOGITS(JEM_SCORE_GEN, "gen", 2, jemi_score_gen,
              "the generalised entropy of the largest p(y|x)"),
    {JEM_SCORE_GRADIENT_NORM, "gradient-norm", "|dF/dx|", JEM_SOURCE_GRADIENT, 1, NULL, NULL},
    OF_FEATURES(JEM_SCORE_MAHALANOBIS, "mahalanobis", 1, jemi_score_mahalanobis,
                "the distance of features to the nearest class, in units of their covariance"),
    OF_FEATURES(JEM_SCORE_RELATIVE_MAHALANOBIS, "relative-mahalanobis", 2,
                jemi_score_relative_mahalanobis, "that less the distance to all rows"),
    OF_FEATURES(JEM_SCORE_UNIT_MAHALANOBIS, "unit-mahalanobis", 1, jemi_score_unit_mahalanobis,
                "the distance of features of length 1 to the nearest class"),
    OF_FEATURES(JEM_SCORE_KNN, "knn", 1, jemi_score_knn,
                "the distance of features of length 1 to the nearest training rows"),
    OF_FEATURES(JEM_SCORE_FDBD, "fdbd", 2, jemi_score_fdbd,
                "how near the boundaries between classes are"),
    OF_FEATURES(JEM_SCORE_VIM, "vim", 1, jemi_score_vim,
                "features beside their principal space, against F(x)"),
    OF_FEATURES(JEM_SCORE_NCI, "nci", 1, jemi_score_nci,
                "how little features lie along the weights of their class"),
    OF_FEATURES(JEM_SCORE_REACT, "react", 1, jemi_score_react, "energy of clipped features"),
    OF_FEATURES(JEM_SCORE_SCALE, "scale", 1, jemi_score_scale, "energy of scaled features"),
    OF_FEATURES(JEM_SCORE_GRADNORM, "gradnorm", 2, jemi_score_gradnorm,
                "the last layer's gradient of KL(uniform, p)"),
};

const jemi_score_kind *jemi_score_kind_find(int32_t kind)
{
    const int32_t n = sizeof kinds / sizeof kinds[0];
    return kind >= 1 && kind <= n ? &kinds[kind - 1] : NULL;
}

float jemi_score_of_logits(const jemi_score_kind *kind, const jem_score_config *config,
                           int64_t n_classes, const float *logits)
{
    if (!jemi_all_finite(logits, n_classes, NULL))
        return INFINITY;
    return (float)kind->of_logits(config, n_classes, logits);
}
