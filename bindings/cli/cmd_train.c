/*
 * jem train: the options, what is built from them before the loop, and what is saved after it,
 * however it ended. Everything that can be refused is refused before the first step.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "output.h"
#include "progress.h"
#include "stop.h"
#include "train.h"

#define IMAGE_ARCH "cnn-16-32-64"
#define TABLE_ARCH "mlp-256-256"

typedef cli_train_args args_t;

static const cli_choice optimizers[] = {
    {"adam", JEM_OPTIMIZER_ADAM}, {"sgd", JEM_OPTIMIZER_SGD}, {NULL, 0}};

static const cli_choice schedules[] = {{"constant", JEM_SCHEDULE_CONSTANT},
                                       {"step", JEM_SCHEDULE_STEP},
                                       {"cosine", JEM_SCHEDULE_COSINE},
                                       {NULL, 0}};

static const cli_option options[] = {
    CLI_ROW_HEADING("What and how long"),
    CLI_ROW_TEXT("data", args_t, data, "PATH", "training data, see above",
                 CLI_REQUIRED | CLI_SESSION),
    CLI_ROW_TEXT("out", args_t, out, "FILE", "the model file to write (safetensors)",
                 CLI_REQUIRED | CLI_SESSION),
    CLI_ROW_TEXT("arch", args_t, arch, "ARCH",
                 "mlp-512-512, cnn-32-64-128 (a 3x3 convolution and 2x2 pooling per width) or "
                 "wrn-10-2 (default " IMAGE_ARCH " for images, " TABLE_ARCH
                 " for small ones and tables); options as in wrn-10-2:act=silu,norm=batch: "
                 "act=lrelu|relu|silu|elu|softplus|tanh, "
                 "norm=none|batch|groupN|layer|instance|spectral, dropout=X",
                 0),
    CLI_ROW_COUNT("epochs", args_t, epochs, 1, 1e9,
                  "passes over the data; 10 if no length is given", 0),
    CLI_ROW_COUNT("steps", args_t, steps, 1, 1e15, "or a number of steps", 0),
    CLI_ROW_NUMBER("seconds", args_t, seconds, 0, 1e15, "or a time", CLI_ABOVE),
    CLI_ROW_COUNT("batch", args_t, batch, 1, 1e6, "rows of a step", 0),
    CLI_ROW_COUNT("limit", args_t, limit, 1, 1e15, "use the first N training rows only", 0),
    CLI_ROW_COUNT("classes", args_t, classes, 1, 100000,
                  "otherwise as the data set says, or its highest label plus 1", 0),
    CLI_ROW_COUNT("labels-per-class", args_t, labels_per_class, 1, 1e15,
                  "use the labels of N rows of each class only, drawn by the seed; all rows still "
                  "train the density",
                  0),
    CLI_ROW_COUNT("labelled-batch", args_t, labelled_batch, 1, 1e6,
                  "labelled rows of a step, drawn apart from those of the density; otherwise the "
                  "same rows serve both",
                  0),
    CLI_ROW_SEED("seed", args_t, seed, "of parameters, order and chains"),
    CLI_ROW_TEXT("log", args_t, log, "FILE", "write all figures of every step, as JSON lines",
                 CLI_SESSION),
    CLI_EXEC_TRAIN_ROWS(args_t, exec),

    CLI_ROW_HEADING("Safety"),
    CLI_ROW_TEXT("checkpoint", args_t, checkpoint, "FILE",
                 "where all that the run needs to go on is kept; the one before stays as FILE.prev",
                 CLI_SESSION),
    CLI_ROW_COUNT("checkpoint-every", args_t, checkpoint_every, 1, 1e15,
                  "steps from one checkpoint to the next; there is one at every end, too",
                  CLI_SESSION),
    CLI_ROW_COUNT("stop-after", args_t, stop_after, 1, 1e15,
                  "end this session after N of the run's steps; needs --checkpoint", CLI_SESSION),
    CLI_ROW_SESSION_FLAG("resume", args_t, resume,
                         "go on from --checkpoint, with the same options; the parameters become "
                         "those of a run that was never stopped, bit for bit"),
    CLI_ROW_FLAG("no-guard", args_t, no_guard,
                 "end when training diverges, instead of going back to the last good state with "
                 "half the learning rate"),

    CLI_ROW_HEADING("Loss"),
    CLI_ROW_FLAG("classifier", args_t, classifier,
                 "a plain classifier: --w-px 0 --w-pxy 0 --energy-l2 0, no chains"),
    CLI_ROW_NUMBER("w-px", args_t, w_px, 0, FLT_MAX, "weight of -log p(x)", 0),
    CLI_ROW_NUMBER("w-pyx", args_t, w_pyx, 0, FLT_MAX, "weight of the cross entropy", 0),
    CLI_ROW_NUMBER("w-pxy", args_t, w_pxy, 0, FLT_MAX,
                   "weight of -log p(x, y); needs --class-conditional", 0),
    CLI_ROW_NUMBER("energy-l2", args_t, energy_l2, 0, FLT_MAX,
                   "weight of the squared energies; steadies training", 0),
    CLI_ROW_NUMBER("input-noise", args_t, input_noise, 0, FLT_MAX,
                   "standard deviation of noise on the training rows", 0),
    CLI_ROW_COUNT("crop", args_t, crop, 0, 64,
                  "labelled images are moved by up to N pixels, edges reflected", 0),
    CLI_ROW_FLAG("flip", args_t, flip, "labelled images are mirrored left-right, or not"),
    CLI_ROW_FLAG("augment-data", args_t, augment_data,
                 "--crop and --flip for the images of the density too"),

    CLI_ROW_HEADING("Optimizer"),
    CLI_ROW_CHOICE("optimizer", args_t, optimizer, optimizers, "its kind", 0),
    CLI_ROW_NUMBER("lr", args_t, lr, 0, FLT_MAX, "learning rate", CLI_ABOVE),
    CLI_ROW_CHOICE("schedule", args_t, schedule, schedules, "how it falls in the run", 0),
    CLI_ROW_LIST("milestones", args_t, milestones, "X",
                 "of step: the fractions of the run at which it falls; otherwise 0.6 0.85"),
    CLI_ROW_NUMBER("lr-factor", args_t, lr_factor, 0, 1, "of step: by which it falls", 0),
    CLI_ROW_NUMBER("lr-floor", args_t, lr_floor, 0, 1, "of cosine: the part left at the end", 0),
    CLI_ROW_NUMBER("momentum", args_t, momentum, 0, 0.999999, "of sgd", 0),
    CLI_ROW_NUMBER("weight-decay", args_t, weight_decay, 0, FLT_MAX, "added to the gradient", 0),
    CLI_ROW_NUMBER("clip-norm", args_t, clip_norm, 0, FLT_MAX,
                   "longest gradient; \"none\" = no limit", CLI_ABOVE | CLI_OR_NONE),
    CLI_ROW_COUNT("warmup", args_t, warmup, 0, 1e15, "steps with a rising learning rate", 0),
    CLI_ROW_NUMBER("sam-rho", args_t, sam_rho, 0, 1e30,
                   "radius of sharpness-aware steps, which cost a second gradient; 0 = none", 0),
    CLI_ROW_FLAG("sam-adaptive", args_t, sam_adaptive, "in proportion to each parameter's size"),
    CLI_ROW_NUMBER(
        "ema", args_t, ema, 0, 0.9999999,
        "decay of an average of the parameters, which is saved instead of the last ones; "
        "0 = none",
        0),

    CLI_ROW_HEADING("Chains"),
    CLI_ROW_COUNT("sgld-steps", args_t, sgld_steps, 0, 1e6,
                  "Langevin steps of a chain per training step", 0),
    CLI_ROW_COUNT("chains", args_t, chains, 1, 1e6, "chains of a training step", 0),
    CLI_CHAIN_ROWS(args_t, chain),
    CLI_ROW_COUNT("capacity", args_t, capacity, 1, 1e8, "chains in the replay buffer", 0),
    CLI_ROW_NUMBER("reinit", args_t, reinit, 0, 1, "chance that a drawn chain starts anew", 0),
    CLI_ROW_FLAG("class-conditional", args_t, class_conditional,
                 "chains follow E(x, y), each for its class, instead of E(x)"),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    args_t *args = out;
    *args = (args_t){.seconds = NAN,
                     .batch = 64,
                     .optimizer = JEM_OPTIMIZER_ADAM,
                     .lr = 2e-3,
                     .momentum = 0.9,
                     .clip_norm = 5.0,
                     .schedule = JEM_SCHEDULE_STEP,
                     .lr_factor = 0.3,
                     .w_px = 0.3,
                     .w_pyx = 1.0,
                     .energy_l2 = 0.02,
                     .input_noise = 0.03,
                     .sgld_steps = 5,
                     .chains = 32,
                     .capacity = 500,
                     .reinit = 0.05,
                     .checkpoint_every = 500};
    cli_chain_defaults(&args->chain);
    args->chain.start = JEM_START_MIXTURE;
}

// ---- before the loop ---------------------------------------------------------------------------

static cli_status check_together(const args_t *args, cli_error *err)
{
    if (args->w_px == 0.0 && args->w_pyx == 0.0 && args->w_pxy == 0.0)
        return cli_usage(err, "--w-px, --w-pyx and --w-pxy are all 0; expected something to learn");
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

// The arguments with what they leave open decided.
static cli_status complete_args(const args_t *given, args_t *args, cli_error *err)
{
    *args = *given;
    const int lengths = (args->epochs > 0) + (args->steps > 0) + !isnan(args->seconds);
    if (lengths > 1)
        return cli_usage(err, "more than one length was given; expected one of --epochs, --steps "
                              "and --seconds");
    if (lengths == 0)
        args->epochs = 10;
    if (args->classifier)
        args->w_px = args->w_pxy = args->energy_l2 = 0.0;
    return check_together(args, err);
}

static cli_status open_outputs(cli_train_run *run, cli_error *err)
{
    const args_t *args = run->args;
    CLI_TRY(cli_output_check(args->out, err));
    if (args->log == NULL)
        return CLI_OK;
    run->log = fopen(args->log, args->resume ? "ae" : "we");
    if (run->log == NULL)
        return cli_fail(err, "%s cannot be written: %s", args->log, strerror(errno));
    setvbuf(run->log, NULL, _IOLBF, 1 << 14);
    return CLI_OK;
}

static cli_status load_data(cli_train_run *run, int32_t *classes, cli_error *err)
{
    const args_t *args = run->args;
    cli_data *data = &run->data;
    CLI_TRY(cli_data_load(data, args->data, CLI_TRAIN, err));
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
    return CLI_OK;
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
    for (int32_t c = 0; data->class_names != NULL && c < classes && c < data->classes; c++)
        CLI_TRY(cli_jem(err, jem_model_set_class_name(run->model, c, data->class_names[c])));
    return CLI_OK;
}

static const char *choose_arch(const cli_train_run *run)
{
    if (run->args->arch != NULL)
        return run->args->arch;
    const bool poolable = run->data.height >= 8 && run->data.width >= 8;
    return poolable ? IMAGE_ARCH : TABLE_ARCH;
}

static cli_status create_model(cli_train_run *run, int32_t classes, cli_error *err)
{
    const cli_data *data = &run->data;
    jem_model_config config;
    jem_exec_config exec;
    CLI_TRY(cli_jem(err, jem_model_config_init(&config, sizeof config)));
    CLI_TRY(cli_exec_config(&run->args->exec, &exec, err));
    config.arch = choose_arch(run);
    config.channels = data->channels;
    config.height = data->height;
    config.width = data->width;
    config.classes = classes;
    config.seed = run->args->seed;
    if (data->floats != NULL) {
        CLI_TRY(cli_data_float_range(data, &config.input_low, &config.input_high, err));
        if (config.input_low == config.input_high)
            return cli_fail(err, "%s holds nothing but %g; expected data that varies", data->path,
                            (double)config.input_low);
    }
    CLI_TRY(cli_jem_usage(err, jem_model_create(&run->model, &config, &exec)));
    CLI_TRY(cli_data_check_model(data, run->model, err));
    return name_classes(run, classes, err);
}

static cli_status read_milestones(const cli_list *list, jem_optimizer_config *config,
                                  cli_error *err)
{
    static const float usual[] = {0.6f, 0.85f};
    enum { MILESTONES_MAX = sizeof config->milestones / sizeof config->milestones[0] };
    if (list->count > MILESTONES_MAX)
        return cli_usage(err, "--milestones are %d; expected %d at most", list->count,
                         (int)MILESTONES_MAX);
    if (list->count == 0)
        memcpy(config->milestones, usual, sizeof usual);
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
    jem_optimizer_config config;
    CLI_TRY(cli_jem(err, jem_optimizer_config_init(&config, sizeof config)));
    config.kind = args->optimizer;
    config.lr = (float)args->lr;
    config.momentum = (float)args->momentum;
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
    if (args->chain.start == JEM_START_UNIFORM)
        return CLI_OK;
    return cli_chain_fit(run->sampler, run->model, &run->data, args->seed, err);
}

static cli_status check_capacity(const cli_train_run *run, cli_error *err)
{
    const args_t *args = run->args;
    if (run->sampler != NULL && args->capacity < args->chains)
        return cli_usage(err, "--capacity is %lld; expected at least %lld, the chains of a step",
                         (long long)args->capacity, (long long)args->chains);
    return CLI_OK;
}

static cli_status prepare(cli_train_run *run, cli_error *err)
{
    int32_t classes;
    CLI_TRY(open_outputs(run, err));
    CLI_TRY(load_data(run, &classes, err));
    CLI_TRY(check_crop(run, err));
    CLI_TRY(create_model(run, classes, err));
    CLI_TRY(create_optimizer(run, err));
    CLI_TRY(create_sampler(run, err));
    CLI_TRY(check_capacity(run, err));
    return cli_train_begin(run, err);
}

// ---- after the loop ----------------------------------------------------------------------------

// How the model came to be, kept in its file; no times, so that equal runs give equal files.
static cli_status describe(const cli_train_run *run, const cli_train_result *result, cli_error *err)
{
    const args_t *args = run->args;
    json_t *json =
        json_pack("{s:s s:I s:I s:f s:f s:f s:f s:I s:f s:f s:I}", "data", args->data, "steps",
                  (json_int_t)result->steps, "batch", (json_int_t)args->batch, "w_px", args->w_px,
                  "w_pyx", args->w_pyx, "w_pxy", args->w_pxy, "energy_l2", args->energy_l2,
                  "sgld_steps", (json_int_t)args->sgld_steps, "sam_rho", args->sam_rho, "ema",
                  args->ema, "seed", (json_int_t)args->seed);
    char *text = json != NULL ? json_dumps(json, JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    if (text == NULL)
        return CLI_OK; // a path that is not UTF-8: no description
    const jem_status status = jem_model_set_metadata(run->model, "training", text);
    free(text);
    return cli_jem(err, status);
}

// Makes the average of the parameters the parameters.
static cli_status take_average(const cli_train_run *run, cli_error *err)
{
    jem_model_info info;
    float *params;
    CLI_TRY(cli_model_info(run->model, &info, err));
    CLI_TRY(cli_alloc(&params, info.param_count, sizeof *params, err));
    jem_status status = jem_optimizer_get_ema(run->optimizer, info.param_count, params);
    if (status == JEM_OK)
        status = jem_model_set_params(run->model, info.param_count, params);
    free(params);
    return cli_jem(err, status);
}

static cli_status save(const cli_train_run *run, const cli_train_result *result, cli_error *err)
{
    CLI_TRY(describe(run, result, err));
    if (run->args->ema > 0.0)
        CLI_TRY(take_average(run, err));
    return cli_jem(err, jem_model_save(run->model, run->args->out));
}

static void print_summary(const cli_train_run *run, const cli_train_result *result)
{
    jem_model_info info = {.struct_size = sizeof info};
    jem_model_get_info(run->model, &info);
    char time[32];
    printf("%s: %s, %lld parameters, %lld steps in %s (%.1f it/s)\n", run->args->out,
           jem_model_arch(run->model), (long long)info.param_count, (long long)result->steps,
           cli_progress_time(run->seconds, time), (double)result->steps / run->seconds);
    if (result->paused)
        printf("paused after %lld new steps; --resume goes on from %s\n",
               (long long)result->new_steps, run->args->checkpoint);
}

// The sentence for a run that did not come to its end.
static cli_status explain(const cli_train_run *run, const cli_train_result *result,
                          const char *reason, cli_error *err)
{
    const long long steps = (long long)result->steps;
    char saved[512];
    if (steps > 0)
        snprintf(saved, sizeof saved, "the model of step %lld was saved to %.400s", steps,
                 run->args->out);
    else
        snprintf(saved, sizeof saved, "nothing was written");
    if (result->status == JEM_ECANCELLED)
        return cli_stopped(err, cli_stop_signal(), "stopped by %s after %lld steps; %s",
                           cli_stop_name(), steps, saved);
    if (result->status == JEM_EDIVERGED)
        return cli_fail(err,
                        "training diverged in step %lld (%s); %s; a lower --lr, a higher "
                        "--energy-l2 or more --sgld-steps may help",
                        steps + 1, reason, saved);
    return cli_fail(err, "%s; %s", reason, saved);
}

static cli_status conclude(cli_train_run *run, const cli_train_result *result, const char *reason,
                           cli_error *err)
{
    const bool whole = result->status == JEM_OK || result->status == JEM_ECANCELLED;
    if (result->steps > 0 && run->args->checkpoint != NULL && whole)
        CLI_TRY(cli_train_save_checkpoint(run, err));
    if (result->steps > 0)
        CLI_TRY(save(run, result, err));
    if (result->status != JEM_OK)
        return explain(run, result, reason, err);
    print_summary(run, result);
    if (run->log != NULL && (fflush(run->log) != 0 || ferror(run->log)))
        return cli_fail(err, "the model was saved, but %s could not be written", run->args->log);
    return CLI_OK;
}

static cli_status train(const void *given, cli_error *err)
{
    args_t args;
    CLI_TRY(complete_args(given, &args, err));
    cli_train_run run = {.args = &args, .options = options};
    cli_train_result result = {.status = JEM_OK};
    jem_set_log(cli_progress_log, NULL);
    cli_status status = prepare(&run, err);
    if (status == CLI_OK) {
        cli_stop_catch();
        status = cli_train_loop(&run, &result, err);
    }
    if (status == CLI_OK) {
        char reason[512];
        snprintf(reason, sizeof reason, "%s", jem_last_error());
        status = conclude(&run, &result, reason, err);
    }
    if (run.log != NULL)
        fclose(run.log);
    jem_sampler_destroy(run.sampler);
    jem_optimizer_destroy(run.optimizer);
    jem_model_destroy(run.model);
    cli_data_free(&run.data);
    return status;
}

const cli_command cli_train = {
    "train",
    "train a model on labelled data",
    "--data PATH --out FILE [options]",
    "Trains a joint energy-based model: a classifier whose logits are also the energy of a "
    "density.\n"
    "\n"
    "The defaults are for a few minutes on a CPU: a small net, a small replay buffer whose chains "
    "come round often, a light weight of the density. The paper's settings (Grathwohl et al. 2020) "
    "are --w-px 1 --energy-l2 0 --lr 1e-4 --warmup 1000 --chains 64 --capacity 10000 --sgld-steps "
    "20 --start uniform --grad-clamp none --no-x-clamp --clip-norm none, for days.\n"
    "\n" CLI_DATA_HELP "\n"
    "\n"
    "Ctrl-C saves the model, with --checkpoint also what --resume needs, and ends with exit code "
    "130; SIGTERM does the same with 143. A second one ends at once.",
    options,
    sizeof(args_t),
    set_defaults,
    train,
};
