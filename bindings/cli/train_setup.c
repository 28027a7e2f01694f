/*
 * jem train before its first step: what the options leave open is decided, what does not go
 * together is refused, and data and handles are made.
 */
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "progress.h"
#include "train.h"

typedef cli_train_args args_t;

// Of the order of outliers; that of labelled rows has the bits of the seed turned.
static const uint64_t outlier_stream = UINT64_C(1) << 63;

// ---- options -----------------------------------------------------------------------------------

static cli_status check_together(const args_t *args, cli_error *err)
{
    if (args->w_px == 0.0 && args->w_pyx == 0.0 && args->w_pxy == 0.0 && args->energy_l2 == 0.0 &&
        args->outliers == NULL)
        return cli_usage(err, "--w-px, --w-pyx, --w-pxy and --energy-l2 are all 0; expected "
                              "something to learn");
    if (args->logit_norm > 0.0 && (args->w_px > 0.0 || args->w_pxy > 0.0 || args->energy_l2 > 0.0))
        return cli_usage(err, "--logit-norm is for plain classifiers; expected --classifier");
    if (args->logit_norm > 0.0 && args->w_pyx == 0.0)
        return cli_usage(err, "--logit-norm is of the cross entropy; expected --w-pyx above 0");
    if (args->w_pxy > 0.0 && !args->class_conditional)
        return cli_usage(err, "--w-pxy needs chains of each class; expected --class-conditional");
    if (args->augment_data && args->crop == 0 && !args->flip)
        return cli_usage(err, "--augment-data changes nothing; expected --crop or --flip with it");
    if (args->sam_adaptive && args->sam_rho == 0.0)
        return cli_usage(err, "--sam-adaptive has no radius; expected --sam-rho above 0");
    if (args->checkpoint == NULL && (args->resume || args->stop_after > 0))
        return cli_usage(err, "--resume and --stop-after need a checkpoint; expected --checkpoint");
    if (args->milestones.count > 0 && args->schedule != JEM_SCHEDULE_STEP)
        return cli_usage(err, "--milestones are of --schedule step; expected that, or none");
    if (args->lr_floor > 0.0 && args->schedule != JEM_SCHEDULE_COSINE)
        return cli_usage(err, "--lr-floor is of --schedule cosine; expected that, or 0");
    return CLI_OK;
}

static cli_status check_outlier_options(args_t *args, cli_error *err)
{
    if (args->outliers == NULL && !isnan(args->outlier_weight))
        return cli_usage(err, "--outlier-weight is of a term without rows; expected --outliers");
    if (args->outlier_in >= args->outlier_out)
        return cli_usage(err, "--outlier-in is %g; expected less than --outlier-out, which is %g",
                         args->outlier_in, args->outlier_out);
    if (args->outliers != NULL && isnan(args->outlier_weight))
        args->outlier_weight = CLI_TRAIN_OUTLIER_WEIGHT;
    return CLI_OK;
}

static cli_status check_length(cli_train_run *run, cli_error *err)
{
    args_t *args = run->args;
    const int lengths = (args->epochs > 0) + (args->steps > 0) + !isnan(args->seconds);
    if (lengths > 1)
        return cli_usage(err, "more than one length was given; expected one of --epochs, --steps "
                              "and --seconds");
    if (lengths == 0) {
        args->epochs = 10;
        run->short_by_default = true;
    }
    return CLI_OK;
}

static cli_status complete_args(cli_train_run *run, cli_error *err)
{
    args_t *args = run->args;
    CLI_TRY(cli_train_take_preset(run, err));
    CLI_TRY(check_length(run, err));
    if (args->classifier)
        args->w_px = args->w_pxy = args->energy_l2 = 0.0;
    CLI_TRY(check_outlier_options(args, err));
    return check_together(args, err);
}

// ---- data --------------------------------------------------------------------------------------

static cli_status open_outputs(cli_train_run *run, cli_error *err)
{
    CLI_TRY(cli_output_check(run->args->out, err));
    return cli_train_log_open(run, err);
}

// Terms of the loss need labels, and so do starts per class.
static bool uses_labels(const cli_train_run *run, int32_t classes)
{
    const args_t *args = run->args;
    const bool starts = args->chain.start != JEM_START_UNIFORM && run->recipe.info.fit_labels;
    return args->w_pyx > 0.0 || args->w_pxy > 0.0 || (starts && classes > 1);
}

static cli_status load_data(cli_train_run *run, int32_t *classes, cli_error *err)
{
    const args_t *args = run->args;
    cli_data *data = &run->data;
    CLI_TRY(cli_data_load(data, args->data, CLI_TRAIN, args->layout, err));
    CLI_TRY(cli_data_check_layout(data, err));
    if (data->labels == NULL && (args->w_pyx > 0.0 || args->w_pxy > 0.0))
        return cli_fail(err,
                        "%s has no labels; expected them, or --w-pyx 0 for a pure energy "
                        "model",
                        args->data);
    if (data->labels == NULL && (args->labels_per_class > 0 || args->labelled_batch > 0))
        return cli_fail(err, "%s has no labels; expected no --labels-per-class, --labelled-batch",
                        args->data);
    *classes = (int32_t)args->classes;
    if (args->classes == 0)
        CLI_TRY(cli_data_count_classes(data, classes, err));
    cli_data_limit(data, args->limit);
    if (args->standardize && (data->floats == NULL || !cli_data_is_table(data)))
        return cli_usage(err,
                         "--standardize is for tables, (n, features) of numbers that are not "
                         "8-bit; expected none for %s",
                         args->data);
    if (!uses_labels(run, *classes))
        cli_data_drop_labels(data);
    run->data_digest = cli_train_digest(data);
    return cli_train_hold_out(run, err);
}

// What was understood of rows, for whoever meant something else.
static cli_status say_rows(const cli_data *data, const char *labels, cli_error *err)
{
    cli_progress none = {.terminal = false};
    char shape[80], range[64] = "8-bit";
    snprintf(shape, sizeof shape, "%d x %d x %d (channels x height x width)", data->channels,
             data->height, data->width);
    if (cli_data_is_table(data))
        snprintf(shape, sizeof shape, "%d features", data->channels);
    if (data->floats != NULL) {
        float low, high;
        CLI_TRY(cli_data_float_range(data, &low, &high, err));
        snprintf(range, sizeof range, "values %g .. %g", (double)low, (double)high);
    }
    cli_progress_say(&none, "%s: %lld rows of %s, %s, %s", data->path, (long long)data->n, shape,
                     labels, range);
    return CLI_OK;
}

static cli_status say_data(cli_train_run *run, int32_t classes, cli_error *err)
{
    const cli_data *data = &run->data;
    cli_progress none = {.terminal = false};
    char labels[32] = "no labels";
    if (data->labels != NULL)
        snprintf(labels, sizeof labels, "%d classes", classes);
    CLI_TRY(say_rows(data, labels, err));
    if (!run->args->standardize)
        cli_columns_advise(data, run->advice, sizeof run->advice);
    if (run->advice[0] != '\0')
        cli_progress_say(&none, "%s", run->advice);
    return run->outlier_rows.n > 0 ? say_rows(&run->outliers, "outliers", err) : CLI_OK;
}

// Ten passes over few rows are over before anything is learned.
static void lengthen(cli_train_run *run)
{
    args_t *args = run->args;
    const int64_t steps = args->epochs * (run->all.n / run->all.batch);
    cli_progress none = {.terminal = false};
    if (!run->short_by_default || steps >= CLI_TRAIN_STEPS_MIN)
        return;
    cli_progress_say(&none,
                     "%lld steps instead of %lld, the %lld passes over the data that are usual; "
                     "--epochs, --steps and --seconds choose another length",
                     (long long)CLI_TRAIN_STEPS_MIN, (long long)steps, (long long)args->epochs);
    args->steps = CLI_TRAIN_STEPS_MIN;
}

// Reflection at the edges wants images larger than the shift.
static cli_status check_crop(const cli_train_run *run, cli_error *err)
{
    const cli_data *data = &run->data;
    const int32_t side = data->height < data->width ? data->height : data->width;
    if (run->args->crop > 0 && run->args->crop >= side)
        return cli_usage(err, "--crop is %lld; expected less than %d, the shorter side of the data",
                         (long long)run->args->crop, side);
    return CLI_OK;
}

static cli_status name_classes(const cli_train_run *run, int32_t classes, cli_error *err)
{
    const cli_data *data = &run->data;
    if (data->class_names == NULL || classes == 1)
        return CLI_OK;
    for (int32_t c = 0; c < classes && c < data->classes; c++)
        CLI_TRY(cli_jem(err, jem_model_set_class_name(run->model, c, data->class_names[c])));
    return CLI_OK;
}

static cli_status prepare_rows(cli_train_run *run, int32_t classes, cli_error *err)
{
    const args_t *args = run->args;
    const cli_data *data = &run->data;
    CLI_TRY(cli_train_rows_init(&run->all, data, classes, 0, args->batch, args->seed, err));
    const bool apart = args->labels_per_class > 0 || args->labelled_batch > 0;
    if (!apart || data->labels == NULL)
        return CLI_OK;
    const int64_t batch = args->labelled_batch > 0 ? args->labelled_batch : args->batch;
    return cli_train_rows_init(&run->labelled, data, classes, args->labels_per_class, batch,
                               ~args->seed, err);
}

// Once there is a model, which tells their shape.
static cli_status load_outliers(cli_train_run *run, cli_error *err)
{
    const args_t *args = run->args;
    float low, high;
    if (args->outliers == NULL)
        return CLI_OK;
    CLI_TRY(cli_data_load(&run->outliers, args->outliers, CLI_TRAIN, args->layout, err));
    cli_data_drop_labels(&run->outliers); // they are of other classes, if of any
    CLI_TRY(cli_data_check_model(&run->outliers, run->model, err));
    if (run->outliers.floats != NULL)
        CLI_TRY(cli_data_float_range(&run->outliers, &low, &high, err));
    return cli_train_rows_init(&run->outlier_rows, &run->outliers, 1, 0, args->batch,
                               args->seed ^ outlier_stream, err);
}

// ---- handles -----------------------------------------------------------------------------------

// The one that was given, or in `buffer` one that suits the data and the preset.
static const char *choose_arch(const cli_train_run *run, char *buffer, size_t size)
{
    if (run->args->arch != NULL)
        return run->args->arch;
    const bool poolable = run->data.height >= 8 && run->data.width >= 8;
    const char *needed = run->recipe.info.arch_options;
    snprintf(buffer, size, "%s%s%s", poolable ? CLI_TRAIN_IMAGE_ARCH : CLI_TRAIN_TABLE_ARCH,
             needed[0] != '\0' ? ":" : "", needed);
    return buffer;
}

// The range of the rows as inputs.
static cli_status choose_input_range(const cli_train_run *run, const cli_columns *columns,
                                     jem_model_config *config, cli_error *err)
{
    const cli_data *data = &run->data;
    config->input_low = run->recipe.info.input_low;
    config->input_high = run->recipe.info.input_high;
    if (data->floats == NULL)
        return CLI_OK;
    CLI_TRY(cli_data_float_range(data, &config->input_low, &config->input_high, err));
    if (config->input_low == config->input_high)
        return cli_fail(err, "%s holds nothing but %g; expected data that varies", data->path,
                        (double)config->input_low);
    if (run->args->standardize) {
        config->input_low = columns->least_unit;
        config->input_high = columns->most_unit;
    }
    return CLI_OK;
}

static cli_status create_scaled_model(cli_train_run *run, int32_t classes,
                                      const cli_columns *columns, cli_error *err)
{
    const cli_data *data = &run->data;
    jem_model_config config;
    jem_exec_config exec;
    CLI_TRY(cli_jem(err, jem_model_config_init(&config, sizeof config)));
    CLI_TRY(cli_exec_config(&run->args->exec, &exec, err));
    char default_arch[64];
    config.arch = choose_arch(run, default_arch, sizeof default_arch);
    config.channels = data->channels;
    config.height = data->height;
    config.width = data->width;
    config.classes = classes;
    config.seed = run->args->seed;
    CLI_TRY(choose_input_range(run, columns, &config, err));
    CLI_TRY(cli_jem_usage(err, jem_model_create(&run->model, &config, &exec)));
    CLI_TRY(cli_data_check_model(data, run->model, err));
    if (run->args->standardize)
        CLI_TRY(cli_jem(err, jem_model_set_standardization(run->model, data->channels,
                                                           columns->mean, columns->std)));
    return name_classes(run, classes, err);
}

static cli_status create_model(cli_train_run *run, int32_t classes, cli_error *err)
{
    cli_columns columns = {.mean = NULL};
    cli_status status = CLI_OK;
    if (run->args->standardize)
        status = cli_columns_measure(&columns, &run->data, err);
    if (status == CLI_OK)
        status = create_scaled_model(run, classes, &columns, err);
    cli_columns_free(&columns);
    return status;
}

static cli_status read_milestones(const cli_list *list, jem_optimizer_config *config,
                                  cli_error *err)
{
    static const float usual[] = {0.6f, 0.85f};
    enum { MILESTONES_MAX = sizeof config->milestones / sizeof config->milestones[0] };
    if (list->count > MILESTONES_MAX)
        return cli_usage(err, "--milestones are %d; expected %d at most", list->count,
                         (int)MILESTONES_MAX);
    if (list->count == 0 && config->milestones[0] == 0.0f)
        memcpy(config->milestones, usual, sizeof usual);
    if (list->count > 0)
        memset(config->milestones, 0, sizeof config->milestones);
    for (int i = 0; i < list->count; i++) {
        char *end;
        config->milestones[i] = strtof(list->items[i], &end);
        const bool inside = config->milestones[i] > 0.0f && config->milestones[i] < 1.0f;
        if (*end != '\0' || !inside)
            return cli_usage(err, "--milestones has \"%s\"; expected numbers above 0, below 1",
                             list->items[i]);
    }
    return CLI_OK;
}

static cli_status create_optimizer(cli_train_run *run, cli_error *err)
{
    const args_t *args = run->args;
    jem_optimizer_config config = run->recipe.optimizer;
    config.kind = args->optimizer;
    config.lr = (float)args->lr;
    config.momentum = (float)args->momentum;
    config.beta1 = (float)args->beta1;
    config.beta2 = (float)args->beta2;
    config.eps = (float)args->eps;
    config.weight_decay = (float)args->weight_decay;
    config.clip_norm = (float)args->clip_norm;
    config.warmup_steps = args->warmup;
    config.schedule = args->schedule;
    config.lr_factor = (float)args->lr_factor;
    config.lr_floor = (float)args->lr_floor;
    config.sam_rho = (float)args->sam_rho;
    config.sam_adaptive = args->sam_adaptive;
    config.ema_decay = (float)args->ema;
    CLI_TRY(read_milestones(&args->milestones, &config, err));
    config.seed = args->seed;
    return cli_jem_usage(err, jem_optimizer_create(&run->optimizer, run->model, &config));
}

// Labels that --labels-per-class hides are hidden from the starts, too: those per class are fitted
// on the labelled rows. Where chains are of no class, all rows together tell more than those few.
static cli_status fit_starts(const cli_train_run *run, cli_error *err)
{
    const args_t *args = run->args;
    const bool hidden = args->labels_per_class > 0;
    const bool per_class = run->recipe.info.fit_labels && (!hidden || args->class_conditional);
    cli_chain_data from = {.data = &run->data, .n = run->data.n, .per_class = per_class};
    if (hidden && per_class && run->labelled.n > 0) {
        from.rows = run->labelled.order;
        from.n = run->labelled.n;
    }
    return cli_chain_fit(run->sampler, run->model, &from, args->seed, err);
}

static cli_status create_sampler(cli_train_run *run, cli_error *err)
{
    const args_t *args = run->args;
    if (args->w_px == 0.0 && args->w_pxy == 0.0 && args->energy_l2 == 0.0)
        return CLI_OK;
    jem_sampler_config config;
    CLI_TRY(cli_chain_config(&args->chain, run->model, &config, err));
    config.seed = args->seed;
    config.steps = (int32_t)args->sgld_steps;
    config.capacity = (int32_t)args->capacity;
    config.reinit_prob = (float)args->reinit;
    config.class_conditional = args->class_conditional;
    CLI_TRY(cli_jem_usage(err, jem_sampler_create(&run->sampler, run->model, &config)));
    return args->chain.start != JEM_START_UNIFORM ? fit_starts(run, err) : CLI_OK;
}

static cli_status check_capacity(const cli_train_run *run, cli_error *err)
{
    const args_t *args = run->args;
    if (run->sampler != NULL && args->capacity < args->chains)
        return cli_usage(err, "--capacity is %lld; expected at least %lld, the chains of a step",
                         (long long)args->capacity, (long long)args->chains);
    return CLI_OK;
}

cli_status cli_train_prepare(cli_train_run *run, cli_error *err)
{
    int32_t classes;
    CLI_TRY(complete_args(run, err));
    CLI_TRY(open_outputs(run, err));
    CLI_TRY(load_data(run, &classes, err));
    CLI_TRY(create_model(run, classes, err));
    CLI_TRY(complete_args(run, err)); // once more: the preset is now fitted to the model
    CLI_TRY(check_crop(run, err));
    CLI_TRY(load_outliers(run, err));
    CLI_TRY(prepare_rows(run, classes, err));
    CLI_TRY(say_data(run, classes, err));
    lengthen(run);
    CLI_TRY(create_optimizer(run, err));
    CLI_TRY(create_sampler(run, err));
    CLI_TRY(check_capacity(run, err));
    CLI_TRY(cli_train_begin(run, err));
    // Not before, as a run that is refused leaves the log of the one before.
    return run->args->resume ? CLI_OK : cli_train_log_empty(run, err);
}
