/*
 * The optimizer handle: how a gradient becomes the next parameters, and what that has to remember.
 */
#ifndef JEMI_TRAIN_OPTIMIZER_H
#define JEMI_TRAIN_OPTIMIZER_H

#include <stdbool.h>

#include "base/claim.h"
#include "io/file.h"
#include "model/model.h"

typedef struct jemi_guard jemi_guard;

struct jem_optimizer {
    jem_optimizer_config config; /* lr as last set */
    jemi_fingerprint fingerprint;
    jemi_claim claim;
    int64_t steps;            /* updates done */
    float *state1;            /* Adam's m or SGD's velocity; flat like the parameters */
    float *state2;            /* Adam's v; NULL for SGD */
    float *grad;              /* of the step in progress */
    float *statistics;        /* of one chunk of it, and of one batch; NULL without state */
    float *ema;               /* average of the parameters, state behind it; NULL: none is kept */
    float progress;           /* of the schedule where no total_steps is given */
    double *pxy;              /* (2, K) of the step in progress, see objective.h */
    float *samples;           /* room for the drawn chains, grows to the largest batch */
    int64_t samples_capacity; /* floats */
    uint32_t epoch;           /* of its random streams; another after each rollback */
    jemi_guard *guard;        /* NULL until a step is guarded */
    char *note;               /* of the caller's; NULL = none */
    jemi_file_id damaged;     /* checkpoint that the one before was loaded instead of, if any */
};

/** One of the arrays that an optimizer remembers. */
typedef struct jemi_vector {
    float *values; /* NULL when it is not kept */
    int64_t count;
} jemi_vector;

enum { JEMI_OPTIMIZER_VECTORS = 3 };

/** state1, state2, ema. */
static inline void jemi_optimizer_vectors(const jem_optimizer *optimizer,
                                          jemi_vector vectors[JEMI_OPTIMIZER_VECTORS])
{
    const int64_t count = optimizer->fingerprint.param_count;
    vectors[0] = (jemi_vector){optimizer->state1, count};
    vectors[1] = (jemi_vector){optimizer->state2, count};
    vectors[2] = (jemi_vector){optimizer->ema, count + optimizer->fingerprint.state_count};
}

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

/** The average goes with the newest state: that of the flat vector which an update led to. */
void jemi_optimizer_keep_state(jem_optimizer *optimizer, const float *params);

#endif
