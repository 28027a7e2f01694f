/*
 * Accuracy, NLL, Brier, ECE from logits; AUROC by ranks.
 */
#include "detect/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "base/elementary.h"
#include "base/memory.h"
#include "base/status.h"
#include "ebm/density.h"

enum { ECE_BINS = 15 };

typedef struct calibration_bin {
    double confidence, correct; /* sums */
} calibration_bin;

// One row's top class and its probability; adds to nll and brier.
static double add_row(const float *logits, int32_t n_classes, int64_t label, int32_t *top,
                      jem_metrics *sums)
{
    const double f = jemi_logsumexp(logits, n_classes, NULL);
    *top = 0;
    double squares = 0.0;
    for (int32_t k = 0; k < n_classes; k++) {
        const double miss = jemi_exp(logits[k] - f) - (k == label);
        squares += miss * miss;
        if (logits[k] > logits[*top])
            *top = k;
    }
    sums->nll += f - logits[label];
    sums->brier += squares;
    return jemi_exp(logits[*top] - f);
}

void jemi_classification_metrics(int64_t n, int32_t n_classes, const float *logits,
                                 const int64_t *labels, jem_metrics *metrics)
{
    jem_metrics sums = {0};
    calibration_bin bins[ECE_BINS] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        int32_t top;
        const double confidence =
            add_row(logits + i * n_classes, n_classes, labels[i], &top, &sums);
        int bin = (int)(confidence * ECE_BINS);
        bin = bin < ECE_BINS ? bin : ECE_BINS - 1;
        bins[bin].confidence += confidence;
        bins[bin].correct += top == labels[i];
        sums.accuracy += top == labels[i];
    }
    for (int b = 0; b < ECE_BINS; b++)
        sums.ece += fabs(bins[b].confidence - bins[b].correct);
    metrics->accuracy = sums.accuracy / (double)n;
    metrics->nll = sums.nll / (double)n;
    metrics->brier = sums.brier / (double)n;
    metrics->ece = sums.ece / (double)n;
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float *sorted_copy(const float *values, int64_t n)
{
    float *copy = jemi_alloc((size_t)n, sizeof *copy);
    if (copy == NULL)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        copy[i] = values[i];
    qsort(copy, (size_t)n, sizeof *copy, compare_floats);
    return copy;
}

// Pairs in which the unusual row scores higher, ties half: one walk along both sorted lists.
static double count_pairs(const float *usual, int64_t n_usual, const float *unusual,
                          int64_t n_unusual)
{
    double pairs = 0.0;
    int64_t below = 0, not_above = 0;
    for (int64_t i = 0; i < n_unusual; i++) {
        while (below < n_usual && usual[below] < unusual[i])
            below++;
        while (not_above < n_usual && usual[not_above] <= unusual[i])
            not_above++;
        pairs += 0.5 * ((double)below + (double)not_above);
    }
    return pairs;
}

jem_status jemi_auroc(int64_t n_usual, const float *usual, int64_t n_unusual, const float *unusual,
                      double *auroc)
{
    float *sorted_usual = sorted_copy(usual, n_usual);
    float *sorted_unusual = sorted_copy(unusual, n_unusual);
    const bool enough = sorted_usual != NULL && sorted_unusual != NULL;
    if (enough)
        *auroc = count_pairs(sorted_usual, n_usual, sorted_unusual, n_unusual) /
                 ((double)n_usual * (double)n_unusual);
    jemi_free(sorted_usual);
    jemi_free(sorted_unusual);
    return enough ? JEM_OK : jemi_fail_memory("sorted scores");
}
