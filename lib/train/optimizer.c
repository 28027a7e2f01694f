/*
 * Adam and SGD as torch.optim defines them, clipping by norm, the average of the parameters.
 */
#include "train/optimizer.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/elementary.h"
#include "base/memory.h"
#include "kernels/vector.h"
#include "train/guard.h"
#include "train/schedule.h"

jem_status jemi_optimizer_create(jem_optimizer **out, const jem_model *model,
                                 const jem_optimizer_config *config)
{
    jem_optimizer *optimizer = jemi_calloc(1, sizeof *optimizer);
    if (optimizer == NULL)
        return jemi_fail_memory("optimizer");
    optimizer->config = *config;
    optimizer->fingerprint = jemi_model_fingerprint(model);
    const size_t count = (size_t)optimizer->fingerprint.param_count;
    const bool adam = config->kind == JEM_OPTIMIZER_ADAM;
    optimizer->state1 = jemi_calloc(count, sizeof(float));
    optimizer->state2 = adam ? jemi_calloc(count, sizeof(float)) : NULL;
    optimizer->grad = jemi_alloc(count, sizeof(float));
    optimizer->pxy = jemi_alloc(2 * (size_t)optimizer->fingerprint.classes, sizeof(double));
    const size_t n_states = (size_t)optimizer->fingerprint.state_count;
    const bool averages = config->ema_decay > 0.0f;
    optimizer->statistics = n_states > 0 ? jemi_alloc(2 * n_states, sizeof(float)) : NULL;
    optimizer->ema = averages ? jemi_calloc(count + n_states, sizeof(float)) : NULL;
    if (optimizer->state1 == NULL || (adam && optimizer->state2 == NULL) ||
        optimizer->grad == NULL || optimizer->pxy == NULL ||
        (n_states > 0 && optimizer->statistics == NULL) || (averages && optimizer->ema == NULL)) {
        jemi_optimizer_destroy(optimizer);
        return jemi_fail_memory("optimizer state");
    }
    *out = optimizer;
    return JEM_OK;
}

void jemi_optimizer_destroy(jem_optimizer *optimizer)
{
    if (optimizer == NULL)
        return;
    jemi_free(optimizer->state1);
    jemi_free(optimizer->state2);
    jemi_free(optimizer->grad);
    jemi_free(optimizer->statistics);
    jemi_free(optimizer->ema);
    jemi_free(optimizer->kept);
    jemi_free(optimizer->pxy);
    jemi_free(optimizer->samples);
    jemi_guard_destroy(optimizer->guard);
    jemi_free(optimizer->note);
    jemi_free(optimizer);
}

jem_status jemi_optimizer_reserve_samples(jem_optimizer *optimizer, int64_t count)
{
    if (count <= optimizer->samples_capacity)
        return JEM_OK;
    float *samples = jemi_alloc((size_t)count, sizeof *samples);
    if (samples == NULL)
        return jemi_fail_memory("samples of a training step");
    float *old = optimizer->samples; // never a dangling pointer: another thread may fork
    optimizer->samples = samples;
    atomic_signal_fence(memory_order_seq_cst);
    optimizer->samples_capacity = count;
    jemi_free(old);
    return JEM_OK;
}

float jemi_optimizer_rate(const jem_optimizer *optimizer)
{
    return jemi_schedule_rate(&optimizer->config, optimizer->steps, optimizer->progress);
}

jem_status jemi_optimizer_set_note(jem_optimizer *optimizer, const char *note)
{
    char *copy = note != NULL ? jemi_strdup(note) : NULL;
    if (note != NULL && copy == NULL)
        return jemi_fail_memory("note");
    char *old = optimizer->note; // never a dangling pointer: another thread may fork
    optimizer->note = copy;
    jemi_free(old);
    return JEM_OK;
}

void jemi_optimizer_take_kept(jem_optimizer *optimizer, float *kept)
{
    float *old = optimizer->kept; // never a dangling pointer: another thread may fork
    optimizer->kept = kept;
    jemi_free(old);
}

// Clipping, as a factor of the gradient.
static float grad_scale(const jem_optimizer *optimizer, double grad_norm)
{
    const double clip = optimizer->config.clip_norm;
    return grad_norm > clip ? (float)(clip / grad_norm) : 1.0f;
}

static jemi_adam_params adam_params(const jem_optimizer *optimizer, double grad_norm)
{
    const jem_optimizer_config *config = &optimizer->config;
    const int64_t t = optimizer->steps + 1;
    return (jemi_adam_params){
        .lr = jemi_optimizer_rate(optimizer),
        .beta1 = config->beta1,
        .beta2 = config->beta2,
        .eps = config->eps,
        .weight_decay = config->weight_decay,
        .grad_scale = grad_scale(optimizer, grad_norm),
        .bias_correction1 = (float)(1.0 - jemi_power(config->beta1, t)),
        .bias_correction2_sqrt = (float)sqrt(1.0 - jemi_power(config->beta2, t)),
    };
}

static jemi_sgd_params sgd_params(const jem_optimizer *optimizer, double grad_norm)
{
    return (jemi_sgd_params){
        .lr = jemi_optimizer_rate(optimizer),
        .momentum = optimizer->config.momentum,
        .weight_decay = optimizer->config.weight_decay,
        .grad_scale = grad_scale(optimizer, grad_norm),
        .first = optimizer->steps == 0,
    };
}

static void follow(jem_optimizer *optimizer, const float *theta, const float *theta_new)
{
    if (optimizer->ema == NULL)
        return;
    const int64_t count = optimizer->fingerprint.param_count;
    if (optimizer->steps == 0)
        memcpy(optimizer->ema, theta, (size_t)count * sizeof *theta);
    const double t = (double)optimizer->steps + 1.0;
    const double decay = fmin(optimizer->config.ema_decay, t / (9.0 + t));
    jemi_blend(optimizer->ema, theta_new, (float)(1.0 - decay), count);
}

static bool is_adam(const jem_optimizer *optimizer)
{
    return optimizer->config.kind == JEM_OPTIMIZER_ADAM;
}

jem_status jemi_optimizer_propose(const jem_optimizer *optimizer, const float *theta,
                                  double grad_norm, float *theta_new)
{
    const int64_t count = optimizer->fingerprint.param_count;
    const jemi_adam_params adam = adam_params(optimizer, grad_norm);
    const jemi_sgd_params sgd = sgd_params(optimizer, grad_norm);
    const bool finite =
        is_adam(optimizer)
            ? jemi_adam_step(theta_new, theta, optimizer->grad, optimizer->state1,
                             optimizer->state2, count, &adam)
            : jemi_sgd_step(theta_new, theta, optimizer->grad, optimizer->state1, count, &sgd);
    if (!finite)
        return jemi_fail(JEM_EDIVERGED, "the update of step %lld is not finite; learning rate %g",
                         (long long)optimizer->steps + 1, (double)jemi_optimizer_rate(optimizer));
    return JEM_OK;
}

void jemi_optimizer_accept(jem_optimizer *optimizer, const float *theta, double grad_norm,
                           const float *theta_new)
{
    const int64_t count = optimizer->fingerprint.param_count;
    const jemi_adam_params adam = adam_params(optimizer, grad_norm);
    const jemi_sgd_params sgd = sgd_params(optimizer, grad_norm);
    if (is_adam(optimizer))
        jemi_adam_moments(optimizer->state1, optimizer->state2, theta, optimizer->grad, count,
                          &adam);
    else
        jemi_sgd_velocity(optimizer->state1, theta, optimizer->grad, count, &sgd);
    follow(optimizer, theta, theta_new);
    optimizer->steps++;
}

void jemi_optimizer_keep_state(jem_optimizer *optimizer, const float *params)
{
    const jemi_fingerprint *made_for = &optimizer->fingerprint;
    if (optimizer->ema != NULL)
        memcpy(optimizer->ema + made_for->param_count, params + made_for->param_count,
               (size_t)made_for->state_count * sizeof *params);
}
