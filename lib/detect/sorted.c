#include "detect/sorted.h"

#include <stdlib.h>

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void jemi_sort_floats(int64_t n, float *values)
{
    qsort(values, (size_t)n, sizeof *values, compare_floats);
}

int64_t jemi_count_below(int64_t n, const float *sorted, float value, bool or_equal)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (sorted[middle] < value || (or_equal && sorted[middle] == value))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
