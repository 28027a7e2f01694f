/*
 * A training run as it was after some step: parameters, optimizer, chains.
 */
#ifndef JEMI_TRAIN_SNAPSHOT_H
#define JEMI_TRAIN_SNAPSHOT_H

#include "ebm/sampler.h"
#include "train/optimizer_state.h"

typedef struct jemi_snapshot {
    bool valid;
    int64_t steps;
    float *values; /* the parameters and the state behind them */
    float *vectors[JEMI_OPTIMIZER_VECTORS];
    jemi_kept_chains chains; /* zeroed when there is no sampler */
} jemi_snapshot;

/** Room for what an optimizer remembers. Zeroed before; _fini() it also after a failure. */
jem_status jemi_snapshot_allocate(jemi_snapshot *snapshot, const jem_optimizer *optimizer);
void jemi_snapshot_fini(jemi_snapshot *snapshot);

/** There is room for what is taken. `values` are the current parameters; sampler NULL = none. */
void jemi_snapshot_take(jemi_snapshot *snapshot, const jem_optimizer *optimizer,
                        const jem_sampler *sampler, const float *values);

/** Optimizer and `values` as they were; the chains go back by jemi_sampler_go_back(). */
void jemi_snapshot_return(const jemi_snapshot *snapshot, jem_optimizer *optimizer, float *values);

#endif
