/*
 * Steps without multiply-adds only move or change values in memory: they have no speed.
 */
#include "bench_layers.h"

#include <stdio.h>

typedef struct table {
    bool text;
    json_t *rows;
} table;

static void add_row(void *user, const jem_step_info *step)
{
    table *t = user;
    const double ms = 1e3 * step->seconds;
    const double gflops = step->seconds > 0.0 ? 2e-9 * (double)step->macs / step->seconds : 0.0;
    json_array_append_new(
        t->rows, json_pack("{s:s, s:f, s:f}", "step", step->text, "ms", ms, "gflops", gflops));
    if (!t->text)
        return;
    if (step->macs > 0)
        printf("%9.3f %9.1f  %s\n", ms, gflops, step->text);
    else
        printf("%9.3f %9s  %s\n", ms, "", step->text);
}

cli_status cli_bench_layers(cli_report *report, const jem_model *model, int32_t what, int64_t n,
                            int64_t runs, cli_error *err)
{
    table t = {report->root == NULL, json_array()};
    if (t.text)
        printf("\n%9s %9s  step\n", "ms", "GFLOP/s");
    const cli_status status =
        cli_jem(err, jem_model_profile(model, what, n, (int32_t)runs, add_row, &t));
    if (t.text)
        json_decref(t.rows);
    else
        json_object_set_new(report->root, "layers", t.rows);
    return status;
}
