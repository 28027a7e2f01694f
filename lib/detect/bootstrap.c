/*
 * Resamples are shared among threads. Each has its column of the table of figures, whose rows are
 * sorted at the end.
 */
#include "detect/bootstrap.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "detect/ranking.h"

void jemi_resample(jemi_random_key key, int32_t resample, int64_t n, const uint32_t *group,
                   int32_t *counts)
{
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t numbers[4];
        jemi_random_u32x4(key, (uint32_t)(i / 4), 0, (uint64_t)resample, numbers);
        for (int64_t k = 0; k < 4 && i + k < n; k++) {
            const uint32_t row = jemi_below_from_u32(numbers[k], (uint32_t)n);
            counts[group != NULL ? group[row] : row]++;
        }
    }
}

typedef struct table {
    int n_figures;
    jemi_resample_figures compute;
    void *context;
    double *figures; // (resamples, n_figures)
} table;

static void resample_task(void *context, int64_t begin, int64_t end, int worker)
{
    const table *t = context;
    for (int64_t r = begin; r < end; r++)
        t->compute(t->context, (int32_t)r, worker, t->figures + r * t->n_figures);
}

// By straight lines between sorted values. The first is the quantile of 0, the last that of 1.
static double quantile(double share, int64_t n, const double *sorted)
{
    const double place = share * (double)(n - 1);
    const int64_t below = (int64_t)floor(place);
    if (below + 1 >= n)
        return sorted[n - 1];
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

static void find_interval(const table *t, int figure, const jem_bootstrap_config *config,
                          double *column, double *low, double *high)
{
    const int64_t n = config->resamples;
    for (int64_t r = 0; r < n; r++)
        column[r] = t->figures[r * t->n_figures + figure];
    qsort(column, (size_t)n, sizeof *column, jemi_compare_doubles);
    *low = quantile(0.5 * (1.0 - config->level), n, column);
    *high = quantile(0.5 * (1.0 + config->level), n, column);
}

jem_status jemi_bootstrap(const jem_bootstrap_config *config, int n_figures,
                          jemi_resample_figures compute, void *context, double *low, double *high)
{
    const size_t n = (size_t)config->resamples;
    table t = {n_figures, compute, context, jemi_alloc(n, (size_t)n_figures * sizeof *t.figures)};
    double *column = jemi_alloc(n, sizeof *column);
    const bool enough = t.figures != NULL && column != NULL;
    if (enough) {
        jemi_parallel(config->resamples, 1, resample_task, &t);
        for (int f = 0; f < n_figures; f++)
            find_interval(&t, f, config, column, low + f, high + f);
    }
    jemi_free(t.figures);
    jemi_free(column);
    return enough ? JEM_OK : jemi_fail_memory("resampled figures");
}
