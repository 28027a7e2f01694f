/*
 * Rows, labels and short trainings: what the tests of norms and of batch statistics share.
 */
#ifndef JEM_TESTS_NORMS_RUN_H
#define JEM_TESTS_NORMS_RUN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { FEATURES = 4, HIDDEN = 5, CLASSES = 3, ROWS = 24, MANY = 301 };

static jem_exec_config exec;
static float *x, *other; /* (MANY, FEATURES) each */
static int64_t y[MANY];

// For test number i of a loop over the backends: they alternate.
static inline void use_backend(int i)
{
    exec = support_exec(support_backends[i % support_n_backends], 1);
}

static inline void set_up(void)
{
    use_backend(0);
    x = support_uniform(MANY * FEATURES, 1);
    other = support_uniform(MANY * FEATURES, 2);
    for (int r = 0; r < MANY; r++)
        y[r] = r % CLASSES;
}

static inline void tear_down(void)
{
    free(x);
    free(other);
}

static const char batch_arch[] = "mlp-5:act=silu,norm=batch";

static inline float *tensor(const jem_model *model, const char *name, int64_t count)
{
    float *values = malloc((size_t)count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    MUST(jem_model_get_tensor(model, name, count, values));
    return values;
}

static inline uint64_t model_hash(const jem_model *model)
{
    float *params = support_params(model);
    const uint64_t hash = support_hash(params, (size_t)support_param_count(model) * sizeof *params);
    free(params);
    return hash;
}

// One step; labelled rows are x, data rows, if any, are other.
typedef struct step_row {
    int64_t n_labelled, n_data, n_samples;
    bool drawn; /* samples are drawn, not handed in */
} step_row;

static inline jem_status train(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                               const step_row *row)
{
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.input_noise = 0.0f;
    jem_train_batch batch = support_batch(row->n_labelled, x, y);
    batch.n_data = row->n_data;
    batch.x_data = row->n_data > 0 ? other : NULL;
    batch.n_samples = row->n_samples;
    batch.x_samples = row->drawn ? NULL : other + FEATURES;
    return jem_train_step(model, optimizer, sampler, &config, &batch, NULL);
}

static inline void train_some(jem_model *model, int steps)
{
    jem_optimizer *optimizer = support_optimizer(model, 0.01f);
    const step_row row = {ROWS, 0, ROWS, false};
    for (int i = 0; i < steps; i++)
        MUST(train(model, optimizer, NULL, &row));
    jem_optimizer_destroy(optimizer);
}

#endif
