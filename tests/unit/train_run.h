/*
 * A model, an optimizer and a sampler on a few rows: what the tests of training steps share.
 */
#ifndef JEM_TESTS_TRAIN_RUN_H
#define JEM_TESTS_TRAIN_RUN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { FEATURES = 2, CLASSES = 3, ROWS = 24 };

static jem_exec_config exec;
static float *x, *other; /* (ROWS, FEATURES) each */
static int64_t y[ROWS];

static inline void set_up(void)
{
    x = support_uniform(ROWS * FEATURES, 1);
    other = support_uniform(ROWS * FEATURES, 2);
    for (int r = 0; r < ROWS; r++)
        y[r] = r % CLASSES;
}

static inline void tear_down(void)
{
    free(x);
    free(other);
}

typedef struct trainer {
    jem_model *model;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    jem_train_config config;
    jem_train_batch batch;
} trainer;

static inline trainer make_trainer(int32_t classes, const jem_optimizer_config *optimizer)
{
    trainer t = {.model = support_model("mlp-8", FEATURES, classes, &exec)};
    const jem_sampler_config sampler = support_sampler_config(2 * ROWS, 3);
    t.sampler = support_sampler(t.model, &sampler);
    MUST(jem_optimizer_create(&t.optimizer, t.model, optimizer));
    MUST(jem_train_config_init(&t.config, sizeof t.config));
    t.batch = support_batch(ROWS, x, y);
    return t;
}

static inline void free_trainer(trainer *t)
{
    jem_optimizer_destroy(t->optimizer);
    jem_sampler_destroy(t->sampler);
    jem_model_destroy(t->model);
}

static inline jem_optimizer_config optimizer_config(float lr)
{
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.lr = lr;
    return config;
}

static inline jem_status step(trainer *t, jem_train_stats *stats)
{
    if (stats != NULL)
        stats->struct_size = sizeof *stats;
    return jem_train_step(t->model, t->optimizer, t->sampler, &t->config, &t->batch, stats);
}

static inline uint64_t params_hash(const trainer *t)
{
    float *params = support_params(t->model);
    const uint64_t hash =
        support_hash(params, (size_t)support_param_count(t->model) * sizeof *params);
    free(params);
    return hash;
}

#endif
