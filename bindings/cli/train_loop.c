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
    const cli_train_run *run;
    int64_t steps_max; /* 0 = until the time is over */
    double started;
    cli_train_rows all;      /* of the data */
    cli_train_rows labelled; /* those of the terms with labels; n = 0: `all` serve both */
} loop;

// ---- rows --------------------------------------------------------------------------------------

static bool uses_data_rows(const cli_train_args *args)
{
    return args->w_px > 0.0 || args->energy_l2 > 0.0;
}

static cli_status next_batch(loop *l, jem_train_batch *batch, cli_error *err)
{
    const cli_train_run *run = l->run;
    const bool apart = l->labelled.n > 0;
    CLI_TRY(cli_jem(err, jem_train_batch_init(batch, sizeof *batch)));
    batch->n_samples = run->sampler != NULL ? run->args->chains : 0;
    if (!apart || uses_data_rows(run->args))
        CLI_TRY(cli_train_rows_next(&l->all, &run->data, run->model, err));
    if (apart)
        CLI_TRY(cli_train_rows_next(&l->labelled, &run->data, run->model, err));
    if (run->data.labels == NULL || (apart && uses_data_rows(run->args))) {
        batch->n_data = l->all.batch;
        batch->x_data = l->all.x;
    }
    if (run->data.labels == NULL)
        return CLI_OK;
    const cli_train_rows *labelled = apart ? &l->labelled : &l->all;
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
    means->accuracy += share * (stats->accuracy - means->accuracy);
}

static void show_progress(cli_progress *progress, const loop *l, const cli_train_result *result)
{
    const double elapsed = cli_seconds() - l->started;
    const double fraction = fraction_done(l, result->steps);
    const double left =
        l->steps_max > 0 ? elapsed * (1.0 / fraction - 1.0) : l->run->args->seconds - elapsed;
    const cli_train_means *means = &result->means;
    char eta[32];
    cli_progress_show(
        progress, "%3.0f%%  step %lld  %.1f it/s  ETA %s  loss %.3f  ce %.3f  gap %.3f  acc %.1f%%",
        100.0 * (fraction < 1.0 ? fraction : 1.0), (long long)result->steps,
        (double)result->steps / elapsed, cli_progress_time(left > 0.0 ? left : 0.0, eta),
        means->loss, means->loss_pyx, means->gap, 100.0 * means->accuracy);
}

// ---- the loop ----------------------------------------------------------------------------------

static cli_status one_step(loop *l, const jem_train_config *config, cli_train_result *result,
                           cli_error *err)
{
    jem_train_batch batch;
    jem_train_stats stats = {.struct_size = sizeof stats};
    const cli_train_run *run = l->run;
    const double done = fraction_done(l, result->steps);
    CLI_TRY(next_batch(l, &batch, err));
    CLI_TRY(cli_jem(err, jem_optimizer_set_progress(run->optimizer, done < 1.0 ? (float)done : 1)));
    result->status =
        jem_train_step(run->model, run->optimizer, run->sampler, config, &batch, &stats);
    if (result->status != JEM_OK)
        return CLI_OK; // the caller decides what to save
    result->steps++;
    update_means(&result->means, &stats);
    if (run->log != NULL)
        cli_train_log(run->log, &stats, cli_seconds() - l->started);
    return CLI_OK;
}

static bool goes_on(const loop *l, const cli_train_result *result)
{
    return result->status == JEM_OK && fraction_done(l, result->steps) < 1.0;
}

static cli_status train(loop *l, cli_train_result *result, cli_error *err)
{
    const cli_train_args *args = l->run->args;
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
    config.progress = cli_stop_progress;
    cli_progress progress;
    cli_progress_begin(&progress, plain_line_seconds);
    cli_status status = CLI_OK;
    while (status == CLI_OK && goes_on(l, result)) {
        if (cli_stop_signal() != 0) {
            result->status = JEM_ECANCELLED;
            break;
        }
        status = one_step(l, &config, result, err);
        if (result->steps > 0 && cli_progress_due(&progress))
            show_progress(&progress, l, result);
    }
    if (!progress.terminal && result->steps > 0)
        show_progress(&progress, l, result);
    cli_progress_end(&progress);
    result->seconds = cli_seconds() - l->started;
    return status;
}

static cli_status prepare_rows(loop *l, cli_error *err)
{
    const cli_train_args *args = l->run->args;
    const cli_data *data = &l->run->data;
    jem_model_info info;
    CLI_TRY(cli_model_info(l->run->model, &info, err));
    CLI_TRY(cli_train_rows_init(&l->all, data, info.classes, 0, args->batch, args->seed, err));
    const bool apart = args->labels_per_class > 0 || args->labelled_batch > 0;
    if (!apart || data->labels == NULL)
        return CLI_OK;
    const int64_t batch = args->labelled_batch > 0 ? args->labelled_batch : args->batch;
    return cli_train_rows_init(&l->labelled, data, info.classes, args->labels_per_class, batch,
                               ~args->seed, err);
}

cli_status cli_train_loop(cli_train_run *run, cli_train_result *result, cli_error *err)
{
    const cli_train_args *args = run->args;
    loop l = {.run = run, .started = cli_seconds()};
    *result = (cli_train_result){.status = JEM_OK};
    cli_status status = prepare_rows(&l, err);
    if (status == CLI_OK) {
        const int64_t per_epoch = l.all.n / l.all.batch;
        l.steps_max = args->steps > 0 ? args->steps : args->epochs * per_epoch;
        status = train(&l, result, err);
    }
    cli_train_rows_free(&l.all);
    cli_train_rows_free(&l.labelled);
    return status;
}
