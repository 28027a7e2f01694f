/*
 * A training run as a file: parameters, optimizer, sampler, guard.
 */
#ifndef JEMI_TRAIN_CHECKPOINT_H
#define JEMI_TRAIN_CHECKPOINT_H

#include "ebm/sampler.h"
#include "train/optimizer.h"

/** The caller holds the claims of optimizer and sampler, which may be NULL. */
jem_status jemi_checkpoint_save(const char *path, const jem_model *model, jem_optimizer *optimizer,
                                jem_sampler *sampler);

/** On any error every handle is as before. */
jem_status jemi_checkpoint_load(const char *path, jem_model *model, jem_optimizer *optimizer,
                                jem_sampler *sampler);

#endif
