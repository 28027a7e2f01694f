/*
 * Rows that a run holds out: which they are, what the network makes of them now and then, and the
 * parameters that did best.
 */
#include <stdlib.h>
#include <string.h>

#include "hold_out.h"
#include "progress.h"
#include "range_watch.h"
#include "train.h"

typedef cli_train_args args_t;

const cli_choice cli_train_keeps[] = {{"none", CLI_TRAIN_KEEP_NONE},
                                      {"accuracy", CLI_TRAIN_KEEP_ACCURACY},
                                      {"nll", CLI_TRAIN_KEEP_NLL},
                                      {NULL, 0}};

enum { DEFAULT_ROWS_MIN = 20, BATCH = 256, INTERVAL_MIN = 50 };

// ---- the options -------------------------------------------------------------------------------

// Labels that are to be hidden are not for choosing a model by, unless that is asked for.
static bool by_default(const cli_train_run *run)
{
    const cli_data *data = &run->data;
    return !data->has_test && data->labels != NULL && run->args->w_pyx > 0.0 &&
           run->args->labels_per_class == 0 &&
           floor((double)data->n * CLI_HOLD_OUT_PART) >= DEFAULT_ROWS_MIN;
}

static void say_held_out(const cli_train_run *run, int64_t n, bool unasked)
{
    cli_progress none = {.terminal = false};
    if (unasked)
        cli_progress_say(&none,
                         "%s has no test rows of its own: %lld of its %lld rows are held out for "
                         "validation, drawn by the seed; --validation 0 trains on all of them",
                         run->data.path, (long long)run->validation.n, (long long)n);
    else
        cli_progress_say(&none, "%lld of %lld rows are held out for validation, drawn by the seed",
                         (long long)run->validation.n, (long long)n);
}

static cli_status check_asked(const cli_train_run *run, cli_error *err)
{
    const args_t *args = run->args;
    const bool labels = run->data.labels != NULL;
    if (args->validation == 0.0 && args->keep_best > CLI_TRAIN_KEEP_NONE)
        return cli_usage(err,
                         "--keep-best has no rows to choose by; expected --validation above 0");
    if (args->validation == 0.0 && args->fit_temperature)
        return cli_usage(err,
                         "--fit-temperature has no rows to fit to; expected --validation above 0");
    if (args->validation > 0.0 && !labels)
        return cli_usage(err,
                         "--validation is for labelled data; expected labels in %s, and "
                         "--w-pyx above 0",
                         run->data.path);
    return CLI_OK;
}

cli_status cli_train_hold_out(cli_train_run *run, cli_error *err)
{
    args_t *args = run->args;
    const int64_t n = run->data.n;
    const bool unasked = isnan(args->validation);
    if (unasked)
        args->validation = by_default(run) ? CLI_HOLD_OUT_PART : 0.0;
    CLI_TRY(check_asked(run, err));
    if (args->keep_best == 0)
        args->keep_best = args->validation > 0.0 ? CLI_TRAIN_KEEP_ACCURACY : CLI_TRAIN_KEEP_NONE;
    if (args->validation == 0.0)
        return CLI_OK;
    CLI_TRY(cli_hold_out(&run->data, args->validation, args->seed, &run->validation, err));
    if (run->validation.n == 0)
        return cli_usage(err, "--validation %g of %lld rows are none; expected more",
                         args->validation, (long long)n);
    say_held_out(run, n, unasked);
    return CLI_OK;
}

// ---- what the network makes of them ------------------------------------------------------------

static cli_status compute_logits(const cli_train_run *run, const jem_model *model, float *logits,
                                 cli_error *err)
{
    const cli_data *data = &run->validation;
    jem_model_info info;
    float *x;
    CLI_TRY(cli_model_info(model, &info, err));
    CLI_TRY(cli_alloc(&x, BATCH * info.input_size, sizeof *x, err));
    cli_status status = CLI_OK;
    for (int64_t first = 0; status == CLI_OK && first < data->n; first += BATCH) {
        const int64_t n = data->n - first < BATCH ? data->n - first : BATCH;
        status = cli_data_inputs(data, model, NULL, first, n, x, err);
        if (status == CLI_OK)
            status = cli_jem(err, jem_logits(model, n, x, logits + first * info.classes));
    }
    free(x);
    return status;
}

static cli_status get_logits(const cli_train_run *run, const jem_model *model, float **logits,
                             int32_t *classes, cli_error *err)
{
    jem_model_info info;
    CLI_TRY(cli_model_info(model, &info, err));
    *classes = info.classes;
    CLI_TRY(cli_alloc(logits, run->validation.n * info.classes, sizeof **logits, err));
    const cli_status status = compute_logits(run, model, *logits, err);
    if (status != CLI_OK)
        free(*logits);
    return status;
}

// Logits that overflow are the worst there are, not the end of the run.
static cli_status measure(const cli_train_run *run, const jem_model *model,
                          cli_train_figures *figures, cli_error *err)
{
    float *logits;
    int32_t classes;
    const int64_t n = run->validation.n;
    CLI_TRY(get_logits(run, model, &logits, &classes, err));
    jem_classification metrics = {.struct_size = sizeof metrics, .accuracy = 0.0, .nll = INFINITY};
    cli_status status = CLI_OK;
    if (cli_all_finite(logits, n * classes))
        status = cli_jem(err, jem_classification_metrics(n, classes, logits, run->validation.labels,
                                                         1.0, 15, &metrics));
    free(logits);
    figures->accuracy = metrics.accuracy;
    figures->nll = metrics.nll;
    return status;
}

// ---- the best ----------------------------------------------------------------------------------

// The parameters that a run would end with now: the last, or their average.
static cli_status get_params(const cli_train_run *run, float **params, int64_t *count,
                             cli_error *err)
{
    jem_model_info info;
    CLI_TRY(cli_model_info(run->model, &info, err));
    *count = info.param_count;
    CLI_TRY(cli_alloc(params, info.param_count, sizeof **params, err));
    const jem_status status = run->args->ema > 0.0
                                  ? jem_optimizer_get_ema(run->optimizer, *count, *params)
                                  : jem_model_get_params(run->model, *count, *params);
    if (status != JEM_OK)
        free(*params);
    return cli_jem(err, status);
}

// The average is looked at in a model of its own.
static cli_status find_judged(cli_train_run *run, const float *params, int64_t count,
                              const jem_model **judged, cli_error *err)
{
    *judged = run->model;
    if (run->args->ema == 0.0)
        return CLI_OK;
    jem_exec_config exec;
    CLI_TRY(cli_exec_config(&run->args->exec, &exec, err));
    if (run->judge == NULL)
        CLI_TRY(cli_jem(err, jem_model_clone(&run->judge, run->model, &exec)));
    *judged = run->judge;
    return cli_jem(err, jem_model_set_params(run->judge, count, params));
}

// Of equals the later one, as training has gone on for all that is not measured here.
static bool is_best(const cli_train_run *run, const cli_train_figures *now)
{
    const cli_train_figures *best = &run->best;
    if (best->step == 0)
        return true;
    return run->args->keep_best == CLI_TRAIN_KEEP_NLL ? now->nll <= best->nll
                                                      : now->accuracy >= best->accuracy;
}

static cli_status judge(cli_train_run *run, const float *params, int64_t count, int64_t step,
                        cli_error *err)
{
    cli_train_figures now = {.step = step};
    const jem_model *judged;
    CLI_TRY(find_judged(run, params, count, &judged, err));
    CLI_TRY(measure(run, judged, &now, err));
    run->latest = now;
    if (run->args->keep_best == CLI_TRAIN_KEEP_NONE || !is_best(run, &now))
        return CLI_OK;
    CLI_TRY(cli_jem(err, jem_optimizer_set_kept(run->optimizer, count, params)));
    run->best = now;
    return CLI_OK;
}

cli_status cli_train_validate(cli_train_run *run, int64_t step, cli_error *err)
{
    float *params;
    int64_t count;
    if (run->validation.n == 0)
        return CLI_OK;
    CLI_TRY(get_params(run, &params, &count, err));
    const cli_status status = judge(run, params, count, step, err);
    free(params);
    return status;
}

bool cli_train_validation_due(const cli_train_run *run, int64_t step)
{
    const int64_t pass = run->all.n / run->all.batch;
    return run->validation.n > 0 && step % (pass > INTERVAL_MIN ? pass : INTERVAL_MIN) == 0;
}

cli_status cli_train_take_best(const cli_train_run *run, cli_error *err)
{
    jem_model_info info;
    float *params;
    CLI_TRY(cli_model_info(run->model, &info, err));
    CLI_TRY(cli_alloc(&params, info.param_count, sizeof *params, err));
    jem_status status = run->best.step > 0
                            ? jem_optimizer_get_kept(run->optimizer, info.param_count, params)
                            : jem_optimizer_get_ema(run->optimizer, info.param_count, params);
    if (status == JEM_OK)
        status = jem_model_set_params(run->model, info.param_count, params);
    free(params);
    return cli_jem(err, status);
}

// ---- temperature -------------------------------------------------------------------------------

cli_status cli_train_fit_temperature(const cli_train_run *run, cli_error *err)
{
    float *logits, temperature;
    int32_t classes;
    CLI_TRY(get_logits(run, run->model, &logits, &classes, err));
    jem_status status = jem_fit_temperature(run->validation.n, classes, logits,
                                            run->validation.labels, &temperature);
    if (status == JEM_OK)
        status = jem_model_set_temperature(run->model, temperature);
    free(logits);
    return cli_jem(err, status);
}
