/*
 * The divergence guard: what a healthy step looks like, a snapshot of the last good state, the way
 * back to it.
 *
 * It lives in the optimizer, which is the state of a training run; the sampler keeps its own part.
 */
#ifndef JEMI_TRAIN_GUARD_H
#define JEMI_TRAIN_GUARD_H

#include "ebm/sampler.h"
#include "train/optimizer.h"

enum { JEMI_GAUGES = 8 };

struct jemi_guard {
    float means[JEMI_GAUGES]; /* running means of the gauges' sizes over good steps */
    int64_t n_means;          /* good steps in them */
    int64_t good;             /* good steps since the last rollback */
    int64_t tries;            /* rollbacks without S good steps in a row since */
    uint64_t version;         /* of the parameters that the last guarded step left */
    /* The snapshot. */
    bool valid;
    int64_t steps;
    float *params; /* (jemi_model_size) */
    float *vectors[JEMI_OPTIMIZER_VECTORS];
};

/** Makes the optimizer's guard unless there is one. `size` is that of the model. */
jem_status jemi_guard_create(jem_optimizer *optimizer, int64_t size);
/** Accepts NULL. */
void jemi_guard_destroy(jemi_guard *guard);

/** Who takes part in a guarded step. */
typedef struct jemi_guarded {
    const jem_model *model;
    jem_optimizer *optimizer;
    jem_sampler *sampler; /* NULL = none */
    const jem_train_config *config;
} jemi_guarded;

/**
 * Before a step: a snapshot, unless there is one of this run. After it nothing below fails for lack
 * of memory.
 *
 * @param now  The generation that the step starts from.
 */
jem_status jemi_guard_begin(const jemi_guarded *g, const jemi_generation *now);

/** JEM_EDIVERGED, and which figure is out of bounds, before an update is accepted. */
jem_status jemi_guard_check(const jem_optimizer *optimizer, const jem_train_stats *stats);

/** After an accepted update, before `next` is committed: the means follow, a snapshot when due. */
void jemi_guard_passed(const jemi_guarded *g, const jem_train_stats *stats,
                       const jemi_generation *next);

/**
 * Everything back to the snapshot, the parameters into `next`, which is to be committed.
 *
 * @param draw  The chains of the step, bad ones among them; n = 0: none.
 * @return JEM_OK, or JEM_EDIVERGED when this was the last try.
 */
jem_status jemi_guard_roll_back(const jemi_guarded *g, const jemi_draw *draw,
                                jemi_generation *next);

#endif
