/*
 * Warm-up times decay.
 */
#include "train/schedule.h"

#include "base/elementary.h"

static double warm_up(const jem_optimizer_config *config, int64_t step)
{
    if (step >= config->warmup_steps)
        return 1.0;
    return (double)(step + 1) / (double)config->warmup_steps;
}

// A float like the milestones, so that step 60 of 100 has reached 0.6f.
static float fraction_done(const jem_optimizer_config *config, int64_t step, float progress)
{
    if (config->total_steps == 0)
        return progress;
    return step < config->total_steps ? (float)((double)step / (double)config->total_steps) : 1.0f;
}

static double step_decay(const jem_optimizer_config *config, float s)
{
    enum { MILESTONES_MAX = sizeof config->milestones / sizeof config->milestones[0] };
    double decay = 1.0;
    for (int i = 0; i < MILESTONES_MAX && config->milestones[i] > 0.0f; i++)
        if (s >= config->milestones[i])
            decay *= (double)config->lr_factor;
    return decay;
}

static double cosine_decay(const jem_optimizer_config *config, float s)
{
    const double floor_part = config->lr_floor;
    return floor_part + (1.0 - floor_part) * jemi_half_cosine((double)s);
}

float jemi_schedule_rate(const jem_optimizer_config *config, int64_t step, float progress)
{
    const float s = fraction_done(config, step, progress);
    double decay = 1.0;
    if (config->schedule == JEM_SCHEDULE_STEP)
        decay = step_decay(config, s);
    else if (config->schedule == JEM_SCHEDULE_COSINE)
        decay = cosine_decay(config, s);
    return (float)((double)config->lr * warm_up(config, step) * decay);
}
