/*
 * The training step, and the checkpoints between two of them.
 */
#include "api/check.h"
#include "base/environment.h"
#include "train/checkpoint.h"
#include "train/step.h"

JEM_API jem_status jem_train_config_init(jem_train_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_train_config defaults = {
        .struct_size = sizeof defaults,
        .w_px = 1.0f,
        .w_pyx = 1.0f,
        .energy_l2 = 0.1f,
        .input_noise = 0.03f,
        .guard_tries = 5,
        .guard_every = 100,
        .outlier_m_in = -5.0f,
        .outlier_m_out = 0.0f,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_train_config");
}

JEM_API jem_status jem_train_batch_init(jem_train_batch *batch, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_train_batch defaults = {.struct_size = sizeof defaults};
    return jemi_config_init(batch, struct_size, &defaults, sizeof defaults, "jem_train_batch");
}

static jem_status check_outlier_term(const jem_train_config *config)
{
    JEMI_TRY(jemi_check_range(config->w_outlier, 0.0, 1e30, "w_outlier"));
    JEMI_TRY(jemi_check_range(config->outlier_m_in, -1e30, 1e30, "outlier_m_in"));
    JEMI_TRY(jemi_check_range(config->outlier_m_out, -1e30, 1e30, "outlier_m_out"));
    if (config->outlier_m_in >= config->outlier_m_out)
        return jemi_fail(JEM_EINVAL,
                         "outlier_m_in is %g; expected less than outlier_m_out, which is %g",
                         (double)config->outlier_m_in, (double)config->outlier_m_out);
    return JEM_OK;
}

static jem_status check_logit_norm(const jem_train_config *config)
{
    JEMI_TRY(jemi_check_range(config->logit_norm, 0.0, 1e30, "logit_norm"));
    if (config->logit_norm > 0.0f && (config->w_pxy > 0.0f || jemi_train_uses_density(config)))
        return jemi_fail(JEM_EINVAL,
                         "logit_norm is %g beside terms of a density; expected w_px, w_pxy and "
                         "energy_l2 to be 0",
                         (double)config->logit_norm);
    if (config->logit_norm > 0.0f && config->w_pyx == 0.0f)
        return jemi_fail(JEM_EINVAL, "logit_norm is %g, but w_pyx is 0; expected it above 0",
                         (double)config->logit_norm);
    return JEM_OK;
}

static jem_status read_train(const jem_train_config *config, jem_train_config *own)
{
    JEMI_TRY(jem_train_config_init(own, sizeof *own));
    if (config != NULL)
        JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_train_config"));
    JEMI_TRY(jemi_config_check_reserved(own->reserved, "jem_train_config"));
    JEMI_TRY(jemi_check_range(own->w_px, 0.0, 1e30, "w_px"));
    JEMI_TRY(jemi_check_range(own->w_pyx, 0.0, 1e30, "w_pyx"));
    JEMI_TRY(jemi_check_range(own->energy_l2, 0.0, 1e30, "energy_l2"));
    JEMI_TRY(jemi_check_range(own->input_noise, 0.0, 1e30, "input_noise"));
    JEMI_TRY(jemi_check_range(own->w_pxy, 0.0, 1e30, "w_pxy"));
    JEMI_TRY(jemi_check_range_int(own->augment_crop, 0, 64, "augment_crop"));
    JEMI_TRY(jemi_check_flag(own->augment_flip, "augment_flip"));
    JEMI_TRY(jemi_check_flag(own->augment_data, "augment_data"));
    JEMI_TRY(jemi_check_flag(own->guard, "guard"));
    JEMI_TRY(jemi_check_range_int(own->guard_tries, 1, 1000, "guard_tries"));
    JEMI_TRY(jemi_check_range_int(own->guard_every, 1, 1000000, "guard_every"));
    JEMI_TRY(check_outlier_term(own));
    JEMI_TRY(check_logit_norm(own));
    if (!jemi_train_uses_labels(own) && !jemi_train_uses_density(own) &&
        !jemi_train_uses_outliers(own))
        return jemi_fail(JEM_EINVAL, "w_px, w_pyx, w_pxy, energy_l2 and w_outlier are all 0; "
                                     "expected one above 0");
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
    JEMI_TRY(jemi_check_rows(batch->n_outliers, "n_outliers"));
    JEMI_TRY(jemi_check_finite(batch->x_labelled, batch->n_labelled, row_len, "x_labelled"));
    JEMI_TRY(jemi_check_labels(batch->y_labelled, batch->n_labelled, jemi_model_classes(model),
                               "y_labelled"));
    JEMI_TRY(jemi_check_finite(batch->x_data, batch->n_data, row_len, "x_data"));
    JEMI_TRY(jemi_check_finite(batch->x_outliers, batch->n_outliers, row_len, "x_outliers"));
    if (batch->x_samples == NULL)
        return JEM_OK;
    JEMI_TRY(jemi_check_range_int(batch->n_samples, 1, INT32_MAX, "n_samples"));
    JEMI_TRY(jemi_check_labels(batch->y_samples, batch->n_samples, jemi_model_classes(model),
                               "y_samples"));
    return jemi_check_finite(batch->x_samples, batch->n_samples, row_len, "x_samples");
}

// Each group of rows that will be passed needs a variance.
static jem_status check_batch_statistics(const jem_model *model, const jem_train_config *config,
                                         const jem_train_batch *batch)
{
    if (jemi_train_uses_labels(config) || batch->n_data == 0)
        JEMI_TRY(jemi_check_batch(model, batch->n_labelled, "n_labelled"));
    if (jemi_train_uses_data(config, batch))
        JEMI_TRY(jemi_check_batch(model, batch->n_data, "n_data"));
    if (jemi_train_uses_outliers(config))
        JEMI_TRY(jemi_check_batch(model, batch->n_outliers, "n_outliers"));
    return jemi_train_uses_samples(config) ? jemi_check_batch(model, batch->n_samples, "n_samples")
                                           : JEM_OK;
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
    if (jemi_train_uses_outliers(config) && batch->n_outliers == 0)
        return jemi_fail(JEM_EINVAL,
                         "w_outlier is %g, but the batch has no outliers; expected x_outliers",
                         (double)config->w_outlier);
    if (jemi_train_uses_data(config, batch) && batch->n_data == 0 && batch->n_labelled == 0)
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

// `sampler` may be NULL.
static jem_status take_both(jem_optimizer *optimizer, jem_sampler *sampler)
{
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    const jem_status status =
        sampler != NULL ? jemi_claim_take(&sampler->claim, "sampler") : JEM_OK;
    if (status != JEM_OK)
        jemi_claim_release(&optimizer->claim);
    return status;
}

static void release_both(jem_optimizer *optimizer, jem_sampler *sampler)
{
    jemi_claim_release(&optimizer->claim);
    if (sampler != NULL)
        jemi_claim_release(&sampler->claim);
}

JEM_API jem_status jem_train_step(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                                  const jem_train_config *config, const jem_train_batch *batch,
                                  jem_train_stats *stats)
{
    JEMI_OWN_ENVIRONMENT;
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
    JEMI_TRY(check_batch_statistics(model, &own_config, &own_batch));
    JEMI_TRY(check_batch_complete(&own_config, &own_batch));
    JEMI_TRY(check_sampler(model, sampler, &own_config, &own_batch));
    JEMI_TRY(take_both(optimizer, sampler));
    jem_train_stats own_stats = {.event = JEM_EVENT_NONE};
    const jem_status status =
        jemi_train_step(model, optimizer, sampler, &own_config, &own_batch, &own_stats);
    release_both(optimizer, sampler);
    if (stats != NULL)
        jemi_config_write(stats, &own_stats, sizeof own_stats);
    return status;
}

static jem_status check_checkpoint(const char *path, const jem_model *model,
                                   const jem_optimizer *optimizer, const jem_sampler *sampler)
{
    JEMI_TRY(jemi_check_pointer(path, "path"));
    JEMI_TRY(jemi_check_pointer(model, "model"));
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_check_fingerprint(model, &optimizer->fingerprint, true, "optimizer"));
    if (sampler == NULL)
        return JEM_OK;
    return jemi_check_fingerprint(model, &sampler->fingerprint, false, "sampler");
}

JEM_API jem_status jem_checkpoint_save(const char *path, const jem_model *model,
                                       jem_optimizer *optimizer, jem_sampler *sampler)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_checkpoint(path, model, optimizer, sampler));
    JEMI_TRY(take_both(optimizer, sampler));
    const jem_status status = jemi_checkpoint_save(path, model, optimizer, sampler);
    release_both(optimizer, sampler);
    return status;
}

JEM_API jem_status jem_checkpoint_load(const char *path, jem_model *model, jem_optimizer *optimizer,
                                       jem_sampler *sampler)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(check_checkpoint(path, model, optimizer, sampler));
    JEMI_TRY(take_both(optimizer, sampler));
    const jem_status status = jemi_checkpoint_load(path, model, optimizer, sampler);
    release_both(optimizer, sampler);
    return status;
}
