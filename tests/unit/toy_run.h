/*
 * Small training runs of every kind, whose whole state can be hashed: what test_guard.c and
 * test_checkpoint.c share.
 */
#ifndef JEM_TESTS_TOY_RUN_H
#define JEM_TESTS_TOY_RUN_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ebm/sampler.h"
#include "support.h"
#include "train/guard.h"

enum { TOY_ROWS = 48, TOY_BATCH = 12, TOY_CLASSES = 3, TOY_CHAINS = 20 };

typedef struct toy_recipe {
    const char *name;
    const char *arch;
    int32_t channels, side;
    int32_t kind; /* of optimizer; 0 = Adam */
    float sam_rho, ema_decay;
    int32_t schedule;
    int32_t start, start_rank, class_conditional;
    bool classifier; /* no sampler */
    bool guard;
    bool unfitted; /* data starts at the rows of the step */
} toy_recipe;

static const toy_recipe toy_recipes[] = {
    {"adam", "mlp-8", 2, 1, 0, 0, 0, 0, 0, 0, 0, false, false, false},
    {"guarded", "mlp-8", 2, 1, 0, 0, 0.9f, 0, JEM_START_MIXTURE, 0, 0, false, true, false},
    {"sgd", "mlp-8", 2, 1, JEM_OPTIMIZER_SGD, 0, 0, JEM_SCHEDULE_STEP, JEM_START_GAUSSIAN, 0, 0,
     false, true, false},
    {"sam", "mlp-8", 2, 1, 0, 0.05f, 0.9f, JEM_SCHEDULE_COSINE, JEM_START_MIXTURE, 2, 0, false,
     false, false},
    {"classes", "cnn-4", 1, 4, 0, 0, 0, 0, JEM_START_GAUSSIAN, 3, 1, false, true, false},
    {"data", "mlp-8", 2, 1, 0, 0, 0, 0, JEM_START_DATA, 0, 1, false, true, false},
    {"divergence", "mlp-8", 2, 1, 0, 0, 0, 0, JEM_START_DATA, 0, 0, false, true, true},
    {"classifier", "mlp-8", 2, 1, 0, 0, 0.5f, 0, 0, 0, 0, true, true, false},
    {"running statistics", "mlp-8:norm=batch", 2, 1, 0, 0, 0.9f, 0, JEM_START_MIXTURE, 0, 0, false,
     true, false},
    {"masks, iterates", "mlp-8:norm=spectral,dropout=0.2", 2, 1, 0, 0, 0.9f, 0, JEM_START_MIXTURE,
     0, 0, false, true, false},
};

typedef struct toy_run {
    jem_model *model;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    jem_train_config config;
    float *x;
    int64_t y[TOY_ROWS];
    int64_t row_len, batches;
} toy_run;

static inline jem_sampler *toy_sampler(const toy_recipe *recipe, const toy_run *run, uint64_t seed)
{
    jem_sampler_config config = support_sampler_config(TOY_CHAINS, 3);
    config.seed = seed;
    config.reinit_prob = 0.2f;
    config.start = recipe->start != 0 ? recipe->start : JEM_START_UNIFORM;
    config.start_rank = recipe->start_rank;
    config.class_conditional = recipe->class_conditional;
    jem_sampler *sampler = support_sampler(run->model, &config);
    if (config.start != JEM_START_UNIFORM && !recipe->unfitted)
        MUST(jem_sampler_fit(sampler, TOY_ROWS, run->x, run->y, NULL, NULL));
    return sampler;
}

static inline jem_optimizer *toy_optimizer(const toy_recipe *recipe, const jem_model *model,
                                           uint64_t seed)
{
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.kind = recipe->kind != 0 ? recipe->kind : JEM_OPTIMIZER_ADAM;
    config.lr = 0.005f;
    config.seed = seed;
    config.sam_rho = recipe->sam_rho;
    config.ema_decay = recipe->ema_decay;
    config.schedule = recipe->schedule != 0 ? recipe->schedule : JEM_SCHEDULE_CONSTANT;
    config.total_steps = recipe->schedule == JEM_SCHEDULE_COSINE ? 50 : 0;
    config.milestones[0] = 0.5f;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &config));
    return optimizer;
}

/** Three bands of points, or images, by class; healthy to train on. */
static inline toy_run toy_make(const toy_recipe *recipe, const jem_exec_config *exec, uint64_t seed)
{
    toy_run run = {.row_len = recipe->channels * recipe->side * recipe->side};
    run.model =
        support_image_model(recipe->arch, recipe->channels, recipe->side, TOY_CLASSES, exec);
    run.x = support_uniform(TOY_ROWS * run.row_len, 5 + seed);
    for (int64_t i = 0; i < TOY_ROWS * run.row_len; i++)
        run.x[i] = 0.3f * run.x[i] + (float)(i / run.row_len % TOY_CLASSES) - 1.0f;
    for (int r = 0; r < TOY_ROWS; r++)
        run.y[r] = r % TOY_CLASSES;
    run.sampler = recipe->classifier ? NULL : toy_sampler(recipe, &run, seed);
    run.optimizer = toy_optimizer(recipe, run.model, seed);
    MUST(jem_train_config_init(&run.config, sizeof run.config));
    run.config.guard = recipe->guard;
    run.config.guard_every = 10;
    if (recipe->classifier)
        run.config.w_px = run.config.energy_l2 = 0.0f;
    return run;
}

static inline void toy_free(toy_run *run)
{
    jem_optimizer_destroy(run->optimizer);
    jem_sampler_destroy(run->sampler);
    jem_model_destroy(run->model);
    free(run->x);
}

/** A step on the batch whose turn it is. */
static inline jem_status toy_step(toy_run *run, jem_train_stats *stats)
{
    const int64_t first = run->batches++ * TOY_BATCH % TOY_ROWS;
    jem_train_batch batch = support_batch(TOY_BATCH, run->x + first * run->row_len, run->y + first);
    if (run->optimizer->config.total_steps == 0)
        MUST(jem_optimizer_set_progress(run->optimizer, (float)(run->batches % 50) / 50.0f));
    if (stats != NULL)
        stats->struct_size = sizeof *stats;
    return jem_train_step(run->model, run->optimizer, run->sampler, &run->config, &batch, stats);
}

static inline void toy_steps(toy_run *run, int n)
{
    jem_train_stats stats;
    for (int i = 0; i < n; i++) {
        MUST(toy_step(run, &stats));
        ck_assert_msg(stats.event == JEM_EVENT_NONE, "step %d: %s", i, jem_last_error());
    }
}

/** Of the parameters and the state behind them. */
static inline uint64_t toy_params(const toy_run *run)
{
    const float *values = run->model->generations->current->params;
    return support_hash(values, (size_t)jemi_model_size(run->model) * sizeof *values);
}

static inline uint64_t toy_join(uint64_t hash, const void *data, size_t size)
{
    const uint64_t both[2] = {hash, data != NULL ? support_hash(data, size) : 0};
    return support_hash(both, sizeof both);
}

/** Of all that tells how the run goes on; `streams`: also of which random numbers it will see. */
static inline uint64_t toy_hash(const toy_run *run, bool streams)
{
    const jem_optimizer *o = run->optimizer;
    const size_t bytes = (size_t)o->fingerprint.param_count * sizeof(float);
    uint64_t hash = toy_params(run);
    hash = toy_join(hash, o->state1, bytes);
    hash = toy_join(hash, o->state2, bytes);
    hash = toy_join(hash, o->ema, (size_t)jemi_model_size(run->model) * sizeof(float));
    hash = toy_join(hash, &o->steps, sizeof o->steps);
    if (streams) {
        hash = toy_join(hash, &o->config.lr, sizeof o->config.lr);
        hash = toy_join(hash, &o->epoch, sizeof o->epoch);
    }
    const jem_sampler *s = run->sampler;
    if (s == NULL)
        return hash;
    if (s->filled) {
        hash = toy_join(hash, s->chains, (size_t)(TOY_CHAINS * run->row_len) * sizeof *s->chains);
        hash = toy_join(hash, s->ages, TOY_CHAINS * sizeof *s->ages);
    }
    hash = toy_join(hash, &s->slot_steps, sizeof s->slot_steps);
    if (streams) {
        hash = toy_join(hash, &s->draws, sizeof s->draws);
        hash = toy_join(hash, &s->epoch, sizeof s->epoch);
    }
    return hash;
}

/** Of what the guard knows and keeps. */
static inline uint64_t toy_guard_hash(const toy_run *run)
{
    const jemi_guard *guard = run->optimizer->guard;
    const size_t bytes = (size_t)run->optimizer->fingerprint.param_count * sizeof(float);
    uint64_t hash = toy_join(0, guard->means, sizeof guard->means);
    hash = toy_join(hash, &guard->n_means, sizeof guard->n_means);
    hash = toy_join(hash, &guard->good, sizeof guard->good);
    hash = toy_join(hash, &guard->tries, sizeof guard->tries);
    for (int i = 0; i < jemi_guard_count_snapshots(guard); i++) {
        const jemi_snapshot *s = &guard->snapshots[i];
        const jemi_kept_chains *kept = &s->chains;
        hash = toy_join(hash, &s->steps, sizeof s->steps);
        hash = toy_join(hash, s->values, (size_t)jemi_model_size(run->model) * sizeof(float));
        for (int v = 0; v < JEMI_OPTIMIZER_VECTORS; v++)
            hash = toy_join(hash, s->vectors[v], bytes);
        hash = toy_join(hash, &kept->slot_steps, sizeof kept->slot_steps);
        hash = toy_join(hash, &kept->draws, sizeof kept->draws);
        if (!kept->filled)
            continue;
        hash = toy_join(hash, kept->chains, (size_t)(TOY_CHAINS * run->row_len) * sizeof(float));
        hash = toy_join(hash, kept->ages, TOY_CHAINS * sizeof *kept->ages);
    }
    return hash;
}

#endif
