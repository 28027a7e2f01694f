/*
 * A training run: what cmd_train.c prepares and train_loop.c carries out.
 */
#ifndef JEM_CLI_TRAIN_H
#define JEM_CLI_TRAIN_H

#include <stdio.h>

#include "groups.h"

typedef struct cli_train_args {
    const char *data, *arch, *out, *log;
    int64_t epochs, steps; /* 0 = not given */
    double seconds;        /* NaN = not given */
    int64_t batch, limit, classes;
    int64_t labels_per_class, labelled_batch; /* 0 = not given */
    uint64_t seed;
    int32_t optimizer;
    double lr, momentum, weight_decay, clip_norm;
    int64_t warmup;
    int32_t schedule;
    cli_list milestones;
    double lr_factor, lr_floor;
    double sam_rho, ema;
    bool sam_adaptive;
    double w_px, w_pyx, w_pxy, energy_l2, input_noise;
    bool classifier;
    int64_t crop;
    bool flip, augment_data;
    int64_t sgld_steps, chains, capacity;
    double reinit;
    bool class_conditional;
    cli_chain_args chain;
    cli_exec_args exec;
} cli_train_args;

typedef struct cli_train_run {
    const cli_train_args *args;
    cli_data data;
    jem_model *model;
    jem_optimizer *optimizer;
    jem_sampler *sampler; /* NULL for a plain classifier */
    FILE *log;            /* NULL = none */
} cli_train_run;

/** Running means of what the steps report. */
typedef struct cli_train_means {
    double weight; /* 0 before the first step */
    double loss, loss_pyx, gap, accuracy;
} cli_train_means;

typedef struct cli_train_result {
    int64_t steps;
    double seconds;
    cli_train_means means;
    jem_status status; /* JEM_OK, JEM_ECANCELLED after a signal, or why it failed */
} cli_train_result;

/** Trains until the end, a signal or a failure. Out of memory before the first step fails. */
cli_status cli_train_loop(cli_train_run *run, cli_train_result *result, cli_error *err);

/** One line of JSON for one step. Failures show in ferror(). */
void cli_train_log(FILE *log, const jem_train_stats *stats, double seconds);

#endif
