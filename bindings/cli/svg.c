/*
 * Where things lie in a chart, in units of its view box, which are pixels at its natural size.
 *
 * Colours are classes: s0..s7 for lines, f0..f7 for areas and dots, d1 and d2 for dashes. The style
 * sheet defines them twice, for light and for dark pages, after the colours of Okabe and Ito, which
 * the colour-blind can tell apart; lines differ in their dashes where colours come again.
 */
#include "svg.h"

#include <math.h>
#include <string.h>

#include "markup.h"

enum {
    LEFT = 58,  // of the frame
    RIGHT = 14, // from the right edge
    TITLE_HEIGHT = 24,
    LEGEND_HEIGHT = 18,
    BELOW = 46,
    SWATCH = 22,
};

typedef struct frame {
    const cli_chart *chart;
    double right, top, bottom;
} frame;

static double place_x(const frame *f, double x)
{
    return LEFT + cli_axis_place(&f->chart->x, x) * (f->right - LEFT);
}

static double place_y(const frame *f, double y)
{
    return f->bottom - cli_axis_place(&f->chart->y, y) * (f->bottom - f->top);
}

static void put_line(FILE *page, const char *class, double x1, double y1, double x2, double y2)
{
    fprintf(page, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", class, x1,
            y1, x2, y2);
}

static void put_text(FILE *page, double x, double y, const char *anchor, const char *text)
{
    fprintf(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    cli_put_markup(page, text);
    fputs("</text>", page);
}

// ---- legend ------------------------------------------------------------------------------------

// Letters have no width here; this is what most fonts need on average.
static double text_width(const char *text)
{
    return 6.2 * (double)strlen(text);
}

typedef struct legend_at {
    int row;
    double x;
} legend_at;

// Where an entry stands: in the next place of its row, or in another row.
static legend_at legend_place(legend_at *next, const char *name, int width_max)
{
    const double width = SWATCH + 6 + text_width(name) + 14;
    if (next->x > LEFT && next->x + width > width_max)
        *next = (legend_at){.row = next->row + 1, .x = LEFT};
    const legend_at place = *next;
    next->x += width;
    return place;
}

static int legend_rows(const cli_chart *chart, int width)
{
    legend_at next = {.x = LEFT};
    int rows = 0;
    for (int i = 0; i < chart->n_series; i++)
        if (chart->series[i].name[0] != '\0')
            rows = legend_place(&next, chart->series[i].name, width).row + 1;
    return rows;
}

static void put_key(FILE *page, const cli_series *series, double x, double y)
{
    char class[16];
    snprintf(class, sizeof class, "s%d d%d", series->hue, series->dash);
    if (series->form == CLI_AREA)
        fprintf(page, "<rect class=\"f%d s%d\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"9\"/>",
                series->hue, series->hue, x, y - 4.5, (int)SWATCH);
    else
        put_line(page, class, x, y, x + SWATCH, y);
}

static void put_legend(FILE *page, const cli_chart *chart, int width)
{
    legend_at next = {.x = LEFT};
    for (int i = 0; i < chart->n_series; i++) {
        const cli_series *series = &chart->series[i];
        if (series->name[0] == '\0')
            continue;
        const legend_at at = legend_place(&next, series->name, width);
        const double y = TITLE_HEIGHT + (at.row + 0.5) * LEGEND_HEIGHT;
        put_key(page, series, at.x, y);
        put_text(page, at.x + SWATCH + 6, y + 4, "start", series->name);
    }
}

// ---- axes --------------------------------------------------------------------------------------

static void put_x_axis(FILE *page, const frame *f)
{
    double ticks[CLI_TICKS_MAX];
    const int n = cli_axis_ticks(&f->chart->x, ticks);
    for (int i = 0; i < n; i++) {
        char text[32];
        const double x = place_x(f, ticks[i]);
        cli_tick_text(&f->chart->x, ticks[i], text, sizeof text);
        put_line(page, "axis", x, f->bottom, x, f->bottom + 4);
        put_text(page, x, f->bottom + 17, "middle", text);
    }
    put_line(page, "axis", LEFT, f->bottom, f->right, f->bottom);
    put_text(page, 0.5 * (LEFT + f->right), f->bottom + 36, "middle", f->chart->x.name);
}

static void put_y_axis(FILE *page, const frame *f)
{
    double ticks[CLI_TICKS_MAX];
    const int n = cli_axis_ticks(&f->chart->y, ticks);
    for (int i = 0; i < n; i++) {
        char text[32];
        const double y = place_y(f, ticks[i]);
        cli_tick_text(&f->chart->y, ticks[i], text, sizeof text);
        put_line(page, "grid", LEFT, y, f->right, y);
        put_text(page, LEFT - 7, y + 4, "end", text);
    }
    const double middle = 0.5 * (f->top + f->bottom);
    fprintf(page, "<g transform=\"rotate(-90 14 %.1f)\">", middle);
    put_text(page, 14, middle, "middle", f->chart->y.name);
    fputs("</g>", page);
}

// ---- series ------------------------------------------------------------------------------------

static void put_points(FILE *page, const frame *f, const cli_series *series)
{
    for (int64_t i = 0; i < series->n; i++)
        fprintf(page, "%s%.1f,%.1f", i > 0 ? " " : "", place_x(f, series->x[i]),
                place_y(f, series->y[i]));
}

static void put_area(FILE *page, const frame *f, const cli_series *series)
{
    fprintf(page, "<polygon class=\"f%d s%d\" points=\"%.1f,%.1f ", series->hue, series->hue,
            place_x(f, series->x[0]), f->bottom);
    put_points(page, f, series);
    fprintf(page, " %.1f,%.1f\"/>\n", place_x(f, series->x[series->n - 1]), f->bottom);
}

static void put_curve(FILE *page, const frame *f, const cli_series *series)
{
    fprintf(page, "<polyline class=\"s%d d%d\" points=\"", series->hue, series->dash);
    put_points(page, f, series);
    fputs("\"/>\n", page);
    if (series->form != CLI_DOTTED_LINE)
        return;
    for (int64_t i = 0; i < series->n; i++)
        fprintf(page, "<circle class=\"dot f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>", series->hue,
                place_x(f, series->x[i]), place_y(f, series->y[i]));
}

static void put_mark(FILE *page, const frame *f)
{
    const double x = place_x(f, f->chart->mark);
    const bool right = x > 0.5 * (LEFT + f->right);
    put_line(page, "mark", x, f->top, x, f->bottom);
    put_text(page, x + (right ? -5 : 5), f->top + 12, right ? "end" : "start", f->chart->mark_name);
}

static void thin(const frame *f, cli_chart *chart)
{
    const double dx = 1.2 * (chart->x.high - chart->x.low) / (f->right - LEFT);
    const double dy = 1.2 * (chart->y.high - chart->y.low) / (f->bottom - f->top);
    for (int i = 0; i < chart->n_series; i++)
        if (chart->series[i].form == CLI_LINE)
            cli_series_thin(&chart->series[i], dx, dy);
}

static void put_series(FILE *page, const frame *f)
{
    for (int i = 0; i < f->chart->n_series; i++) {
        const cli_series *series = &f->chart->series[i];
        if (series->n > 0 && series->form == CLI_AREA)
            put_area(page, f, series);
        else if (series->n > 0)
            put_curve(page, f, series);
    }
}

void cli_svg_chart(FILE *page, cli_chart *chart, int width)
{
    const double top = TITLE_HEIGHT + legend_rows(chart, width) * LEGEND_HEIGHT + 8;
    const frame f = {.chart = chart,
                     .right = width - RIGHT,
                     .top = top,
                     .bottom = top + (width > CLI_SVG_THIRD ? 230 : 170)};
    thin(&f, chart);
    fprintf(page, "<svg class=\"chart\" viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"", width,
            f.bottom + BELOW);
    cli_put_markup(page, chart->title);
    fputs("\">\n<g class=\"title\">", page);
    put_text(page, LEFT, 15, "start", chart->title);
    fputs("</g>\n", page);
    put_legend(page, chart, width);
    put_y_axis(page, &f);
    if (chart->diagonal)
        put_line(page, "diagonal", LEFT, f.bottom, f.right, f.top);
    put_series(page, &f);
    put_x_axis(page, &f);
    if (!isnan(chart->mark))
        put_mark(page, &f);
    fputs("</svg>\n", page);
}

void cli_svg_swatch(FILE *page, int hue, int dash)
{
    fprintf(page,
            "<svg class=\"swatch\" viewBox=\"0 0 %d 10\" aria-hidden=\"true\">"
            "<line class=\"s%d d%d\" x1=\"0\" y1=\"5\" x2=\"%d\" y2=\"5\"/></svg>",
            (int)SWATCH, hue, dash, (int)SWATCH);
}

// ---- style -------------------------------------------------------------------------------------

typedef struct hue {
    const char *light, *dark;
} hue;

static const hue hues[CLI_HUES] = {
    {"#222222", "#e8e8e8"}, {"#0072b2", "#56a9e0"}, {"#d55e00", "#f0864a"}, {"#009e73", "#3cc79b"},
    {"#b8568f", "#d98fbb"}, {"#c98a00", "#e6b53a"}, {"#3aa0d8", "#8fd0f5"}, {"#7a6a5a", "#b5a595"},
};

static void put_hues(FILE *page, bool dark)
{
    for (int i = 0; i < CLI_HUES; i++)
        fprintf(page, "--hue%d:%s;", i, dark ? hues[i].dark : hues[i].light);
}

void cli_svg_style(FILE *page)
{
    fputs(":root{", page);
    put_hues(page, false);
    fputs("}\n@media (prefers-color-scheme:dark){:root{", page);
    put_hues(page, true);
    fputs("}}\n", page);
    for (int i = 0; i < CLI_HUES; i++)
        fprintf(page, ".s%d{stroke:var(--hue%d)}.f%d{fill:var(--hue%d)}\n", i, i, i, i);
    fputs(
        "svg.chart{width:100%;height:auto;display:block}\n"
        "svg.swatch{width:22px;height:10px;vertical-align:middle}\n"
        "svg text{fill:var(--ink);font-size:12px}svg .title text{font-size:13px;font-weight:600}\n"
        "polyline,.swatch line{fill:none;stroke-width:1.8;stroke-linejoin:round}\n"
        "polygon,rect{fill-opacity:.28;stroke-width:1.3;stroke-linejoin:round}\n"
        "line{stroke-width:1.8}.d1{stroke-dasharray:6 3}.d2{stroke-dasharray:1.5 3}\n"
        ".axis{stroke:var(--ink);stroke-width:1}.grid{stroke:var(--faint);stroke-width:1}\n"
        ".diagonal{stroke:var(--dim);stroke-width:1;stroke-dasharray:3 4}\n"
        ".mark{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:5 3}\n"
        ".dot{stroke:var(--paper);stroke-width:1}\n",
        page);
}
