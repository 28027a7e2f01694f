/*
 * A training run: what train_setup.c prepares and train_loop.c carries out.
 */
#ifndef JEM_CLI_TRAIN_H
#define JEM_CLI_TRAIN_H

#include <stdio.h>

#include "columns.h"
#include "groups.h"
#include "train_rows.h"

#define CLI_TRAIN_IMAGE_ARCH     "cnn-16-32-64"
#define CLI_TRAIN_TABLE_ARCH     "mlp-256-256"
#define CLI_TRAIN_OUTLIER_WEIGHT 0.1 /* Liu et al. 2020 */
enum { CLI_TRAIN_GUARD_TRIES_MAX = 1000 };

/*
 * The least default length. Of 100 to 2,000 steps on scikit-learn's wine and iris, more than these
 * cost accuracy, and fewer rank uniform noise worse; breast_cancer and digits, which had no part in
 * the choice, gain from 10 epochs' .953 and .834 to .965 and .958.
 */
#define CLI_TRAIN_STEPS_MIN 1000

/** Which parameters become the model; 0 = not given. */
enum { CLI_TRAIN_KEEP_NONE = 1, CLI_TRAIN_KEEP_ACCURACY = 2, CLI_TRAIN_KEEP_NLL = 3 };
extern const cli_choice cli_train_keeps[];

typedef struct cli_train_args {
    const char *data, *arch, *out, *log, *preset;
    int64_t epochs, steps; /* 0 = not given */
    double seconds;        /* NaN = not given */
    int64_t batch, limit, classes;
    int32_t layout;
    bool standardize;
    double validation; /* NaN = not given */
    int32_t keep_best;
    bool fit_temperature;
    int64_t labels_per_class, labelled_batch; /* 0 = not given */
    uint64_t seed;
    int32_t optimizer;
    double lr, momentum, beta1, beta2, eps, weight_decay, clip_norm;
    int64_t warmup;
    int32_t schedule;
    cli_list milestones;
    double lr_factor, lr_floor;
    double sam_rho, ema;
    bool sam_adaptive;
    double w_px, w_pyx, w_pxy, energy_l2, input_noise;
    bool classifier;
    double logit_norm;
    const char *outliers;  /* NULL = none */
    double outlier_weight; /* NaN = not given */
    double outlier_in, outlier_out;
    int64_t crop;
    bool flip, augment_data, no_augment;
    int64_t sgld_steps, chains, capacity;
    double reinit;
    bool class_conditional;
    cli_chain_args chain;
    bool no_guard;
    int64_t guard_tries, guard_every;
    const char *checkpoint;               /* NULL = none */
    int64_t checkpoint_every, stop_after; /* 0 = not given */
    bool resume;
    cli_exec_args exec;
    cli_given given;
} cli_train_args;

/** What a preset says and no option can. */
typedef struct cli_train_recipe {
    jem_preset_info info;
    jem_optimizer_config optimizer;
} cli_train_recipe;

/** Of the rows that are held out, after so many steps; 0 = there are none. */
typedef struct cli_train_figures {
    int64_t step;
    double accuracy, nll;
} cli_train_figures;

typedef struct cli_train_run {
    cli_train_args *args;
    const cli_option *options; /* the table they came by */
    cli_train_recipe recipe;
    cli_data data;
    int64_t data_digest;            /* of it and the rows held out, before these were taken */
    cli_data validation;            /* rows held out; n = 0: none */
    cli_train_figures latest, best; /* the optimizer keeps the best's parameters */
    jem_model *judge;               /* the average of the parameters is validated in; NULL = none */
    jem_model *model;
    jem_optimizer *optimizer;
    jem_sampler *sampler;    /* NULL for a plain classifier */
    cli_train_rows all;      /* of the data */
    cli_train_rows labelled; /* those of the terms with labels; n = 0: `all` serve both */
    cli_data outliers;
    cli_train_rows outlier_rows; /* n = 0: there are none */
    FILE *log;                   /* NULL = none */
    bool log_is_file;      /* of its own, which can be emptied and cut; no pipe, no descriptor */
    int64_t batches;       /* taken from the data so far, in all sessions */
    double seconds;        /* trained so far */
    bool short_by_default; /* no length was given */
    char advice[512];      /* about the scales of the data; "" = none is needed */
} cli_train_run;

/** Running means of what the steps report. */
typedef struct cli_train_means {
    double weight; /* 0 before the first step */
    double loss, loss_pyx, gap, loss_outlier, accuracy;
} cli_train_means;

typedef struct cli_train_result {
    int64_t steps;     /* of the run, in all sessions, that stand */
    int64_t new_steps; /* of this one */
    int64_t tried;     /* the number of the last step, whether it stands or not */
    bool paused;       /* by --stop-after */
    cli_train_means means;
    jem_status status; /* JEM_OK, JEM_ECANCELLED after a signal, or why it failed */
} cli_train_result;

/**
 * What a preset says becomes the default of the options; without --preset they keep their own. To
 * be called again once there is a model, which the preset is then fitted to, or refused for.
 */
cli_status cli_train_take_preset(cli_train_run *run, cli_error *err);

/** The presets, one a line. */
void cli_train_print_presets(void);

/** Refuses what it can, reads the data, creates the handles, begins or resumes. */
cli_status cli_train_prepare(cli_train_run *run, cli_error *err);

/** Starts a run, or with --resume puts it where its checkpoint was made. */
cli_status cli_train_begin(cli_train_run *run, cli_error *err);

cli_status cli_train_save_checkpoint(const cli_train_run *run, cli_error *err);

/** Decides on --validation and --keep-best, and moves rows from the data, if any are held out. */
cli_status cli_train_hold_out(cli_train_run *run, cli_error *err);

/** Are figures wanted after this step? After each pass over the rows, but no sooner than every 50
 *  steps. */
bool cli_train_validation_due(const cli_train_run *run, int64_t step);

/** Makes latest, and best if they are, the figures of the parameters after `step`. */
cli_status cli_train_validate(cli_train_run *run, int64_t step, cli_error *err);

/** Makes the best parameters those of the model; where none were kept, the average of --ema. */
cli_status cli_train_take_best(const cli_train_run *run, cli_error *err);

/** Fits the model's temperature to the rows that are held out. */
cli_status cli_train_fit_temperature(const cli_train_run *run, cli_error *err);

/** Of everything that training reads of data. */
int64_t cli_train_digest(const cli_data *data);

/** The length of the run in steps; 0 = it is a time. */
int64_t cli_train_steps(const cli_train_run *run);

enum { CLI_TRAIN_PATH_SIZE = 4200 };

/**
 * Saves the model to --out, or if that fails to a new file beside it or in the folder for temporary
 * files: after hours of training it shall not be lost.
 *
 * @param place  Out. Where the model is; "" if it could not be saved at all.
 * @return CLI_OK if it is in --out; else `err` says why it is not.
 */
cli_status cli_train_save_model(const cli_train_run *run, char place[CLI_TRAIN_PATH_SIZE],
                                cli_error *err);

/** Trains until the end, a signal or a failure. Out of memory before the first step fails. */
cli_status cli_train_loop(cli_train_run *run, cli_train_result *result, cli_error *err);

/**
 * One line of JSON for one step. Failures show in ferror().
 *
 * @param figures  Of the rows held out, after this step; NULL = none.
 */
void cli_train_log(FILE *log, const jem_train_stats *stats, double seconds,
                   const cli_train_figures *figures);

/** Opens run->log, if there shall be one; what the file holds stays for now. */
cli_status cli_train_log_open(cli_train_run *run, cli_error *err);

/** How many bytes the log holds, all lines so far; 0 for none, or if it is no file. */
int64_t cli_train_log_size(const cli_train_run *run);

/** For a run that begins. */
cli_status cli_train_log_empty(const cli_train_run *run, cli_error *err);

/**
 * Cuts off what a killed session wrote after its checkpoint, when the run had done `steps` and its
 * log held `size` bytes. Where no line of that step ends there, as the checkpoint was made without
 * a log or with another: the lines of later steps that the log ends with. All else stays.
 */
cli_status cli_train_log_go_back(const cli_train_run *run, int64_t size, int64_t steps,
                                 cli_error *err);

#endif
