/*
 * The divergence guard: what a healthy step looks like, and when a run goes back to which of its
 * last good states.
 *
 * It lives in the optimizer, which is the state of a training run.
 */
#ifndef JEMI_TRAIN_GUARD_H
#define JEMI_TRAIN_GUARD_H

#include "train/snapshot.h"

enum { JEMI_GAUGES = 8, JEMI_SNAPSHOTS = 2 };

/** What a gauge is compared with: about the last 100 good steps, the last 2,000, the first. */
typedef enum jemi_reference { JEMI_RECENT, JEMI_LONG, JEMI_FIRST, JEMI_REFERENCES } jemi_reference;

struct jemi_guard {
    float means[JEMI_REFERENCES][JEMI_GAUGES]; /* of the gauges' sizes over good steps */
    int64_t n_means;                           /* good steps so far */
    int64_t good;                              /* good steps since the last rollback */
    int64_t tries;                             /* rollbacks without S good steps in a row since */
    uint64_t version;                        /* of the parameters that the last guarded step left */
    uint64_t chains_version;                 /* of the sampler in the snapshots; 0 = none */
    jemi_snapshot snapshots[JEMI_SNAPSHOTS]; /* newest first; those that are valid come first */
};

/** A guard that has seen nothing. */
jem_status jemi_guard_create(jemi_guard **out, const jem_optimizer *optimizer);
/** Accepts NULL. */
void jemi_guard_destroy(jemi_guard *guard);

/** Makes the snapshots hold this sampler's chains; NULL = none. */
jem_status jemi_guard_reserve_chains(jemi_guard *guard, const jem_sampler *sampler);

/**
 * Forgets what has no meaning any more because somebody else has written: all of it after another
 * write of the parameters, the snapshots after one of the chains.
 *
 * @param guard    NULL is a no-op.
 * @param version  Of the current parameters.
 * @param sampler  NULL = no chains are used.
 */
void jemi_guard_catch_up(jemi_guard *guard, uint64_t version, const jem_sampler *sampler);

int jemi_guard_count_snapshots(const jemi_guard *guard);

/** Who takes part in a guarded step. */
typedef struct jemi_guarded {
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

/**
 * After the check and before anything changes, so that a snapshot, when one is due, is of a state
 * whose figures were good.
 *
 * @param values  The parameters that were checked.
 * @param next    The version of those that the update will leave.
 */
void jemi_guard_pass(const jemi_guarded *g, const jem_train_stats *stats, const float *values,
                     uint64_t next);

/**
 * Everything back to a snapshot, the parameters into `next`, which is to be committed.
 *
 * @param draw  The chains of the step, bad ones among them; n = 0: none.
 * @return JEM_OK, or JEM_EDIVERGED when this was the last try.
 */
jem_status jemi_guard_roll_back(const jemi_guarded *g, const jemi_draw *draw,
                                jemi_generation *next);

#endif
