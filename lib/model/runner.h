/*
 * Runners: compiled plans with their workspaces, borrowed from a pool for the length of one call.
 *
 * A runner serves one thread at a time. It pins the parameters that were current when it was
 * borrowed, so all passes of one call see the same model, and holds the OpenMP count of the model
 * until it is returned.
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
    int64_t chunk_max;    /* rows of the largest plan */
    pthread_mutex_t lock; /* guards the fields below, never held while computing */
    pthread_cond_t returned;
    jemi_runner *idle; /* most recently used first: its memory is warm */
    int32_t n_runners;
    size_t idle_bytes;
} jemi_runner_pool;

/** Zeroed before. */
jem_status jemi_runner_pool_init(jemi_runner_pool *pool, jemi_program *program,
                                 jemi_generations *generations, int32_t threads,
                                 int32_t runners_max);
void jemi_runner_pool_fini(jemi_runner_pool *pool);

/** Plans and workspaces of the runners that are not computing now. */
size_t jemi_runner_pool_bytes(jemi_runner_pool *pool);

/** Waits while runners_max calls are computing. */
jem_status jemi_runner_borrow(jemi_runner_pool *pool, jemi_runner **out);
void jemi_runner_return(jemi_runner *runner);

/** How many of n_left rows the next forward should take. */
int64_t jemi_runner_chunk(const jemi_runner *runner, int64_t n_left);

/**
 * x (n, C, H, W) -> logits (n, K) in memory of the runner, valid until its next forward.
 *
 * @param n      1 .. what jemi_runner_chunk() gave.
 * @param wants  JEMI_WANT_*: which gradients a backward may ask for.
 */
jem_status jemi_runner_forward(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                               const float *x, const float **logits);

/** Where to put dL/dlogits (n, K) for jemi_runner_backward(). */
float *jemi_runner_dlogits(jemi_runner *runner);

/** Of the last forward. Either output may be NULL; dparams is overwritten. */
jem_status jemi_runner_backward(jemi_runner *runner, float *dx, float *dparams);

/** Room for one chunk of inputs, (chunk_max, C, H, W); contents are the caller's until the return.
 */
float *jemi_runner_input_scratch(jemi_runner *runner);

/** Compiles the plans that forwards of n rows, chunk by chunk, would need. */
jem_status jemi_runner_prepare_rows(jemi_runner *runner, int32_t precision, uint32_t wants,
                                    int64_t n);

/** As jemi_runner_prepare_rows(), and runs each plan once on zeros: that packs the weights too. */
jem_status jemi_runner_warm(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n);

/**
 * Computes with `trial` instead of the pinned parameters until the next call, with NULL, or the
 * return. For a writer and its own uncommitted generation.
 */
void jemi_runner_try(jemi_runner *runner, jemi_generation *trial);

/** The pinned parameters. */
const float *jemi_runner_params(const jemi_runner *runner);

#endif
