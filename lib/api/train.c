/*
 * Optimizer and training step.
 */
#include <math.h>
#include <string.h>

#include "api/check.h"
#include "train/step.h"

JEM_API jem_status jem_optimizer_config_init(jem_optimizer_config *config, size_t struct_size)
{
    const jem_optimizer_config defaults = {
        .struct_size = sizeof defaults,
        .kind = JEM_OPTIMIZER_ADAM,
        .lr = 1e-4f,
        .beta1 = 0.9f,
        .beta2 = 0.999f,
        .eps = 1e-8f,
        .momentum = 0.9f,
        .clip_norm = INFINITY,
        .schedule = JEM_SCHEDULE_CONSTANT,
        .lr_factor = 0.3f,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults,
                            "jem_optimizer_config");
}

// The largest float below 1: betas and momentum exclude 1 itself.
static const double below_one = 0.99999994;

// Rising fractions, ended by the first 0 or the array.
static jem_status check_milestones(const jem_optimizer_config *config)
{
    enum { MILESTONES_MAX = sizeof config->milestones / sizeof config->milestones[0] };
    float before = 0.0f;
    for (int i = 0; i < MILESTONES_MAX && config->milestones[i] != 0.0f; i++) {
        const float now = config->milestones[i];
        if (!(now > before && now < 1.0f))
            return jemi_fail(JEM_EINVAL,
                             "milestones[%d] is %g; expected rising fractions above 0, below 1", i,
                             (double)now);
        before = now;
    }
    return JEM_OK;
}

static jem_status check_schedule(const jem_optimizer_config *config)
{
    JEMI_TRY(jemi_check_range_int(config->schedule, JEM_SCHEDULE_CONSTANT, JEM_SCHEDULE_COSINE,
                                  "schedule"));
    JEMI_TRY(jemi_check_range_int(config->warmup_steps, 0, INT64_MAX, "warmup_steps"));
    JEMI_TRY(jemi_check_range_int(config->total_steps, 0, INT64_MAX, "total_steps"));
    JEMI_TRY(jemi_check_range(config->lr_factor, 0.0, 1.0, "lr_factor"));
    JEMI_TRY(jemi_check_range(config->lr_floor, 0.0, 1.0, "lr_floor"));
    return check_milestones(config);
}

static jem_status read_optimizer(const jem_optimizer_config *config, jem_optimizer_config *own)
{
    JEMI_TRY(jemi_check_pointer(config, "config"));
    JEMI_TRY(jem_optimizer_config_init(own, sizeof *own));
    JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_optimizer_config"));
    JEMI_TRY(
        jemi_check_range_int(own->kind, JEM_OPTIMIZER_ADAM, JEM_OPTIMIZER_SGD, "optimizer kind"));
    JEMI_TRY(jemi_check_positive(own->lr, "lr"));
    JEMI_TRY(jemi_check_range(own->beta1, 0.0, below_one, "beta1"));
    JEMI_TRY(jemi_check_range(own->beta2, 0.0, below_one, "beta2"));
    JEMI_TRY(jemi_check_positive(own->eps, "eps"));
    JEMI_TRY(jemi_check_range(own->momentum, 0.0, below_one, "momentum"));
    JEMI_TRY(jemi_check_range(own->weight_decay, 0.0, 1e30, "weight_decay"));
    JEMI_TRY(jemi_check_range(own->sam_rho, 0.0, 1e30, "sam_rho"));
    JEMI_TRY(jemi_check_flag(own->sam_adaptive, "sam_adaptive"));
    JEMI_TRY(jemi_check_range(own->ema_decay, 0.0, below_one, "ema_decay"));
    JEMI_TRY(check_schedule(own));
    if (!(own->clip_norm > 0.0f))
        return jemi_fail(JEM_EINVAL, "clip_norm is %g; expected a number above 0, or INFINITY",
                         (double)own->clip_norm);
    return JEM_OK;
}

JEM_API jem_status jem_optimizer_create(jem_optimizer **out, const jem_model *model,
                                        const jem_optimizer_config *config)
{
    JEMI_TRY(jemi_check_pointer(out, "out"));
    *out = NULL;
    JEMI_TRY(jemi_check_pointer(model, "model"));
    jem_optimizer_config own;
    JEMI_TRY(read_optimizer(config, &own));
    return jemi_optimizer_create(out, model, &own);
}

JEM_API void jem_optimizer_destroy(jem_optimizer *optimizer)
{
    jemi_optimizer_destroy(optimizer);
}

JEM_API jem_status jem_optimizer_set_lr(jem_optimizer *optimizer, float lr)
{
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_check_positive(lr, "lr"));
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    optimizer->config.lr = lr;
    jemi_claim_release(&optimizer->claim);
    return JEM_OK;
}

JEM_API jem_status jem_optimizer_set_progress(jem_optimizer *optimizer, float s)
{
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_check_range(s, 0.0, 1.0, "s"));
    if (optimizer->config.total_steps > 0)
        return jemi_fail(JEM_EINVAL,
                         "the schedule counts to total_steps = %lld by itself; expected 0 there",
                         (long long)optimizer->config.total_steps);
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    optimizer->progress = s;
    jemi_claim_release(&optimizer->claim);
    return JEM_OK;
}

JEM_API jem_status jem_optimizer_get(const jem_optimizer *optimizer, float *lr, int64_t *steps)
{
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    if (lr != NULL)
        *lr = optimizer->config.lr;
    if (steps != NULL)
        *steps = optimizer->steps;
    return JEM_OK;
}

JEM_API jem_status jem_optimizer_get_ema(jem_optimizer *optimizer, int64_t count, float *params)
{
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_check_pointer(params, "params"));
    const int64_t expected = optimizer->fingerprint.param_count;
    if (count != expected)
        return jemi_fail(JEM_EINVAL, "count is %lld; expected %lld, the parameters of the model",
                         (long long)count, (long long)expected);
    if (optimizer->ema == NULL)
        return jemi_fail(JEM_EINVAL, "the optimizer keeps no average: its ema_decay is 0");
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    const bool begun = optimizer->steps > 0;
    if (begun)
        memcpy(params, optimizer->ema, (size_t)count * sizeof *params);
    jemi_claim_release(&optimizer->claim);
    return begun ? JEM_OK : jemi_fail(JEM_EINVAL, "no step has been taken; there is no average");
}

JEM_API jem_status jem_train_config_init(jem_train_config *config, size_t struct_size)
{
    const jem_train_config defaults = {
        .struct_size = sizeof defaults,
        .w_px = 1.0f,
        .w_pyx = 1.0f,
        .energy_l2 = 0.1f,
        .input_noise = 0.03f,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_train_config");
}

JEM_API jem_status jem_train_batch_init(jem_train_batch *batch, size_t struct_size)
{
    const jem_train_batch defaults = {.struct_size = sizeof defaults};
    return jemi_config_init(batch, struct_size, &defaults, sizeof defaults, "jem_train_batch");
}

static jem_status read_train(const jem_train_config *config, jem_train_config *own)
{
    JEMI_TRY(jem_train_config_init(own, sizeof *own));
    if (config != NULL)
        JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_train_config"));
    JEMI_TRY(jemi_check_range(own->w_px, 0.0, 1e30, "w_px"));
    JEMI_TRY(jemi_check_range(own->w_pyx, 0.0, 1e30, "w_pyx"));
    JEMI_TRY(jemi_check_range(own->energy_l2, 0.0, 1e30, "energy_l2"));
    JEMI_TRY(jemi_check_range(own->input_noise, 0.0, 1e30, "input_noise"));
    JEMI_TRY(jemi_check_range(own->w_pxy, 0.0, 1e30, "w_pxy"));
    JEMI_TRY(jemi_check_range_int(own->augment_crop, 0, 64, "augment_crop"));
    JEMI_TRY(jemi_check_flag(own->augment_flip, "augment_flip"));
    JEMI_TRY(jemi_check_flag(own->augment_data, "augment_data"));
    if (!jemi_train_uses_labels(own) && !jemi_train_uses_density(own))
        return jemi_fail(JEM_EINVAL,
                         "w_px, w_pyx, w_pxy and energy_l2 are all 0; expected one above 0");
    return JEM_OK;
}

// Reflection needs an edge farther away than the padding is wide.
static jem_status check_crop(const jem_model *model, int32_t crop)
{
    const jemi_shape input = jemi_model_input(model);
    const int64_t side = input.h < input.w ? input.h : input.w;
    if (crop >= side && crop > 0)
        return jemi_fail(JEM_EINVAL,
                         "augment_crop is %d; expected less than %lld, the shorter side of the "
                         "inputs",
                         (int)crop, (long long)side);
    return JEM_OK;
}

static jem_status check_batch_rows(const jem_model *model, const jem_train_batch *batch)
{
    const int64_t row_len = jemi_model_input_size(model);
    JEMI_TRY(jemi_check_rows(batch->n_labelled, "n_labelled"));
    JEMI_TRY(jemi_check_rows(batch->n_data, "n_data"));
    JEMI_TRY(jemi_check_rows(batch->n_samples, "n_samples"));
    JEMI_TRY(jemi_check_finite(batch->x_labelled, batch->n_labelled, row_len, "x_labelled"));
    JEMI_TRY(jemi_check_labels(batch->y_labelled, batch->n_labelled, jemi_model_classes(model),
                               "y_labelled"));
    JEMI_TRY(jemi_check_finite(batch->x_data, batch->n_data, row_len, "x_data"));
    if (batch->x_samples == NULL)
        return JEM_OK;
    JEMI_TRY(jemi_check_range_int(batch->n_samples, 1, INT32_MAX, "n_samples"));
    JEMI_TRY(jemi_check_labels(batch->y_samples, batch->n_samples, jemi_model_classes(model),
                               "y_samples"));
    return jemi_check_finite(batch->x_samples, batch->n_samples, row_len, "x_samples");
}

// What the weights of the loss ask for must be there.
static jem_status check_batch_complete(const jem_train_config *config, const jem_train_batch *batch)
{
    if (jemi_train_uses_labels(config) && (batch->n_labelled == 0 || batch->y_labelled == NULL))
        return jemi_fail(JEM_EINVAL,
                         "w_pyx is %g and w_pxy %g, but the batch has no labelled rows; expected "
                         "x_labelled and y_labelled",
                         (double)config->w_pyx, (double)config->w_pxy);
    if (config->w_pxy > 0.0f && batch->x_samples != NULL && batch->y_samples == NULL)
        return jemi_fail(JEM_EINVAL,
                         "w_pxy is %g but x_samples have no classes; expected y_samples",
                         (double)config->w_pxy);
    if (jemi_train_uses_density(config) && batch->n_data == 0 && batch->n_labelled == 0)
        return jemi_fail(JEM_EINVAL, "the batch has neither data nor labelled rows");
    return JEM_OK;
}

static jem_status check_sampler(const jem_model *model, const jem_sampler *sampler,
                                const jem_train_config *config, const jem_train_batch *batch)
{
    if (!jemi_train_uses_samples(config) || batch->x_samples != NULL)
        return JEM_OK;
    if (sampler == NULL)
        return jemi_fail(JEM_EINVAL,
                         "sampler is NULL, but w_px, w_pxy or energy_l2 is above 0; expected a "
                         "sampler, or x_samples in the batch");
    JEMI_TRY(jemi_check_fingerprint(model, &sampler->fingerprint, false, "sampler"));
    if (config->w_pxy > 0.0f && !sampler->config.class_conditional)
        return jemi_fail(JEM_EINVAL,
                         "w_pxy is %g but the sampler's chains follow E(x); expected one made with "
                         "class_conditional",
                         (double)config->w_pxy);
    JEMI_TRY(jemi_check_range_int(jemi_train_n_samples(batch), 1, sampler->config.capacity,
                                  "number of samples"));
    return jemi_sampler_takes_data(sampler) ? JEM_OK : jemi_sampler_check_fit(sampler);
}

static jem_status take_both(jem_optimizer *optimizer, jem_sampler *sampler)
{
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    const jem_status status =
        sampler != NULL ? jemi_claim_take(&sampler->claim, "sampler") : JEM_OK;
    if (status != JEM_OK)
        jemi_claim_release(&optimizer->claim);
    return status;
}

JEM_API jem_status jem_train_step(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                                  const jem_train_config *config, const jem_train_batch *batch,
                                  jem_train_stats *stats)
{
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_check_fingerprint(model, &optimizer->fingerprint, true, "optimizer"));
    JEMI_TRY(jemi_check_pointer(batch, "batch"));
    if (stats != NULL)
        JEMI_TRY(jemi_config_check_out(stats, "jem_train_stats"));
    jem_train_config own_config;
    JEMI_TRY(read_train(config, &own_config));
    JEMI_TRY(check_crop(model, own_config.augment_crop));
    jem_train_batch own_batch = {.struct_size = sizeof own_batch};
    JEMI_TRY(jemi_config_read(&own_batch, sizeof own_batch, batch, "jem_train_batch"));
    JEMI_TRY(check_batch_rows(model, &own_batch));
    JEMI_TRY(check_batch_complete(&own_config, &own_batch));
    JEMI_TRY(check_sampler(model, sampler, &own_config, &own_batch));
    JEMI_TRY(take_both(optimizer, sampler));
    jem_train_stats own_stats = {.event = JEM_EVENT_NONE};
    const jem_status status =
        jemi_train_step(model, optimizer, sampler, &own_config, &own_batch, &own_stats);
    jemi_claim_release(&optimizer->claim);
    if (sampler != NULL)
        jemi_claim_release(&sampler->claim);
    if (stats != NULL)
        jemi_config_write(stats, &own_stats, sizeof own_stats);
    return status;
}
