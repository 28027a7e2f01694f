/*
 * The sampler: configuration, starts, chains on the caller's rows, draws, buffer access.
 */
#include <math.h>
#include <string.h>

#include "api/check.h"
#include "base/environment.h"
#include "base/progress.h"
#include "base/threads.h"
#include "ebm/sampler.h"

JEM_API jem_status jem_sampler_config_init(jem_sampler_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_sampler_config defaults = {
        .struct_size = sizeof defaults,
        .capacity = 10000,
        .steps = 20,
        .step_size = 1.0f,
        .noise_std = 0.01f,
        .reinit_prob = 0.05f,
        .start = JEM_START_UNIFORM,
        .start_low = -1.0f,
        .start_high = 1.0f,
        .uniform_fraction = 0.5f,
        .grad_clamp = INFINITY,
        .x_low = -INFINITY,
        .x_high = INFINITY,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_sampler_config");
}

static jem_status read_config(const jem_sampler_config *config, jem_sampler_config *own)
{
    JEMI_TRY(jemi_check_pointer(config, "config"));
    JEMI_TRY(jem_sampler_config_init(own, sizeof *own));
    JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_sampler_config"));
    JEMI_TRY(jemi_config_check_reserved(own->reserved, "jem_sampler_config"));
    JEMI_TRY(jemi_check_range_int(own->capacity, 1, 100000000, "capacity"));
    JEMI_TRY(jemi_check_range_int(own->steps, 0, INT32_MAX, "steps"));
    JEMI_TRY(jemi_check_positive(own->step_size, "step_size"));
    JEMI_TRY(jemi_check_range(own->noise_std, 0.0, 1e30, "noise_std"));
    JEMI_TRY(jemi_check_range(own->reinit_prob, 0.0, 1.0, "reinit_prob"));
    JEMI_TRY(jemi_check_range_int(own->start, JEM_START_UNIFORM, JEM_START_DATA, "start"));
    JEMI_TRY(jemi_check_range(own->uniform_fraction, 0.0, 1.0, "uniform_fraction"));
    JEMI_TRY(jemi_check_flag(own->class_conditional, "class_conditional"));
    JEMI_TRY(jemi_check_range_int(own->start_rank, 0, JEMI_RANK_MAX, "start_rank"));
    JEMI_TRY(jemi_check_flag(own->matched_noise, "matched_noise"));
    if (!(own->grad_clamp > 0.0f))
        return jemi_fail(JEM_EINVAL, "grad_clamp is %g; expected a number above 0, or INFINITY",
                         (double)own->grad_clamp);
    if (!(own->x_low < own->x_high))
        return jemi_fail(JEM_EINVAL, "x_low is %g and x_high %g; expected x_low < x_high",
                         (double)own->x_low, (double)own->x_high);
    if (!(isfinite(own->start_low) && isfinite(own->start_high) &&
          own->start_low < own->start_high))
        return jemi_fail(JEM_EINVAL,
                         "start_low is %g and start_high %g; expected start_low < start_high",
                         (double)own->start_low, (double)own->start_high);
    return JEM_OK;
}

// Chain i is of class i modulo the classes: none of them may go without.
static jem_status check_classes(const jem_sampler_config *config, int64_t classes)
{
    if (config->class_conditional && config->capacity < classes)
        return jemi_fail(JEM_EINVAL,
                         "capacity is %d; expected at least %lld with class_conditional, a chain "
                         "of each class",
                         (int)config->capacity, (long long)classes);
    return JEM_OK;
}

JEM_API jem_status jem_sampler_create(jem_sampler **out, const jem_model *model,
                                      const jem_sampler_config *config)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(out, "out"));
    *out = NULL;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    jem_sampler_config own;
    JEMI_TRY(read_config(config, &own));
    JEMI_TRY(check_classes(&own, jemi_model_classes(model)));
    return jemi_sampler_create(out, model, &own);
}

JEM_API void jem_sampler_destroy(jem_sampler *sampler)
{
    jemi_sampler_destroy(sampler);
}

static int64_t row_len(const jem_sampler *sampler)
{
    return jemi_shape_size(sampler->fingerprint.input);
}

JEM_API jem_status jem_sampler_fit(jem_sampler *sampler, int64_t n, const float *x,
                                   const int64_t *labels, jem_progress_fn progress, void *user)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(sampler, "sampler"));
    JEMI_TRY(jemi_check_range_int(n, 1, INT32_MAX, "n"));
    JEMI_TRY(jemi_check_array(n, x, "x"));
    jemi_progress told = {progress, user, "visits of rows", 0,
                          jemi_starts_visits(&sampler->starts, n)};
    JEMI_TRY(jemi_progress_add(&told, 0)); // looking through much data takes a while, too
    JEMI_TRY(jemi_check_finite(x, n, row_len(sampler), "x"));
    JEMI_TRY(jemi_check_labels(labels, n, sampler->fingerprint.classes, "labels"));
    const jemi_table data = {.n = n, .row_len = row_len(sampler), .x = x, .labels = labels};
    JEMI_TRY(jemi_claim_take(&sampler->claim, "sampler"));
    const int before = jemi_threads_enter(sampler->threads);
    const jem_status status = jemi_starts_fit(&sampler->starts, sampler->fingerprint.classes,
                                              sampler->config.seed, &data, &told);
    jemi_threads_leave(before);
    jemi_claim_release(&sampler->claim);
    return status;
}

JEM_API jem_status jem_sampler_start(jem_sampler *sampler, int64_t n, const int64_t *labels,
                                     float *x)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(sampler, "sampler"));
    JEMI_TRY(jemi_check_rows(n, "n"));
    JEMI_TRY(jemi_check_labels(labels, n, sampler->fingerprint.classes, "labels"));
    JEMI_TRY(jemi_check_array(n, x, "x"));
    if (n == 0)
        return JEM_OK;
    JEMI_TRY(jemi_claim_take(&sampler->claim, "sampler"));
    const jem_status status = jemi_sampler_check_fit(sampler);
    const int before = jemi_threads_enter(sampler->threads);
    if (status == JEM_OK)
        jemi_sampler_start(sampler, n, labels, x);
    jemi_threads_leave(before);
    jemi_claim_release(&sampler->claim);
    return status;
}

JEM_API jem_status jem_sgld_step(const jem_model *model, jem_sampler *sampler, int64_t n,
                                 const int64_t *labels, float *x)
{
    JEMI_OWN_ENVIRONMENT;
    return jem_sampler_run(model, sampler, n, labels, x, 1, NULL, NULL);
}

// Takes the sampler's claim and a runner of the model, for calls that move chains.
static jem_status begin_chains(const jem_model *model, jem_sampler *sampler, jemi_runner **runner)
{
    JEMI_TRY(jemi_claim_take(&sampler->claim, "sampler"));
    const jem_status status = jemi_runner_borrow(model->runners, runner);
    if (status != JEM_OK)
        jemi_claim_release(&sampler->claim);
    return status;
}

static void end_chains(jem_sampler *sampler, jemi_runner *runner)
{
    jemi_runner_return(runner);
    jemi_claim_release(&sampler->claim);
}

JEM_API jem_status jem_sampler_run(const jem_model *model, jem_sampler *sampler, int64_t n,
                                   const int64_t *labels, float *x, int32_t steps,
                                   jem_progress_fn progress, void *user)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(jemi_check_pointer(sampler, "sampler"));
    JEMI_TRY(jemi_check_fingerprint(model, &sampler->fingerprint, false, "sampler"));
    JEMI_TRY(jemi_check_labels(labels, n, jemi_model_classes(model), "labels"));
    JEMI_TRY(jemi_check_range_int(steps, 0, INT32_MAX, "steps"));
    JEMI_TRY(jemi_check_batch(model, n, "n"));
    if (n == 0)
        return JEM_OK;
    jemi_runner *runner;
    JEMI_TRY(begin_chains(model, sampler, &runner));
    const jemi_chains chains = {.n = n, .x = x, .labels = labels};
    const jemi_pass pass = jemi_pass_chain(model, runner);
    const jem_status status =
        jemi_sampler_run(sampler, runner, &pass, &chains, steps, progress, user);
    end_chains(sampler, runner);
    return status;
}

JEM_API jem_status jem_sampler_draw(const jem_model *model, jem_sampler *sampler, int64_t n,
                                    float *x, int64_t *labels, jem_progress_fn progress, void *user)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_pointer(sampler, "sampler"));
    JEMI_TRY(jemi_check_fingerprint(model, &sampler->fingerprint, false, "sampler"));
    JEMI_TRY(jemi_check_range_int(n, 0, sampler->config.capacity, "n"));
    JEMI_TRY(jemi_check_batch(model, n, "n"));
    JEMI_TRY(jemi_check_array(n, x, "x"));
    if (n == 0)
        return JEM_OK;
    jemi_runner *runner;
    JEMI_TRY(begin_chains(model, sampler, &runner));
    jem_status status = jemi_sampler_check_fit(sampler);
    if (status == JEM_OK) {
        const jemi_pass pass = jemi_pass_chain(model, runner);
        const jemi_draw draw = {.n = n, .x = x, .progress = progress, .user = user};
        status = jemi_sampler_draw(sampler, runner, &pass, &draw, NULL);
        if (status == JEM_OK && labels != NULL)
            memcpy(labels, sampler->draw_labels, (size_t)n * sizeof *labels);
        if (status != JEM_ENOMEM)
            jemi_sampler_finish_draw(sampler, n, status == JEM_OK ? x : NULL);
    }
    end_chains(sampler, runner);
    return status;
}

static jem_status check_slots(const jem_sampler *sampler, int64_t first, int64_t n)
{
    JEMI_TRY(jemi_check_pointer(sampler, "sampler"));
    const int64_t capacity = sampler->config.capacity;
    JEMI_TRY(jemi_check_range_int(first, 0, capacity, "first"));
    return jemi_check_range_int(n, 0, capacity - first, "n");
}

// There are chains, or they can be started.
static jem_status check_chains(const jem_sampler *sampler)
{
    return sampler->filled ? JEM_OK : jemi_sampler_check_fit(sampler);
}

static void copy_chains(const jem_sampler *sampler, int64_t first, int64_t n, float *x,
                        int64_t *labels, int64_t *ages)
{
    const int64_t len = row_len(sampler);
    if (x != NULL)
        memcpy(x, sampler->chains + first * len, (size_t)(n * len) * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        if (labels != NULL)
            labels[i] = jemi_sampler_slot_label(sampler, (uint32_t)(first + i));
        if (ages != NULL)
            ages[i] = sampler->ages[first + i];
    }
}

JEM_API jem_status jem_sampler_get_chains(jem_sampler *sampler, int64_t first, int64_t n, float *x,
                                          int64_t *labels, int64_t *ages)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_slots(sampler, first, n));
    if (n == 0)
        return JEM_OK;
    JEMI_TRY(jemi_claim_take(&sampler->claim, "sampler"));
    const jem_status status = check_chains(sampler);
    if (status == JEM_OK) {
        const int before = jemi_threads_enter(sampler->threads);
        jemi_sampler_fill(sampler);
        jemi_threads_leave(before);
        copy_chains(sampler, first, n, x, labels, ages);
    }
    jemi_claim_release(&sampler->claim);
    return status;
}

JEM_API jem_status jem_sampler_set_chains(jem_sampler *sampler, int64_t first, int64_t n,
                                          const float *x)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_slots(sampler, first, n));
    JEMI_TRY(jemi_check_finite(x, n, row_len(sampler), "x"));
    if (n == 0)
        return JEM_OK;
    JEMI_TRY(jemi_claim_take(&sampler->claim, "sampler"));
    const bool whole = n == sampler->config.capacity; // then nothing needs a start
    const jem_status status = whole ? JEM_OK : check_chains(sampler);
    const int before = jemi_threads_enter(sampler->threads);
    if (status == JEM_OK)
        jemi_sampler_put(sampler, first, n, x);
    jemi_threads_leave(before);
    jemi_claim_release(&sampler->claim);
    return status;
}

JEM_API jem_status jem_sampler_reset(jem_sampler *sampler)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(sampler, "sampler"));
    JEMI_TRY(jemi_claim_take(&sampler->claim, "sampler"));
    sampler->filled = false;
    jemi_sampler_renew(sampler);
    jemi_claim_release(&sampler->claim);
    return JEM_OK;
}
