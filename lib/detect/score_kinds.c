/*
 * The table. A new kind is a row, a function, and a number in jem.h.
 */
#include "detect/score_kinds.h"

#include <math.h>
#include <stddef.h>

#include "kernels/vector.h"

#define OF_LOGITS(number, word, least, function, text)                                             \
    {                                                                                              \
        .kind = number, .name = word, .summary = text, .source = JEM_SOURCE_LOGITS,                \
        .classes_min = least, .of_logits = jemi_score_##function,                                  \
        .grad_of_logits = jemi_gradient_##function                                                 \
    }
#define OF_FEATURES(number, word, least, function, text)                                           \
    {                                                                                              \
        .kind = number, .name = word, .summary = text, .source = JEM_SOURCE_FEATURES,              \
        .classes_min = least, .of_features = jemi_score_##function,                                \
        .grad_of_features = jemi_gradient_##function                                               \
    }

#define OF_INPUT(number, word, least, function, moves, text)                                       \
    {                                                                                              \
        .kind = number, .name = word, .summary = text, .source = JEM_SOURCE_GRADIENT,              \
        .classes_min = least, .of_input = jemi_score_##function, .moves_rows = moves               \
    }

static const jemi_score_kind kinds[] = {
    OF_LOGITS(JEM_SCORE_ENERGY, "energy", 1, energy, "-F(x) = -logsumexp f(x)"),
    OF_LOGITS(JEM_SCORE_MAX_SOFTMAX, "max-softmax", 2, max_softmax, "-max p(y|x)"),
    OF_LOGITS(JEM_SCORE_MAX_LOGIT, "max-logit", 1, max_logit, "-max f(x)"),
    OF_LOGITS(JEM_SCORE_MARGIN, "margin", 2, margin, "the second largest logit minus the largest"),
    OF_LOGITS(JEM_SCORE_ENTROPY, "entropy", 2, entropy, "the entropy of p(y|x)"),
    OF_LOGITS(JEM_SCORE_GEN, "gen", 2, gen, "the generalised entropy of the largest p(y|x)"),
    OF_INPUT(JEM_SCORE_GRADIENT_NORM, "gradient-norm", 1, gradient_norm, false, "|dF/dx|"),
    OF_FEATURES(JEM_SCORE_MAHALANOBIS, "mahalanobis", 1, mahalanobis,
                "the distance of features to the nearest class, in units of their covariance"),
    OF_FEATURES(JEM_SCORE_RELATIVE_MAHALANOBIS, "relative-mahalanobis", 2, relative_mahalanobis,
                "that less the distance to all rows"),
    OF_FEATURES(JEM_SCORE_UNIT_MAHALANOBIS, "unit-mahalanobis", 1, unit_mahalanobis,
                "the distance of features of length 1 to the nearest class"),
    OF_FEATURES(JEM_SCORE_KNN, "knn", 1, knn,
                "the distance of features of length 1 to the nearest training rows"),
    OF_FEATURES(JEM_SCORE_FDBD, "fdbd", 2, fdbd, "how near the boundaries between classes are"),
    OF_FEATURES(JEM_SCORE_VIM, "vim", 1, vim,
                "features beside their principal space, against F(x)"),
    OF_FEATURES(JEM_SCORE_NCI, "nci", 1, nci,
                "how little features lie along the weights of their class"),
    OF_FEATURES(JEM_SCORE_REACT, "react", 1, react, "energy of clipped features"),
    OF_FEATURES(JEM_SCORE_SCALE, "scale", 1, scale, "energy of scaled features"),
    OF_FEATURES(JEM_SCORE_GRADNORM, "gradnorm", 2, gradnorm,
                "the last layer's gradient of KL(uniform, p)"),
    OF_INPUT(JEM_SCORE_ODIN, "odin", 2, odin, false, "-max p after a step that raises it"),
    OF_INPUT(JEM_SCORE_REFINE, "refine", 1, refine, true, "what steps down E(x) gain in F(x)"),
    OF_INPUT(JEM_SCORE_REFINE_DISTANCE, "refine-distance", 1, refine_distance, true,
             "how far steps down E(x) lead"),
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
