/*
 * jem eval: how well a model classifies its test set, and how well each of its outlier scores
 * tells other inputs from that set.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "evaluation.h"
#include "groups.h"
#include "layout.h"
#include "named_files.h"
#include "ood.h"
#include "output.h"
#include "range_watch.h"
#include "score_names.h"

typedef struct args_t {
    const char *model, *data, *html, *png;
    cli_list ood;
    int64_t limit, batch, resamples;
    int32_t layout;
    uint64_t seed;
    bool json, refinement;
    cli_exec_args exec;
} args_t;

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_ROW_INPUT("model", args_t, model, "FILE", "a file written by jem train", CLI_REQUIRED),
    CLI_ROW_INPUT("data", args_t, data, "PATH", "its test split is used, see above", CLI_REQUIRED),
    CLI_ROW_LIST("ood", args_t, ood, "NAME|PATH",
                 "sets to tell apart from the test set; otherwise all of the named ones that suit "
                 "the data"),
    CLI_LAYOUT_ROW(args_t, layout),
    CLI_ROW_COUNT("limit", args_t, limit, 1, 1e15, "use the first N rows of every set only", 0),
    CLI_ROW_COUNT("batch", args_t, batch, 1, 1e6, "rows scored at once", 0),
    CLI_ROW_FLAG("refinement", args_t, refinement,
                 "the scores of refinement, too: ten gradients a row for each of the two"),
    CLI_ROW_SEED("seed", args_t, seed, "of the random sets and of intervals"),
    CLI_ROW_COUNT(
        "intervals", args_t, resamples, 1, 1e5,
        "95 % intervals of the figures, by the bootstrap with N resamples, 200 for example", 0),
    CLI_EXEC_ROWS(args_t, exec),
    CLI_ROW_FLAG("json", args_t, json, "report as JSON, with more figures"),
    CLI_ROW_OUTPUT("html", args_t, html, "FILE",
                   "write a page with all figures, histograms, ROC and risk-coverage curves and a "
                   "reliability diagram; it needs no other file",
                   0),
    CLI_ROW_OUTPUT("png", args_t, png, "FILE", "draw ROC curves and histograms", 0),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.batch = 256};
}

typedef struct work {
    const args_t *args;
    jem_model *model;
    cli_data test;
    cli_ood ood;
    cli_scorer scorer;
    cli_evaluation found;
    float *x;              // one batch
    cli_range_watch watch; // over the set at hand
    cli_progress progress;
} work;

// ---- rows and their scores ---------------------------------------------------------------------

// A set of rows, of whichever origin.
typedef struct rows {
    const char *name;
    int64_t n;
    const cli_data *data;   // a data set as it is
    const cli_ood_set *set; // or made from the test set
} rows;

static cli_status get_rows(const work *w, const rows *r, int64_t first, int64_t n, cli_error *err)
{
    if (r->set != NULL)
        return cli_ood_rows(&w->ood, r->set, first, n, w->x, err);
    return cli_data_inputs(r->data, w->model, NULL, first, n, w->x, err);
}

static void show(work *w, const rows *r, int64_t done)
{
    if (cli_progress_due(&w->progress))
        cli_progress_show(&w->progress, "scoring %s  %lld of %lld", r->name, (long long)done,
                          (long long)r->n);
}

// All scores of a set; with `logits`, those too.
static cli_status score(work *w, const rows *r, cli_scores *scores, float *logits, cli_error *err)
{
    const int64_t batch = w->args->batch;
    CLI_TRY(cli_scores_alloc(scores, &w->scorer, r->n, err));
    CLI_TRY(cli_range_watch_begin(&w->watch, w->model, batch, err));
    for (int64_t first = 0; first < r->n; first += batch) {
        const int64_t n = r->n - first < batch ? r->n - first : batch;
        show(w, r, first);
        CLI_TRY(get_rows(w, r, first, n, err));
        CLI_TRY(cli_range_watch_rows(&w->watch, n, w->x, err));
        CLI_TRY(cli_scorer_rows(&w->scorer, first, n, w->x, scores,
                                logits != NULL ? logits + first * w->scorer.classes : NULL, err));
        CLI_TRY(cli_scorer_detect(&w->scorer, first, n, w->x, scores, err));
        cli_range_watch_results(&w->watch, first, n, 1, scores->values[0] + first);
    }
    cli_range_watch_say(&w->watch, r->name, &w->progress);
    return CLI_OK;
}

// ---- the sets ----------------------------------------------------------------------------------

static cli_status evaluate_test(work *w, cli_error *err)
{
    cli_evaluation *found = &w->found;
    const rows test = {.name = w->args->data, .n = w->test.n, .data = &w->test};
    if (w->scorer.classes > 1)
        found->labels = w->test.labels;
    if (found->labels != NULL && w->test.n > INT64_MAX / w->scorer.classes)
        return cli_fail(err, "%s has too many rows", w->test.path);
    if (found->labels != NULL)
        CLI_TRY(
            cli_alloc(&found->logits, w->test.n * w->scorer.classes, sizeof *found->logits, err));
    CLI_TRY(score(w, &test, &found->test, found->logits, err));
    return cli_evaluate_test(found, err);
}

static cli_status evaluate_rows(work *w, const rows *r, cli_error *err)
{
    cli_eval_set *set = &w->found.sets[w->found.n_sets++];
    set->name = r->name;
    CLI_TRY(score(w, r, &set->scores, NULL, err));
    return cli_evaluate_set(&w->found, set, err);
}

static cli_status evaluate_path(work *w, const char *path, cli_error *err)
{
    cli_data data;
    CLI_TRY(cli_data_load(&data, path, CLI_TEST, w->args->layout, err));
    cli_data_drop_labels(&data); // they may be of other classes
    cli_data_limit(&data, w->args->limit);
    cli_status status = cli_data_check_model(&data, w->model, err);
    const rows r = {.name = path, .n = data.n, .data = &data};
    if (status == CLI_OK)
        status = evaluate_rows(w, &r, err);
    cli_data_free(&data);
    return status;
}

static cli_status evaluate_named(work *w, const cli_ood_set *set, cli_error *err)
{
    const rows r = {.name = set->name, .n = w->test.n, .set = set};
    return evaluate_rows(w, &r, err);
}

// The named sets that suit the data.
static cli_status evaluate_default_sets(work *w, cli_error *err)
{
    for (int i = 0; i < cli_ood_n_sets; i++)
        if (cli_ood_sets[i].applies(&w->test))
            CLI_TRY(evaluate_named(w, &cli_ood_sets[i], err));
    return CLI_OK;
}

static cli_status evaluate_asked_sets(work *w, cli_error *err)
{
    for (int i = 0; i < w->args->ood.count; i++) {
        const char *name = w->args->ood.items[i];
        const cli_ood_set *set = cli_ood_find(name);
        CLI_TRY(set == NULL ? evaluate_path(w, name, err) : evaluate_named(w, set, err));
    }
    return CLI_OK;
}

static cli_status evaluate_all(work *w, cli_error *err)
{
    CLI_TRY(evaluate_test(w, err));
    if (w->args->ood.count == 0)
        return evaluate_default_sets(w, err);
    return evaluate_asked_sets(w, err);
}

// ---- before the long work ----------------------------------------------------------------------

static cli_status unknown_set(const char *name, cli_error *err)
{
    if (strcmp(name, "fashion-mnist") == 0)
        return CLI_OK; // loading it says which package is missing
    char names[128] = "";
    size_t used = 0;
    for (int i = 0; i < cli_ood_n_sets; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s, ", cli_ood_sets[i].name);
    return cli_usage(err, "--ood %s is neither a set nor data; expected %sor a path of data", name,
                     names);
}

// Can every set be made or found?
static cli_status check_ood_names(const args_t *args, const cli_data *test, cli_error *err)
{
    for (int i = 0; i < args->ood.count; i++) {
        const char *name = args->ood.items[i];
        const cli_ood_set *set = cli_ood_find(name);
        if (set == NULL && !cli_data_exists(name))
            CLI_TRY(unknown_set(name, err));
        if (set != NULL && !set->applies(test))
            return cli_usage(err, "--ood %s is not possible with %lld rows of %dx%dx%d", set->name,
                             (long long)test->n, test->channels, test->height, test->width);
    }
    return CLI_OK;
}

static cli_status check_outputs(const args_t *args, cli_error *err)
{
    if (args->json && cli_files_talk() != stdout)
        return cli_usage(err, "--json is written to standard output; expected other files for "
                              "--html and --png");
    if (args->html != NULL)
        CLI_TRY(cli_output_check(args->html, err));
    return args->png != NULL ? cli_output_check(args->png, err) : CLI_OK;
}

static cli_status prepare(work *w, cli_error *err)
{
    const args_t *args = w->args;
    jem_model_info info;
    CLI_TRY(cli_model_load(&w->model, args->model, &args->exec, err));
    CLI_TRY(cli_model_info(w->model, &info, err));
    CLI_TRY(cli_data_load(&w->test, args->data, CLI_TEST, args->layout, err));
    CLI_TRY(cli_data_suit_model(&w->test, w->model, err));
    cli_data_limit(&w->test, args->limit);
    CLI_TRY(check_ood_names(args, &w->test, err));
    CLI_TRY(check_outputs(args, err));
    CLI_TRY(cli_alloc(&w->x, args->batch * info.input_size, sizeof *w->x, err));
    CLI_TRY(cli_scorer_begin(&w->scorer, w->model, args->batch, args->refinement, err));
    CLI_TRY(cli_scorer_add_detector(&w->scorer, args->batch, err));
    w->found = (cli_evaluation){.model = args->model,
                                .data = args->data,
                                .temperature = (double)info.temperature,
                                .scorer = &w->scorer,
                                .resamples = args->resamples,
                                .seed = args->seed,
                                .n = w->test.n};
    CLI_TRY(cli_alloc(&w->found.sets, CLI_LIST_MAX, sizeof *w->found.sets, err));
    return cli_ood_begin(&w->ood, &w->test, w->model, args->seed, err);
}

// ---- what came of it ---------------------------------------------------------------------------

static void report_classification(const cli_evaluation *found, cli_report *report)
{
    const jem_classification *metrics = &found->classification;
    if (found->temperature != 1.0)
        cli_report_number(report, "temperature", "temperature", found->temperature, 4,
                          "(of NLL, ECE and Brier score)");
    cli_report_number(report, "accuracy", "accuracy", metrics->accuracy, 4, "");
    cli_report_number(report, "nll", "NLL", metrics->nll, 4, "nats");
    cli_report_number(report, "ece", "ECE", metrics->ece, 4, "(15 bins)");
    cli_report_number(report, "brier", "Brier score", metrics->brier, 4, "");
}

static double mean_energy(const cli_evaluation *found)
{
    double sum = 0.0;
    for (int64_t i = 0; i < found->n; i++)
        sum += (double)found->test.values[0][i];
    return sum / (double)found->n;
}

static void print_promise(const cli_evaluation *found, FILE *to)
{
    const jem_detector_info *promise = &found->scorer->promise;
    fprintf(to, "%-18s %.4f of the test rows, %.4g promised", "flagged", found->false_positive_rate,
            promise->fpr);
    if (promise->confidence > 0.0)
        fprintf(to, " with confidence %.4g", promise->confidence);
    putc('\n', to);
}

static void print_tables(const cli_evaluation *found, FILE *to)
{
    if (found->scorer->detector != NULL)
        print_promise(found, to);
    cli_eval_tables(found, to);
    fputs("\nAUROC: the chance that a row of the set scores as more unusual than a test row;\n"
          "0.5 is a guess, 1 is perfect.\n",
          to);
    if (found->resamples > 0)
        fputs("Below each stands its 95 % interval.\n", to);
    if (found->scorer->detector != NULL)
        fputs("flagged: the share of rows that the model's detector takes for outliers.\n", to);
}

static cli_status report_all(const cli_evaluation *found, bool json, cli_error *err)
{
    cli_report report;
    CLI_TRY(cli_report_begin(&report, json, err));
    cli_report_text(&report, "model", "model", found->model);
    cli_report_text(&report, "data", "data", found->data);
    cli_report_count(&report, "n", "test rows", found->n);
    if (found->labels != NULL)
        report_classification(found, &report);
    else
        cli_report_number(&report, "mean_energy", "mean energy", mean_energy(found), 4, "");
    if (json)
        cli_eval_json(found, report.root);
    else
        print_tables(found, report.to);
    return cli_report_end(&report, err);
}

static cli_status evaluate(work *w, cli_error *err)
{
    CLI_TRY(prepare(w, err));
    cli_progress_begin(&w->progress, INFINITY);
    const cli_status status = evaluate_all(w, err);
    cli_progress_end(&w->progress);
    CLI_TRY(status);
    CLI_TRY(report_all(&w->found, w->args->json, err));
    if (w->args->html != NULL)
        CLI_TRY(cli_eval_html(&w->found, w->args->html, err));
    return w->args->png != NULL ? cli_eval_png(&w->found, w->args->png, err) : CLI_OK;
}

static cli_status run(const void *args, cli_error *err)
{
    work w = {.args = args};
    const cli_status status = evaluate(&w, err);
    cli_evaluation_free(&w.found);
    free(w.x);
    cli_range_watch_end(&w.watch);
    cli_scorer_end(&w.scorer);
    cli_ood_end(&w.ood);
    cli_data_free(&w.test);
    jem_model_destroy(w.model);
    return status;
}

const cli_command cli_eval = {
    .name = "eval",
    .summary = "accuracy, calibration and out-of-distribution detection on test data",
    .usage = "--model FILE --data PATH [--ood NAME|PATH ...] [options]",
    .description = "Evaluates a model on the test split of a data set: accuracy, negative "
                   "log-likelihood (NLL), expected calibration error (ECE) and Brier score, and "
                   "for every outlier score the area under the ROC curve (AUROC) of telling other "
                   "sets from the test set. Where the model has a calibrated detector, its scores "
                   "are among them, and the share of rows that it flags is told. Of unlabelled "
                   "data, or by a model of one class, the "
                   "mean energy is reported instead of what needs labels. Where the model has a "
                   "temperature (jem train --fit-temperature), NLL, ECE and Brier score are those "
                   "of probabilities at it; scores never are.\n\n"
                   "In JSON, \"auroc\" is the table, and \"ood\" has for every set and score also "
                   "AUPR and FPR95 (the false-positive rate at a true-positive rate of 95 %), "
                   "either with the rows of the set (_out) or with test rows (_in) as the "
                   "positives; \"selective\" has the area below the risk-coverage curve (AURC) of "
                   "leaving out test rows by each score.\n\n"
                   "Sets: uniform (every pixel at random), constant (one random colour), interp "
                   "(the mean of two test images), inverted (black becomes white), rotated (by 90 "
                   "degrees, square images only), shuffled (pixels in random order), or the test "
                   "split of any data path.\n\n" CLI_DATA_HELP,
    .print_more = cli_score_print_kinds,
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
