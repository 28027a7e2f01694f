/*
 * The optimizer: configuration, learning rate, average.
 */
#include <math.h>
#include <string.h>

#include "api/check.h"
#include "base/environment.h"
#include "base/memory.h"
#include "train/optimizer.h"

JEM_API jem_status jem_optimizer_config_init(jem_optimizer_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
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
    JEMI_OWN_ENVIRONMENT;
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
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_check_positive(lr, "lr"));
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    optimizer->config.lr = lr;
    jemi_claim_release(&optimizer->claim);
    return JEM_OK;
}

JEM_API jem_status jem_optimizer_set_progress(jem_optimizer *optimizer, float s)
{
    JEMI_OWN_ENVIRONMENT;
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

JEM_API jem_status jem_optimizer_get(jem_optimizer *optimizer, float *lr, int64_t *steps)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    if (lr != NULL)
        *lr = optimizer->config.lr;
    if (steps != NULL)
        *steps = optimizer->steps;
    jemi_claim_release(&optimizer->claim);
    return JEM_OK;
}

static jem_status check_count(const jem_optimizer *optimizer, int64_t count)
{
    const jemi_fingerprint *made_for = &optimizer->fingerprint;
    const int64_t expected = made_for->param_count + made_for->state_count;
    if (count != expected)
        return jemi_fail(JEM_EINVAL, "count is %lld; expected %lld, the parameters of the model",
                         (long long)count, (long long)expected);
    return JEM_OK;
}

JEM_API jem_status jem_optimizer_get_ema(jem_optimizer *optimizer, int64_t count, float *params)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_check_pointer(params, "params"));
    JEMI_TRY(check_count(optimizer, count));
    if (optimizer->ema == NULL)
        return jemi_fail(JEM_EINVAL, "the optimizer keeps no average: its ema_decay is 0");
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    const bool begun = optimizer->steps > 0;
    if (begun)
        memcpy(params, optimizer->ema, (size_t)count * sizeof *params);
    jemi_claim_release(&optimizer->claim);
    return begun ? JEM_OK : jemi_fail(JEM_EINVAL, "no step has been taken; there is no average");
}

JEM_API jem_status jem_optimizer_set_kept(jem_optimizer *optimizer, int64_t count,
                                          const float *params)
{
    JEMI_OWN_ENVIRONMENT;
    float *kept = NULL;
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    if (params != NULL) {
        JEMI_TRY(check_count(optimizer, count));
        JEMI_TRY(jemi_check_finite(params, 1, count, "params"));
        kept = jemi_alloc((size_t)count, sizeof *kept);
        if (kept == NULL)
            return jemi_fail_memory("kept parameters");
        memcpy(kept, params, (size_t)count * sizeof *kept);
    }
    const jem_status status = jemi_claim_take(&optimizer->claim, "optimizer");
    if (status != JEM_OK) {
        jemi_free(kept);
        return status;
    }
    jemi_optimizer_take_kept(optimizer, kept);
    jemi_claim_release(&optimizer->claim);
    return JEM_OK;
}

JEM_API jem_status jem_optimizer_get_kept(jem_optimizer *optimizer, int64_t count, float *params)
{
    JEMI_OWN_ENVIRONMENT;
    JEMI_TRY(jemi_check_pointer(optimizer, "optimizer"));
    JEMI_TRY(jemi_check_pointer(params, "params"));
    JEMI_TRY(check_count(optimizer, count));
    JEMI_TRY(jemi_claim_take(&optimizer->claim, "optimizer"));
    const bool any = optimizer->kept != NULL;
    if (any)
        memcpy(params, optimizer->kept, (size_t)count * sizeof *params);
    jemi_claim_release(&optimizer->claim);
    return any ? JEM_OK : jemi_fail(JEM_ENOTFOUND, "the optimizer keeps no parameters");
}
