/*
 * jem eval: how well a model classifies its test set, and how well each of its outlier scores
 * tells other inputs from that set.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "groups.h"
#include "layout.h"
#include "ood.h"
#include "range_watch.h"
#include "report.h"

typedef struct args_t {
    const char *model, *data;
    cli_list ood;
    int64_t limit, batch;
    int32_t layout;
    uint64_t seed;
    bool json;
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
    CLI_ROW_SEED("seed", args_t, seed, "of the random sets"),
    CLI_EXEC_ROWS(args_t, exec),
    CLI_ROW_FLAG("json", args_t, json, "report as JSON"),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.batch = 256};
}

enum { SCORES_MAX = 3 };
static const struct {
    int32_t kind;
    const char *name;
    int32_t classes_min; // for the score to say anything
} scores_known[SCORES_MAX] = {{JEM_SCORE_ENERGY, "energy", 1},
                              {JEM_SCORE_MAX_SOFTMAX, "max-softmax", 2},
                              {JEM_SCORE_GRADIENT_NORM, "gradient-norm", 1}};

typedef struct evaluation {
    const args_t *args;
    jem_model *model;
    int32_t classes;
    jem_model_info info;
    cli_data test;
    cli_ood ood;
    int n_scores; // those that the model can give
    int32_t score_kinds[SCORES_MAX];
    const char *score_names[SCORES_MAX];
    float *x;                      // one batch
    float *scores[SCORES_MAX];     // of the test set
    float *ood_scores[SCORES_MAX]; // of the set at hand
    cli_range_watch watch;         // over the set at hand
    cli_progress progress;
} evaluation;

// A set of rows, of whichever origin.
typedef struct rows {
    const char *name;
    int64_t n;
    const cli_data *data;   // a data set as it is
    const cli_ood_set *set; // or made from the test set
} rows;

static cli_status get_rows(const evaluation *e, const rows *r, int64_t first, int64_t n,
                           cli_error *err)
{
    if (r->set != NULL)
        return cli_ood_rows(&e->ood, r->set, first, n, e->x, err);
    return cli_data_inputs(r->data, e->model, NULL, first, n, e->x, err);
}

static void show(evaluation *e, const rows *r, int64_t done)
{
    if (cli_progress_due(&e->progress))
        cli_progress_show(&e->progress, "scoring %s  %lld of %lld", r->name, (long long)done,
                          (long long)r->n);
}

// All scores of a set; with `logits`, those too.
static cli_status score(evaluation *e, const rows *r, float *const *scores, float *logits,
                        cli_error *err)
{
    CLI_TRY(cli_range_watch_begin(&e->watch, e->model, e->args->batch, err));
    for (int64_t first = 0; first < r->n; first += e->args->batch) {
        const int64_t left = r->n - first;
        const int64_t n = left < e->args->batch ? left : e->args->batch;
        show(e, r, first);
        CLI_TRY(get_rows(e, r, first, n, err));
        CLI_TRY(cli_range_watch_rows(&e->watch, n, e->x, err));
        for (int k = 0; k < e->n_scores; k++)
            CLI_TRY(cli_jem(
                err, jem_score(e->model, e->score_kinds[k], NULL, n, e->x, scores[k] + first)));
        if (logits != NULL)
            CLI_TRY(cli_jem(err, jem_logits(e->model, n, e->x, logits + first * e->classes)));
        cli_range_watch_results(&e->watch, first, n, 1, scores[0] + first);
    }
    cli_range_watch_say(&e->watch, r->name, &e->progress);
    return CLI_OK;
}

// ---- the test set ------------------------------------------------------------------------------

static void report_metrics(cli_report *report, const jem_classification *metrics)
{
    cli_report_number(report, "accuracy", "accuracy", metrics->accuracy, 4, "");
    cli_report_number(report, "nll", "NLL", metrics->nll, 4, "nats");
    cli_report_number(report, "ece", "ECE", metrics->ece, 4, "(15 bins)");
    cli_report_number(report, "brier", "Brier score", metrics->brier, 4, "");
}

static cli_status evaluate_test(evaluation *e, jem_classification *metrics, bool *has_metrics,
                                cli_error *err)
{
    const rows test = {.name = e->args->data, .n = e->test.n, .data = &e->test};
    *has_metrics = e->test.labels != NULL && e->classes > 1;
    float *logits = NULL;
    if (*has_metrics && e->test.n > INT64_MAX / e->classes)
        return cli_fail(err, "%s has too many rows", e->test.path);
    if (*has_metrics)
        CLI_TRY(cli_alloc(&logits, e->test.n * e->classes, sizeof *logits, err));
    cli_status status = score(e, &test, e->scores, logits, err);
    *metrics = (jem_classification){.struct_size = sizeof *metrics};
    if (status == CLI_OK && *has_metrics)
        status =
            cli_jem(err, jem_classification_metrics(e->test.n, e->classes, logits, e->test.labels,
                                                    (double)e->info.temperature, 15, metrics));
    free(logits);
    return status;
}

// ---- out-of-distribution sets ------------------------------------------------------------------

typedef struct auroc_row {
    const char *name;
    double auroc[SCORES_MAX];
} auroc_row;

static cli_status allocate_scores(const evaluation *e, float **scores, int64_t n, cli_error *err)
{
    for (int k = 0; k < e->n_scores; k++) {
        free(scores[k]);
        CLI_TRY(cli_alloc(&scores[k], n, sizeof **scores, err));
    }
    return CLI_OK;
}

static cli_status evaluate_rows(evaluation *e, const rows *r, auroc_row *out, cli_error *err)
{
    out->name = r->name;
    CLI_TRY(allocate_scores(e, e->ood_scores, r->n, err));
    CLI_TRY(score(e, r, e->ood_scores, NULL, err));
    for (int k = 0; k < e->n_scores; k++)
        CLI_TRY(cli_jem(
            err, jem_auroc(e->test.n, e->scores[k], r->n, e->ood_scores[k], &out->auroc[k])));
    return CLI_OK;
}

static cli_status evaluate_path(evaluation *e, const char *path, auroc_row *out, cli_error *err)
{
    cli_data data;
    CLI_TRY(cli_data_load(&data, path, CLI_TEST, e->args->layout, err));
    cli_data_drop_labels(&data); // they may be of other classes
    cli_data_limit(&data, e->args->limit);
    cli_status status = cli_data_check_model(&data, e->model, err);
    const rows r = {.name = path, .n = data.n, .data = &data};
    if (status == CLI_OK)
        status = evaluate_rows(e, &r, out, err);
    cli_data_free(&data);
    return status;
}

static cli_status evaluate_set(evaluation *e, const cli_ood_set *set, auroc_row *out,
                               cli_error *err)
{
    const rows r = {.name = set->name, .n = e->test.n, .set = set};
    return evaluate_rows(e, &r, out, err);
}

// The named sets that suit the data.
static cli_status evaluate_default_sets(evaluation *e, auroc_row *out, int *n, cli_error *err)
{
    for (int i = 0; i < cli_ood_n_sets; i++)
        if (cli_ood_sets[i].applies(&e->test))
            CLI_TRY(evaluate_set(e, &cli_ood_sets[i], &out[(*n)++], err));
    return CLI_OK;
}

static cli_status evaluate_asked_sets(evaluation *e, auroc_row *out, int *n, cli_error *err)
{
    for (int i = 0; i < e->args->ood.count; i++) {
        const char *name = e->args->ood.items[i];
        const cli_ood_set *set = cli_ood_find(name);
        if (set == NULL)
            CLI_TRY(evaluate_path(e, name, &out[(*n)++], err));
        else
            CLI_TRY(evaluate_set(e, set, &out[(*n)++], err));
    }
    return CLI_OK;
}

// ---- the whole ---------------------------------------------------------------------------------

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

// Before the long work: can every set be made or found?
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

static void choose_scores(evaluation *e)
{
    for (int k = 0; k < SCORES_MAX; k++)
        if (e->classes >= scores_known[k].classes_min) {
            e->score_kinds[e->n_scores] = scores_known[k].kind;
            e->score_names[e->n_scores++] = scores_known[k].name;
        }
}

static cli_status prepare(evaluation *e, cli_error *err)
{
    const args_t *args = e->args;
    CLI_TRY(cli_model_load(&e->model, args->model, &args->exec, err));
    CLI_TRY(cli_model_info(e->model, &e->info, err));
    CLI_TRY(cli_data_load(&e->test, args->data, CLI_TEST, args->layout, err));
    CLI_TRY(cli_data_suit_model(&e->test, e->model, err));
    cli_data_limit(&e->test, args->limit);
    CLI_TRY(check_ood_names(args, &e->test, err));
    e->classes = e->info.classes;
    CLI_TRY(cli_alloc(&e->x, args->batch * e->info.input_size, sizeof *e->x, err));
    choose_scores(e);
    CLI_TRY(allocate_scores(e, e->scores, e->test.n, err));
    return cli_ood_begin(&e->ood, &e->test, e->model, args->seed, err);
}

static double mean_energy(const evaluation *e)
{
    double sum = 0.0;
    for (int64_t i = 0; i < e->test.n; i++)
        sum += (double)e->scores[0][i];
    return sum / (double)e->test.n;
}

static cli_status report_all(const evaluation *e, const jem_classification *metrics,
                             const auroc_row *rows_out, int n_rows, cli_error *err)
{
    cli_report report;
    CLI_TRY(cli_report_begin(&report, e->args->json, err));
    cli_report_text(&report, "model", "model", e->args->model);
    cli_report_text(&report, "data", "data", e->args->data);
    cli_report_count(&report, "n", "test rows", e->test.n);
    if (metrics != NULL && e->info.temperature != 1.0f)
        cli_report_number(&report, "temperature", "temperature", (double)e->info.temperature, 4,
                          "(of NLL, ECE and Brier score)");
    if (metrics != NULL)
        report_metrics(&report, metrics);
    else
        cli_report_number(&report, "mean_energy", "mean energy", mean_energy(e), 4, "");
    cli_table table;
    cli_table_begin(&table, &report, "auroc", "AUROC", e->n_scores, e->score_names);
    for (int i = 0; i < n_rows; i++)
        cli_table_row(&table, rows_out[i].name, rows_out[i].auroc, 4);
    cli_report_note(&report,
                    "\nAUROC: the chance that a row of the set scores as more unusual than a test "
                    "row;\n0.5 is a guess, 1 is perfect. energy is -F(x) = -logsumexp f(x), "
                    "max-softmax is\n-max p(y|x), gradient-norm is |dF/dx|.");
    return cli_report_end(&report, err);
}

static cli_status evaluate(evaluation *e, cli_error *err)
{
    jem_classification metrics;
    bool has_metrics;
    auroc_row table[CLI_LIST_MAX];
    int n_rows = 0;
    CLI_TRY(prepare(e, err));
    cli_progress_begin(&e->progress, INFINITY);
    cli_status status = evaluate_test(e, &metrics, &has_metrics, err);
    if (status == CLI_OK && e->args->ood.count == 0)
        status = evaluate_default_sets(e, table, &n_rows, err);
    else if (status == CLI_OK)
        status = evaluate_asked_sets(e, table, &n_rows, err);
    cli_progress_end(&e->progress);
    if (status != CLI_OK)
        return status;
    return report_all(e, has_metrics ? &metrics : NULL, table, n_rows, err);
}

static cli_status run(const void *args, cli_error *err)
{
    evaluation e = {.args = args};
    const cli_status status = evaluate(&e, err);
    for (int k = 0; k < SCORES_MAX; k++) {
        free(e.scores[k]);
        free(e.ood_scores[k]);
    }
    free(e.x);
    cli_range_watch_end(&e.watch);
    cli_ood_end(&e.ood);
    cli_data_free(&e.test);
    jem_model_destroy(e.model);
    return status;
}

const cli_command cli_eval = {
    .name = "eval",
    .summary = "accuracy, calibration and out-of-distribution detection on test data",
    .usage = "--model FILE --data PATH [--ood NAME|PATH ...] [options]",
    .description = "Evaluates a model on the test split of a data set: accuracy, negative "
                   "log-likelihood (NLL), expected calibration error (ECE) and Brier score, and "
                   "for every outlier score the area under the ROC curve (AUROC) of telling other "
                   "sets from the test set. Of unlabelled data, or by a model of one class, the "
                   "mean energy is reported instead of what needs labels. Where the model has a "
                   "temperature (jem train --fit-temperature), NLL, ECE and Brier score are those "
                   "of probabilities at it; scores never are.\n\n"
                   "Sets: uniform (every pixel at random), constant (one random colour), interp "
                   "(the mean of two test images), inverted (black becomes white), rotated (by 90 "
                   "degrees, square images only), shuffled (pixels in random order), or the test "
                   "split of any data path.\n\n" CLI_DATA_HELP,
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
