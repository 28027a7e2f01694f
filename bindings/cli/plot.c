/*
 * Where the parts of a chart lie in its plot, and what colours they have on white.
 */
#include "plot.h"

#include <math.h>
#include <string.h>

enum {
    LEFT = 72, // of the frame
    RIGHT = CLI_PLOT_WIDTH - 32,
    TOP = 48,
    BOTTOM = CLI_PLOT_HEIGHT - 72,
    TICK = 6,
    KEY = 28, // a line or a box in a legend
    LINE_HEIGHT = 20,
};

static const cli_colour ink = {{40, 40, 40}}, faint = {{225, 225, 225}}, dim = {{170, 170, 170}};

// Those of svg.c on a light page.
static const cli_colour hues[CLI_HUES] = {{{34, 34, 34}},   {{0, 114, 178}},  {{213, 94, 0}},
                                          {{0, 158, 115}},  {{184, 86, 143}}, {{201, 138, 0}},
                                          {{58, 160, 216}}, {{122, 106, 90}}};

typedef struct plot {
    cli_canvas *canvas;
    const cli_chart *chart;
    int left, top; // of its upper left corner
} plot;

static cli_point place(const plot *p, double x, double y)
{
    return (cli_point){p->left + LEFT + cli_axis_place(&p->chart->x, x) * (RIGHT - LEFT),
                       p->top + BOTTOM - cli_axis_place(&p->chart->y, y) * (BOTTOM - TOP)};
}

// ---- axes --------------------------------------------------------------------------------------

static void draw_x_axis(const plot *p)
{
    const cli_axis *axis = &p->chart->x;
    const int bottom = p->top + BOTTOM;
    double ticks[CLI_TICKS_MAX];
    const int n = cli_axis_ticks(axis, ticks);
    for (int k = 0; k < n; k++) {
        const int x = (int)(place(p, ticks[k], 0.0).x + 0.5);
        char text[32];
        cli_tick_text(axis, ticks[k], text, sizeof text);
        cli_canvas_fill(p->canvas, x, bottom, 1, TICK, ink, 1.0);
        cli_canvas_text(p->canvas, x, bottom + TICK + 6, 0.5, text, ink);
    }
    cli_canvas_fill(p->canvas, p->left + LEFT, bottom, RIGHT - LEFT + 1, 1, ink, 1.0);
    cli_canvas_text(p->canvas, p->left + 0.5 * (LEFT + RIGHT),
                    p->top + CLI_PLOT_HEIGHT - cli_canvas_text_height() - 12, 0.5, axis->name, ink);
}

static void draw_y_axis(const plot *p)
{
    const cli_axis *axis = &p->chart->y;
    const int left = p->left + LEFT, height = cli_canvas_text_height();
    double ticks[CLI_TICKS_MAX];
    const int n = cli_axis_ticks(axis, ticks);
    for (int k = 0; k < n; k++) {
        const int y = (int)(place(p, 0.0, ticks[k]).y + 0.5);
        char text[32];
        cli_tick_text(axis, ticks[k], text, sizeof text);
        cli_canvas_fill(p->canvas, left, y, RIGHT - LEFT + 1, 1, faint, 1.0);
        cli_canvas_fill(p->canvas, left - TICK, y, TICK, 1, ink, 1.0);
        cli_canvas_text(p->canvas, left - TICK - 6, y - height / 2, 1.0, text, ink);
    }
    cli_canvas_fill(p->canvas, left, p->top + TOP, 1, BOTTOM - TOP, ink, 1.0);
    cli_canvas_text(p->canvas, p->left + 12, p->top + TOP - height - 16, 0.0, axis->name, ink);
}

// ---- series ------------------------------------------------------------------------------------

// Pieces of a dashed line, so long that dashes are told apart; `run` is how far the line has come.
static void draw_piece(const plot *p, const cli_series *series, cli_point from, cli_point to,
                       double *run)
{
    static const double on[CLI_DASHES] = {INFINITY, 9.0, 2.0};
    static const double period[CLI_DASHES] = {INFINITY, 14.0, 7.0};
    const double length = hypot(to.x - from.x, to.y - from.y);
    const int pieces = series->dash == 0 ? 1 : 1 + (int)length;
    for (int k = 0; k < pieces; k++, *run += length / pieces) {
        if (series->dash != 0 && fmod(*run, period[series->dash]) >= on[series->dash])
            continue;
        const double a = (double)k / pieces, b = (double)(k + 1) / pieces;
        cli_canvas_stroke(p->canvas,
                          (cli_point){from.x + a * (to.x - from.x), from.y + a * (to.y - from.y)},
                          (cli_point){from.x + b * (to.x - from.x), from.y + b * (to.y - from.y)},
                          series->form == CLI_AREA ? 0.7 : 1.2, hues[series->hue]);
    }
}

static void draw_line(const plot *p, const cli_series *series)
{
    cli_point before = place(p, series->x[0], series->y[0]);
    double run = 0.0;
    for (int64_t i = 0; i < series->n; i++) {
        const cli_point here = place(p, series->x[i], series->y[i]);
        draw_piece(p, series, before, here, &run);
        if (series->form == CLI_DOTTED_LINE)
            cli_canvas_stroke(p->canvas, here, here, 3.5, hues[series->hue]);
        before = here;
    }
}

// Below the line, pixel by pixel.
static void fill_below(const plot *p, const cli_series *series)
{
    const int bottom = p->top + BOTTOM;
    for (int64_t i = 1; i < series->n; i++) {
        const cli_point a = place(p, series->x[i - 1], series->y[i - 1]);
        const cli_point b = place(p, series->x[i], series->y[i]);
        for (int x = (int)ceil(a.x); x < b.x; x++) {
            const int top = (int)(a.y + (x - a.x) / (b.x - a.x) * (b.y - a.y) + 0.5);
            cli_canvas_fill(p->canvas, x, top, 1, bottom - top, hues[series->hue], 0.28);
        }
    }
}

static void draw_series(const plot *p)
{
    for (int i = 0; i < p->chart->n_series; i++) {
        const cli_series *series = &p->chart->series[i];
        if (series->n == 0)
            continue;
        if (series->form == CLI_AREA)
            fill_below(p, series);
        draw_line(p, series);
    }
}

static void draw_mark(const plot *p)
{
    const double x = place(p, p->chart->mark, 0.0).x;
    const bool right = x > p->left + 0.5 * (LEFT + RIGHT);
    cli_canvas_fill(p->canvas, (int)(x + 0.5), p->top + TOP, 1, BOTTOM - TOP, ink, 1.0);
    cli_canvas_text(p->canvas, x + (right ? -6 : 6), p->top + TOP + 2, right ? 1.0 : 0.0,
                    p->chart->mark_name, ink);
}

void cli_plot_chart(cli_canvas *canvas, int left, int top, const cli_chart *chart)
{
    const plot p = {.canvas = canvas, .chart = chart, .left = left, .top = top};
    draw_y_axis(&p);
    if (chart->diagonal)
        cli_canvas_stroke(canvas, place(&p, chart->x.low, chart->y.low),
                          place(&p, chart->x.high, chart->y.high), 0.5, dim);
    draw_x_axis(&p);
    draw_series(&p);
    if (!isnan(chart->mark))
        draw_mark(&p);
}

// ---- legends -----------------------------------------------------------------------------------

static void draw_key(cli_canvas *canvas, int left, int top, const cli_series *series)
{
    const plot p = {.canvas = canvas};
    const double middle = top + 0.5 * cli_canvas_text_height();
    double run = 0.0;
    if (series->form == CLI_AREA)
        cli_canvas_fill(canvas, left, top, KEY, cli_canvas_text_height(), hues[series->hue], 0.5);
    else
        draw_piece(&p, series, (cli_point){left, middle}, (cli_point){left + KEY, middle}, &run);
}

void cli_plot_legend_column(cli_canvas *canvas, int left, int top, const cli_chart *chart)
{
    for (int i = 0; i < chart->n_series; i++, top += LINE_HEIGHT) {
        draw_key(canvas, left, top, &chart->series[i]);
        cli_canvas_text(canvas, left + KEY + 8, top, 0.0, chart->series[i].name, ink);
    }
}

void cli_plot_legend_line(cli_canvas *canvas, int left, int top, const cli_chart *chart)
{
    const int text_top = top + TOP - cli_canvas_text_height() - 16;
    int right = left + RIGHT;
    for (int i = chart->n_series - 1; i >= 0; i--) {
        char name[17];
        snprintf(name, sizeof name, "%s", chart->series[i].name);
        cli_canvas_text(canvas, right, text_top, 1.0, name, ink);
        right -= cli_canvas_text_width(name) + KEY + 8;
        draw_key(canvas, right, text_top, &chart->series[i]);
        right -= 20;
    }
}

cli_status cli_plot_write(const cli_chart *chart, const char *path, cli_error *err)
{
    cli_canvas canvas;
    cli_status status = cli_canvas_begin(&canvas, CLI_PLOT_WIDTH, CLI_PLOT_HEIGHT, err);
    if (status == CLI_OK) {
        cli_plot_chart(&canvas, 0, 0, chart);
        status = cli_canvas_write(&canvas, path, err);
    }
    cli_canvas_free(&canvas);
    return status;
}
