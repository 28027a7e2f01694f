/*
 * jem sample: Langevin chains of a trained model, as a picture and as an array. Which class each
 * chain gets, and where it stands in the picture, is decided here.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "groups.h"
#include "layout.h"
#include "named_files.h"
#include "png_grid.h"
#include "progress.h"
#include "stop.h"

typedef struct args_t {
    const char *model, *png, *out, *data;
    int64_t n, steps, class_label, scale;
    bool grid;
    int32_t layout;
    uint64_t seed;
    cli_chain_args chain;
    cli_exec_args exec;
} args_t;

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_ROW_INPUT("model", args_t, model, "FILE", "a file written by jem train", CLI_REQUIRED),
    CLI_ROW_COUNT("n", args_t, n, 1, 1e6, "chains; --grid rounds up to equally many of each class",
                  0),
    CLI_ROW_COUNT("steps", args_t, steps, 0, 1e9, "Langevin steps of each chain", 0),
    CLI_ROW_OUTPUT("png", args_t, png, "FILE", "write a picture", 0),
    CLI_ROW_OUTPUT("out", args_t, out, "X.npy", "write the inputs, (n, C, H, W) float32", 0),
    CLI_ROW_COUNT("class", args_t, class_label, 0, 99999,
                  "chains follow E(x, y) for this class; otherwise E(x)", 0),
    CLI_ROW_FLAG("grid", args_t, grid, "a row of chains for every class"),
    CLI_ROW_INPUT("data", args_t, data, "PATH",
                  "training data that chains start from; needed unless --start is uniform", 0),
    CLI_LAYOUT_ROW(args_t, layout),
    CLI_ROW_COUNT("scale", args_t, scale, 1, 64, "pixels of the picture per pixel", 0),
    CLI_ROW_SEED("seed", args_t, seed, "of starts and noise"),
    CLI_EXEC_ROWS(args_t, exec),

    CLI_ROW_HEADING("Chains"),
    CLI_CHAIN_ROWS(args_t, chain),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    args_t *args = out;
    *args = (args_t){.n = 100, .steps = 100, .class_label = -1, .scale = 2};
    cli_chain_defaults(&args->chain);
}

typedef struct work {
    args_t args;
    jem_model *model;
    jem_model_info info;
    jem_sampler *sampler;
    int64_t n;       // chains
    int64_t columns; // of the picture
    int64_t *labels; // NULL = chains follow E(x)
    float *x;
    uint8_t *images; // (n, H, W, C)
    cli_progress progress;
} work;

// ---- before the chains -------------------------------------------------------------------------

static cli_status complete_args(args_t *args, cli_error *err)
{
    if (args->png == NULL && args->out == NULL)
        return cli_usage(err, "nowhere to write to; expected --png FILE or --out X.npy");
    if (args->grid && args->class_label >= 0)
        return cli_usage(err, "--grid shows every class; expected no --class with it");
    if (args->chain.start == 0)
        args->chain.start = args->data != NULL ? JEM_START_GAUSSIAN : JEM_START_UNIFORM;
    if (args->chain.start != JEM_START_UNIFORM && args->data == NULL)
        return cli_usage(err, "--start %s is fitted on data; expected --data PATH with it",
                         cli_choice_name(cli_starts, args->chain.start));
    return CLI_OK;
}

static cli_status choose_labels(work *w, cli_error *err)
{
    const args_t *args = &w->args;
    const int64_t classes = w->info.classes;
    w->columns =
        args->grid ? (args->n + classes - 1) / classes : (int64_t)ceil(sqrt((double)args->n));
    w->n = args->grid ? w->columns * classes : args->n;
    if (!args->grid && args->class_label < 0)
        return CLI_OK;
    if (args->class_label >= w->info.classes)
        return cli_usage(err, "--class is %lld; expected 0..%d, the model's classes",
                         (long long)args->class_label, w->info.classes - 1);
    CLI_TRY(cli_alloc(&w->labels, w->n, sizeof *w->labels, err));
    for (int64_t i = 0; i < w->n; i++)
        w->labels[i] = args->grid ? i / w->columns : args->class_label;
    return CLI_OK;
}

static cli_png_grid picture(const work *w)
{
    return (cli_png_grid){.rows = (w->n + w->columns - 1) / w->columns,
                          .columns = w->columns,
                          .channels = w->info.channels,
                          .height = w->info.height,
                          .width = w->info.width,
                          .scale = (int32_t)w->args.scale,
                          .n = w->n,
                          .images = w->images};
}

static cli_status check_outputs(const work *w, cli_error *err)
{
    const cli_png_grid grid = picture(w);
    if (w->args.png != NULL) {
        CLI_TRY(cli_png_check(&grid, err));
        CLI_TRY(cli_output_check(w->args.png, err));
    }
    return w->args.out != NULL ? cli_output_check(w->args.out, err) : CLI_OK;
}

static cli_status fit_starts(const work *w, cli_error *err)
{
    cli_data data;
    CLI_TRY(cli_data_load(&data, w->args.data, CLI_TRAIN, w->args.layout, err));
    cli_status status = cli_data_suit_model(&data, w->model, err);
    const cli_chain_data from = {.data = &data, .n = data.n, .per_class = true};
    if (status == CLI_OK)
        status = cli_chain_fit(w->sampler, w->model, &from, w->args.seed, err);
    cli_data_free(&data);
    return status;
}

static cli_status create_sampler(work *w, cli_error *err)
{
    jem_sampler_config config;
    CLI_TRY(cli_chain_config(&w->args.chain, w->model, &config, err));
    config.seed = w->args.seed;
    config.capacity = 1; // no replay here
    CLI_TRY(cli_jem_usage(err, jem_sampler_create(&w->sampler, w->model, &config)));
    return w->args.chain.start != JEM_START_UNIFORM ? fit_starts(w, err) : CLI_OK;
}

static cli_status prepare(work *w, cli_error *err)
{
    CLI_TRY(complete_args(&w->args, err));
    CLI_TRY(cli_model_load(&w->model, w->args.model, &w->args.exec, err));
    CLI_TRY(cli_model_info(w->model, &w->info, err));
    CLI_TRY(choose_labels(w, err));
    CLI_TRY(check_outputs(w, err));
    CLI_TRY(create_sampler(w, err));
    return cli_alloc(&w->x, w->n * w->info.input_size, sizeof *w->x, err);
}

// ---- the chains --------------------------------------------------------------------------------

static int32_t show_progress(void *user, int64_t done, int64_t total)
{
    work *w = user;
    if (cli_progress_due(&w->progress))
        cli_progress_show(&w->progress, "sampling  %3.0f%%",
                          total > 0 ? 100.0 * (double)done / (double)total : 0.0);
    return cli_stop_signal() != 0;
}

static cli_status run_chains(work *w, cli_error *err)
{
    CLI_TRY(cli_jem(err, jem_sampler_start(w->sampler, w->n, w->labels, w->x)));
    cli_progress_begin(&w->progress, INFINITY);
    const jem_status status = jem_sampler_run(w->model, w->sampler, w->n, w->labels, w->x,
                                              (int32_t)w->args.steps, show_progress, w);
    cli_progress_end(&w->progress);
    if (status == JEM_ECANCELLED)
        return cli_stopped(err, cli_stop_signal(), "stopped by %s; nothing was written",
                           cli_stop_name());
    return cli_jem(err, status);
}

// ---- after the chains --------------------------------------------------------------------------

static cli_status write_array(work *w, cli_error *err)
{
    const int64_t shape[] = {w->n, w->info.channels, w->info.height, w->info.width};
    if (w->info.height == 1 && w->info.width == 1) // a table has the units that it had in training
        CLI_TRY(cli_jem(err, jem_input_to_float(w->model, w->n, w->x, w->x)));
    return cli_npy_write(w->args.out, 4, shape, w->x, err);
}

static cli_status write_picture(work *w, cli_error *err)
{
    CLI_TRY(cli_alloc(&w->images, w->n * w->info.input_size, 1, err));
    CLI_TRY(cli_jem(err, jem_input_to_u8(w->model, w->n, w->x, JEM_LAYOUT_NHWC, w->images)));
    const cli_png_grid grid = picture(w);
    return cli_png_write(&grid, w->args.png, err);
}

static void print_summary(const work *w)
{
    FILE *to = cli_files_talk();
    if (w->args.png != NULL)
        fprintf(to, "%s: %lld chains, %lld steps each\n", w->args.png, (long long)w->n,
                (long long)w->args.steps);
    if (w->args.out != NULL)
        fprintf(to, "%s: %lld x %d x %d x %d\n", w->args.out, (long long)w->n, w->info.channels,
                w->info.height, w->info.width);
}

static cli_status sample(work *w, cli_error *err)
{
    CLI_TRY(prepare(w, err));
    cli_stop_catch();
    CLI_TRY(run_chains(w, err));
    if (w->args.png != NULL)
        CLI_TRY(write_picture(w, err));
    if (w->args.out != NULL)
        CLI_TRY(write_array(w, err));
    print_summary(w);
    return CLI_OK;
}

static cli_status run(const void *args, cli_error *err)
{
    work w = {.args = *(const args_t *)args};
    const cli_status status = sample(&w, err);
    free(w.labels);
    free(w.x);
    free(w.images);
    jem_sampler_destroy(w.sampler);
    jem_model_destroy(w.model);
    return status;
}

const cli_command cli_sample = {
    .name = "sample",
    .summary = "draw samples by Langevin chains, as a PNG picture or .npy",
    .usage = "--model FILE --png FILE [--out X.npy] [options]",
    .description = "Runs chains of Langevin steps, x <- x - step_size * dE/dx + noise_std * N(0, "
                   "I), from noise or, with --data, from the Gaussian of each class's training "
                   "images, and writes where they end.",
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
