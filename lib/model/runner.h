/*
 * Runners: workspaces of the backend, borrowed from a pool for the length of one call.
 *
 * A runner serves one thread at a time. It pins the parameters that were current when it was
 * borrowed, so all passes of one call see the same model, and holds the thread count of the model
 * until it is returned. Nothing else of a call stays in it: what a pass is, the pass says.
 */
#ifndef JEMI_MODEL_RUNNER_H
#define JEMI_MODEL_RUNNER_H

#include <pthread.h>

#include "model/generation.h"

typedef struct jemi_runner jemi_runner;

typedef struct jemi_runner_pool {
    jemi_program *program;         /* borrowed */
    jemi_generations *generations; /* borrowed */
    int32_t threads;
    int32_t runners_max;
    jemi_lock lock; /* guards the fields below, never held while computing */
    pthread_cond_t returned;
    jemi_runner *idle;      /* most recently used first: its memory is warm */
    jemi_runner *all;       /* idle ones and borrowed ones */
    jemi_runner *abandoned; /* borrowed by threads that a fork has left behind */
    int32_t n_runners;
    size_t idle_bytes;
} jemi_runner_pool;

/** Zeroed before. */
jem_status jemi_runner_pool_init(jemi_runner_pool *pool, jemi_program *program,
                                 jemi_generations *generations, int32_t threads,
                                 int32_t runners_max);
void jemi_runner_pool_fini(jemi_runner_pool *pool);

/** Workspaces that are not computing now. */
size_t jemi_runner_pool_bytes(jemi_runner_pool *pool);

/** Waits while runners_max calls are computing. */
jem_status jemi_runner_borrow(jemi_runner_pool *pool, jemi_runner **out);
void jemi_runner_return(jemi_runner *runner);

/** Its memory; the slots of the backend's vtable take it. */
jemi_workspace *jemi_runner_workspace(const jemi_runner *runner);

/** The pinned parameters. */
const jemi_generation *jemi_runner_generation(const jemi_runner *runner);

#endif
