/*
 * With b = 1 / T the mean NLL of softmax(b f) is convex in b: per row, with p = softmax(b f),
 *
 *     NLL = logsumexp(b f) - b f_y      dNLL/db = E_p[f] - f_y      d2NLL/db2 = Var_p[f] >= 0
 *
 * so its slope rises, and Newton's method finds where it is 0; what is known of the sign of the
 * slope brackets the place, and a step that would leave the bracket halves it instead.
 */
#include "detect/temperature.h"

#include <math.h>
#include <stdbool.h>

#include "base/elementary.h"
#include "model/model.h"

enum { STEPS_MAX = 200 };

// A step this much shorter than b itself is the last: far below what a float tells.
static const double tolerance = 1e-10;

typedef struct slope {
    double first, second; // derivatives of the mean NLL
} slope;

static double largest(const float *f, int64_t n_classes)
{
    double most = f[0];
    for (int64_t k = 1; k < n_classes; k++)
        most = f[k] > most ? f[k] : most;
    return most;
}

// Of logits less the label's, so that a row of equal ones has no slope, exactly.
static void add_row(slope *sum, double b, int64_t n_classes, const float *f, int64_t label)
{
    const double most = largest(f, n_classes);
    double weight = 0.0, mean = 0.0, squares = 0.0;
    for (int64_t k = 0; k < n_classes; k++) {
        const double p = jemi_exp(b * (f[k] - most)), u = (double)f[k] - f[label];
        weight += p;
        mean += p * u;
        squares += p * u * u;
    }
    mean /= weight;
    sum->first += mean;
    sum->second += squares / weight - mean * mean;
}

static slope slope_at(double b, int64_t n, int64_t n_classes, const float *logits,
                      const int64_t *labels)
{
    slope sum = {0.0, 0.0};
    for (int64_t i = 0; i < n; i++)
        add_row(&sum, b, n_classes, logits + i * n_classes, labels[i]);
    return sum;
}

double jemi_fit_temperature(int64_t n, int64_t n_classes, const float *logits,
                            const int64_t *labels)
{
    double low = 1.0 / JEMI_TEMPERATURE_MAX, high = 1.0 / JEMI_TEMPERATURE_MIN, b = 1.0;
    slope at = slope_at(b, n, n_classes, logits, labels);
    if (at.first == 0.0)
        return 1.0;
    if (at.first > 0.0 && slope_at(low, n, n_classes, logits, labels).first >= 0.0)
        return JEMI_TEMPERATURE_MAX;
    if (at.first < 0.0 && slope_at(high, n, n_classes, logits, labels).first <= 0.0)
        return JEMI_TEMPERATURE_MIN;
    for (int step = 0; step < STEPS_MAX && at.first != 0.0; step++) {
        *(at.first > 0.0 ? &high : &low) = b;
        double next = b - at.first / at.second;
        if (!(next > low && next < high))
            next = sqrt(low * high);
        const bool last = fabs(next - b) <= tolerance * b;
        b = next;
        if (last)
            break;
        at = slope_at(b, n, n_classes, logits, labels);
    }
    return 1.0 / b;
}
