/*
 * One training step, from a checked batch to the next parameter generation.
 */
#ifndef JEMI_TRAIN_STEP_H
#define JEMI_TRAIN_STEP_H

#include "ebm/sampler.h"
#include "train/optimizer.h"

/** Whether the loss looks at densities at all; without them data and sample rows are not needed. */
static inline bool jemi_train_uses_density(const jem_train_config *config)
{
    return config->w_px > 0.0f || config->energy_l2 > 0.0f;
}

/**
 * Arguments are checked: finite, labels in range, rows there where a weight asks for them. The
 * caller holds the claims of optimizer and sampler. On any error model and optimizer are as before.
 */
jem_status jemi_train_step(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                           const jem_train_config *config, const jem_train_batch *batch,
                           jem_train_stats *stats);

#endif
