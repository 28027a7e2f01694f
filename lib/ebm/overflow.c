/*
 * What stands for the results of a row that overflows.
 */
#include "ebm/overflow.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels/vector.h"

void jemi_overflow_values(int64_t n, int64_t width, float instead, float *values)
{
    for (int64_t i = 0; i < n; i++) {
        float *row = values + i * width;
        if (jemi_all_finite(row, width, NULL))
            continue;
        for (int64_t k = 0; k < width; k++)
            row[k] = instead;
    }
}

void jemi_overflow_energy(int64_t n, int64_t n_classes, const float *logits, float *energy)
{
    for (int64_t i = 0; i < n; i++)
        if (!jemi_all_finite(logits + i * n_classes, n_classes, NULL))
            energy[i] = INFINITY;
}

void jemi_overflow_grad(int64_t n, int64_t width, const float *values, int64_t row_len, float *grad)
{
    for (int64_t i = 0; i < n; i++) {
        float *row = grad + i * row_len;
        if (!jemi_all_finite(values + i * width, width, NULL) ||
            !jemi_all_finite(row, row_len, NULL))
            memset(row, 0, (size_t)row_len * sizeof *row);
    }
}
