/*
 * Samples, gradient, update, in this order; nothing of the model changes before the commit.
 */
#include "train/step.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/vector.h"
#include "nn/spectral.h"
#include "train/augment.h"
#include "train/guard.h"
#include "train/objective.h"
#include "train/running.h"
#include "train/sam.h"

enum { LABELLED, DATA, SAMPLES, OUTLIERS, N_GROUPS };

// Rows that enter the loss with the same weights.
typedef struct row_group {
    int64_t n;
    const float *x;
    const int64_t *labels; /* NULL when the group has none, or none that matter */
    jemi_row_weights weights;
    jemi_purpose augment, noise, dropout; /* random streams of its rows; 0 = none */
    bool moves_running;                   /* its statistics move the running ones */
    jemi_objective_sums sums;
} row_group;

// What the passes over all groups share.
typedef struct step_context {
    const jem_model *model;
    jemi_runner *runner;
    jem_optimizer *optimizer;
    const jem_train_config *config;
    jemi_generation *next;
    jemi_draw draw; /* of the samples; n = 0: none were drawn */
} step_context;

static jemi_augmentation augmentation(const jem_train_config *config)
{
    return (jemi_augmentation){.crop = config->augment_crop, .flip = config->augment_flip};
}

// One pass of the network over all rows of a group.
typedef struct group_pass {
    const step_context *c;
    row_group *group;
    jemi_running *running; /* NULL: this pass moves no running statistics */
} group_pass;

static const int64_t *labels_from(const row_group *group, int64_t first)
{
    return group->labels != NULL ? group->labels + first : NULL;
}

// The rows as the network shall see them: the caller's, or a copy that is augmented, then noisy.
static const float *changed_rows(const group_pass *pass, const jemi_chunk *chunk)
{
    const int64_t first = chunk->first, n = chunk->n;
    const step_context *c = pass->c;
    const row_group *group = pass->group;
    const jemi_shape shape = jemi_model_input(c->model);
    const int64_t row_len = jemi_shape_size(shape);
    const uint64_t seed = c->optimizer->config.seed, step = (uint64_t)c->optimizer->steps;
    const uint32_t epoch = c->optimizer->epoch;
    const float noise = group->noise != 0 ? c->config->input_noise : 0.0f;
    const float *x = group->x + first * row_len;
    if (group->augment == 0 && noise == 0.0f)
        return x;
    float *copy = chunk->scratch;
    if (group->augment != 0) {
        const jemi_augmentation moves = augmentation(c->config);
        const jemi_random_key key = jemi_random_key_make(seed, group->augment, epoch);
        jemi_augment_rows(&moves, shape, n, x, copy, key, (uint32_t)first, step);
    } else {
        memcpy(copy, x, (size_t)(n * row_len) * sizeof *copy);
    }
    const jemi_random_key key = jemi_random_key_make(seed, group->noise, epoch);
    jemi_add_noise(copy, n, row_len, noise, key, (uint32_t)first, step);
    return copy;
}

static jemi_dropout dropout_of(const jem_optimizer *optimizer, const row_group *group)
{
    return (jemi_dropout){
        .key = jemi_random_key_make(optimizer->config.seed, group->dropout, optimizer->epoch),
        .step = (uint64_t)optimizer->steps,
    };
}

// The gradient of some of the group's rows, into memory of their chunk.
static jem_status compute_rows(void *context, jemi_chunk *chunk)
{
    const group_pass *pass = context;
    const row_group *group = pass->group;
    JEMI_TRY(jemi_chunk_forward(chunk, changed_rows(pass, chunk)));
    if (pass->running != NULL)
        jemi_running_add(pass->running, chunk, (double)chunk->n / (double)group->n);
    jemi_objective_gradient(chunk->n, jemi_model_classes(pass->c->model), chunk->out,
                            labels_from(group, chunk->first), &group->weights, chunk->dout);
    return jemi_chunk_backward(chunk, NULL);
}

static jem_status add_rows(void *context, jemi_chunk *chunk)
{
    const group_pass *pass = context;
    row_group *group = pass->group;
    const jem_model *model = pass->c->model;
    jemi_objective_add(chunk->n, jemi_model_classes(model), chunk->out,
                       labels_from(group, chunk->first), &group->weights, &group->sums);
    jemi_accumulate(pass->c->optimizer->grad, chunk->dparams, model->graph.param_count);
    return JEM_OK;
}

static jem_status add_group_gradient(const step_context *c, const jemi_generation *at,
                                     row_group *group)
{
    if (group->n == 0)
        return JEM_OK;
    const jemi_graph *graph = &c->model->graph;
    const bool moves_running = group->moves_running && jemi_graph_has(graph, JEMI_NODE_BATCHNORM);
    jemi_running running = {graph, c->optimizer->statistics};
    if (moves_running)
        jemi_running_begin(&running);
    const jemi_dropout dropout = dropout_of(c->optimizer, group);
    const jemi_pass pass = jemi_pass_training(c->model, at, &dropout);
    group_pass context = {c, group, moves_running ? &running : NULL};
    JEMI_TRY(jemi_pass_run(&pass, c->runner, group->n,
                           &(jemi_rows_work){compute_rows, add_rows, &context}));
    return moves_running ? jemi_running_move(&running, c->next->params) : JEM_OK;
}

static row_group labelled_rows(const jem_train_config *config, const jem_train_batch *batch)
{
    return (row_group){.n = batch->n_labelled,
                       .x = batch->x_labelled,
                       .labels = batch->y_labelled,
                       .weights = {.pyx = config->w_pyx / (double)batch->n_labelled,
                                   .logit_norm = config->logit_norm},
                       .noise = JEMI_RANDOM_NOISE_LABELLED,
                       .dropout = JEMI_RANDOM_DROPOUT_LABELLED,
                       .moves_running = true};
}

static row_group data_rows(const jem_train_batch *batch)
{
    const bool own = batch->n_data > 0;
    return (row_group){.n = own ? batch->n_data : batch->n_labelled,
                       .x = own ? batch->x_data : batch->x_labelled,
                       .noise = JEMI_RANDOM_NOISE_DATA,
                       .dropout = JEMI_RANDOM_DROPOUT_DATA,
                       .moves_running = true};
}

static row_group sample_rows(const jem_train_config *config, const jem_train_batch *batch)
{
    const int64_t n = jemi_train_n_samples(batch);
    return (row_group){
        .n = n,
        .x = batch->x_samples,
        .labels = config->w_pxy > 0.0f ? batch->y_samples : NULL,
        .dropout = JEMI_RANDOM_DROPOUT_SAMPLES,
        .weights = {.px = config->w_px / (double)n, .l2 = config->energy_l2 / (double)n}};
}

// Beside the usual rows, and changed as they are: neither noise nor a shift shall tell them apart.
static row_group outlier_rows(const jem_train_config *config, const jem_train_batch *batch,
                              const row_group *usual)
{
    const double n = (double)batch->n_outliers;
    return (row_group){
        .n = batch->n_outliers,
        .x = batch->x_outliers,
        .augment = usual->augment != 0 ? JEMI_RANDOM_AUGMENT_OUTLIERS : 0,
        .noise = JEMI_RANDOM_NOISE_OUTLIERS,
        .dropout = JEMI_RANDOM_DROPOUT_OUTLIERS,
        .weights = {.bound = {config->w_outlier / n, config->outlier_m_out, .side = -1.0}}};
}

static row_group *usual_rows(row_group groups[N_GROUPS])
{
    return &groups[groups[DATA].n > 0 ? DATA : LABELLED];
}

static void weigh_usual(const jem_train_config *config, row_group *usual)
{
    const double n = (double)usual->n;
    if (jemi_train_uses_density(config)) {
        usual->weights.px = -config->w_px / n;
        usual->weights.l2 = config->energy_l2 / n;
    }
    if (jemi_train_uses_outliers(config))
        usual->weights.bound =
            (jemi_energy_bound){config->w_outlier / n, config->outlier_m_in, .side = 1.0};
}

// Which rows enter with which weights. Labelled rows that are also the data go through once, unless
// only the labelled ones are augmented.
static void make_groups(const jem_train_config *config, const jem_train_batch *batch,
                        row_group groups[N_GROUPS])
{
    const jemi_augmentation moves = augmentation(config);
    const bool with_data = jemi_train_uses_data(config, batch);
    const bool with_labels = jemi_train_uses_labels(config);
    const bool augment_labelled = jemi_augments(&moves) && (with_labels || config->augment_data);
    const bool augment_data = jemi_augments(&moves) && config->augment_data;
    const bool shared = batch->n_data == 0 && augment_labelled == augment_data;
    memset(groups, 0, N_GROUPS * sizeof *groups);
    if (with_labels || (with_data && shared)) {
        groups[LABELLED] = labelled_rows(config, batch);
        groups[LABELLED].augment = augment_labelled ? JEMI_RANDOM_AUGMENT_LABELLED : 0;
    }
    if (with_data && !shared) {
        groups[DATA] = data_rows(batch);
        groups[DATA].augment = augment_data ? JEMI_RANDOM_AUGMENT_DATA : 0;
    }
    weigh_usual(config, usual_rows(groups));
    if (jemi_train_uses_samples(config))
        groups[SAMPLES] = sample_rows(config, batch);
    if (jemi_train_uses_outliers(config))
        groups[OUTLIERS] = outlier_rows(config, batch, usual_rows(groups));
}

static jem_status draw_samples(step_context *c, jem_sampler *sampler, const jem_train_batch *batch,
                               row_group *samples, jem_train_stats *stats)
{
    const int64_t row_len = jemi_model_input_size(c->model);
    JEMI_TRY(jemi_optimizer_reserve_samples(c->optimizer, samples->n * row_len));
    const row_group data = data_rows(batch);
    const jemi_pass pass = jemi_pass_chain(c->model, c->runner);
    c->draw = (jemi_draw){.n = samples->n,
                          .x = c->optimizer->samples,
                          .data = data.x,
                          .n_data = data.n,
                          .progress = c->config->progress,
                          .user = c->config->progress_user};
    jemi_draw_figures figures = {0};
    const jem_status status = jemi_sampler_draw(sampler, c->runner, &pass, &c->draw, &figures);
    if (status == JEM_OK) {
        samples->x = c->draw.x;
        samples->labels = c->config->w_pxy > 0.0f ? sampler->draw_labels : NULL;
    }
    stats->chain_grad_norm = figures.grad_norm;
    stats->chain_age = figures.age;
    stats->clamped = figures.clamped;
    return status;
}

// Needs the samples' classes, so after the draw.
static void weigh_classes(const step_context *c, row_group groups[N_GROUPS])
{
    row_group *labelled = &groups[LABELLED], *samples = &groups[SAMPLES];
    const int64_t n_classes = jemi_model_classes(c->model);
    double *pxy = c->optimizer->pxy;
    jemi_objective_weigh_classes(c->config->w_pxy, n_classes, labelled->n, labelled->labels,
                                 samples->n, samples->labels, pxy);
    labelled->weights.pxy = pxy;
    samples->weights.pxy = pxy + n_classes;
}

static double mean(double sum, int64_t n)
{
    return n > 0 ? sum / (double)n : 0.0;
}

static void fill_stats(row_group groups[N_GROUPS], jem_train_stats *stats)
{
    for (int g = 0; g < N_GROUPS; g++) {
        stats->loss_px += groups[g].sums.px;
        stats->loss_pyx += groups[g].sums.pyx;
        stats->loss_pxy += groups[g].sums.pxy;
        stats->loss_l2 += groups[g].sums.l2;
        stats->loss_outlier += groups[g].sums.bound;
    }
    stats->loss =
        stats->loss_px + stats->loss_pyx + stats->loss_pxy + stats->loss_l2 + stats->loss_outlier;
    const row_group *usual = usual_rows(groups);
    stats->f_data = mean(usual->sums.f, usual->n);
    stats->f_samples = mean(groups[SAMPLES].sums.f, groups[SAMPLES].n);
    stats->f_outliers = mean(groups[OUTLIERS].sums.f, groups[OUTLIERS].n);
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

// Of all groups, at these parameters.
static jem_status add_gradients(const step_context *c, const jemi_generation *at,
                                row_group groups[N_GROUPS])
{
    const jemi_graph *graph = &c->model->graph;
    memset(c->optimizer->grad, 0, (size_t)graph->param_count * sizeof(float));
    for (int g = 0; g < N_GROUPS; g++)
        JEMI_TRY(add_group_gradient(c, at, &groups[g]));
    jemi_spectral_gradient(graph, at->params, c->optimizer->grad);
    return JEM_OK;
}

static const float *params_now(const step_context *c)
{
    return jemi_runner_generation(c->runner)->params;
}

static double grad_norm(const step_context *c)
{
    return sqrt(jemi_sum_squares(c->optimizer->grad, c->model->graph.param_count));
}

// SAM's second gradient, of the same rows, at parameters that nobody else gets to see. Running
// statistics are those of the first.
static jem_status add_perturbed_gradients(const step_context *c, row_group groups[N_GROUPS],
                                          double norm)
{
    jemi_sam_perturb(c->optimizer, params_now(c), norm, c->next->params);
    jemi_generations_try(c->model->generations, c->next);
    for (int g = 0; g < N_GROUPS; g++)
        groups[g].moves_running = false;
    return add_gradients(c, c->next, groups);
}

// The next state begins as the present one; the passes of the step move it.
static void copy_state(const step_context *c)
{
    const jemi_graph *graph = &c->model->graph;
    const float *now = params_now(c);
    memcpy(c->next->params + graph->param_count, now + graph->param_count,
           (size_t)graph->state_count * sizeof *now);
}

static jem_status compute_gradient(const step_context *c, row_group groups[N_GROUPS],
                                   jem_train_stats *stats)
{
    const int64_t step = c->optimizer->steps + 1;
    copy_state(c);
    JEMI_TRY(add_gradients(c, jemi_runner_generation(c->runner), groups));
    fill_stats(groups, stats);
    stats->grad_norm = grad_norm(c);
    JEMI_TRY(check_stats(stats, step));
    if (c->optimizer->config.sam_rho == 0.0f)
        return JEM_OK;
    JEMI_TRY(add_perturbed_gradients(c, groups, stats->grad_norm));
    stats->grad_norm = grad_norm(c);
    return check_finite(stats->grad_norm, "second parameter gradient norm", step);
}

static jem_status sample_and_compute(step_context *c, jem_sampler *sampler,
                                     const jem_train_batch *batch, jem_train_stats *stats)
{
    row_group groups[N_GROUPS];
    make_groups(c->config, batch, groups);
    row_group *samples = &groups[SAMPLES];
    const bool draws = samples->n > 0 && samples->x == NULL;
    const double begin = jemi_seconds();
    if (draws)
        JEMI_TRY(draw_samples(c, sampler, batch, samples, stats));
    stats->seconds_sampling = jemi_seconds() - begin;
    if (c->config->w_pxy > 0.0f)
        weigh_classes(c, groups);
    if (samples->n > 0)
        stats->sample_max =
            (double)jemi_max_abs(samples->x, samples->n * jemi_model_input_size(c->model));
    return compute_gradient(c, groups, stats);
}

// The update that the gradient leads to, into next->params; nothing else changes yet.
static jem_status propose_update(const step_context *c, jem_train_stats *stats)
{
    const int64_t count = c->model->graph.param_count;
    const float *theta = params_now(c);
    stats->step = c->optimizer->steps;
    stats->lr = jemi_optimizer_rate(c->optimizer);
    JEMI_TRY(jemi_optimizer_propose(c->optimizer, theta, stats->grad_norm, c->next->params));
    stats->param_norm = sqrt(jemi_sum_squares(theta, count));
    stats->update_norm = sqrt(jemi_sum_squares_difference(c->next->params, theta, count));
    return JEM_OK;
}

static void accept_update(const step_context *c, double norm)
{
    jemi_optimizer_accept(c->optimizer, params_now(c), norm, c->next->params);
    jemi_spectral_iterate(&c->model->graph, c->next->params);
    jemi_optimizer_keep_state(c->optimizer, c->next->params);
}

// Up to the decision whether there will be an update everything is as before, the chains too.
static jem_status update(step_context *c, const jemi_guarded *guarded, const jem_train_batch *batch,
                         jem_train_stats *stats)
{
    jem_status status = sample_and_compute(c, guarded->sampler, batch, stats);
    if (status == JEM_OK)
        status = propose_update(c, stats);
    if (status == JEM_OK && c->config->guard)
        status = jemi_guard_check(c->optimizer, stats);
    if (status == JEM_OK && c->config->guard)
        jemi_guard_pass(guarded, stats, params_now(c), c->next->version);
    if (c->draw.n > 0 && status != JEM_ENOMEM) // then the noise too is as before
        jemi_sampler_finish_draw(guarded->sampler, c->draw.n, status == JEM_OK ? c->draw.x : NULL);
    if (status == JEM_OK)
        accept_update(c, stats->grad_norm);
    return status;
}

// An update, or with the guard a way back. `changed`: next->params are to be committed.
static jem_status guarded_update(step_context *c, const jemi_guarded *guarded,
                                 const jem_train_batch *batch, jem_train_stats *stats,
                                 bool *changed)
{
    if (c->config->guard)
        JEMI_TRY(jemi_guard_begin(guarded, jemi_runner_generation(c->runner)));
    const jem_status status = update(c, guarded, batch, stats);
    const bool goes_back = status == JEM_EDIVERGED && c->config->guard;
    *changed = status == JEM_OK || goes_back;
    if (!goes_back)
        return status;
    stats->event = JEM_EVENT_ROLLBACK;
    return jemi_guard_roll_back(guarded, &c->draw, c->next);
}

jem_status jemi_train_step(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                           const jem_train_config *config, const jem_train_batch *batch,
                           jem_train_stats *stats)
{
    const double begin = jemi_seconds();
    const jemi_guarded guarded = {optimizer, sampler, config};
    step_context context = {.model = model, .optimizer = optimizer, .config = config};
    JEMI_TRY(jemi_generations_begin(model->generations, &context.next));
    bool changed = false;
    jem_status status = jemi_runner_borrow(model->runners, &context.runner);
    if (status == JEM_OK) {
        status = guarded_update(&context, &guarded, batch, stats, &changed);
        jemi_runner_return(context.runner);
    }
    stats->step = optimizer->steps;
    stats->seconds_updating = jemi_seconds() - begin - stats->seconds_sampling;
    jemi_generations_end(model->generations, context.next, changed ? JEM_OK : status);
    return status;
}
