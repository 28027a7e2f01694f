/*
 * Plans: a graph compiled for passes of one kind, of up to so many rows (layouts, fusions, one
 * workspace), which then are only run. backend/rows/ gets any number of rows through plans, for the
 * backends that have a planner.
 *
 * A plan serves one thread at a time, any thread that has entered the width of its spec and, where
 * the plan needs one, may have a team of OpenMP's.
 */
#ifndef JEMI_BACKEND_PLAN_H
#define JEMI_BACKEND_PLAN_H

#include "backend/backend.h"

typedef struct jemi_plan_spec {
    int64_t batch;     /* rows of a run, at most; >= 1 */
    int32_t threads;   /* the width that every run will have, see base/threads.h */
    int32_t precision; /* JEM_PRECISION_* */
    uint32_t wants;    /* gradients that backward() will give; 0 = there is no backward() */
    jemi_mode mode;
    jemi_cut cut;  /* K below is its width */
    bool features; /* the penultimate features are handed out, too */
} jemi_plan_spec;

/** Planners embed this as their first member. */
typedef struct jemi_plan {
    jemi_program *program;
    jemi_plan_spec spec;
    int32_t team; /* threads of the OpenMP regions of its runs; 0 or 1 = there are none */
} jemi_plan;

typedef struct jemi_planner {
    jem_status (*create)(jemi_plan **out, jemi_program *program, const jemi_plan_spec *spec);
    size_t (*bytes)(const jemi_plan *plan);
    /* From now on runs are timed step by step, or no longer. */
    void (*time)(jemi_plan *plan, bool on);
    void (*describe)(const jemi_plan *plan, jemi_describe_fn describe, void *user);
    void (*destroy)(jemi_plan *plan);

    /* in (n, C, H, W) -> out (n, K), 1 <= n <= batch, and features (n, F), which is NULL unless the
     * spec has them. A row's bits depend neither on n nor on batch
     * nor on the other rows - but where BATCHNORM takes the statistics of the batch: there n is the
     * plan's batch. `dropout` may be NULL but in JEMI_MODE_TRAIN; its first_row is that of row 0.
     * After the first run nothing is allocated. */
    jem_status (*forward)(jemi_plan *plan, jemi_weights *weights, const jemi_dropout *dropout,
                          int64_t n, const float *in, float *out, float *features);
    /* Once after a forward() of this plan, which it uses up: same n and weights. dout (n, K) ->
     * din (n, C, H, W) and dparams (flat, summed over rows, overwritten; param_count floats, 0
     * beyond the cut). NULL for the one that is not wanted this time; one that the spec does not
     * want must be NULL. */
    jem_status (*backward)(jemi_plan *plan, jemi_weights *weights, int64_t n, const float *dout,
                           float *din, float *dparams);
    /* As the backend's, of the last forward(). */
    void (*statistics)(const jemi_plan *plan, int64_t n, float *state);
} jemi_planner;

#endif
