/*
 * What an optimizer consists of, for those who keep it, give it back or write it to a file.
 */
#ifndef JEMI_TRAIN_OPTIMIZER_STATE_H
#define JEMI_TRAIN_OPTIMIZER_STATE_H

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
    float *kept;              /* flat, with state, for the caller; NULL = none */
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

#endif
