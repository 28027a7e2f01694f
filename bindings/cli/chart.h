/*
 * A chart as data: axes, and series of points with their colours. svg.c and plot.c draw it.
 */
#ifndef JEM_CLI_CHART_H
#define JEM_CLI_CHART_H

#include "cli.h"

enum {
    CLI_SERIES_MAX = 24,
    CLI_HUES = 8,   /* colours; 0 is that of text */
    CLI_DASHES = 3, /* patterns of lines; 0 is solid */
    CLI_TICKS_MAX = 16
};

typedef enum cli_form {
    CLI_LINE,
    CLI_DOTTED_LINE, /* with a dot at every point */
    CLI_AREA         /* between the line and the lower end of the y axis */
} cli_form;

typedef struct cli_series {
    char name[96]; /* in the legend; "" = not there */
    cli_form form;
    int hue, dash;
    int64_t n; /* points, x ascending */
    double *x, *y;
} cli_series;

typedef struct cli_axis {
    char name[96]; /* with the unit */
    double low, high;
} cli_axis;

typedef struct cli_chart {
    char title[160];
    cli_axis x, y;
    bool diagonal; /* a faint line from the lower left to the upper right corner */
    double mark;   /* a vertical line, for example a threshold; NaN = none */
    char mark_name[48];
    int n_series;
    cli_series series[CLI_SERIES_MAX];
} cli_chart;

/** A chart without series or mark. */
void cli_chart_begin(cli_chart *chart);
void cli_chart_free(cli_chart *chart);

/** Adds a series of n points that are to be filled in. It stays where it is. */
cli_status cli_chart_add(cli_chart *chart, int64_t n, cli_series **series, cli_error *err);

/** Drops points that lie within these distances of the one before; the last stays. */
void cli_series_thin(cli_series *series, double dx, double dy);

/** Where numbers stand on an axis: multiples of 1, 2 or 5 times a power of ten, six or so. */
int cli_axis_ticks(const cli_axis *axis, double ticks[CLI_TICKS_MAX]);

/** A tick's value with the decimals that the distance of ticks asks for. */
void cli_tick_text(const cli_axis *axis, double value, char *text, size_t size);

/** Where a value lies on its axis, 0..1; what lies beyond the ends is moved there. */
double cli_axis_place(const cli_axis *axis, double value);

#endif
