/*
 * jem train: the options, and what is saved after the loop, however it ended.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "hold_out.h"
#include "json_text.h"
#include "layout.h"
#include "named_files.h"
#include "progress.h"
#include "stop.h"
#include "train.h"

typedef cli_train_args args_t;

#define TEXT_OF_NUMBER(number) #number
#define TEXT_OF(macro)         TEXT_OF_NUMBER(macro)
#define STEPS_MIN_TEXT         TEXT_OF(CLI_TRAIN_STEPS_MIN)

static const cli_choice optimizers[] = {
    {"adam", JEM_OPTIMIZER_ADAM}, {"sgd", JEM_OPTIMIZER_SGD}, {NULL, 0}};

static const cli_choice schedules[] = {{"constant", JEM_SCHEDULE_CONSTANT},
                                       {"step", JEM_SCHEDULE_STEP},
                                       {"cosine", JEM_SCHEDULE_COSINE},
                                       {NULL, 0}};

static const cli_option options[] = {
    CLI_ROW_HEADING("What and how long"),
    CLI_ROW_INPUT("data", args_t, data, "PATH", "training data, see above",
                  CLI_REQUIRED | CLI_SESSION),
    CLI_ROW_OUTPUT("out", args_t, out, "FILE", "the model file to write (safetensors)",
                   CLI_REQUIRED | CLI_SESSION),
    CLI_ROW_TEXT("arch", args_t, arch, "ARCH",
                 "mlp-512-512, cnn-32-64-128 (a 3x3 convolution and 2x2 pooling per width) or "
                 "wrn-10-2 (default " CLI_TRAIN_IMAGE_ARCH " for images, " CLI_TRAIN_TABLE_ARCH
                 " for small ones and tables); options as in wrn-10-2:act=silu,norm=batch: "
                 "act=lrelu|relu|silu|elu|softplus|tanh, "
                 "norm=none|batch|groupN|layer|instance|spectral, dropout=X",
                 0),
    CLI_ROW_TEXT("preset", args_t, preset, "NAME",
                 "a recipe, see above: it sets the defaults of the other options", 0),
    CLI_ROW_COUNT(
        "epochs", args_t, epochs, 1, 1e9,
        "passes over the data; 10 if no length is given, or more for at least " STEPS_MIN_TEXT
        " steps",
        CLI_LENGTH),
    CLI_ROW_COUNT("steps", args_t, steps, 1, 1e15, "or a number of steps", CLI_LENGTH),
    CLI_ROW_NUMBER("seconds", args_t, seconds, 0, 1e15, "or a time", CLI_ABOVE | CLI_LENGTH),
    CLI_ROW_COUNT("batch", args_t, batch, 1, 1e6, "rows of a step", 0),
    CLI_ROW_COUNT("limit", args_t, limit, 1, 1e15, "use the first N training rows only", 0),
    CLI_LAYOUT_ROW(args_t, layout),
    CLI_ROW_FLAG("standardize", args_t, standardize,
                 "bring every column of a table to mean 0 and deviation 1; the model does the same "
                 "with the rows that it is given later"),
    CLI_ROW_COUNT("classes", args_t, classes, 1, 100000,
                  "otherwise as the data set says, or its highest label plus 1", 0),
    CLI_ROW_COUNT("labels-per-class", args_t, labels_per_class, 1, 1e15,
                  "use the labels of N rows of each class only, drawn by the seed; all rows still "
                  "train the density, and starts per class, which --class-conditional wants, are "
                  "fitted on the labelled ones",
                  0),
    CLI_ROW_COUNT("labelled-batch", args_t, labelled_batch, 1, 1e6,
                  "labelled rows of a step, drawn apart from those of the density; otherwise the "
                  "same rows serve both",
                  0),
    CLI_ROW_SEED("seed", args_t, seed, "of parameters, order and chains"),
    CLI_ROW_OUTPUT("log", args_t, log, "FILE", "write all figures of every step, as JSON lines",
                   CLI_SESSION),
    CLI_EXEC_TRAIN_ROWS(args_t, exec),

    CLI_ROW_HEADING("Validation"),
    CLI_ROW_NUMBER(
        "validation", args_t, validation, 0, 0.5,
        "hold out this part of the rows, of each class alike, and show accuracy and NLL on "
        "them after each pass over the others (50 steps at least) and at the end; "
        "otherwise " TEXT_OF(CLI_HOLD_OUT_PART) " of labelled data that have no test rows of "
                                                "their own, if that makes twenty rows, "
                                                "and --labels-per-class hides none, else 0",
        0),
    CLI_ROW_CHOICE(
        "keep-best", args_t, keep_best, cli_train_keeps,
        "the model becomes that of the best figures on them, of equals the latest, instead "
        "of the last; otherwise accuracy where rows are held out",
        0),
    CLI_ROW_FLAG("fit-temperature", args_t, fit_temperature,
                 "at the end fit to them the temperature at which probabilities are shown (Guo et "
                 "al. 2017); logits and scores stay as they are"),

    CLI_ROW_HEADING("Safety"),
    CLI_ROW_OUTPUT(
        "checkpoint", args_t, checkpoint, "FILE",
        "where all that the run needs to go on is kept; the one before stays as FILE.prev",
        CLI_SESSION | CLI_PREVIOUS),
    CLI_ROW_COUNT("checkpoint-every", args_t, checkpoint_every, 1, 1e15,
                  "steps from one checkpoint to the next; there is one at every end, too",
                  CLI_SESSION),
    CLI_ROW_COUNT(
        "stop-after", args_t, stop_after, 1, 1e15,
        "end this session N steps further on, not counting those that the guard undid; needs "
        "--checkpoint",
        CLI_SESSION),
    CLI_ROW_SESSION_FLAG("resume", args_t, resume,
                         "go on from --checkpoint, with the same options; the parameters become "
                         "those of a run that was never stopped, bit for bit. The length may be "
                         "another, from what is done already up"),
    CLI_ROW_FLAG("no-guard", args_t, no_guard,
                 "end when training diverges, instead of going back to the last good state with "
                 "half the learning rate"),
    CLI_ROW_COUNT("guard-tries", args_t, guard_tries, 1, CLI_TRAIN_GUARD_TRIES_MAX,
                  "times in a row that it goes back before the run ends after all", 0),
    CLI_ROW_COUNT("guard-every", args_t, guard_every, 1, 1e6,
                  "steps from one good state that is kept to the next", 0),

    CLI_ROW_HEADING("Loss"),
    CLI_ROW_FLAG("classifier", args_t, classifier,
                 "a plain classifier: --w-px 0 --w-pxy 0 --energy-l2 0, no chains"),
    CLI_ROW_NUMBER("w-px", args_t, w_px, 0, FLT_MAX, "weight of -log p(x)", 0),
    CLI_ROW_NUMBER("w-pyx", args_t, w_pyx, 0, FLT_MAX, "weight of the cross entropy", 0),
    CLI_ROW_NUMBER("w-pxy", args_t, w_pxy, 0, FLT_MAX,
                   "weight of -log p(x|y); needs --class-conditional", 0),
    CLI_ROW_NUMBER("energy-l2", args_t, energy_l2, 0, FLT_MAX,
                   "weight of the squared energies; steadies training", 0),
    CLI_ROW_NUMBER("input-noise", args_t, input_noise, 0, FLT_MAX,
                   "standard deviation of noise on the training rows", 0),
    CLI_ROW_COUNT("crop", args_t, crop, 0, 64,
                  "labelled images are moved by up to N pixels, edges reflected", 0),
    CLI_ROW_FLAG("flip", args_t, flip, "labelled images are mirrored left-right, or not"),
    CLI_ROW_FLAG("augment-data", args_t, augment_data,
                 "--crop and --flip for the images of the density too"),
    CLI_ROW_FLAG("no-augment", args_t, no_augment, "leave out the --crop and --flip of a preset"),

    CLI_ROW_NUMBER("logit-norm", args_t, logit_norm, 0, FLT_MAX,
                   "of --classifier: the cross entropy of logits f / (X |f|), which cannot be "
                   "lowered by longer ones (LogitNorm, Wei et al. 2022, who take 0.04); 0 = of f",
                   0),

    CLI_ROW_HEADING("Outliers that are known"),
    CLI_ROW_INPUT("outliers", args_t, outliers, "PATH",
                  "rows that are none of the data, see above; their labels are not looked at. "
                  "Energies of usual rows are drawn below --outlier-in, theirs driven above "
                  "--outlier-out (Liu et al. 2020)",
                  CLI_SESSION),
    CLI_ROW_NUMBER(
        "outlier-weight", args_t, outlier_weight, 0, FLT_MAX,
        "of that term of the loss; otherwise " TEXT_OF(CLI_TRAIN_OUTLIER_WEIGHT) " with --outliers",
        CLI_ABOVE),
    CLI_ROW_NUMBER("outlier-in", args_t, outlier_in, -FLT_MAX, FLT_MAX,
                   "highest energy that costs a usual row nothing", 0),
    CLI_ROW_NUMBER("outlier-out", args_t, outlier_out, -FLT_MAX, FLT_MAX,
                   "lowest energy that costs an outlier nothing", 0),

    CLI_ROW_HEADING("Optimizer"),
    CLI_ROW_CHOICE("optimizer", args_t, optimizer, optimizers, "its kind", 0),
    CLI_ROW_NUMBER("lr", args_t, lr, 0, FLT_MAX, "learning rate", CLI_ABOVE),
    CLI_ROW_CHOICE("schedule", args_t, schedule, schedules, "how it falls in the run", 0),
    CLI_ROW_LIST("milestones", args_t, milestones, "X",
                 "of step: the fractions of the run at which it falls; otherwise 0.6 0.85"),
    CLI_ROW_NUMBER("lr-factor", args_t, lr_factor, 0, 1, "of step: by which it falls", 0),
    CLI_ROW_NUMBER("lr-floor", args_t, lr_floor, 0, 1, "of cosine: the part left at the end", 0),
    CLI_ROW_NUMBER("momentum", args_t, momentum, 0, 0.999999, "of sgd", 0),
    CLI_ROW_NUMBER("beta1", args_t, beta1, 0, 0.999999, "of adam: decay of the mean gradient", 0),
    CLI_ROW_NUMBER("beta2", args_t, beta2, 0, 0.999999, "of adam: decay of the mean square", 0),
    CLI_ROW_NUMBER("eps", args_t, eps, 0, FLT_MAX, "of adam: added to the root of it", CLI_ABOVE),
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
_Static_assert(sizeof options / sizeof options[0] <= CLI_ROWS_MAX, "cli_given lacks places");

static void set_defaults(void *out)
{
    args_t *args = out;
    *args = (args_t){.seconds = NAN,
                     .validation = NAN,
                     .batch = 64,
                     .optimizer = JEM_OPTIMIZER_ADAM,
                     .lr = 2e-3,
                     .momentum = 0.9,
                     .beta1 = 0.9,
                     .beta2 = 0.999,
                     .eps = 1e-8,
                     .clip_norm = 5.0,
                     .schedule = JEM_SCHEDULE_STEP,
                     .lr_factor = 0.3,
                     .w_px = 0.3,
                     .w_pyx = 1.0,
                     .energy_l2 = 0.02,
                     .input_noise = 0.03,
                     .outlier_weight = NAN,
                     .outlier_in = -5.0,
                     .outlier_out = 0.0,
                     .sgld_steps = 5,
                     .chains = 32,
                     .capacity = 500,
                     .reinit = 0.05,
                     .checkpoint_every = 500,
                     .guard_tries = 5,
                     .guard_every = 100};
    cli_chain_defaults(&args->chain);
    args->chain.start = JEM_START_MIXTURE;
}

// ---- after the loop ----------------------------------------------------------------------------

static void describe_outliers(const args_t *args, json_t *json)
{
    json_object_set_new(json, "outliers", cli_json_text(args->outliers));
    json_object_set_new(json, "w_outlier", json_real(args->outlier_weight));
    json_object_set_new(json, "outlier_m_in", json_real(args->outlier_in));
    json_object_set_new(json, "outlier_m_out", json_real(args->outlier_out));
}

static void describe_validation(const cli_train_run *run, json_t *json)
{
    const cli_train_figures *figures = run->best.step > 0 ? &run->best : &run->latest;
    json_object_set_new(json, "validation",
                        json_pack("{s:I s:I s:f s:f}", "rows", (json_int_t)run->validation.n,
                                  "step", (json_int_t)figures->step, "accuracy", figures->accuracy,
                                  "nll", isfinite(figures->nll) ? figures->nll : FLT_MAX));
}

// How the model came to be, kept in its file; no times, so that equal runs give equal files.
static cli_status describe(const cli_train_run *run, const cli_train_result *result, cli_error *err)
{
    const args_t *args = run->args;
    json_t *json = json_pack("{s:o s:s* s:I s:I s:f s:f s:f s:f s:I s:f s:f s:I}", "data",
                             cli_json_text(args->data), "preset", args->preset, "steps",
                             (json_int_t)result->steps, "batch", (json_int_t)args->batch, "w_px",
                             args->w_px, "w_pyx", args->w_pyx, "w_pxy", args->w_pxy, "energy_l2",
                             args->energy_l2, "sgld_steps", (json_int_t)args->sgld_steps, "sam_rho",
                             args->sam_rho, "ema", args->ema, "seed", (json_int_t)args->seed);
    if (args->outliers != NULL)
        describe_outliers(args, json);
    if (args->logit_norm > 0.0)
        json_object_set_new(json, "logit_norm", json_real(args->logit_norm));
    if (run->latest.step > 0)
        describe_validation(run, json);
    char *text = json != NULL ? json_dumps(json, JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    if (text == NULL)
        return cli_fail(err, "out of memory for the description of the training");
    const jem_status status = jem_model_set_metadata(run->model, "training", text);
    free(text);
    return cli_jem(err, status);
}

// What cannot be had does not cost the model.
static void go_on_without(const char *what, cli_status status, const cli_error *err)
{
    cli_progress none = {.terminal = false};
    if (status != CLI_OK)
        cli_progress_say(&none, "no %s: %s", what, err->text);
}

// The step whose parameters the model has.
static long long saved_step(const cli_train_run *run, const cli_train_result *result)
{
    return (long long)(run->best.step > 0 ? run->best.step : result->steps);
}

static cli_status save(const cli_train_run *run, const cli_train_result *result, cli_error *err)
{
    char place[CLI_TRAIN_PATH_SIZE];
    cli_error reason;
    describe(run, result, &reason); // it costs no model where there is no memory for it
    if (run->args->ema > 0.0 || run->best.step > 0)
        CLI_TRY(cli_train_take_best(run, err));
    if (run->args->fit_temperature)
        go_on_without("temperature", cli_train_fit_temperature(run, err), err);
    if (cli_train_save_model(run, place, &reason) == CLI_OK)
        return CLI_OK;
    if (place[0] == '\0')
        return cli_fail(err, "%s; the model of step %lld could not be saved elsewhere either",
                        reason.text, saved_step(run, result));
    return cli_fail(err, "%s; the model of step %lld was saved to %s instead", reason.text,
                    saved_step(run, result), place);
}

static void print_validation(const cli_train_run *run, FILE *to)
{
    jem_model_info info = {.struct_size = sizeof info};
    jem_model_get_info(run->model, &info);
    const cli_train_figures *figures = run->best.step > 0 ? &run->best : &run->latest;
    if (figures->step > 0)
        fprintf(to, "%s step %lld: accuracy %.1f %%, NLL %.3f on %lld rows held out\n",
                run->best.step > 0 ? "kept the parameters of" : "validation of",
                (long long)figures->step, 100.0 * figures->accuracy, figures->nll,
                (long long)run->validation.n);
    if (run->args->fit_temperature)
        fprintf(to, "temperature %.4g, fitted to them\n", (double)info.temperature);
}

static void print_summary(const cli_train_run *run, const cli_train_result *result, bool kept)
{
    jem_model_info info = {.struct_size = sizeof info};
    jem_model_get_info(run->model, &info);
    char time[32];
    FILE *to = cli_files_talk();
    fprintf(to, "%s: %s, %lld parameters, %lld steps in %s (%.1f it/s)\n", run->args->out,
            jem_model_arch(run->model), (long long)info.param_count, (long long)result->steps,
            cli_progress_time(run->seconds, time), (double)result->steps / run->seconds);
    print_validation(run, to);
    if (result->paused && kept)
        fprintf(to, "paused after %lld new steps; --resume goes on from %s\n",
                (long long)result->new_steps, run->args->checkpoint);
}

// The sentence for a run that did not come to its end. `lost`: why there is no checkpoint, or "".
static cli_status explain(const cli_train_run *run, const cli_train_result *result,
                          const char *reason, const char *lost, cli_error *err)
{
    const long long steps = (long long)result->steps;
    char saved[1024];
    if (steps > 0)
        snprintf(saved, sizeof saved, "the model of step %lld was saved to %.400s%s%.500s",
                 saved_step(run, result), run->args->out,
                 lost[0] != '\0' ? ", but there is no checkpoint of it: " : "", lost);
    else
        snprintf(saved, sizeof saved, "no model was written");
    if (result->status == JEM_ECANCELLED)
        return cli_stopped(err, cli_stop_signal(), "stopped by %s after %lld steps; %s",
                           cli_stop_name(), steps, saved);
    if (result->status == JEM_EDIVERGED && run->advice[0] != '\0')
        return cli_fail(err, "training diverged in step %lld (%s); %s; %s",
                        (long long)result->tried, reason, saved, run->advice);
    if (result->status == JEM_EDIVERGED)
        return cli_fail(err,
                        "training diverged in step %lld (%s); %s; a lower --lr, a higher "
                        "--energy-l2 or more --sgld-steps may help",
                        (long long)result->tried, reason, saved);
    return cli_fail(err, "%s; %s", reason, saved);
}

static cli_status conclude(cli_train_run *run, const cli_train_result *result, const char *reason,
                           cli_error *err)
{
    const bool whole = result->status == JEM_OK || result->status == JEM_ECANCELLED;
    cli_error lost = {""}; // why there is no checkpoint, which shall not cost the model
    // It comes first, as the model may be saved with other parameters, those of --ema.
    if (result->steps > 0 && run->args->checkpoint != NULL && whole)
        cli_train_save_checkpoint(run, &lost);
    // Only the end of the run counts, so that one that is resumed chooses among the same.
    const bool over = result->status == JEM_OK && !result->paused;
    if (result->steps > 0 && over && run->latest.step != result->steps)
        go_on_without("validation of the last step", cli_train_validate(run, result->steps, err),
                      err);
    if (result->steps > 0)
        CLI_TRY(save(run, result, err));
    const bool kept = lost.text[0] == '\0';
    if (result->status != JEM_OK)
        return explain(run, result, reason, lost.text, err);
    print_summary(run, result, kept);
    if (!kept)
        return cli_fail(err, "the model was saved, but no checkpoint of step %lld: %s",
                        (long long)result->steps, lost.text);
    if (run->log != NULL && (fflush(run->log) != 0 || ferror(run->log)))
        return cli_fail(err, "the model was saved, but %s could not be written", run->args->log);
    return CLI_OK;
}

static cli_status train(const void *given, cli_error *err)
{
    args_t args = *(const args_t *)given;
    cli_train_run run = {.args = &args, .options = options};
    cli_train_result result = {.status = JEM_OK};
    jem_set_log(cli_progress_log, NULL);
    cli_status status = cli_train_prepare(&run, err);
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
    cli_train_rows_free(&run.all);
    cli_train_rows_free(&run.labelled);
    cli_train_rows_free(&run.outlier_rows);
    jem_sampler_destroy(run.sampler);
    jem_optimizer_destroy(run.optimizer);
    jem_model_destroy(run.model);
    cli_data_free(&run.data);
    cli_data_free(&run.outliers);
    cli_data_free(&run.validation);
    jem_model_destroy(run.judge);
    return status;
}

const cli_command cli_train = {
    .name = "train",
    .summary = "train a model on labelled data",
    .usage = "--data PATH --out FILE [options]",
    .description =
        "Trains a joint energy-based model: a classifier whose logits are also the "
        "energy of a density.\n\n"
        "Without --preset the defaults are those of safe made light, for a few minutes "
        "on a CPU: a small net, a small replay buffer whose chains come round often, a "
        "light weight of the density, starts like the data. The published presets are "
        "for wrn-28-10 and days. Options that are given override those of a "
        "preset.\n\n" CLI_DATA_HELP "\n\n"
        "The line of progress shows means over the last hundred steps: loss, which is "
        "minimised; ce, the cross entropy of the labels in nats; gap, by how much F(x) = "
        "logsumexp f(x) is higher for data than for samples, which stays around 0 while "
        "chains keep up with the data and runs away from it when training diverges; "
        "out, with --outliers, what energies beyond their margins cost; acc, the accuracy on the "
        "training rows; and val, with --validation, accuracy and NLL on the rows held out.\n\n"
        "Ctrl-C saves the model, with --checkpoint also what --resume needs, and ends "
        "with exit code 130; SIGTERM does the same with 143. A second one ends at once.",
    .print_more = cli_train_print_presets,
    .options = options,
    .args_size = sizeof(args_t),
    .given_offset = offsetof(args_t, given),
    .set_defaults = set_defaults,
    .run = train,
};
