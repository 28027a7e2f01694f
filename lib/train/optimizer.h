/*
 * The optimizer handle: how a gradient becomes the next parameters, and what that has to remember.
 */
#ifndef JEMI_TRAIN_OPTIMIZER_H
#define JEMI_TRAIN_OPTIMIZER_H

#include "train/optimizer_state.h"

jem_status jemi_optimizer_create(jem_optimizer **out, const jem_model *model,
                                 const jem_optimizer_config *config);
void jemi_optimizer_destroy(jem_optimizer *optimizer);

/** The learning rate of the next update, warm-up and schedule included. */
float jemi_optimizer_rate(const jem_optimizer *optimizer);

/** Makes `samples` hold at least `count` floats. */
jem_status jemi_optimizer_reserve_samples(jem_optimizer *optimizer, int64_t count);

/**
 * theta_new from theta and the gradient in `grad`; the state stays. JEM_EDIVERGED when a new value
 * is not finite.
 */
jem_status jemi_optimizer_propose(const jem_optimizer *optimizer, const float *theta,
                                  double grad_norm, float *theta_new);

/** The state after the update that was proposed; counts the step. */
void jemi_optimizer_accept(jem_optimizer *optimizer, const float *theta, double grad_norm,
                           const float *theta_new);

/** Copies; NULL removes. On failure the old note stands. */
jem_status jemi_optimizer_set_note(jem_optimizer *optimizer, const char *note);

/** Takes over the parameters; NULL = none. */
void jemi_optimizer_take_kept(jem_optimizer *optimizer, float *kept);

/** The average goes with the newest state: that of the flat vector which an update led to. */
void jemi_optimizer_keep_state(jem_optimizer *optimizer, const float *params);

#endif
