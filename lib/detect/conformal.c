/*
 * Counting in a sorted list, and the tail of a binomial law.
 */
#include "detect/conformal.h"

#include <math.h>

#include "base/elementary.h"
#include "detect/sorted.h"

double jemi_conformal_p_value(const jemi_conformal *calibration, float score)
{
    const int64_t not_below =
        calibration->n - jemi_count_below(calibration->n, calibration->sorted, score, false);
    return (double)(1 + not_below) / (double)(calibration->n + 1);
}

// Adds up P(Binomial(n, fpr) = 0), 1, .. as long as the sum is at most 1 - confidence.
static int64_t rank_with_confidence(int64_t n, double fpr, double confidence)
{
    const double odds = jemi_ln(fpr) - jemi_ln(1.0 - fpr);
    double log_p = (double)n * jemi_ln(1.0 - fpr), sum = 0.0;
    for (int64_t k = 0; k < n; k++) {
        sum += jemi_exp(log_p);
        if (sum > 1.0 - confidence)
            return k;
        log_p += jemi_ln((double)(n - k) / (double)(k + 1)) + odds;
    }
    return n;
}

int64_t jemi_conformal_rank(int64_t n, double fpr, double confidence)
{
    const double rounding = 1e-9; // 0.05 * 100 is to be 5
    if (confidence > 0.0)
        return rank_with_confidence(n, fpr, confidence);
    const int64_t rank = (int64_t)floor(fpr * (double)(n + 1) + rounding);
    return rank < n ? rank : n;
}

int64_t jemi_conformal_least(double fpr, double confidence)
{
    int64_t n = confidence > 0.0 ? (int64_t)(jemi_ln(1.0 - confidence) / jemi_ln(1.0 - fpr))
                                 : (int64_t)(1.0 / fpr);
    n = n > 2 ? n - 2 : 0; // which rounding may have missed by one
    while (jemi_conformal_rank(n, fpr, confidence) < 1)
        n++;
    return n;
}

float jemi_conformal_threshold(const jemi_conformal *calibration, int64_t rank)
{
    return calibration->sorted[calibration->n - rank];
}
