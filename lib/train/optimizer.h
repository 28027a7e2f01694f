/*
 * The optimizer handle: how a gradient becomes the next parameters, and what that has to remember.
 */
#ifndef JEMI_TRAIN_OPTIMIZER_H
#define JEMI_TRAIN_OPTIMIZER_H

#include <stdbool.h>

#include "base/claim.h"
#include "model/model.h"

struct jem_optimizer {
    jem_optimizer_config config; /* lr as last set */
    jemi_fingerprint fingerprint;
    jemi_claim claim;
    int64_t steps;            /* updates done */
    float *state1;            /* Adam's m or SGD's velocity; flat like the parameters */
    float *state2;            /* Adam's v; NULL for SGD */
    float *grad;              /* of the step in progress */
    float *partial;           /* gradient of one chunk of it */
    float *statistics;        /* of one chunk of it, and of one batch; NULL without state */
    float *ema;               /* average of the parameters, state behind it; NULL: none is kept */
    float progress;           /* of the schedule where no total_steps is given */
    float *samples;           /* room for the drawn chains, grows to the largest batch */
    int64_t samples_capacity; /* floats */
};

jem_status jemi_optimizer_create(jem_optimizer **out, const jem_model *model,
                                 const jem_optimizer_config *config);
void jemi_optimizer_destroy(jem_optimizer *optimizer);

/** The learning rate of the next update, warm-up and schedule included. */
float jemi_optimizer_rate(const jem_optimizer *optimizer);

/** Makes `samples` hold at least `count` floats. */
jem_status jemi_optimizer_reserve_samples(jem_optimizer *optimizer, int64_t count);

/**
 * theta_new from theta and the gradient in `grad`, and the state after it. JEM_EDIVERGED when a new
 * value is not finite; then the state is as before.
 */
jem_status jemi_optimizer_update(jem_optimizer *optimizer, const float *theta, double grad_norm,
                                 float *theta_new);

/** The average goes with the newest state: that of the flat vector which an update led to. */
void jemi_optimizer_keep_state(jem_optimizer *optimizer, const float *params);

#endif
