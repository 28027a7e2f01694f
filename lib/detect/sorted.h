/*
 * Lists of floats in ascending order. They may hold infinities, not NaN.
 */
#ifndef JEMI_DETECT_SORTED_H
#define JEMI_DETECT_SORTED_H

#include <stdbool.h>
#include <stdint.h>

static inline void jemi_swap_floats(float *a, float *b)
{
    const float value = *a;
    *a = *b;
    *b = value;
}

void jemi_sort_floats(int64_t n, float *values);

/** How many lie below `value`; with or_equal, how many do not lie above it. */
int64_t jemi_count_below(int64_t n, const float *sorted, float value, bool or_equal);

#endif
