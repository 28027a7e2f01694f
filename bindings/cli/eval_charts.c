/*
 * ROC, risk-coverage and reliability: points that the library gives, with names and axes.
 */
#include "eval_charts.h"

// ---- colours -----------------------------------------------------------------------------------

// The detector has the colour of text. The others have hues and dashes that come again after 7 and
// 3, so that no two of 21 look alike, and curves that lie on each other are seen.
int cli_column_hue(const cli_scorer *scorer, int column)
{
    return scorer->columns[column].kind == 0 ? 0 : 1 + column % (CLI_HUES - 1);
}

int cli_column_dash(const cli_scorer *scorer, int column)
{
    return scorer->columns[column].kind == 0 ? 0 : column % CLI_DASHES;
}

static void style_as_column(cli_series *series, const cli_scorer *scorer, int column)
{
    series->hue = cli_column_hue(scorer, column);
    series->dash = cli_column_dash(scorer, column);
}

static cli_axis unit_axis(const char *name)
{
    cli_axis axis = {.low = 0.0, .high = 1.0};
    snprintf(axis.name, sizeof axis.name, "%s", name);
    return axis;
}

// ---- ROC ---------------------------------------------------------------------------------------

static cli_status add_roc(const cli_evaluation *e, const cli_eval_set *set, int column, bool named,
                          cli_chart *chart, cli_error *err)
{
    const int64_t room = e->n + set->scores.n + 1;
    cli_series *series;
    CLI_TRY(cli_chart_add(chart, room, &series, err));
    CLI_TRY(cli_jem(err, jem_roc_curve(e->n, e->test.values[column], set->scores.n,
                                       set->scores.values[column], room, &series->n, series->x,
                                       series->y)));
    style_as_column(series, e->scorer, column);
    if (named)
        snprintf(series->name, sizeof series->name, "%.3f %s", set->columns[column].value.auroc,
                 e->scorer->columns[column].name);
    // Before the next column: a point for each row would be much memory.
    cli_series_thin(series, 1e-3, 1e-3);
    return CLI_OK;
}

cli_status cli_chart_roc(const cli_evaluation *e, const cli_eval_set *set, bool names,
                         cli_chart *chart, cli_error *err)
{
    cli_chart_begin(chart);
    chart->x = unit_axis("false-positive rate (share of test rows)");
    chart->y = unit_axis("true-positive rate");
    chart->diagonal = true;
    snprintf(chart->title, sizeof chart->title, "ROC: %s", cli_short_name(set->name));
    for (int c = 0; c < e->scorer->n_columns; c++)
        CLI_TRY(add_roc(e, set, c, names, chart, err));
    return CLI_OK;
}

// ---- risk and coverage -------------------------------------------------------------------------

static cli_status add_risk(const cli_evaluation *e, int column, cli_chart *chart, cli_error *err)
{
    cli_series *series;
    CLI_TRY(cli_chart_add(chart, e->n, &series, err));
    CLI_TRY(cli_jem(err, jem_risk_coverage_curve(e->n, e->test.values[column], e->losses, e->n,
                                                 &series->n, series->x, series->y)));
    style_as_column(series, e->scorer, column);
    snprintf(series->name, sizeof series->name, "%s (AURC %.4f)", e->scorer->columns[column].name,
             e->selection[column].aurc);
    return CLI_OK;
}

// A few rows have any risk; the axis follows coverages above a twentieth.
static double highest_risk(const cli_chart *chart)
{
    double highest = 0.0;
    for (int i = 0; i < chart->n_series; i++)
        for (int64_t k = 0; k < chart->series[i].n; k++)
            if (chart->series[i].x[k] > 0.05 && chart->series[i].y[k] > highest)
                highest = chart->series[i].y[k];
    return highest > 0.0 ? highest : 1.0;
}

cli_status cli_chart_risk(const cli_evaluation *e, cli_chart *chart, cli_error *err)
{
    int columns[3];
    const int n = cli_main_columns(e->scorer, 3, columns);
    cli_chart_begin(chart);
    snprintf(chart->title, sizeof chart->title, "Risk and coverage of the test set");
    chart->x = unit_axis("coverage (share of rows accepted, lowest score first)");
    for (int i = 0; i < n; i++)
        CLI_TRY(add_risk(e, columns[i], chart, err));
    chart->y = unit_axis("risk (share of them wrong)");
    chart->y.high = 1.08 * highest_risk(chart);
    return CLI_OK;
}

// ---- reliability -------------------------------------------------------------------------------

// Steps of as many rows as there are in each bin, and a dot for each bin that has any.
static cli_status add_bins(const cli_evaluation *e, const int64_t *count, const double *confidence,
                           const double *accuracy, cli_chart *chart, cli_error *err)
{
    cli_series *shares, *dots;
    CLI_TRY(cli_chart_add(chart, 2 * CLI_ECE_BINS, &shares, err));
    CLI_TRY(cli_chart_add(chart, CLI_ECE_BINS, &dots, err));
    dots->n = 0;
    for (int b = 0; b < CLI_ECE_BINS; b++) {
        shares->x[2 * b] = (double)b / CLI_ECE_BINS;
        shares->x[2 * b + 1] = (double)(b + 1) / CLI_ECE_BINS;
        shares->y[2 * b] = shares->y[2 * b + 1] = (double)count[b] / (double)e->n;
        if (count[b] > 0) {
            dots->x[dots->n] = confidence[b];
            dots->y[dots->n++] = accuracy[b];
        }
    }
    shares->form = CLI_AREA;
    shares->hue = CLI_HUES - 1;
    dots->form = CLI_DOTTED_LINE;
    dots->hue = 1;
    snprintf(shares->name, sizeof shares->name, "share of rows");
    snprintf(dots->name, sizeof dots->name, "accuracy");
    return CLI_OK;
}

cli_status cli_chart_reliability(const cli_evaluation *e, cli_chart *chart, cli_error *err)
{
    int64_t count[CLI_ECE_BINS];
    double confidence[CLI_ECE_BINS], accuracy[CLI_ECE_BINS];
    cli_chart_begin(chart);
    snprintf(chart->title, sizeof chart->title, "Reliability: ECE %.4f", e->classification.ece);
    chart->x = unit_axis("confidence (largest p(y|x))");
    chart->y = unit_axis("share of rows that are right");
    chart->diagonal = true;
    CLI_TRY(
        cli_jem(err, jem_reliability(e->n, e->scorer->classes, e->logits, e->labels, e->temperature,
                                     JEM_BINS_WIDTH, CLI_ECE_BINS, count, confidence, accuracy)));
    return add_bins(e, count, confidence, accuracy, chart, err);
}
