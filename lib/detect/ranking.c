/*
 * Each value finds its group by a search among the sorted ones.
 */
#include "detect/ranking.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

int jemi_compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Leaves one of each value of a sorted list; returns how many there are.
static int64_t remove_repeats(int64_t n, double *values)
{
    int64_t n_left = 1;
    for (int64_t i = 1; i < n; i++)
        if (values[i] > values[n_left - 1])
            values[n_left++] = values[i];
    return n_left;
}

// The place of a value that is in the list.
static int64_t find(double value, int64_t n, const double *sorted)
{
    int64_t first = 0;
    while (n > 1) {
        const int64_t half = n / 2;
        if (sorted[first + half] <= value)
            first += half;
        n -= half;
    }
    return first;
}

jem_status jemi_ranking_make(jemi_ranking *ranking, int64_t n, const double *values)
{
    double *sorted = jemi_alloc((size_t)n, sizeof *sorted);
    ranking->group = jemi_alloc((size_t)n, sizeof *ranking->group);
    if (sorted == NULL || ranking->group == NULL) {
        jemi_free(sorted);
        return jemi_fail_memory("sorted values");
    }
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, jemi_compare_doubles);
    ranking->n_groups = remove_repeats(n, sorted);
    for (int64_t i = 0; i < n; i++)
        ranking->group[i] = (uint32_t)find(values[i], ranking->n_groups, sorted);
    jemi_free(sorted);
    return JEM_OK;
}

void jemi_ranking_free(jemi_ranking *ranking)
{
    jemi_free(ranking->group);
    ranking->group = NULL;
}
