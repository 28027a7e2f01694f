/*
 * A score of samples by what a classifier sees in them.
 */
#include <string.h>

#include "base/elementary.h"
#include "base/memory.h"
#include "base/status.h"
#include "detect/metrics.h"
#include "detect/softmax.h"

// Adds a row's probabilities to the marginal; returns sum_k p[k] ln p[k].
static double add_row(const float *logits, int32_t classes, double *p, double *marginal)
{
    const jemi_softmax s = jemi_softmax_row(logits, classes, 1.0, p);
    double negentropy = 0.0;
    for (int32_t k = 0; k < classes; k++) {
        negentropy += p[k] * (((double)logits[k] - logits[s.top]) - s.log_sum);
        marginal[k] += p[k];
    }
    return negentropy;
}

// The mean of KL(p(y|x) || p(y)) is the mean of sum p ln p, minus that of the marginal.
static double mean_divergence(int64_t n, int32_t classes, const float *logits, double *p,
                              double *marginal)
{
    double sum = 0.0, of_marginal = 0.0;
    memset(marginal, 0, (size_t)classes * sizeof *marginal);
    for (int64_t i = 0; i < n; i++)
        sum += add_row(logits + i * classes, classes, p, marginal);
    for (int32_t k = 0; k < classes; k++) {
        const double mean = marginal[k] / (double)n;
        of_marginal += mean > 0.0 ? mean * jemi_ln(mean) : 0.0;
    }
    return sum / (double)n - of_marginal;
}

jem_status jemi_inception_score(int64_t n, int32_t classes, const float *logits, double *score)
{
    double *p = jemi_alloc((size_t)classes, 2 * sizeof *p);
    if (p == NULL)
        return jemi_fail_memory("probabilities");
    const double divergence = mean_divergence(n, classes, logits, p, p + classes);
    const double most = classes, found = jemi_exp(divergence > 0.0 ? divergence : 0.0);
    *score = found < most ? found : most; // more is rounding
    jemi_free(p);
    return JEM_OK;
}
