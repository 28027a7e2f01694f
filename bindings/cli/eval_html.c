/*
 * The page: the test set, a table of all AUROCs, and for each other set its ROC curves, figures and
 * histograms. It is well-formed as XML, too, and names no other file or address.
 */
#include <math.h>
#include <stdlib.h>

#include "eval_charts.h"
#include "markup.h"
#include "output.h"
#include "svg.h"

static void put_style(FILE *page)
{
    fputs("<style>\n", page);
    cli_svg_style(page);
    fputs(
        ":root{color-scheme:light dark;--ink:#222;--dim:#6b6b6b;--faint:#e6e6e3;--paper:#fff;"
        "--page:#f6f6f4}\n"
        "@media (prefers-color-scheme:dark){:root{--ink:#e8e8e6;--dim:#a0a09c;--faint:#38383a;"
        "--paper:#202022;--page:#161617}}\n"
        "body{margin:0 auto;padding:24px;max-width:1120px;background:var(--page);"
        "color:var(--ink);font:15px/1.5 system-ui,sans-serif}\n"
        "h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:0 0 12px;"
        "overflow-wrap:anywhere}\n"
        "p{margin:0 0 12px;color:var(--dim);max-width:78ch}.origin{overflow-wrap:anywhere}\n"
        "section{background:var(--paper);border:1px solid var(--faint);border-radius:8px;"
        "padding:18px 20px;margin:18px 0}\n"
        ".halves,.thirds{display:grid;gap:20px;align-items:start;margin-top:12px}figure{margin:0}\n"
        ".halves{grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr))}\n"
        ".thirds{grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr))}\n"
        ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:13.5px;"
        "font-variant-numeric:tabular-nums}\n"
        "th,td{padding:3px 12px 3px 0;text-align:right;border-bottom:1px solid var(--faint);"
        "font-weight:400;white-space:nowrap}\n"
        "thead th{color:var(--dim);vertical-align:bottom}"
        "th:first-child{text-align:left}td.best{font-weight:700}\n"
        "td small{display:block;color:var(--dim);font-size:11px;font-weight:400}\n"
        "dl{display:flex;flex-wrap:wrap;gap:8px 32px;margin:0 0 16px}dt{color:var(--dim);"
        "font-size:13px}dd{margin:0;font-size:20px;font-variant-numeric:tabular-nums}\n"
        "dd small{font-size:12px;color:var(--dim)}\n</style>\n",
        page);
}

// Draws a chart that was made without fault, and frees it.
static cli_status put_chart(FILE *page, cli_chart *chart, int width, cli_status made)
{
    if (made == CLI_OK) {
        fputs("<figure>", page);
        cli_svg_chart(page, chart, width);
        fputs("</figure>\n", page);
    }
    cli_chart_free(chart);
    return made;
}

// ---- the test set ------------------------------------------------------------------------------

static void put_figure(FILE *page, const char *name, double value, int decimals, double low,
                       double high)
{
    fprintf(page, "<div><dt>%s</dt><dd>%.*f", name, decimals, value);
    if (isfinite(low))
        fprintf(page, " <small>%.*f&#8211;%.*f</small>", decimals, low, decimals, high);
    fputs("</dd></div>\n", page);
}

static void put_classification(const cli_evaluation *e, FILE *page)
{
    const jem_classification *value = &e->classification, *low = &e->classification_low,
                             *high = &e->classification_high;
    put_figure(page, "accuracy", value->accuracy, 4, low->accuracy, high->accuracy);
    put_figure(page, "NLL (nats)", value->nll, 4, low->nll, high->nll);
    put_figure(page, "Brier score", value->brier, 4, low->brier, high->brier);
    put_figure(page, "ECE (15 bins)", value->ece, 4, low->ece, high->ece);
    if (e->temperature != 1.0)
        put_figure(page, "temperature", e->temperature, 4, (double)NAN, 0.0);
}

static void put_promise(const cli_evaluation *e, FILE *page)
{
    const jem_detector_info *promise = &e->scorer->promise;
    fprintf(page, "<div><dt>flagged by the detector</dt><dd>%.4f <small>promised: at most %.4g",
            e->false_positive_rate, promise->fpr);
    if (promise->confidence > 0.0)
        fprintf(page, " with confidence %.4g", promise->confidence);
    fputs("</small></dd></div>\n", page);
}

static cli_status put_test(const cli_evaluation *e, FILE *page, cli_error *err)
{
    fputs("<section><h2>Test set</h2>\n<dl>", page);
    fprintf(page, "<div><dt>rows</dt><dd>%lld</dd></div>\n", (long long)e->n);
    if (e->labels != NULL)
        put_classification(e, page);
    if (e->scorer->detector != NULL)
        put_promise(e, page);
    fputs("</dl>\n", page);
    if (e->labels != NULL) {
        cli_chart chart;
        fputs("<div class=\"halves\">\n", page);
        CLI_TRY(put_chart(page, &chart, CLI_SVG_HALF, cli_chart_reliability(e, &chart, err)));
        CLI_TRY(put_chart(page, &chart, CLI_SVG_HALF, cli_chart_risk(e, &chart, err)));
        fputs("</div>\n", page);
    }
    fputs("</section>\n", page);
    return CLI_OK;
}

// ---- all sets ----------------------------------------------------------------------------------

static double best_area(const cli_evaluation *e, const cli_eval_set *set)
{
    double best = 0.0;
    for (int c = 0; c < e->scorer->n_columns; c++)
        best = fmax(best, set->columns[c].value.auroc);
    return best;
}

static void put_area(const cli_evaluation *e, const cli_eval_set *set, int column, FILE *page)
{
    const cli_detection *figures = &set->columns[column];
    const bool best = figures->value.auroc >= best_area(e, set) - 5e-4;
    fprintf(page, "<td%s>%.3f", best ? " class=\"best\"" : "", figures->value.auroc);
    if (e->resamples > 0)
        fprintf(page, "<small>%.3f&#8211;%.3f</small>", figures->low.auroc, figures->high.auroc);
    fputs("</td>", page);
}

static void put_name(const cli_evaluation *e, int column, FILE *page)
{
    fputs("<tr><th scope=\"row\">", page);
    cli_svg_swatch(page, cli_column_hue(e->scorer, column), cli_column_dash(e->scorer, column));
    fputs(" ", page);
    cli_put_markup(page, e->scorer->columns[column].name);
    fputs("</th>", page);
}

static void put_overview(const cli_evaluation *e, FILE *page)
{
    fputs("<section><h2>AUROC of every score</h2>\n<p>The chance that a row of the set scores as "
          "more unusual than a test row: 0.5 is a guess, 1 is perfect. The best of each set is "
          "bold.</p>\n<div class=\"wide\"><table><thead><tr><th>score</th>",
          page);
    for (int i = 0; i < e->n_sets; i++) {
        fputs("<th scope=\"col\">", page);
        cli_put_markup(page, cli_short_name(e->sets[i].name));
        fputs("</th>", page);
    }
    fputs("</tr></thead>\n<tbody>", page);
    for (int c = 0; c < e->scorer->n_columns; c++) {
        put_name(e, c, page);
        for (int i = 0; i < e->n_sets; i++)
            put_area(e, &e->sets[i], c, page);
        fputs("</tr>\n", page);
    }
    fputs("</tbody></table></div></section>\n", page);
}

// ---- one set -----------------------------------------------------------------------------------

static void put_figures(const cli_evaluation *e, const cli_eval_set *set, FILE *page)
{
    fputs("<div class=\"wide\"><table><thead><tr><th>score</th><th>AUROC</th><th>AUPR out</th>"
          "<th>AUPR in</th><th>FPR95</th><th>FPR95 in</th></tr></thead>\n<tbody>",
          page);
    for (int c = 0; c < e->scorer->n_columns; c++) {
        const jem_detection *value = &set->columns[c].value;
        put_name(e, c, page);
        put_area(e, set, c, page);
        fprintf(page, "<td>%.3f</td><td>%.3f</td><td>%.3f</td><td>%.3f</td></tr>\n",
                value->aupr_out, value->aupr_in, value->fpr_out_positive, value->fpr_in_positive);
    }
    fputs("</tbody></table></div>\n", page);
}

static cli_status put_set(const cli_evaluation *e, const cli_eval_set *set, FILE *page,
                          cli_error *err)
{
    cli_chart chart;
    int columns[3];
    const int n = cli_main_columns(e->scorer, 3, columns);
    fputs("<section><h2>", page);
    cli_put_markup(page, set->name);
    fprintf(page, "</h2>\n<p>%lld rows", (long long)set->scores.n);
    if (isfinite(set->flagged))
        fprintf(page, ", %.1f %% of them flagged by the detector", 100.0 * set->flagged);
    fputs(".</p>\n<div class=\"halves\">", page);
    CLI_TRY(put_chart(page, &chart, CLI_SVG_HALF, cli_chart_roc(e, set, false, &chart, err)));
    put_figures(e, set, page);
    fputs("</div>\n<div class=\"thirds\">", page);
    for (int i = 0; i < n; i++)
        CLI_TRY(put_chart(page, &chart, CLI_SVG_THIRD,
                          cli_chart_histogram(e, set, columns[i], &chart, err)));
    fputs("</div></section>\n", page);
    return CLI_OK;
}

// ---- the page ----------------------------------------------------------------------------------

static void put_head(const cli_evaluation *e, FILE *page)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n<title>",
          page);
    cli_put_markup(page, cli_short_name(e->model));
    fputs(": jem eval</title>\n", page);
    put_style(page);
    fputs("</head>\n<body>\n<h1>Evaluation of ", page);
    cli_put_markup(page, cli_short_name(e->model));
    fputs("</h1>\n<p class=\"origin\">model ", page);
    cli_put_markup(page, e->model);
    fputs(", test data ", page);
    cli_put_markup(page, e->data);
    fputs("</p>\n", page);
}

static void put_foot(const cli_evaluation *e, FILE *page)
{
    fputs("<p>AUPR out, AUPR in: average precision where rows of the set, or test rows, are the "
          "positives. FPR95: the share of test rows that are flagged when 95 % of the set is; "
          "FPR95 in: the share of the set that is accepted when 95 % of the test rows are. "
          "Histograms count what lies beyond their range in the outermost bars.",
          page);
    if (e->resamples > 0)
        fprintf(page, " Small figures are 95 %% intervals of %lld bootstrap resamples.",
                (long long)e->resamples);
    fprintf(page, " Made by jem %s.</p>\n</body>\n</html>\n", jem_version_string());
}

static cli_status put_page(const cli_evaluation *e, FILE *page, cli_error *err)
{
    put_head(e, page);
    CLI_TRY(put_test(e, page, err));
    if (e->n_sets > 0)
        put_overview(e, page);
    for (int i = 0; i < e->n_sets; i++)
        CLI_TRY(put_set(e, &e->sets[i], page, err));
    put_foot(e, page);
    return CLI_OK;
}

static cli_status write_file(const char *path, const char *content, size_t size, cli_error *err)
{
    cli_output output;
    CLI_TRY(cli_output_open(&output, path, err));
    const cli_status status = cli_output_write(&output, content, size, err);
    if (status == CLI_OK)
        return cli_output_commit(&output, err);
    cli_output_discard(&output);
    return status;
}

cli_status cli_eval_html(const cli_evaluation *e, const char *path, cli_error *err)
{
    char *content = NULL;
    size_t size = 0;
    FILE *page = open_memstream(&content, &size);
    if (page == NULL)
        return cli_fail(err, "out of memory for the page");
    cli_status status = put_page(e, page, err);
    const bool whole = ferror(page) == 0;
    if ((fclose(page) != 0 || !whole) && status == CLI_OK)
        status = cli_fail(err, "out of memory for the page");
    if (status == CLI_OK)
        status = write_file(path, content, size, err);
    free(content);
    return status;
}
