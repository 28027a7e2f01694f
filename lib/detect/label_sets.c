/*
 * With n held-out rows and a new one, all exchangeable, the new one's surprise is among the k
 * smallest of all n + 1 with probability k / (n + 1).
 */
#include "detect/label_sets.h"

#include <math.h>
#include <stdbool.h>

#include "base/status.h"
#include "detect/softmax.h"
#include "kernels/vector.h"

// That of the most probable label is summed from the others, as its p may be 1 but for rounding.
void jemi_label_surprises(int64_t n_classes, const float *logits, double temperature,
                          double *surprises)
{
    const bool known = jemi_all_finite(logits, n_classes, NULL);
    int64_t top = 0;
    double rest = 0.0;
    if (known)
        top = jemi_softmax_row(logits, (int32_t)n_classes, temperature, surprises).top;
    for (int64_t k = 0; k < n_classes; k++) {
        rest += known && k != top ? surprises[k] : 0.0;
        surprises[k] = known ? 1.0 - surprises[k] : 1.0;
    }
    if (known)
        surprises[top] = rest;
}

// The number of surprises that are not above the limit; more than n where n are too few.
static int64_t rank_of(int64_t n, double coverage)
{
    const double rounding = 1e-9; // .95 of 20 is to be 19
    const int64_t k = (int64_t)ceil(coverage * (double)(n + 1) - rounding);
    return k > 1 ? k : 1;
}

static int64_t least_rows(double coverage)
{
    int64_t n = (int64_t)(coverage / (1.0 - coverage));
    n = n > 2 ? n - 2 : 0; // which rounding may have missed by one
    while (rank_of(n, coverage) > n)
        n++;
    return n;
}

jem_status jemi_label_limit(int64_t n, const float *sorted, double coverage, float *limit)
{
    const int64_t k = rank_of(n, coverage);
    if (k > n)
        return jemi_fail(JEM_EINVAL,
                         "%lld labelled rows calibrate label sets; expected at least %lld for a "
                         "coverage of %g",
                         (long long)n, (long long)least_rows(coverage), coverage);
    *limit = sorted[k - 1];
    return JEM_OK;
}
