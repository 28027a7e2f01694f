/*
 * Options that several subcommands share: how a model is run, and how Langevin chains move. Each
 * group is a struct, rows for the option table, defaults, and the way into libjem's config.
 */
#ifndef JEM_CLI_GROUPS_H
#define JEM_CLI_GROUPS_H

#include <float.h>
#include <math.h>

#include "data.h"
#include "options.h"

/* ---- how a model is run ---------------------------------------------------------------------- */

typedef struct cli_exec_args {
    int64_t threads;                                         /* 0 = as the host's */
    int32_t backend;                                         /* 0 = the fastest */
    int32_t tuned_for;                                       /* 0 = throughput */
    int32_t precision, precision_chains, precision_training; /* 0 = the default, of all; of one */
} cli_exec_args;

extern const cli_choice cli_backends[];
extern const cli_choice cli_tunings[];
extern const cli_choice cli_precisions[];

/* clang-format off */
#define CLI_EXEC_ROWS(type, field)                                                                 \
    CLI_ROW_COUNT("threads", type, field.threads, 1, 1024,                                         \
                  "OpenMP threads; otherwise as many as the machine has", 0),                      \
    CLI_ROW_CHOICE("backend", type, field.backend, cli_backends,                                   \
                   "what computes; otherwise the fastest", 0),                                     \
    CLI_ROW_CHOICE("tuned-for", type, field.tuned_for, cli_tunings,                                \
                   "many rows at a time, or the time that a few take", 0),                         \
    CLI_ROW_CHOICE("precision", type, field.precision, cli_precisions,                             \
                   "of all passes; f32-strict never uses Winograd's algorithm", 0)
#define CLI_EXEC_TRAIN_ROWS(type, field)                                                           \
    CLI_EXEC_ROWS(type, field),                                                                    \
    CLI_ROW_CHOICE("precision-chains", type, field.precision_chains, cli_precisions,               \
                   "of Langevin steps; otherwise that of all passes", 0),                          \
    CLI_ROW_CHOICE("precision-training", type, field.precision_training, cli_precisions,           \
                   "of parameter gradients; otherwise that of all passes", 0)
/* clang-format on */

cli_status cli_exec_config(const cli_exec_args *args, jem_exec_config *config, cli_error *err);

/** Reads a model file. */
cli_status cli_model_load(jem_model **model, const char *path, const cli_exec_args *exec,
                          cli_error *err);

cli_status cli_model_info(const jem_model *model, jem_model_info *info, cli_error *err);

/** The detector that is stored with a model, for jem_detector_destroy(). @param path  Of its file. */
cli_status cli_detector_load(jem_detector **detector, const jem_model *model, const char *path,
                             cli_error *err);

/* ---- how chains move ------------------------------------------------------------------------- */

typedef struct cli_chain_args {
    double step_size, grad_clamp;
    double noise_std; /* NaN = the library's default */
    bool matched_noise;
    double x_low, x_high; /* NaN = the model's input range */
    bool no_x_clamp;
    int32_t start;                /* 0 = Gaussian starts if there is data to fit, else uniform */
    double start_low, start_high; /* NaN = the model's input range */
    double uniform_fraction;
    int64_t start_rank;
} cli_chain_args;

extern const cli_choice cli_starts[];

/* clang-format off */
#define CLI_CHAIN_ROWS(type, field)                                                                \
    CLI_ROW_NUMBER("step-size", type, field.step_size, 0, FLT_MAX, "of one Langevin step",         \
                   CLI_ABOVE),                                                                     \
    CLI_ROW_NUMBER("noise-std", type, field.noise_std, 0, FLT_MAX,                                 \
                   "of one Langevin step; otherwise 0.01", 0),                                     \
    CLI_ROW_FLAG("matched-noise", type, field.matched_noise,                                       \
                 "noise of sqrt(2 * step size): chains at temperature 1"),                         \
    CLI_ROW_NUMBER("grad-clamp", type, field.grad_clamp, 0, FLT_MAX,                               \
                   "each element of dE/dx is clamped to +-X; \"none\" = no clamp",                 \
                   CLI_ABOVE | CLI_OR_NONE),                                                       \
    CLI_ROW_NUMBER("x-low", type, field.x_low, -FLT_MAX, FLT_MAX,                                  \
                   "chains stay above; otherwise the low end of the input range", 0),              \
    CLI_ROW_NUMBER("x-high", type, field.x_high, -FLT_MAX, FLT_MAX,                                \
                   "chains stay below; otherwise the high end of the input range", 0),             \
    CLI_ROW_FLAG("no-x-clamp", type, field.no_x_clamp, "chains may leave the input range"),        \
    CLI_ROW_CHOICE("start", type, field.start, cli_starts,                                         \
                   "where chains start: anywhere, like noise around the mean image of a class, "   \
                   "some of both, or at images of the data (with --reinit 1 in training: CD-k)",   \
                   0),                                                                             \
    CLI_ROW_NUMBER("start-low", type, field.start_low, -FLT_MAX, FLT_MAX,                          \
                   "uniform starts lie above; otherwise the low end of the input range", 0),       \
    CLI_ROW_NUMBER("start-high", type, field.start_high, -FLT_MAX, FLT_MAX,                        \
                   "uniform starts lie below; otherwise the high end of the input range", 0),      \
    CLI_ROW_NUMBER("uniform-fraction", type, field.uniform_fraction, 0, 1,                         \
                   "uniform starts in a mixture", 0),                                              \
    CLI_ROW_COUNT("start-rank", type, field.start_rank, 0, 256,                                    \
                  "of gaussian starts: directions in which elements vary together", 0)
/* clang-format on */

void cli_chain_defaults(cli_chain_args *args);

/** A config of these arguments; seed, steps and buffer remain to be set. */
cli_status cli_chain_config(const cli_chain_args *args, const jem_model *model,
                            jem_sampler_config *config, cli_error *err);

/** What starts are fitted on. */
typedef struct cli_chain_data {
    const cli_data *data;
    const int64_t *rows; /* (n), the numbers of the rows; NULL = the first n */
    int64_t n;
    bool per_class; /* by their labels, if there are any; otherwise all alike */
} cli_chain_data;

/** Fits starts on a random choice of at most 10,000 of the rows. */
cli_status cli_chain_fit(jem_sampler *sampler, const jem_model *model, const cli_chain_data *from,
                         uint64_t seed, cli_error *err);

#endif
