/*
 * Faults to run into, and runs without: what the tests of the guard share.
 */
#ifndef JEM_TESTS_GUARD_RUN_H
#define JEM_TESTS_GUARD_RUN_H

#include "toy_run.h"

enum { GUARDED = 1, CLASSIFIER = 7, BEFORE = 30, SINCE = 4 }; /* BEFORE: a multiple of 10 */

static jem_exec_config exec;

static inline float *current_params(const toy_run *run)
{
    return run->model->generations->current->params;
}

static inline void spoil_parameter(toy_run *run)
{
    current_params(run)[3] = NAN;
}

static inline void spoil_first_moment(toy_run *run)
{
    run->optimizer->state1[5] = NAN;
}

static inline void spoil_second_moment(toy_run *run)
{
    run->optimizer->state2[5] = INFINITY;
}

static inline void spoil_buffer(toy_run *run)
{
    for (int c = 0; c < TOY_CHAINS; c += 3)
        run->sampler->chains[c * run->row_len] = NAN;
}

static inline void spoil_buffer_far(toy_run *run)
{
    for (int c = 0; c < TOY_CHAINS; c += 3)
        run->sampler->chains[c * run->row_len] = 2e5f;
}

static inline void spoil_data(toy_run *run)
{
    for (int64_t i = 0; i < TOY_ROWS * run->row_len; i++)
        run->x[i] *= 1e30f;
}

static inline void spoil_data_a_little(toy_run *run)
{
    for (int64_t i = 0; i < TOY_ROWS * run->row_len; i++)
        run->x[i] *= 1e4f;
}

static inline void spoil_gradient(toy_run *run)
{
    run->optimizer->config.sam_rho = 1e29f; // the second gradient, so that the loss looks healthy
}

static inline void spoil_loss(toy_run *run)
{
    run->config.energy_l2 = 1e29f;
}

static inline void spoil_rate(toy_run *run)
{
    float lr;
    MUST(jem_optimizer_get(run->optimizer, &lr, NULL));
    MUST(jem_optimizer_set_lr(run->optimizer, 1000.0f * lr));
}

static inline void spoil_temperature(toy_run *run)
{
    run->sampler->config.step_size = 1e6f;
}

typedef struct fault_row {
    const char *name;
    void (*spoil)(toy_run *run);
    const char *word; // of what is found
} fault_row;

static const fault_row faults[] = {
    {"NaN in a parameter", spoil_parameter, ""},
    {"NaN in the first moment", spoil_first_moment, "update"},
    {"infinite second moment", spoil_second_moment, ""},
    {"NaN in the buffer", spoil_buffer, "chain"},
    {"chains far away", spoil_buffer_far, ""},
    {"huge data", spoil_data, ""},
    {"data 10,000 times as large", spoil_data_a_little, ""},
    {"NaN in the gradient", spoil_gradient, "second parameter gradient"},
    {"loss beyond bounds", spoil_loss, "loss"},
    {"learning rate x 1000", spoil_rate, "norm of the update"},
    {"chains that explode", spoil_temperature, "samples"},
};

static inline toy_run healthy_run(int recipe)
{
    toy_run run = toy_make(&toy_recipes[recipe], &exec, 0);
    toy_steps(&run, BEFORE);
    return run;
}

// What is spoilt outside of the snapshot is mended by hand.
static inline void mend(toy_run *run, const toy_run *healthy)
{
    run->config.energy_l2 = healthy->config.energy_l2;
    run->optimizer->config.sam_rho = healthy->optimizer->config.sam_rho;
    run->sampler->config.step_size = healthy->sampler->config.step_size;
    memcpy(run->x, healthy->x, (size_t)(TOY_ROWS * run->row_len) * sizeof *run->x);
}

static inline int count_differing(const toy_run *a, const toy_run *b)
{
    int n = 0;
    for (int c = 0; c < TOY_CHAINS; c++)
        n += memcmp(a->sampler->chains + c * a->row_len, b->sampler->chains + c * a->row_len,
                    (size_t)a->row_len * sizeof(float)) != 0;
    return n;
}

#endif
