/*
 * Histograms of scores. A few rows that lie far out would press all others into one bar: the range
 * holds all but a thousandth of each set at either end, and what lies beyond counts in the
 * outermost bars.
 */
#include <math.h>
#include <stdlib.h>

#include "eval_charts.h"

enum { BARS = 50 };

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Widens low..high to the middle of the finite scores.
static cli_status widen(double *low, double *high, const float *scores, int64_t n, cli_error *err)
{
    float *sorted;
    int64_t finite = 0;
    CLI_TRY(cli_alloc(&sorted, n, sizeof *sorted, err));
    for (int64_t i = 0; i < n; i++)
        if (isfinite(scores[i]))
            sorted[finite++] = scores[i];
    qsort(sorted, (size_t)finite, sizeof *sorted, compare_floats);
    if (finite > 0) {
        const int64_t beyond = finite / 1000;
        *low = fmin(*low, (double)sorted[beyond]);
        *high = fmax(*high, (double)sorted[finite - 1 - beyond]);
    }
    free(sorted);
    return CLI_OK;
}

static int bar_of(const cli_axis *axis, double score)
{
    const int bar = (int)(cli_axis_place(axis, score) * BARS);
    return bar < BARS ? bar : BARS - 1;
}

// Steps in percent of the rows.
static cli_status add_bars(cli_chart *chart, const char *name, int hue, const float *scores,
                           int64_t n, cli_error *err)
{
    int64_t count[BARS] = {0};
    cli_series *series;
    CLI_TRY(cli_chart_add(chart, 2 * BARS, &series, err));
    snprintf(series->name, sizeof series->name, "%s", name);
    series->form = CLI_AREA;
    series->hue = hue;
    for (int64_t i = 0; i < n; i++)
        count[bar_of(&chart->x, (double)scores[i])]++;
    const double width = (chart->x.high - chart->x.low) / BARS;
    for (int b = 0; b < BARS; b++) {
        const double share = 100.0 * (double)count[b] / (double)n;
        series->x[2 * b] = chart->x.low + b * width;
        series->x[2 * b + 1] = chart->x.low + (b + 1) * width;
        series->y[2 * b] = series->y[2 * b + 1] = share;
        chart->y.high = fmax(chart->y.high, 1.08 * share);
    }
    return CLI_OK;
}

// One for each class would be too many lines.
static void mark_threshold(const cli_evaluation *e, int column, cli_chart *chart)
{
    if (e->scorer->columns[column].kind != 0 || e->scorer->promise.per_class)
        return;
    chart->mark = e->scorer->promise.threshold;
    snprintf(chart->mark_name, sizeof chart->mark_name, "threshold");
}

cli_status cli_chart_histogram(const cli_evaluation *e, const cli_eval_set *set, int column,
                               cli_chart *chart, cli_error *err)
{
    const cli_score_column *about = &e->scorer->columns[column];
    const float *in = e->test.values[column], *other = set->scores.values[column];
    double low = (double)INFINITY, high = -(double)INFINITY;
    cli_chart_begin(chart);
    snprintf(chart->title, sizeof chart->title, "Scores: %s", about->name);
    CLI_TRY(widen(&low, &high, in, e->n, err));
    CLI_TRY(widen(&low, &high, other, set->scores.n, err));
    const bool any = low < high;
    chart->x.low = any ? low : isfinite(low) ? low - 0.5 : 0.0;
    chart->x.high = any ? high : chart->x.low + 1.0;
    snprintf(chart->x.name, sizeof chart->x.name, "%s%s", about->name,
             about->kind == JEM_SCORE_ENTROPY || about->kind == JEM_SCORE_ENERGY ? " (nats)" : "");
    snprintf(chart->y.name, sizeof chart->y.name, "share of rows (%%)");
    CLI_TRY(add_bars(chart, "test set", 1, in, e->n, err));
    CLI_TRY(add_bars(chart, cli_short_name(set->name), 2, other, set->scores.n, err));
    mark_threshold(e, column, chart);
    return CLI_OK;
}
