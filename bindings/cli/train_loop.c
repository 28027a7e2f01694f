/*
 * The loop of training steps: the batch of each, how far the run is, when to end, and the line of
 * progress. Nothing here knows files or options' spelling.
 */
#include "progress.h"
#include "stop.h"
#include "train.h"
#include "train_rows.h"

static const double plain_line_seconds = 5.0;

typedef struct loop {
    cli_train_run *run;
    int64_t steps_max;   /* 0 = until the time is over */
    int64_t steps_begun; /* done before this session */
    double started;      /* as if in one session */
    cli_progress progress;
} loop;

// ---- rows --------------------------------------------------------------------------------------

static bool uses_data_rows(const cli_train_args *args)
{
    return args->w_px > 0.0 || args->energy_l2 > 0.0 || args->outliers != NULL;
}

static cli_status add_outliers(cli_train_run *run, jem_train_batch *batch, cli_error *err)
{
    if (run->outlier_rows.n == 0)
        return CLI_OK;
    CLI_TRY(cli_train_rows_next(&run->outlier_rows, &run->outliers, run->model, err));
    batch->n_outliers = run->outlier_rows.batch;
    batch->x_outliers = run->outlier_rows.x;
    return CLI_OK;
}

static cli_status next_batch(loop *l, jem_train_batch *batch, cli_error *err)
{
    cli_train_run *run = l->run;
    const bool apart = run->labelled.n > 0;
    CLI_TRY(cli_jem(err, jem_train_batch_init(batch, sizeof *batch)));
    batch->n_samples = run->sampler != NULL ? run->args->chains : 0;
    run->batches++;
    CLI_TRY(add_outliers(run, batch, err));
    if (!apart || uses_data_rows(run->args))
        CLI_TRY(cli_train_rows_next(&run->all, &run->data, run->model, err));
    if (apart)
        CLI_TRY(cli_train_rows_next(&run->labelled, &run->data, run->model, err));
    if (run->data.labels == NULL || (apart && uses_data_rows(run->args))) {
        batch->n_data = run->all.batch;
        batch->x_data = run->all.x;
    }
    if (run->data.labels == NULL)
        return CLI_OK;
    const cli_train_rows *labelled = apart ? &run->labelled : &run->all;
    batch->n_labelled = labelled->batch;
    batch->x_labelled = labelled->x;
    batch->y_labelled = labelled->labels;
    return CLI_OK;
}

// ---- time --------------------------------------------------------------------------------------

// How much of the run is done, 0..1 and beyond.
static double fraction_done(const loop *l, int64_t steps)
{
    if (l->steps_max > 0)
        return (double)steps / (double)l->steps_max;
    return (cli_seconds() - l->started) / l->run->args->seconds;
}

// ---- progress ----------------------------------------------------------------------------------

// Means over about the last hundred steps, or over all while there are fewer.
static void update_means(cli_train_means *means, const jem_train_stats *stats)
{
    means->weight = means->weight * 0.99 + 0.01;
    const double share = 0.01 / means->weight;
    means->loss += share * (stats->loss - means->loss);
    means->loss_pyx += share * (stats->loss_pyx - means->loss_pyx);
    means->gap += share * (stats->gap - means->gap);
    means->loss_outlier += share * (stats->loss_outlier - means->loss_outlier);
    means->accuracy += share * (stats->accuracy - means->accuracy);
}

static void show_progress(loop *l, const cli_train_result *result)
{
    const double elapsed = cli_seconds() - l->started;
    const double fraction = fraction_done(l, result->steps);
    const double left =
        l->steps_max > 0 ? elapsed * (1.0 / fraction - 1.0) : l->run->args->seconds - elapsed;
    const cli_train_means *means = &result->means;
    const cli_train_figures *val = &l->run->latest;
    char eta[32], out[32] = "", validation[64] = "";
    if (val->step > 0)
        snprintf(validation, sizeof validation, "  val acc %.1f%%  nll %.3f", 100.0 * val->accuracy,
                 val->nll);
    if (l->run->outlier_rows.n > 0)
        snprintf(out, sizeof out, "  out %.3f", means->loss_outlier);
    cli_progress_show(
        &l->progress,
        "%3.0f%%  step %lld  %.1f it/s  ETA %s  loss %.3f  ce %.3f  gap %.3f%s  acc %.1f%%%s",
        100.0 * (fraction < 1.0 ? fraction : 1.0), (long long)result->steps,
        (double)result->steps / elapsed, cli_progress_time(left > 0.0 ? left : 0.0, eta),
        means->loss, means->loss_pyx, means->gap, out, 100.0 * means->accuracy, validation);
}

// ---- the loop ----------------------------------------------------------------------------------

// A full disk costs the checkpoint, not the run.
static void save_when_due(loop *l, const cli_train_result *result)
{
    cli_error err;
    const cli_train_args *args = l->run->args;
    if (args->checkpoint == NULL || result->steps % args->checkpoint_every != 0)
        return;
    l->run->seconds = cli_seconds() - l->started;
    if (cli_train_save_checkpoint(l->run, &err) != CLI_OK)
        cli_progress_say(&l->progress, "no checkpoint of step %lld, training goes on: %s",
                         (long long)result->steps, err.text);
}

// Lack of memory for it does not cost the run either.
static bool validate_when_due(loop *l, int64_t step)
{
    cli_error err;
    if (!cli_train_validation_due(l->run, step))
        return false;
    if (cli_train_validate(l->run, step, &err) == CLI_OK)
        return true;
    cli_progress_say(&l->progress, "no validation of step %lld, training goes on: %s",
                     (long long)step, err.text);
    return false;
}

static cli_status one_step(loop *l, const jem_train_config *config, cli_train_result *result,
                           cli_error *err)
{
    jem_train_batch batch;
    jem_train_stats stats = {.struct_size = sizeof stats};
    const cli_train_run *run = l->run;
    const double done = fraction_done(l, result->steps);
    CLI_TRY(next_batch(l, &batch, err));
    CLI_TRY(cli_jem(err, jem_optimizer_set_progress(run->optimizer, done < 1.0 ? (float)done : 1)));
    result->tried = result->steps + 1;
    result->status =
        jem_train_step(run->model, run->optimizer, run->sampler, config, &batch, &stats);
    const bool undone = stats.event == JEM_EVENT_ROLLBACK; // the last one is JEM_EDIVERGED
    if (result->status != JEM_OK && !undone)
        return CLI_OK; // the caller decides what to save
    result->steps = stats.step;
    result->new_steps = result->steps - l->steps_begun;
    const bool validated = !undone && validate_when_due(l, result->steps);
    if (run->log != NULL)
        cli_train_log(run->log, &stats, cli_seconds() - l->started,
                      validated ? &run->latest : NULL);
    if (!undone) {
        update_means(&result->means, &stats);
        save_when_due(l, result);
    }
    return CLI_OK;
}

static bool goes_on(const loop *l, cli_train_result *result)
{
    const int64_t stop_after = l->run->args->stop_after;
    if (result->status != JEM_OK || !(fraction_done(l, result->steps) < 1.0))
        return false;
    result->paused = stop_after > 0 && result->new_steps >= stop_after;
    if (cli_stop_signal() != 0)
        result->status = JEM_ECANCELLED;
    return !result->paused && result->status == JEM_OK;
}

static cli_status make_config(const cli_train_args *args, jem_train_config *out, cli_error *err)
{
    jem_train_config config;
    CLI_TRY(cli_jem(err, jem_train_config_init(&config, sizeof config)));
    config.w_px = (float)args->w_px;
    config.w_pyx = (float)args->w_pyx;
    config.w_pxy = (float)args->w_pxy;
    config.energy_l2 = (float)args->energy_l2;
    config.input_noise = (float)args->input_noise;
    config.augment_crop = (int32_t)args->crop;
    config.augment_flip = args->flip;
    config.augment_data = args->augment_data;
    config.w_outlier = args->outliers != NULL ? (float)args->outlier_weight : 0.0f;
    config.outlier_m_in = (float)args->outlier_in;
    config.outlier_m_out = (float)args->outlier_out;
    config.logit_norm = (float)args->logit_norm;
    config.guard = !args->no_guard;
    config.guard_tries = (int32_t)args->guard_tries;
    config.guard_every = (int32_t)args->guard_every;
    // A step that ends half-way has moved the chains on; one that is to be resumed is finished.
    if (args->checkpoint == NULL)
        config.progress = cli_stop_progress;
    *out = config;
    return CLI_OK;
}

static cli_status train(loop *l, cli_train_result *result, cli_error *err)
{
    jem_train_config config;
    CLI_TRY(make_config(l->run->args, &config, err));
    cli_progress_begin(&l->progress, plain_line_seconds);
    jem_set_log(cli_progress_log, &l->progress);
    cli_status status = CLI_OK;
    while (status == CLI_OK && goes_on(l, result)) {
        status = one_step(l, &config, result, err);
        if (result->new_steps > 0 && cli_progress_due(&l->progress))
            show_progress(l, result);
    }
    l->run->seconds = cli_seconds() - l->started;
    if (!l->progress.terminal && result->new_steps > 0)
        show_progress(l, result);
    cli_progress_end(&l->progress);
    jem_set_log(cli_progress_log, NULL);
    return status;
}

int64_t cli_train_steps(const cli_train_run *run)
{
    const cli_train_args *args = run->args;
    return args->steps > 0 ? args->steps : args->epochs * (run->all.n / run->all.batch);
}

cli_status cli_train_loop(cli_train_run *run, cli_train_result *result, cli_error *err)
{
    loop l = {.run = run, .started = cli_seconds() - run->seconds};
    *result = (cli_train_result){.status = JEM_OK};
    CLI_TRY(cli_jem(err, jem_optimizer_get(run->optimizer, NULL, &l.steps_begun)));
    result->steps = l.steps_begun;
    cli_train_rows_skip(&run->all, run->batches);
    if (run->labelled.n > 0)
        cli_train_rows_skip(&run->labelled, run->batches);
    if (run->outlier_rows.n > 0)
        cli_train_rows_skip(&run->outlier_rows, run->batches);
    l.steps_max = cli_train_steps(run);
    return train(&l, result, err);
}
