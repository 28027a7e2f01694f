/*
 * The loop of training steps: which rows come next, the learning rate now, when to end, and the
 * line of progress. Nothing here knows files or options' spelling.
 */
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "shuffle.h"
#include "stop.h"
#include "train.h"

static const double plain_line_seconds = 5.0;

typedef struct loop {
    const cli_train_run *run;
    int64_t batch_size, row_size;
    int64_t steps_max; /* 0 = until the time is over */
    double started;
    cli_random random;
    int64_t *order; /* a shuffle of all rows; the next batch begins at `next` */
    int64_t next;
    float *x;
    int64_t *labels;
} loop;

// ---- rows --------------------------------------------------------------------------------------

// Every row comes once per epoch; rows left over by the last full batch wait for the next shuffle.
static const int64_t *next_rows(loop *l)
{
    if (l->next + l->batch_size > l->run->data.n) {
        cli_shuffle(&l->random, l->run->data.n, l->order);
        l->next = 0;
    }
    const int64_t *rows = l->order + l->next;
    l->next += l->batch_size;
    return rows;
}

static cli_status next_batch(loop *l, jem_train_batch *batch, cli_error *err)
{
    const cli_data *data = &l->run->data;
    const int64_t *rows = next_rows(l);
    CLI_TRY(cli_data_inputs(data, l->run->model, rows, 0, l->batch_size, l->x, err));
    CLI_TRY(cli_jem(err, jem_train_batch_init(batch, sizeof *batch)));
    batch->n_samples = l->run->sampler != NULL ? l->run->args->chains : 0;
    if (data->labels == NULL) {
        batch->n_data = l->batch_size;
        batch->x_data = l->x;
        return CLI_OK;
    }
    for (int64_t i = 0; i < l->batch_size; i++)
        l->labels[i] = data->labels[rows[i]];
    batch->n_labelled = l->batch_size;
    batch->x_labelled = l->x;
    batch->y_labelled = l->labels;
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

// Constant, then 0.3 of it from 60 % on, then 0.1 of it from 85 % on.
static float scheduled_lr(const cli_train_args *args, double fraction)
{
    const double factor = fraction < 0.6 ? 1.0 : fraction < 0.85 ? 0.3 : 0.1;
    return (float)(args->lr * factor);
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
    const float lr = scheduled_lr(run->args, fraction_done(l, result->steps));
    CLI_TRY(next_batch(l, &batch, err));
    CLI_TRY(cli_jem(err, jem_optimizer_set_lr(run->optimizer, lr)));
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
    config.energy_l2 = (float)args->energy_l2;
    config.input_noise = (float)args->input_noise;
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

cli_status cli_train_loop(cli_train_run *run, cli_train_result *result, cli_error *err)
{
    const cli_train_args *args = run->args;
    const int64_t n = run->data.n;
    loop l = {.run = run,
              .batch_size = args->batch < n ? args->batch : n,
              .row_size = cli_data_row_size(&run->data),
              .started = cli_seconds(),
              .random = {args->seed},
              .next = n};
    l.steps_max = args->steps > 0    ? args->steps
                  : args->epochs > 0 ? args->epochs * (n / l.batch_size)
                                     : 0;
    *result = (cli_train_result){.status = JEM_OK};
    cli_status status = cli_alloc(&l.order, n, sizeof *l.order, err);
    if (status == CLI_OK)
        status = cli_alloc(&l.x, l.batch_size * l.row_size, sizeof *l.x, err);
    if (status == CLI_OK)
        status = cli_alloc(&l.labels, l.batch_size, sizeof *l.labels, err);
    if (status == CLI_OK) {
        for (int64_t i = 0; i < n; i++)
            l.order[i] = i;
        status = train(&l, result, err);
    }
    free(l.order);
    free(l.x);
    free(l.labels);
    return status;
}
