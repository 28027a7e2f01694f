/*
 * The memory of series, and round numbers for axes.
 */
#include "chart.h"

#include <math.h>
#include <stdlib.h>

void cli_chart_begin(cli_chart *chart)
{
    *chart = (cli_chart){.mark = (double)NAN};
}

void cli_chart_free(cli_chart *chart)
{
    for (int i = 0; i < chart->n_series; i++) {
        free(chart->series[i].x);
        free(chart->series[i].y);
    }
    chart->n_series = 0;
}

cli_status cli_chart_add(cli_chart *chart, int64_t n, cli_series **series, cli_error *err)
{
    if (chart->n_series == CLI_SERIES_MAX)
        return cli_fail(err, "a chart has room for %d series", (int)CLI_SERIES_MAX);
    cli_series *next = &chart->series[chart->n_series++];
    *next = (cli_series){.n = n};
    CLI_TRY(cli_alloc(&next->x, n, sizeof *next->x, err));
    CLI_TRY(cli_alloc(&next->y, n, sizeof *next->y, err));
    *series = next;
    return CLI_OK;
}

void cli_series_thin(cli_series *series, double dx, double dy)
{
    int64_t left = 0;
    for (int64_t i = 0; i < series->n; i++) {
        const bool near = left > 0 && i < series->n - 1 &&
                          fabs(series->x[i] - series->x[left - 1]) < dx &&
                          fabs(series->y[i] - series->y[left - 1]) < dy;
        if (near)
            continue;
        series->x[left] = series->x[i];
        series->y[left++] = series->y[i];
    }
    series->n = left;
}

// ---- axes --------------------------------------------------------------------------------------

// 1, 2 or 5 times a power of ten, so that there are five steps or so.
static double tick_step(const cli_axis *axis)
{
    const double wanted = (axis->high - axis->low) / 5.0;
    const double power = pow(10.0, floor(log10(wanted)));
    const double factor = wanted / power;
    return power * (factor < 1.5 ? 1.0 : factor < 3.5 ? 2.0 : factor < 7.5 ? 5.0 : 10.0);
}

int cli_axis_ticks(const cli_axis *axis, double ticks[CLI_TICKS_MAX])
{
    const double step = tick_step(axis), slack = 1e-6;
    const double first = ceil(axis->low / step - slack);
    int n = 0;
    while (n < CLI_TICKS_MAX && first + n <= axis->high / step + slack) {
        ticks[n] = (first + n) * step;
        n++;
    }
    return n;
}

void cli_tick_text(const cli_axis *axis, double value, char *text, size_t size)
{
    const double step = tick_step(axis);
    const int decimals = (int)ceil(-log10(step) - 1e-6);
    if (fmax(fabs(axis->low), fabs(axis->high)) >= 1e6 || step < 1e-5)
        snprintf(text, size, "%.3g", value);
    else
        snprintf(text, size, "%.*f", decimals > 0 ? decimals : 0,
                 fabs(value) < 0.5 * step ? 0.0 : value); // no -0
}

double cli_axis_place(const cli_axis *axis, double value)
{
    return fmin(fmax((value - axis->low) / (axis->high - axis->low), 0.0), 1.0);
}
