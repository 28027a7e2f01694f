/*
 * One training step, from a checked batch to the next parameter generation.
 */
#ifndef JEMI_TRAIN_STEP_H
#define JEMI_TRAIN_STEP_H

#include "ebm/sampler.h"
#include "train/optimizer.h"

/** Whether the loss looks at p(x), that is at data rows. */
static inline bool jemi_train_uses_density(const jem_train_config *config)
{
    return config->w_px > 0.0f || config->energy_l2 > 0.0f;
}

/** Whether it looks at labelled rows for their labels. */
static inline bool jemi_train_uses_labels(const jem_train_config *config)
{
    return config->w_pyx > 0.0f || config->w_pxy > 0.0f;
}

/** Whether it looks at outliers, and at the energies of the usual rows. */
static inline bool jemi_train_uses_outliers(const jem_train_config *config)
{
    return config->w_outlier > 0.0f;
}

/**
 * Whether data rows are passed: for the density, or because the bound of usual energies has no
 * labelled rows of other terms to look at, or is given rows of its own.
 */
static inline bool jemi_train_uses_data(const jem_train_config *config,
                                        const jem_train_batch *batch)
{
    return jemi_train_uses_density(config) ||
           (jemi_train_uses_outliers(config) &&
            (batch->n_data > 0 || !jemi_train_uses_labels(config)));
}

/** Whether it looks at samples. */
static inline bool jemi_train_uses_samples(const jem_train_config *config)
{
    return jemi_train_uses_density(config) || config->w_pxy > 0.0f;
}

/** How many samples a checked batch asks for. */
static inline int64_t jemi_train_n_samples(const jem_train_batch *batch)
{
    const int64_t n_usual = batch->n_data > 0 ? batch->n_data : batch->n_labelled;
    return batch->n_samples > 0 ? batch->n_samples : n_usual;
}

/**
 * Arguments are checked: finite, labels in range, rows there where a weight asks for them. The
 * caller holds the claims of optimizer and sampler. On any error model, optimizer and the chains
 * that had been started are as before, or, guarded and JEM_EDIVERGED, as a snapshot has them.
 */
jem_status jemi_train_step(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                           const jem_train_config *config, const jem_train_batch *batch,
                           jem_train_stats *stats);

#endif
