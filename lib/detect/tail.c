/*
 * The mean excess over a high quantile is the scale of an exponential tail (its maximum likelihood
 * estimate).
 */
#include "detect/tail.h"

#include <math.h>

#include "base/elementary.h"
#include "base/memory.h"
#include "base/status.h"
#include "detect/sorted.h"

enum { OUTER = 20 }; // one of so many values is in a tail

// `sign` 1 for the upper tail, -1 for the lower. At least what rounding may do to a score, so that a
// tail of ties has a scale, too.
static float mean_excess(const jemi_tail *tail, int sign)
{
    const int64_t count = tail->n / OUTER > 0 ? tail->n / OUTER : 1;
    const int64_t last = tail->n - 1;
    const double begin = (double)tail->sorted[sign > 0 ? last - (count < last ? count : last)
                                                       : (count < last ? count : last)];
    const double rounding = 1e-6 * fabs(begin) + 1e-30;
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += fabs((double)tail->sorted[sign > 0 ? last - i : i] - begin);
    return (float)(sum > rounding * (double)count ? sum / (double)count : rounding);
}

jem_status jemi_tail_fit(jemi_tail *tail, int64_t n, const float *values)
{
    tail->n = n;
    tail->sorted = jemi_alloc((size_t)n, sizeof *tail->sorted);
    if (tail->sorted == NULL)
        return jemi_fail_memory("tail of a detector");
    for (int64_t i = 0; i < n; i++)
        tail->sorted[i] = values[i];
    jemi_sort_floats(n, tail->sorted);
    tail->above = mean_excess(tail, 1);
    tail->below = mean_excess(tail, -1);
    return JEM_OK;
}

void jemi_tail_fini(jemi_tail *tail)
{
    jemi_free(tail->sorted);
    *tail = (jemi_tail){0};
}

// How many scales beyond the extreme value; none where both are infinite.
static double scales_beyond(double distance, float scale)
{
    return distance > 0.0 ? distance / (double)scale : 0.0;
}

static double surprise_above(const jemi_tail *tail, float value)
{
    const int64_t not_below = tail->n - jemi_count_below(tail->n, tail->sorted, value, false);
    return jemi_ln((double)(tail->n + 1)) - jemi_ln((double)(1 + not_below)) +
           scales_beyond((double)value - (double)tail->sorted[tail->n - 1], tail->above);
}

static double surprise_below(const jemi_tail *tail, float value)
{
    const int64_t not_above = jemi_count_below(tail->n, tail->sorted, value, true);
    return jemi_ln((double)(tail->n + 1)) - jemi_ln((double)(1 + not_above)) +
           scales_beyond((double)tail->sorted[0] - (double)value, tail->below);
}

double jemi_tail_surprise(const jemi_tail *tail, float value, bool two_sided)
{
    const double up = surprise_above(tail, value);
    if (!two_sided)
        return up;
    return fmax(fmax(up, surprise_below(tail, value)) - jemi_ln(2.0), 0.0);
}

double jemi_tail_slope(const jemi_tail *tail, float value, bool two_sided)
{
    if (two_sided && surprise_below(tail, value) > surprise_above(tail, value))
        return -1.0 / (double)tail->below;
    return 1.0 / (double)tail->above;
}
