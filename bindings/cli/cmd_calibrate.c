/*
 * jem calibrate: a detector, fitted to training rows and calibrated on held-out ones, stored with
 * the model.
 */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "groups.h"
#include "hold_out.h"
#include "layout.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "score_names.h"
#include "shuffle.h"
#include "stop.h"

typedef struct args_t {
    const char *model, *data, *held_out, *out;
    int32_t layout, combine;
    cli_list kinds, two_sided;
    double fpr, confidence, validation;
    int64_t fit_rows, neighbours, bank_bytes;
    bool per_class, any_range, json;
    uint64_t seed;
    cli_exec_args exec;
} args_t;

static const cli_choice combinations[] = {
    {"largest", JEM_COMBINE_LARGEST}, {"sum", JEM_COMBINE_SUM}, {NULL, 0}};

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_ROW_INPUT("model", args_t, model, "FILE", "a file written by jem train", CLI_REQUIRED),
    CLI_ROW_INPUT("data", args_t, data, "PATH", "the data set that it was trained on, see above",
                  CLI_REQUIRED),
    CLI_LAYOUT_ROW(args_t, layout),
    CLI_ROW_INPUT("held-out", args_t, held_out, "PATH",
                  "a data set whose test rows calibrate, all rows if it has no others", 0),
    CLI_ROW_NUMBER("validation", args_t, validation, 0, 0.5,
                   "calibrate by the training rows that jem train --validation X held out, drawn "
                   "by the same --seed",
                   CLI_ABOVE),
    CLI_ROW_OUTPUT("out", args_t, out, "FILE",
                   "write the model there; otherwise to the file that it came from", 0),
    CLI_ROW_FLAG("json", args_t, json, "report as JSON"),

    CLI_ROW_HEADING("Promise"),
    CLI_ROW_NUMBER("fpr", args_t, fpr, 1e-9, 1 - 1e-9,
                   "the false-positive rate: the part of usual rows that are flagged", 0),
    CLI_ROW_NUMBER("confidence", args_t, confidence, 0, 1 - 1e-9,
                   "the rate is at most that with this probability; 0: on average", 0),
    CLI_ROW_FLAG("per-class", args_t, per_class, "for each predicted class of its own"),

    CLI_ROW_HEADING("Detector"),
    CLI_ROW_LIST("kinds", args_t, kinds, "NAME",
                 "scores, see above; otherwise energy, gen, mahalanobis, relative-mahalanobis and "
                 "knn"),
    CLI_ROW_LIST("two-sided", args_t, two_sided, "NAME",
                 "those of them whose low values are suspicious as well"),
    CLI_ROW_CHOICE("combine", args_t, combine, combinations,
                   "the most surprising score decides, or the sum of surprises", 0),
    CLI_ROW_FLAG("any-range", args_t, any_range,
                 "rows outside of the model's input range are not flagged for that"),
    CLI_ROW_COUNT("neighbours", args_t, neighbours, 1, 1000, "of knn: the distance to this one", 0),
    CLI_ROW_COUNT("bank-bytes", args_t, bank_bytes, 4096, 1e12, "of knn: memory for training rows",
                  0),
    CLI_ROW_COUNT("fit-rows", args_t, fit_rows, 2, 1e9,
                  "training rows that statistics are taken from, at most", 0),
    CLI_ROW_SEED("seed", args_t, seed, "of what is drawn"),
    CLI_EXEC_ROWS(args_t, exec),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.fpr = 0.01,
                              .confidence = 0.95,
                              .validation = NAN,
                              .combine = JEM_COMBINE_LARGEST,
                              .fit_rows = 20000,
                              .neighbours = 1,
                              .bank_bytes = 4 << 20};
}

typedef struct work {
    const args_t *args;
    jem_model *model;
    jem_model_info info;
    jem_detector *detector;
    cli_data training, held_out;
    const char *held_out_is; // for people
    float *x;
    int64_t *rows, *labels;
    cli_progress progress;
    const char *doing;
} work;

// ---- rows --------------------------------------------------------------------------------------

// Which rows calibrate: those that the user names, or the test rows, or some that are taken away.
static cli_status load_held_out(work *w, cli_error *err)
{
    const args_t *args = w->args;
    const bool asked = !isnan(args->validation);
    if (args->held_out != NULL && asked)
        return cli_usage(err, "--held-out and --validation both say what calibrates; expected one");
    if (args->held_out != NULL) {
        w->held_out_is = "rows of --held-out";
        return cli_data_load(&w->held_out, args->held_out, CLI_TEST, args->layout, err);
    }
    if (w->training.has_test && !asked) {
        w->held_out_is = "test rows";
        return cli_data_load(&w->held_out, args->data, CLI_TEST, args->layout, err);
    }
    w->held_out_is = "training rows that were held out";
    return cli_hold_out(&w->training, asked ? args->validation : CLI_HOLD_OUT_PART, args->seed,
                        &w->held_out, err);
}

static cli_status load_rows(work *w, cli_error *err)
{
    const args_t *args = w->args;
    CLI_TRY(cli_data_load(&w->training, args->data, CLI_TRAIN, args->layout, err));
    CLI_TRY(cli_data_suit_model(&w->training, w->model, err));
    CLI_TRY(load_held_out(w, err));
    CLI_TRY(cli_data_suit_model(&w->held_out, w->model, err));
    const int64_t most = w->training.n > w->held_out.n ? w->training.n : w->held_out.n;
    CLI_TRY(cli_alloc(&w->rows, most, sizeof *w->rows, err));
    CLI_TRY(cli_alloc(&w->labels, most, sizeof *w->labels, err));
    for (int64_t i = 0; i < most; i++)
        w->rows[i] = i;
    return CLI_OK;
}

// Inputs of the first n of w->rows.
static cli_status take_inputs(work *w, const cli_data *data, int64_t n, cli_error *err)
{
    free(w->x);
    w->x = NULL;
    CLI_TRY(cli_alloc(&w->x, n * w->info.input_size, sizeof *w->x, err));
    return cli_data_inputs(data, w->model, w->rows, 0, n, w->x, err);
}

// ---- the detector ------------------------------------------------------------------------------

static cli_status read_kinds(const cli_list *list, const char *option, uint64_t *bits,
                             cli_error *err)
{
    for (int i = 0; i < list->count; i++) {
        int32_t kind;
        CLI_TRY(cli_score_find_any(list->items[i], option, &kind, err));
        *bits |= (uint64_t)1 << kind;
    }
    return CLI_OK;
}

static cli_status create_detector(work *w, cli_error *err)
{
    const args_t *args = w->args;
    jem_detector_config config;
    jem_score_config scores;
    CLI_TRY(cli_jem(err, jem_detector_config_init(&config, sizeof config)));
    CLI_TRY(cli_jem(err, jem_score_config_init(&scores, sizeof scores)));
    CLI_TRY(read_kinds(&args->kinds, "kinds", &config.kinds, err));
    CLI_TRY(read_kinds(&args->two_sided, "two-sided", &config.two_sided, err));
    config.seed = args->seed;
    config.bank_bytes = args->bank_bytes;
    config.fpr = args->fpr;
    config.confidence = args->confidence;
    config.combine = args->combine;
    config.per_class = args->per_class;
    config.flag_range = !args->any_range;
    scores.neighbours = (int32_t)args->neighbours;
    return cli_jem_usage(err, jem_detector_create(&w->detector, w->model, &config, &scores));
}

static int32_t show_progress(void *user, int64_t done, int64_t total)
{
    work *w = user;
    if (cli_progress_due(&w->progress))
        cli_progress_show(&w->progress, "%s  %3.0f%%", w->doing,
                          total > 0 ? 100.0 * (double)done / (double)total : 0.0);
    return cli_stop_signal() != 0;
}

static cli_status ended(jem_status status, cli_error *err)
{
    if (status == JEM_ECANCELLED)
        return cli_stopped(err, cli_stop_signal(), "stopped by %s; nothing was written",
                           cli_stop_name());
    return cli_jem(err, status);
}

// Statistics of a random choice of the training rows.
static cli_status fit(work *w, cli_error *err)
{
    cli_random random = {w->args->seed};
    const cli_data *data = &w->training;
    const int64_t n = data->n < w->args->fit_rows ? data->n : w->args->fit_rows;
    cli_shuffle(&random, data->n, w->rows);
    CLI_TRY(take_inputs(w, data, n, err));
    for (int64_t i = 0; data->labels != NULL && i < n; i++)
        w->labels[i] = data->labels[w->rows[i]];
    w->doing = "statistics of training rows";
    return ended(jem_detector_fit(w->detector, w->model, n, w->x,
                                  data->labels != NULL ? w->labels : NULL, show_progress, w),
                 err);
}

static cli_status calibrate(work *w, cli_error *err)
{
    const cli_data *data = &w->held_out;
    for (int64_t i = 0; i < data->n; i++)
        w->rows[i] = i;
    CLI_TRY(take_inputs(w, data, data->n, err));
    w->doing = "scores of held-out rows";
    return ended(jem_detector_calibrate(w->detector, w->model, data->n, w->x, data->labels,
                                        show_progress, w),
                 err);
}

static cli_status make_detector(work *w, cli_error *err)
{
    CLI_TRY(create_detector(w, err));
    cli_stop_catch();
    cli_progress_begin(&w->progress, INFINITY);
    cli_status status = fit(w, err);
    if (status == CLI_OK)
        status = calibrate(w, err);
    cli_progress_end(&w->progress);
    return status;
}

// ---- what came of it ---------------------------------------------------------------------------

static void report_kinds(cli_report *report, uint64_t kinds)
{
    char text[400] = "";
    size_t used = 0;
    json_t *names = json_array();
    jem_score_info info = {.struct_size = sizeof info};
    for (int32_t kind = 1; jem_score_get_info(kind, &info) == JEM_OK; kind++)
        if ((kinds >> kind & 1) != 0 && used < sizeof text) {
            json_array_append_new(names, json_string(info.name));
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? ", " : "",
                                     info.name);
        }
    cli_report_json(report, "kinds", "scores", names, text);
}

static cli_status report_all(const work *w, const char *to, cli_error *err)
{
    cli_report report;
    jem_detector_info info = {.struct_size = sizeof info};
    char promise[100];
    CLI_TRY(cli_jem(err, jem_detector_get_info(w->detector, &info)));
    CLI_TRY(cli_report_begin(&report, w->args->json, err));
    cli_report_text(&report, "model", "model", to);
    report_kinds(&report, info.kinds);
    cli_report_count(&report, "fitted", "training rows", info.n_fitted);
    cli_report_text(&report, "held_out", "calibrated by", w->held_out_is);
    cli_report_count(&report, "held_out_rows", "held-out rows", w->held_out.n);
    cli_report_count(&report, "calibrated", "of these calibrate", info.n_calibrated);
    snprintf(promise, sizeof promise,
             info.confidence > 0.0 ? "at most %g with probability %g" : "at most %g on average",
             info.fpr, info.confidence);
    cli_report_json(&report, "promise", "false-positive rate",
                    json_pack("{s:f s:f}", "fpr", info.fpr, "confidence", info.confidence),
                    promise);
    cli_report_number(&report, "threshold", "threshold", info.threshold, 4, "");
    return cli_report_end(&report, err);
}

static cli_status work_all(work *w, cli_error *err)
{
    const args_t *args = w->args;
    const char *to = args->out != NULL ? args->out : args->model;
    CLI_TRY(cli_model_load(&w->model, args->model, &args->exec, err));
    CLI_TRY(cli_model_info(w->model, &w->info, err));
    CLI_TRY(load_rows(w, err));
    CLI_TRY(cli_output_check(to, err));
    CLI_TRY(make_detector(w, err));
    CLI_TRY(cli_jem(err, jem_model_set_detector(w->model, w->detector)));
    CLI_TRY(cli_jem(err, jem_model_save(w->model, to)));
    return report_all(w, to, err);
}

static cli_status run(const void *args, cli_error *err)
{
    work w = {.args = args};
    const cli_status status = work_all(&w, err);
    free(w.x);
    free(w.rows);
    free(w.labels);
    cli_data_free(&w.training);
    cli_data_free(&w.held_out);
    jem_detector_destroy(w.detector);
    jem_model_destroy(w.model);
    return status;
}

const cli_command cli_calibrate = {
    .name = "calibrate",
    .summary = "make a detector of unusual inputs, stored with the model",
    .usage = "--model FILE --data PATH [--fpr X] [--confidence X] [--out FILE] [options]",
    .description =
        "Fits a detector to training rows and sets its threshold by held-out rows, so that at most "
        "a promised part of usual rows is flagged. jem detect and jem monitor then use it.\n\n"
        "Held-out rows must be rows that training has not seen: those of --held-out, those that "
        "jem train --validation held out, or the test rows, if the data set has some; a "
        "false-positive rate that is measured on the same rows says nothing.\n\n" CLI_DATA_HELP,
    .print_more = cli_score_print_all_kinds,
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
