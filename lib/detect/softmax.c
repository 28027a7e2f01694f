/*
 * Logits are taken relative to the largest, so nothing overflows at any temperature.
 */
#include "detect/softmax.h"

#include "base/elementary.h"
#include "detect/largest.h"

jemi_softmax jemi_softmax_row(const float *logits, int32_t n_classes, double temperature, double *p)
{
    const int32_t top = (int32_t)jemi_find_top(n_classes, logits);
    double sum = 0.0;
    for (int32_t k = 0; k < n_classes; k++) {
        p[k] = jemi_exp(((double)logits[k] - logits[top]) / temperature);
        sum += p[k];
    }
    for (int32_t k = 0; k < n_classes; k++)
        p[k] /= sum;
    return (jemi_softmax){top, jemi_ln(sum)};
}
