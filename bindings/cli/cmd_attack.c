/*
 * jem attack: how many test rows a model still classifies right when each may be changed by so much.
 *
 * Rows go batch by batch through all radii, the smallest first. A row that is broken at one of them is
 * broken at the larger ones, too, and is not attacked again.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "groups.h"
#include "layout.h"
#include "median.h"
#include "named_files.h"
#include "npy.h"
#include "plot.h"
#include "progress.h"
#include "radii.h"
#include "range_watch.h"
#include "report.h"
#include "stop.h"

typedef struct args_t {
    const char *model, *data, *png, *out;
    cli_list eps;
    int64_t steps, restarts, limit, refine, refine_samples;
    double step_size, refine_step_size, refine_noise_std;
    int32_t attack, norm, layout;
    uint64_t seed;
    bool json;
    cli_exec_args exec;
} args_t;

static const cli_choice attacks[] = {{"pgd", JEM_ATTACK_PGD},
                                     {"apgd", JEM_ATTACK_APGD},
                                     {"square", JEM_ATTACK_SQUARE},
                                     {"boundary", JEM_ATTACK_BOUNDARY},
                                     {"pointwise", JEM_ATTACK_POINTWISE},
                                     {NULL, 0}};
static const cli_choice norms[] = {
    {"linf", JEM_NORM_LINF}, {"l2", JEM_NORM_L2}, {"l0", JEM_NORM_L0}, {NULL, 0}};

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_ROW_INPUT("model", args_t, model, "FILE", "a file written by jem train", CLI_REQUIRED),
    CLI_ROW_INPUT("data", args_t, data, "PATH", "its test split is attacked, see above",
                  CLI_REQUIRED),
    CLI_LAYOUT_ROW(args_t, layout),
    CLI_ROW_COUNT("limit", args_t, limit, 1, 1e9, "attack the first N rows only", 0),
    CLI_ROW_FLAG("json", args_t, json, "report as JSON"),
    CLI_ROW_OUTPUT("png", args_t, png, "FILE", "draw the accuracy over the radius", 0),
    CLI_ROW_OUTPUT(
        "out", args_t, out, "X.npy",
        "write the points, (n, C, H, W) float32: that of the smallest radius that breaks "
        "a row, otherwise the nearest to that at the largest",
        0),
    CLI_ROW_SEED("seed", args_t, seed, "of random starts, proposals and noise"),
    CLI_EXEC_ROWS(args_t, exec),

    CLI_ROW_HEADING("Attack"),
    CLI_ROW_CHOICE("attack", args_t, attack, attacks, "how points are looked for", 0),
    CLI_ROW_CHOICE(
        "norm", args_t, norm, norms,
        "how changes are measured; otherwise l2 for boundary, l0 for pointwise, linf for "
        "the others",
        0),
    CLI_ROW_LIST(
        "eps", args_t, eps, "X",
        "radii, in units of the model's input (in l0: how many values), also as a fraction: "
        "8/255 of an image's range is 16/255 where inputs reach from -1 to 1; otherwise "
        "some usual ones"),
    CLI_ROW_COUNT("steps", args_t, steps, 1, 1e6,
                  "of each restart; otherwise 40 for pgd, 100 for apgd, 1000 for the others", 0),
    CLI_ROW_NUMBER("step-size", args_t, step_size, 0, 1e30,
                   "of pgd, at first of apgd; otherwise 2.5 eps / steps and 2 eps", CLI_ABOVE),
    CLI_ROW_COUNT("restarts", args_t, restarts, 1, 1000, "the best of so many", 0),

    CLI_ROW_HEADING("Refinement"),
    CLI_ROW_COUNT("refine", args_t, refine, 0, 1000,
                  "JEM-k: so many Langevin steps from the input before it is classified", 0),
    CLI_ROW_COUNT("refine-samples", args_t, refine_samples, 1, 1000,
                  "refinements of an input that are averaged", 0),
    CLI_ROW_NUMBER("refine-step-size", args_t, refine_step_size, 0, 1e30, "of a Langevin step",
                   CLI_ABOVE),
    CLI_ROW_NUMBER("refine-noise-std", args_t, refine_noise_std, 0, 1e30, "of a Langevin step", 0),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.attack = JEM_ATTACK_PGD,
                              .limit = 1000,
                              .restarts = 1,
                              .step_size = (double)NAN,
                              .refine_samples = 1,
                              .refine_step_size = 1.0,
                              .refine_noise_std = 0.01};
}

enum { BATCH = 256 };

typedef struct work {
    args_t args;
    jem_model *model;
    jem_model_info info;
    cli_data test;
    cli_radii radii;
    jem_attack_config config;
    bool minimizes; // one attack gives the distances for all radii
    double
        *distances; // (n), 0 of rows that are wrong as they are, INFINITY where nothing was found
    float *found;   // (n, input_size), NULL unless wanted
    /* Of a batch, of its rows that are right so far: */
    int64_t *rows, *labels;
    float *x, *points, *distance;
    uint8_t *success;
    cli_range_watch watch;
    cli_progress progress;
    int64_t first; // row of the batch
} work;

// ---- before the attack -------------------------------------------------------------------------

static int32_t usual_norm(int32_t attack)
{
    return attack == JEM_ATTACK_BOUNDARY    ? JEM_NORM_L2
           : attack == JEM_ATTACK_POINTWISE ? JEM_NORM_L0
                                            : JEM_NORM_LINF;
}

static cli_status fill_config(work *w, cli_error *err)
{
    args_t *args = &w->args;
    jem_attack_config *config = &w->config;
    CLI_TRY(cli_jem(err, jem_attack_config_init(config, sizeof *config)));
    if (args->norm == 0)
        args->norm = usual_norm(args->attack);
    config->kind = args->attack;
    config->norm = args->norm;
    config->seed = args->seed;
    config->steps = (int32_t)args->steps;
    config->restarts = (int32_t)args->restarts;
    config->step_size = isnan(args->step_size) ? 0.0f : (float)args->step_size;
    config->refine_steps = (int32_t)args->refine;
    config->refine_samples = (int32_t)args->refine_samples;
    config->refine_step_size = (float)args->refine_step_size;
    config->refine_noise_std = (float)args->refine_noise_std;
    w->minimizes = args->attack == JEM_ATTACK_BOUNDARY || args->attack == JEM_ATTACK_POINTWISE;
    // A call without rows looks at the config.
    return cli_jem_usage(err,
                         jem_attack(w->model, config, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
}

static cli_status load(work *w, cli_error *err)
{
    const args_t *args = &w->args;
    CLI_TRY(cli_model_load(&w->model, args->model, &args->exec, err));
    CLI_TRY(cli_model_info(w->model, &w->info, err));
    if (w->info.classes < 2)
        return cli_fail(err, "%s has one class; expected a classifier", args->model);
    CLI_TRY(fill_config(w, err));
    if (args->eps.count > 0)
        CLI_TRY(cli_radii_read(&w->radii, &args->eps, err));
    else
        cli_radii_usual(&w->radii, args->norm, &w->info);
    CLI_TRY(cli_data_load(&w->test, args->data, CLI_TEST, args->layout, err));
    CLI_TRY(cli_data_check_model(&w->test, w->model, err));
    if (w->test.labels == NULL)
        return cli_fail(err, "%s has no labels; expected those that are to be changed", args->data);
    cli_data_limit(&w->test, args->limit);
    if (cli_files_talk() != stdout)
        return cli_usage(err, "the report is written to standard output; expected other files for "
                              "--png and --out");
    if (args->png != NULL)
        CLI_TRY(cli_output_check(args->png, err));
    return args->out != NULL ? cli_output_check(args->out, err) : CLI_OK;
}

static cli_status prepare(work *w, cli_error *err)
{
    CLI_TRY(load(w, err));
    const int64_t n = w->test.n, size = w->info.input_size;
    CLI_TRY(cli_alloc(&w->distances, n, sizeof *w->distances, err));
    if (w->args.out != NULL)
        CLI_TRY(cli_alloc(&w->found, n * size, sizeof *w->found, err));
    CLI_TRY(cli_alloc(&w->rows, BATCH, sizeof *w->rows, err));
    CLI_TRY(cli_alloc(&w->labels, BATCH, sizeof *w->labels, err));
    CLI_TRY(cli_alloc(&w->x, BATCH * size, sizeof *w->x, err));
    CLI_TRY(cli_alloc(&w->points, BATCH * size, sizeof *w->points, err));
    CLI_TRY(cli_alloc(&w->distance, BATCH, sizeof *w->distance, err));
    CLI_TRY(cli_alloc(&w->success, BATCH, sizeof *w->success, err));
    return cli_range_watch_begin(&w->watch, w->model, BATCH, err);
}

// ---- a batch -----------------------------------------------------------------------------------

static int32_t show_progress(void *user, int64_t done, int64_t total)
{
    work *w = user;
    if (cli_progress_due(&w->progress))
        cli_progress_show(&w->progress, "attacking rows %lld.. of %lld, eps %.4g  %3.0f%%",
                          (long long)w->first, (long long)w->test.n, (double)w->config.eps,
                          total > 0 ? 100.0 * (double)done / (double)total : 0.0);
    return cli_stop_signal() != 0;
}

// Attacks the rows of the batch that are right so far. Random numbers are those of the batch's place.
static cli_status attack_rows(work *w, int64_t n, cli_error *err)
{
    const int64_t size = w->info.input_size;
    CLI_TRY(cli_data_inputs(&w->test, w->model, w->rows, 0, n, w->x, err));
    for (int64_t i = 0; i < n; i++)
        w->labels[i] = w->test.labels[w->rows[i]];
    w->config.first_row = w->first;
    const jem_status status = jem_attack(w->model, &w->config, n, w->x, w->labels, w->points,
                                         w->success, w->distance, show_progress, w);
    if (status == JEM_ECANCELLED)
        return cli_stopped(err, cli_stop_signal(), "stopped by %s; nothing was written",
                           cli_stop_name());
    CLI_TRY(cli_jem(err, status));
    for (int64_t i = 0; i < n; i++) {
        w->distances[w->rows[i]] = (double)w->distance[i];
        if (w->found != NULL)
            memcpy(w->found + w->rows[i] * size, w->points + i * size,
                   (size_t)size * sizeof *w->found);
    }
    return CLI_OK;
}

// Drops the rows that are broken; returns how many are left.
static int64_t keep_right_rows(work *w, int64_t n)
{
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++)
        if (!w->success[i])
            w->rows[left++] = w->rows[i];
    return left;
}

// At radius 0 a row can only be wrong by itself.
static cli_status attack_batch(work *w, int64_t n, cli_error *err)
{
    const jem_attack_config asked = w->config;
    for (int64_t i = 0; i < n; i++)
        w->rows[i] = w->first + i;
    w->config.kind = JEM_ATTACK_PGD;
    w->config.norm = JEM_NORM_LINF;
    w->config.steps = 1;
    w->config.restarts = 1;
    w->config.eps = 0.0f;
    CLI_TRY(attack_rows(w, n, err));
    CLI_TRY(cli_range_watch_rows(&w->watch, n, w->x, err));
    w->config = asked;
    int64_t left = keep_right_rows(w, n);
    for (int r = 0; r < (w->minimizes ? 1 : w->radii.count) && left > 0; r++) {
        w->config.eps = w->minimizes ? INFINITY : (float)w->radii.items[r].value;
        CLI_TRY(attack_rows(w, left, err));
        left = keep_right_rows(w, left);
    }
    return CLI_OK;
}

static cli_status attack_all(work *w, cli_error *err)
{
    cli_status status = CLI_OK;
    cli_progress_begin(&w->progress, INFINITY);
    for (w->first = 0; w->first < w->test.n && status == CLI_OK; w->first += BATCH) {
        const int64_t left = w->test.n - w->first;
        status = attack_batch(w, left < BATCH ? left : BATCH, err);
    }
    cli_progress_end(&w->progress);
    return status;
}

// ---- what came of it ---------------------------------------------------------------------------

// Of all rows, the part that is right at this radius.
static double accuracy_at(const work *w, double radius)
{
    int64_t right = 0;
    for (int64_t i = 0; i < w->test.n; i++)
        right += w->distances[i] > (double)(float)radius; // attacks have it as float
    return (double)right / (double)w->test.n;
}

static cli_status fill_curve(const work *w, cli_chart *chart, cli_error *err)
{
    cli_series *curve;
    CLI_TRY(cli_chart_add(chart, w->radii.count + 1, &curve, err));
    curve->form = CLI_DOTTED_LINE;
    curve->hue = 1;
    curve->y[0] = accuracy_at(w, 0.0);
    for (int r = 0; r < w->radii.count; r++) {
        curve->x[r + 1] = w->radii.items[r].value;
        curve->y[r + 1] = accuracy_at(w, curve->x[r + 1]);
    }
    const double last = curve->x[w->radii.count];
    chart->x.high = last > 0.0 ? last : 1.0;
    return CLI_OK;
}

static cli_status draw_curve(const work *w, cli_error *err)
{
    cli_chart chart;
    cli_chart_begin(&chart);
    chart.y = (cli_axis){.name = "accuracy", .high = 1.0};
    snprintf(chart.x.name, sizeof chart.x.name, "eps (%s)", cli_choice_name(norms, w->args.norm));
    cli_status status = fill_curve(w, &chart, err);
    if (status == CLI_OK)
        status = cli_plot_write(&chart, w->args.png, err);
    cli_chart_free(&chart);
    return status;
}

static cli_status write_points(work *w, cli_error *err)
{
    const int64_t n = w->test.n;
    const int64_t shape[] = {n, w->info.channels, w->info.height, w->info.width};
    if (cli_data_is_table(&w->test)) // in the units that it had in training
        CLI_TRY(cli_jem(err, jem_input_to_float(w->model, n, w->found, w->found)));
    return cli_npy_write(w->args.out, 4, shape, w->found, err);
}

static void report_curve(const work *w, cli_report *report)
{
    static const char *const columns[] = {"eps", "accuracy"};
    cli_table table;
    cli_table_begin(&table, report, "robust", "radius", 2, columns);
    for (int r = 0; r < w->radii.count; r++) {
        const double radius = w->radii.items[r].value;
        cli_table_row(&table, w->radii.items[r].name,
                      (const double[]){radius, accuracy_at(w, radius)}, 4);
    }
}

static cli_status report_all(work *w, cli_error *err)
{
    cli_report report;
    const double clean = accuracy_at(w, 0.0);
    CLI_TRY(cli_report_begin(&report, w->args.json, err));
    cli_report_text(&report, "model", "model", w->args.model);
    cli_report_text(&report, "data", "data", w->args.data);
    cli_report_text(&report, "attack", "attack", cli_choice_name(attacks, w->args.attack));
    cli_report_text(&report, "norm", "norm", cli_choice_name(norms, w->args.norm));
    cli_report_count(&report, "n", "test rows", w->test.n);
    cli_report_number(&report, "accuracy", "accuracy", clean, 4, "");
    cli_sort(w->distances, w->test.n);
    cli_report_number(&report, "median_distance", "median distance",
                      cli_median(w->distances, w->test.n), 4, "");
    report_curve(w, &report);
    cli_report_note(&report,
                    "\neps is in units of the model's input, in l0 a number of values. "
                    "accuracy: the part of the\nrows that is right when each may be "
                    "changed by eps. median distance: of the rows from\nthe nearest "
                    "points found that are wrong, 0 for those that are wrong as they are.");
    return cli_report_end(&report, err);
}

static cli_status attack(work *w, cli_error *err)
{
    CLI_TRY(prepare(w, err));
    cli_stop_catch();
    CLI_TRY(attack_all(w, err));
    cli_range_watch_say(&w->watch, w->args.data, NULL);
    if (w->args.png != NULL)
        CLI_TRY(draw_curve(w, err));
    if (w->args.out != NULL)
        CLI_TRY(write_points(w, err));
    return report_all(w, err);
}

static cli_status run(const void *args, cli_error *err)
{
    work w = {.args = *(const args_t *)args};
    const cli_status status = attack(&w, err);
    void *const blocks[] = {w.distances, w.found,  w.rows,     w.labels,
                            w.x,         w.points, w.distance, w.success};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        free(blocks[i]);
    cli_range_watch_end(&w.watch);
    cli_data_free(&w.test);
    jem_model_destroy(w.model);
    return status;
}

const cli_command cli_attack = {
    .name = "attack",
    .summary = "accuracy under adversarial attack",
    .usage = "--model FILE --data PATH [--attack NAME] [--eps X ...] [options]",
    .description =
        "Attacks the first test rows of a data set and reports how many a model still classifies "
        "right when each row may be changed by so much.\n\n"
        "pgd (projected gradient descent) and apgd (with momentum and a step that adapts) follow "
        "gradients, square needs logits, boundary and pointwise decisions alone. These two look "
        "for "
        "the nearest points that are wrong, in l2 or l0; the others for points within each radius."
        "\n\n" CLI_DATA_HELP,
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
