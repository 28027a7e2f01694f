/*
 * Heapsort: in place, and n log n for any values.
 */
#include "detect/sorted.h"

// Lets the value at i sink until neither child is larger.
static void sink(float *values, int64_t i, int64_t n)
{
    for (int64_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && values[child] < values[child + 1])
            child++;
        if (!(values[i] < values[child]))
            return;
        jemi_swap_floats(&values[i], &values[child]);
        i = child;
    }
}

void jemi_sort_floats(int64_t n, float *values)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sink(values, i, n);
    for (int64_t last = n - 1; last > 0; last--) {
        jemi_swap_floats(&values[0], &values[last]);
        sink(values, 0, last);
    }
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
