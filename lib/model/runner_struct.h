/*
 * What a runner is made of, for the files that implement it: runner.c, a runner and its pool, and
 * runner_rows.c, how it gets through many rows.
 */
#ifndef JEMI_MODEL_RUNNER_STRUCT_H
#define JEMI_MODEL_RUNNER_STRUCT_H

#include "base/threads.h"
#include "model/runner.h"

/* Batches 1, 2, .. 256 times gradient kinds times precisions; far more than one host uses. */
enum { JEMI_RUNNER_PLANS_MAX = 96 };

struct jemi_runner {
    jemi_runner_pool *pool;
    uint64_t borrower; /* thread id, 0 = idle */
    jemi_pin pin;
    jemi_generation *generation; /* the pinned one */
    jemi_generation *trial;      /* computed with instead, unless NULL */
    int32_t threads;             /* of its plans */
    int64_t rows_max;            /* of its plans for independent rows */
    int64_t rows_room;           /* of the largest plan, >= rows_max */
    int threads_before;          /* of the thread that has borrowed it */
    jemi_plan *plans[JEMI_RUNNER_PLANS_MAX];
    int n_plans;
    jemi_mode mode; /* as asked for */
    jemi_dropout dropout;
    jemi_plan *active; /* of the last forward */
    int64_t active_n;
    float *logits, *dlogits;  /* (rows_room, K) */
    float *input_scratch;     /* (rows_room, C, H, W), made on first use */
    float *dparams;           /* (param_count), made on first use */
    size_t bytes;             /* without the lanes' */
    jemi_runner *next;        /* in the list of idle ones */
    jemi_runner *next_of_all; /* in that list, or in the list of abandoned ones */
    jemi_runner **lanes;      /* one per thread, made on first use; their plans have one thread */
    int n_lanes;
};

/** Whether a pass in its mode makes rows depend on each other. */
bool jemi_runner_mixes_rows(const jemi_runner *runner);

/** The plan for n rows, as many as a chunk may have, found or compiled. */
jem_status jemi_runner_plan(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                            jemi_plan **out);

/** Makes the lanes if there are none yet, and gives them the runner's parameters and mode. */
jem_status jemi_runner_make_lanes(jemi_runner *runner);

#endif
