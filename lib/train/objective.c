/*
 * With p = softmax f: dF/df = p, d(F^2)/df = 2 F p, dCE/df = p - onehot(y). So a row's gradient is
 * (px + 2 l2 F + pyx) p + (pxy[y] - pyx) onehot(y). One that lies beyond its bound by `excess` has
 * -2 weight side excess p besides, as E = -F. Under LogitNorm CE and its part are logit_norm.c's.
 */
#include "train/objective.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "ebm/density.h"
#include "train/logit_norm.h"

static int64_t largest(const float *logits, int64_t n_classes)
{
    int64_t best = 0;
    for (int64_t k = 1; k < n_classes; k++)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

static void count_labels(int64_t n, const int64_t *labels, double *counts)
{
    for (int64_t i = 0; i < n; i++)
        counts[labels[i]] += 1.0;
}

void jemi_objective_weigh_classes(double w_pxy, int64_t n_classes, int64_t n_labelled,
                                  const int64_t *labelled, int64_t n_samples,
                                  const int64_t *samples, double *pxy)
{
    double *of_labelled = pxy, *of_samples = pxy + n_classes; // at first the counts
    memset(pxy, 0, 2 * (size_t)n_classes * sizeof *pxy);
    count_labels(n_labelled, labelled, of_labelled);
    count_labels(n_samples, samples, of_samples);
    const double one = w_pxy / (double)n_labelled;
    for (int64_t k = 0; k < n_classes; k++) {
        const bool compared = of_samples[k] > 0.0;
        of_samples[k] = compared ? one * of_labelled[k] / of_samples[k] : 0.0;
        of_labelled[k] = compared ? -one : 0.0;
    }
}

static double pxy_of(const jemi_row_weights *weights, int64_t label)
{
    return weights->pxy != NULL ? weights->pxy[label] : 0.0;
}

// By how much the energy -f lies beyond its bound.
static double excess_of(const jemi_energy_bound *bound, double f)
{
    const double excess = bound->side * (-f - bound->energy);
    return excess > 0.0 ? excess : 0.0;
}

static double bound_slope(const jemi_energy_bound *bound, double f)
{
    return -2.0 * bound->weight * bound->side * excess_of(bound, f);
}

static double cross_entropy(const jemi_row_weights *weights, int64_t n_classes, const float *logits,
                            int64_t label, double f)
{
    return weights->logit_norm > 0.0
               ? jemi_logit_norm_loss(weights->logit_norm, n_classes, logits, label)
               : f - logits[label];
}

void jemi_objective_gradient(int64_t n, int64_t n_classes, const float *logits,
                             const int64_t *labels, const jemi_row_weights *weights, float *dlogits)
{
    const double pyx = weights->logit_norm > 0.0 ? 0.0 : weights->pyx;
    for (int64_t i = 0; i < n; i++) {
        float *drow = dlogits + i * n_classes;
        const double f = jemi_logsumexp(logits + i * n_classes, n_classes, drow);
        const double on_p =
            weights->px + 2.0 * weights->l2 * f + pyx + bound_slope(&weights->bound, f);
        for (int64_t k = 0; k < n_classes; k++)
            drow[k] = (float)(on_p * drow[k]);
        if (labels != NULL)
            drow[labels[i]] += (float)(pxy_of(weights, labels[i]) - pyx);
        if (labels != NULL && weights->logit_norm > 0.0)
            jemi_logit_norm_gradient(weights->logit_norm, n_classes, logits + i * n_classes,
                                     labels[i], weights->pyx, drow);
    }
}

void jemi_objective_add(int64_t n, int64_t n_classes, const float *logits, const int64_t *labels,
                        const jemi_row_weights *weights, jemi_objective_sums *sums)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * n_classes;
        const double f = jemi_logsumexp(row, n_classes, NULL);
        const double excess = excess_of(&weights->bound, f);
        sums->px += weights->px * f;
        sums->l2 += weights->l2 * f * f;
        sums->bound += weights->bound.weight * excess * excess;
        sums->f += f;
        if (labels != NULL) {
            sums->pyx += weights->pyx * cross_entropy(weights, n_classes, row, labels[i], f);
            sums->pxy += pxy_of(weights, labels[i]) * row[labels[i]];
            sums->correct += largest(row, n_classes) == labels[i];
        }
    }
}
