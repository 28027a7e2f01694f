/*
 * Samples, gradient, update, in this order; nothing of the model changes before the last line.
 */
#include "train/step.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/vector.h"
#include "nn/spectral.h"
#include "train/objective.h"
#include "train/running.h"

// Rows that enter the loss with the same weights.
typedef struct row_group {
    int64_t n;
    const float *x;
    const int64_t *labels; /* NULL when the group has none */
    jemi_row_weights weights;
    jemi_purpose noise; /* of its input noise; 0 = none */
    jemi_purpose dropout;
    bool moves_running; /* its statistics move the running ones */
    jemi_objective_sums sums;
} row_group;

// What the passes over all groups share.
typedef struct step_context {
    const jem_model *model;
    jemi_runner *runner;
    jem_optimizer *optimizer;
    const jem_train_config *config;
    float *next; /* the flat vector of the next generation */
} step_context;

// The rows as the network shall see them: the caller's, or a copy with noise.
static jem_status noisy_rows(const step_context *c, const row_group *group, int64_t first,
                             int64_t n, const float **x)
{
    const int64_t row_len = jemi_model_input_size(c->model);
    *x = group->x + first * row_len;
    if (group->noise == 0 || c->config->input_noise == 0.0f)
        return JEM_OK;
    float *copy = jemi_runner_input_scratch(c->runner);
    if (copy == NULL)
        return jemi_fail_memory("noisy inputs");
    memcpy(copy, *x, (size_t)(n * row_len) * sizeof *copy);
    const jemi_random_key key = jemi_random_key_make(c->optimizer->config.seed, group->noise, 0);
    jemi_add_noise(copy, n, row_len, c->config->input_noise, key, (uint32_t)first,
                   (uint64_t)c->optimizer->steps);
    *x = copy;
    return JEM_OK;
}

static void set_dropout(const step_context *c, const row_group *group, int64_t first)
{
    const jemi_dropout dropout = {
        .key = jemi_random_key_make(c->optimizer->config.seed, group->dropout, 0),
        .step = (uint64_t)c->optimizer->steps,
        .first_row = (uint32_t)first,
    };
    jemi_runner_set_dropout(c->runner, &dropout);
}

static jem_status add_group_gradient(const step_context *c, row_group *group)
{
    const int32_t n_classes = jemi_model_classes(c->model);
    const bool moves_running = group->moves_running && jemi_runner_takes_batch(c->runner);
    jemi_running running = {&c->model->graph, c->optimizer->statistics};
    if (moves_running)
        jemi_running_begin(&running);
    for (int64_t first = 0; first < group->n;) {
        const int64_t n = jemi_runner_chunk(c->runner, group->n - first);
        const float *x, *logits;
        JEMI_TRY(noisy_rows(c, group, first, n, &x));
        set_dropout(c, group, first);
        JEMI_TRY(jemi_runner_forward(c->runner, c->model->exec.precision_training,
                                     JEMI_WANT_DPARAMS, n, x, &logits));
        if (moves_running)
            jemi_running_add(&running, c->runner, (double)n / (double)group->n);
        const int64_t *labels = group->labels != NULL ? group->labels + first : NULL;
        jemi_objective(n, n_classes, logits, labels, &group->weights,
                       jemi_runner_dlogits(c->runner), &group->sums);
        JEMI_TRY(jemi_runner_backward(c->runner, NULL, c->optimizer->partial));
        jemi_accumulate(c->optimizer->grad, c->optimizer->partial, c->model->graph.param_count);
        first += n;
    }
    return moves_running ? jemi_running_move(&running, c->next) : JEM_OK;
}

enum { LABELLED, DATA, SAMPLES, N_GROUPS };

// Which rows enter with which weights. Labelled rows that are also the data go through once.
static void make_groups(const jem_train_config *config, const jem_train_batch *batch,
                        row_group groups[N_GROUPS])
{
    const bool density = jemi_train_uses_density(config);
    const bool shared = batch->n_data == 0;
    row_group *labelled = &groups[LABELLED], *data = &groups[DATA], *samples = &groups[SAMPLES];
    memset(groups, 0, N_GROUPS * sizeof *groups);
    if (config->w_pyx > 0.0f || (density && shared)) {
        *labelled = (row_group){.n = batch->n_labelled,
                                .x = batch->x_labelled,
                                .labels = batch->y_labelled,
                                .noise = JEMI_RANDOM_NOISE_LABELLED,
                                .dropout = JEMI_RANDOM_DROPOUT_LABELLED,
                                .moves_running = true};
        labelled->weights.pyx = config->w_pyx / (double)batch->n_labelled;
    }
    if (!density)
        return;
    if (!shared)
        *data = (row_group){.n = batch->n_data,
                            .x = batch->x_data,
                            .noise = JEMI_RANDOM_NOISE_DATA,
                            .dropout = JEMI_RANDOM_DROPOUT_DATA,
                            .moves_running = true};
    row_group *usual = shared ? labelled : data;
    usual->weights.px = -config->w_px / (double)usual->n;
    usual->weights.l2 = config->energy_l2 / (double)usual->n;
    samples->n = batch->n_samples > 0 ? batch->n_samples : usual->n;
    samples->x = batch->x_samples;
    samples->dropout = JEMI_RANDOM_DROPOUT_SAMPLES;
    samples->weights.px = config->w_px / (double)samples->n;
    samples->weights.l2 = config->energy_l2 / (double)samples->n;
}

static jem_status draw_samples(const step_context *c, jem_sampler *sampler, row_group *samples,
                               double *chain_grad_norm)
{
    const int64_t row_len = jemi_model_input_size(c->model);
    JEMI_TRY(jemi_optimizer_reserve_samples(c->optimizer, samples->n * row_len));
    const jem_status status = jemi_sampler_draw(
        sampler, c->runner, c->model->exec.precision_chains, samples->n, c->optimizer->samples,
        NULL, c->config->progress, c->config->progress_user, chain_grad_norm);
    if (status == JEM_OK)
        samples->x = c->optimizer->samples;
    else if (status != JEM_ENOMEM)
        jemi_sampler_finish_draw(sampler, samples->n, NULL);
    return status;
}

static double mean(double sum, int64_t n)
{
    return n > 0 ? sum / (double)n : 0.0;
}

static void fill_stats(const row_group groups[N_GROUPS], const jem_train_batch *batch,
                       jem_train_stats *stats)
{
    for (int g = 0; g < N_GROUPS; g++) {
        stats->loss_px += groups[g].sums.px;
        stats->loss_pyx += groups[g].sums.pyx;
        stats->loss_l2 += groups[g].sums.l2;
    }
    stats->loss = stats->loss_px + stats->loss_pyx + stats->loss_l2;
    const row_group *usual = batch->n_data == 0 ? &groups[LABELLED] : &groups[DATA];
    stats->f_data = mean(usual->sums.f, usual->n);
    stats->f_samples = mean(groups[SAMPLES].sums.f, groups[SAMPLES].n);
    stats->gap = groups[SAMPLES].n > 0 ? stats->f_data - stats->f_samples : 0.0;
    stats->accuracy = mean((double)groups[LABELLED].sums.correct, groups[LABELLED].n);
}

// Written so that NaN fails too.
static jem_status check_finite(double value, const char *what, int64_t step)
{
    if (!(fabs(value) <= 1e15))
        return jemi_fail(JEM_EDIVERGED, "the %s of training step %lld is %g; nothing was updated",
                         what, (long long)step, value);
    return JEM_OK;
}

static jem_status check_stats(const jem_train_stats *stats, int64_t step)
{
    JEMI_TRY(check_finite(stats->loss, "loss", step));
    JEMI_TRY(check_finite(stats->gap, "gap of F between data and samples", step));
    return check_finite(stats->grad_norm, "parameter gradient norm", step);
}

static jem_status add_gradients(const step_context *c, row_group groups[N_GROUPS])
{
    const jemi_graph *graph = &c->model->graph;
    const float *now = jemi_runner_params(c->runner);
    memcpy(c->next + graph->param_count, now + graph->param_count,
           (size_t)graph->state_count * sizeof *now);
    memset(c->optimizer->grad, 0, (size_t)graph->param_count * sizeof(float));
    jemi_runner_set_mode(c->runner, JEMI_MODE_TRAIN);
    for (int g = 0; g < N_GROUPS; g++)
        JEMI_TRY(add_group_gradient(c, &groups[g]));
    jemi_spectral_gradient(graph, now, c->optimizer->grad);
    return JEM_OK;
}

static jem_status compute_gradient(const step_context *c, jem_sampler *sampler,
                                   const jem_train_batch *batch, jem_train_stats *stats)
{
    row_group groups[N_GROUPS];
    make_groups(c->config, batch, groups);
    row_group *samples = &groups[SAMPLES];
    const bool draws = samples->n > 0 && samples->x == NULL;
    const double begin = jemi_seconds();
    if (draws)
        JEMI_TRY(draw_samples(c, sampler, samples, &stats->chain_grad_norm));
    stats->seconds_sampling = jemi_seconds() - begin;
    const jem_status status = add_gradients(c, groups);
    if (draws && status != JEM_ENOMEM) // then the sampler too is as before
        jemi_sampler_finish_draw(sampler, samples->n, samples->x);
    JEMI_TRY(status);
    fill_stats(groups, batch, stats);
    stats->grad_norm = sqrt(jemi_sum_squares(c->optimizer->grad, c->model->graph.param_count));
    return check_stats(stats, c->optimizer->steps + 1);
}

jem_status jemi_train_step(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                           const jem_train_config *config, const jem_train_batch *batch,
                           jem_train_stats *stats)
{
    const double begin = jemi_seconds();
    jemi_generation *next;
    JEMI_TRY(jemi_generations_begin(model->generations, &next));
    jemi_runner *runner;
    jem_status status = jemi_runner_borrow(model->runners, &runner);
    if (status != JEM_OK)
        goto abort_write;
    const step_context context = {model, runner, optimizer, config, next->params};
    status = compute_gradient(&context, sampler, batch, stats);
    stats->lr = jemi_optimizer_rate(optimizer);
    if (status == JEM_OK)
        status = jemi_optimizer_update(optimizer, jemi_runner_params(runner), stats->grad_norm,
                                       next->params);
    jemi_runner_return(runner);
    if (status != JEM_OK)
        goto abort_write;
    jemi_spectral_iterate(&model->graph, next->params);
    stats->step = optimizer->steps;
    stats->seconds_updating = jemi_seconds() - begin - stats->seconds_sampling;
    jemi_generations_commit(model->generations, next);
    return JEM_OK;
abort_write:
    jemi_generations_abort(model->generations, next);
    return status;
}
