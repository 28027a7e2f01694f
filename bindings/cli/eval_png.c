/*
 * The picture: a line for each set, its ROC curves with their legend and two histograms.
 */
#include "eval_charts.h"
#include "plot.h"

enum {
    HISTOGRAMS = 2,
    ROC_WIDTH = CLI_PLOT_WIDTH + CLI_LEGEND_WIDTH,
    WIDTH = ROC_WIDTH + HISTOGRAMS * CLI_PLOT_WIDTH,
    TITLE_HEIGHT = 40,
    SET_HEIGHT = TITLE_HEIGHT + CLI_PLOT_HEIGHT,
};

static const cli_colour ink = {{40, 40, 40}};

static cli_status draw_roc(const cli_evaluation *e, const cli_eval_set *set, cli_canvas *canvas,
                           int top, cli_error *err)
{
    cli_chart chart;
    const cli_status status = cli_chart_roc(e, set, true, &chart, err);
    if (status == CLI_OK) {
        cli_plot_chart(canvas, 0, top, &chart);
        cli_plot_legend_column(canvas, CLI_PLOT_WIDTH, top + 48, &chart);
    }
    cli_chart_free(&chart);
    return status;
}

static cli_status draw_histogram(const cli_evaluation *e, const cli_eval_set *set, int column,
                                 cli_canvas *canvas, int left, int top, cli_error *err)
{
    cli_chart chart;
    const cli_status status = cli_chart_histogram(e, set, column, &chart, err);
    if (status == CLI_OK) {
        cli_plot_chart(canvas, left, top, &chart);
        cli_plot_legend_line(canvas, left, top, &chart);
    }
    cli_chart_free(&chart);
    return status;
}

static cli_status draw_set(const cli_evaluation *e, const cli_eval_set *set, cli_canvas *canvas,
                           int top, cli_error *err)
{
    int columns[HISTOGRAMS];
    const int n = cli_main_columns(e->scorer, HISTOGRAMS, columns);
    cli_canvas_text(canvas, 72, top + 16, 0.0, cli_short_name(set->name), ink);
    top += TITLE_HEIGHT;
    CLI_TRY(draw_roc(e, set, canvas, top, err));
    for (int i = 0; i < n; i++)
        CLI_TRY(
            draw_histogram(e, set, columns[i], canvas, ROC_WIDTH + i * CLI_PLOT_WIDTH, top, err));
    return CLI_OK;
}

cli_status cli_eval_png(const cli_evaluation *e, const char *path, cli_error *err)
{
    cli_canvas canvas;
    cli_status status = cli_canvas_begin(&canvas, WIDTH, e->n_sets * SET_HEIGHT, err);
    for (int i = 0; i < e->n_sets && status == CLI_OK; i++)
        status = draw_set(e, &e->sets[i], &canvas, i * SET_HEIGHT, err);
    if (status == CLI_OK)
        status = cli_canvas_write(&canvas, path, err);
    cli_canvas_free(&canvas);
    return status;
}
