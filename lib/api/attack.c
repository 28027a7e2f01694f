/*
 * Attacks: their config and what is asked of the rows.
 */
#include "detect/attack.h"

#include <math.h>

#include "api/check.h"
#include "base/environment.h"
#include "detect/detector_gradient.h"

JEM_API jem_status jem_attack_config_init(jem_attack_config *config, size_t struct_size)
{
    JEMI_OWN_ENVIRONMENT;
    const jem_attack_config defaults = {
        .struct_size = sizeof defaults,
        .kind = JEM_ATTACK_PGD,
        .norm = JEM_NORM_LINF,
        .goal = JEM_GOAL_UNTARGETED,
        .eps = 16.0f / 255.0f,
        .restarts = 1,
        .random_start = 1,
        .clip = 1,
        .threshold = -INFINITY,
        .refine_samples = 1,
        .refine_step_size = 1.0f,
        .refine_noise_std = 0.01f,
    };
    return jemi_config_init(config, struct_size, &defaults, sizeof defaults, "jem_attack_config");
}

static jem_status check_goal(const jem_attack_config *own)
{
    JEMI_TRY(jemi_check_range_int(own->goal, JEM_GOAL_UNTARGETED, JEM_GOAL_DETECTOR, "goal"));
    if (!(own->confidence >= 0.0f && own->confidence < 1.0f))
        return jemi_fail(JEM_EINVAL, "confidence is %g; expected 0 or more, below 1",
                         (double)own->confidence);
    if ((own->detector != NULL) != (own->goal == JEM_GOAL_DETECTOR))
        return jemi_fail(JEM_EINVAL, own->detector != NULL
                                         ? "detector is set; expected goal JEM_GOAL_DETECTOR"
                                         : "detector is NULL; expected one with that goal");
    if (isnan(own->threshold))
        return jemi_fail(JEM_EINVAL, "threshold is nan; expected an energy");
    return JEM_OK;
}

static jem_status check_refinement(const jem_attack_config *own)
{
    JEMI_TRY(jemi_check_range_int(own->refine_steps, 0, 1000, "refine_steps"));
    JEMI_TRY(jemi_check_range_int(own->refine_samples, 1, 1000, "refine_samples"));
    JEMI_TRY(jemi_check_positive(own->refine_step_size, "refine_step_size"));
    return jemi_check_range(own->refine_noise_std, 0.0, 1e30, "refine_noise_std");
}

static jem_status read_config(const jem_attack_config *config, jem_attack_config *own)
{
    JEMI_TRY(jem_attack_config_init(own, sizeof *own));
    if (config != NULL)
        JEMI_TRY(jemi_config_read(own, sizeof *own, config, "jem_attack_config"));
    JEMI_TRY(jemi_config_check_reserved(own->reserved, "jem_attack_config"));
    JEMI_TRY(jemi_check_range_int(own->kind, JEM_ATTACK_PGD, JEM_ATTACK_POINTWISE, "kind"));
    JEMI_TRY(jemi_check_range_int(own->norm, JEM_NORM_LINF, JEM_NORM_L0, "norm"));
    if (!(own->eps >= 0.0f))
        return jemi_fail(JEM_EINVAL, "eps is %g; expected a radius of 0 or more", (double)own->eps);
    JEMI_TRY(jemi_check_range_int(own->first_row, 0, INT32_MAX, "first_row"));
    JEMI_TRY(jemi_check_range_int(own->steps, 0, 1000000, "steps"));
    JEMI_TRY(jemi_check_range(own->step_size, 0.0, 1e30, "step_size"));
    JEMI_TRY(jemi_check_range_int(own->restarts, 1, 1000, "restarts"));
    JEMI_TRY(jemi_check_flag(own->random_start, "random_start"));
    JEMI_TRY(jemi_check_flag(own->clip, "clip"));
    JEMI_TRY(check_goal(own));
    JEMI_TRY(check_refinement(own));
    return jemi_attack_complete(own);
}

// Those that descend need the score's gradient.
static jem_status check_detector(const jem_model *model, const jem_attack_config *config)
{
    const bool descends = config->kind == JEM_ATTACK_PGD || config->kind == JEM_ATTACK_APGD;
    if (config->goal != JEM_GOAL_DETECTOR)
        return JEM_OK;
    if (config->refine_steps > 0)
        return jemi_fail(JEM_EUNSUPPORTED,
                         "refine_steps is %d; expected 0 with a detector, which "
                         "sees rows as they are",
                         (int)config->refine_steps);
    JEMI_TRY(jemi_check_fingerprint(model, &config->detector->fingerprint, true, "detector"));
    JEMI_TRY(jemi_detector_check_calibrated(config->detector));
    return descends ? jemi_detector_check_gradient(config->detector, -1) : JEM_OK;
}

// Which class a row has or shall get; of energies, which conditional one.
static jem_status check_labels(const jem_model *model, const jem_attack_config *config, int64_t n,
                               const int64_t *labels)
{
    const int32_t classes = jemi_model_classes(model);
    JEMI_TRY(jemi_check_labels(labels, n, classes, "labels"));
    if (config->goal == JEM_GOAL_ENERGY || config->goal == JEM_GOAL_DETECTOR)
        return JEM_OK;
    if (classes < 2)
        return jemi_fail(JEM_EINVAL, "the model has one class; expected JEM_GOAL_ENERGY or "
                                     "JEM_GOAL_DETECTOR");
    return jemi_check_array(n, labels, "labels");
}

JEM_API jem_status jem_attack(const jem_model *model, const jem_attack_config *config, int64_t n,
                              const float *x, const int64_t *labels, float *x_adversarial,
                              uint8_t *success, float *distance, jem_progress_fn progress,
                              void *user)
{
    JEMI_OWN_ENVIRONMENT;
    jem_attack_config own;
    JEMI_TRY(jemi_check_input(model, n, x));
    JEMI_TRY(read_config(config, &own));
    JEMI_TRY(check_detector(model, &own));
    JEMI_TRY(check_labels(model, &own, n, labels));
    JEMI_TRY(jemi_check_array(n, x_adversarial, "x_adversarial"));
    if (n > 0 && x_adversarial == x)
        return jemi_fail(JEM_EINVAL, "x_adversarial is x; expected an array of its own");
    if (n > INT32_MAX - own.first_row)
        return jemi_fail(JEM_EINVAL, "first_row is %lld; expected at most 2^31 - 1 - n",
                         (long long)own.first_row);
    const jemi_attack_rows rows = {n, x, labels, x_adversarial, success, distance};
    return n > 0 ? jemi_attack_run(model, &own, &rows, progress, user) : JEM_OK;
}
