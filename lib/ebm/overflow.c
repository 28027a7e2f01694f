/*
 * What stands for the results of a row that overflows.
 */
#include "ebm/overflow.h"

#include <math.h>
#include <string.h>

bool jemi_overflow_none(const float *row, int64_t count)
{
    float poison = 0.0f; // 0 times infinity or NaN is NaN, and stays so in a sum
    for (int64_t i = 0; i < count; i++)
        poison += 0.0f * row[i];
    return poison == 0.0f;
}

void jemi_overflow_logits(int64_t n, int64_t n_classes, float *logits)
{
    for (int64_t i = 0; i < n; i++) {
        float *row = logits + i * n_classes;
        if (jemi_overflow_none(row, n_classes))
            continue;
        for (int64_t k = 0; k < n_classes; k++)
            row[k] = -INFINITY;
    }
}

void jemi_overflow_energy(int64_t n, int64_t n_classes, const float *logits, float *energy,
                          int64_t row_len, float *grad)
{
    for (int64_t i = 0; i < n; i++) {
        const bool good = jemi_overflow_none(logits + i * n_classes, n_classes);
        if (!good && energy != NULL)
            energy[i] = INFINITY;
        if (grad != NULL && (!good || !jemi_overflow_none(grad + i * row_len, row_len)))
            memset(grad + i * row_len, 0, (size_t)row_len * sizeof *grad);
    }
}
