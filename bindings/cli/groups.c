/*
 * The defaults of chains, and how much data their starts are fitted on.
 */
#include "groups.h"

#include <stdlib.h>

#include "shuffle.h"
#include "stop.h"

enum { FIT_ROWS_MAX = 10000 };
static const int64_t fit_floats_max = 1 << 26;

const cli_choice cli_backends[] = {{"ref", JEM_BACKEND_REF},
                                   {"onednn", JEM_BACKEND_ONEDNN},
                                   {"native", JEM_BACKEND_NATIVE},
                                   {NULL, 0}};

const cli_choice cli_tunings[] = {
    {"throughput", JEM_TUNED_THROUGHPUT}, {"latency", JEM_TUNED_LATENCY}, {NULL, 0}};

const cli_choice cli_precisions[] = {{"f32", JEM_PRECISION_F32},
                                     {"f32-strict", JEM_PRECISION_F32_STRICT},
                                     {"bf16", JEM_PRECISION_BF16},
                                     {NULL, 0}};

const cli_choice cli_starts[] = {{"uniform", JEM_START_UNIFORM},
                                 {"gaussian", JEM_START_GAUSSIAN},
                                 {"mixture", JEM_START_MIXTURE},
                                 {"data", JEM_START_DATA},
                                 {NULL, 0}};

cli_status cli_exec_config(const cli_exec_args *args, jem_exec_config *config, cli_error *err)
{
    CLI_TRY(cli_jem(err, jem_exec_config_init(config, sizeof *config)));
    if (args->threads > 0)
        config->threads = (int32_t)args->threads;
    if (args->backend != 0)
        config->backend = args->backend;
    if (args->tuned_for != 0)
        config->tuned_for = args->tuned_for;
    if (args->precision != 0)
        config->precision_scoring = config->precision_chains = config->precision_training =
            args->precision;
    if (args->precision_chains != 0)
        config->precision_chains = args->precision_chains;
    if (args->precision_training != 0)
        config->precision_training = args->precision_training;
    return CLI_OK;
}

cli_status cli_model_load(jem_model **model, const char *path, const cli_exec_args *exec,
                          cli_error *err)
{
    jem_exec_config config;
    *model = NULL;
    CLI_TRY(cli_exec_config(exec, &config, err));
    return cli_jem(err, jem_model_load(model, path, &config));
}

cli_status cli_model_info(const jem_model *model, jem_model_info *info, cli_error *err)
{
    *info = (jem_model_info){.struct_size = sizeof *info};
    return cli_jem(err, jem_model_get_info(model, info));
}

cli_status cli_detector_load(jem_detector **detector, const jem_model *model, const char *path,
                             cli_error *err)
{
    const jem_status status = jem_model_get_detector(model, detector);
    if (status == JEM_OK)
        return CLI_OK;
    return cli_fail(err, "%s: %s%s", path, jem_last_error(),
                    status == JEM_ENOTFOUND ? "; jem calibrate makes one" : "");
}

void cli_chain_defaults(cli_chain_args *args)
{
    *args = (cli_chain_args){.step_size = 1.0,
                             .noise_std = NAN,
                             .grad_clamp = 1.0,
                             .x_low = NAN,
                             .x_high = NAN,
                             .start_low = NAN,
                             .start_high = NAN,
                             .uniform_fraction = 0.5};
}

static cli_status check_together(const cli_chain_args *args, cli_error *err)
{
    if (args->matched_noise && !isnan(args->noise_std))
        return cli_usage(err, "--matched-noise sets the noise itself; expected no --noise-std");
    const bool gaussian = args->start == JEM_START_GAUSSIAN || args->start == JEM_START_MIXTURE;
    if (args->start_rank > 0 && !gaussian)
        return cli_usage(err, "--start-rank is of Gaussians; expected --start gaussian or mixture");
    return CLI_OK;
}

typedef struct range {
    float low, high;
} range;

// What was given, or the end of the input range.
static cli_status choose_range(const char *name, double low, double high,
                               const jem_model_info *info, range *out, cli_error *err)
{
    out->low = isnan(low) ? info->input_low : (float)low;
    out->high = isnan(high) ? info->input_high : (float)high;
    if (!(out->low < out->high))
        return cli_usage(err, "--%s-low %g is not below --%s-high %g", name, (double)out->low, name,
                         (double)out->high);
    return CLI_OK;
}

cli_status cli_chain_config(const cli_chain_args *args, const jem_model *model,
                            jem_sampler_config *config, cli_error *err)
{
    jem_model_info info;
    CLI_TRY(check_together(args, err));
    CLI_TRY(cli_model_info(model, &info, err));
    CLI_TRY(cli_jem(err, jem_sampler_config_init(config, sizeof *config)));
    config->step_size = (float)args->step_size;
    if (!isnan(args->noise_std))
        config->noise_std = (float)args->noise_std;
    config->matched_noise = args->matched_noise;
    config->start_rank = (int32_t)args->start_rank;
    config->grad_clamp = (float)args->grad_clamp;
    config->start = args->start;
    config->uniform_fraction = (float)args->uniform_fraction;
    range start, x;
    CLI_TRY(choose_range("start", args->start_low, args->start_high, &info, &start, err));
    config->start_low = start.low;
    config->start_high = start.high;
    if (args->no_x_clamp)
        return CLI_OK;
    CLI_TRY(choose_range("x", args->x_low, args->x_high, &info, &x, err));
    config->x_low = x.low;
    config->x_high = x.high;
    return CLI_OK;
}

static int64_t min_count(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// As many of the rows as a fit shall read, in random order.
static cli_status draw_rows(const cli_chain_data *from, uint64_t seed, int64_t **rows, int64_t *n,
                            cli_error *err)
{
    const int64_t size = cli_data_row_size(from->data);
    const int64_t n_memory = fit_floats_max / size > 0 ? fit_floats_max / size : 1;
    cli_random random = {seed};
    CLI_TRY(cli_alloc(rows, from->n, sizeof **rows, err));
    for (int64_t i = 0; i < from->n; i++)
        (*rows)[i] = from->rows != NULL ? from->rows[i] : i;
    cli_shuffle(&random, from->n, *rows);
    *n = min_count(from->n, min_count(FIT_ROWS_MAX, n_memory));
    return CLI_OK;
}

static cli_status fit(jem_sampler *sampler, int64_t n, const float *x, const int64_t *labels,
                      cli_error *err)
{
    const jem_status status = jem_sampler_fit(sampler, n, x, labels, cli_stop_progress, NULL);
    if (status == JEM_ECANCELLED)
        return cli_stopped(err, cli_stop_signal(), "stopped by %s; nothing was written",
                           cli_stop_name());
    return cli_jem(err, status);
}

cli_status cli_chain_fit(jem_sampler *sampler, const jem_model *model, const cli_chain_data *from,
                         uint64_t seed, cli_error *err)
{
    const cli_data *data = from->data;
    const bool labelled = from->per_class && data->labels != NULL;
    int64_t *rows = NULL, *labels = NULL, n;
    float *x = NULL;
    cli_status status = draw_rows(from, seed, &rows, &n, err);
    if (status == CLI_OK)
        status = cli_alloc(&labels, n, sizeof *labels, err);
    if (status == CLI_OK)
        status = cli_alloc(&x, n * cli_data_row_size(data), sizeof *x, err);
    if (status != CLI_OK)
        goto done;
    for (int64_t i = 0; labelled && i < n; i++)
        labels[i] = data->labels[rows[i]];
    status = cli_data_inputs(data, model, rows, 0, n, x, err);
    if (status == CLI_OK)
        status = fit(sampler, n, x, labelled ? labels : NULL, err);
done:
    free(rows);
    free(labels);
    free(x);
    return status;
}
