/*
 * Charts as pixels.
 */
#ifndef JEM_CLI_PLOT_H
#define JEM_CLI_PLOT_H

#include "canvas.h"
#include "chart.h"

enum { CLI_PLOT_WIDTH = 640, CLI_PLOT_HEIGHT = 420, CLI_LEGEND_WIDTH = 360 };

/** Draws a chart into the plot whose upper left corner is given; without its legend. */
void cli_plot_chart(cli_canvas *canvas, int left, int top, const cli_chart *chart);

/** Draws its legend as a column, or side by side at the right end of the line above the frame. */
void cli_plot_legend_column(cli_canvas *canvas, int left, int top, const cli_chart *chart);
void cli_plot_legend_line(cli_canvas *canvas, int left, int top, const cli_chart *chart);

/** One chart as a picture. */
cli_status cli_plot_write(const cli_chart *chart, const char *path, cli_error *err);

#endif
