/*
 * The mean of the middle two, which are one where n is odd.
 */
#include "median.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void cli_sort(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, compare);
}

double cli_median(const double *sorted, int64_t n)
{
    return 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]);
}
