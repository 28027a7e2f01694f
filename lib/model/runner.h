/*
 * Runners: compiled plans with their workspaces, borrowed from a pool for the length of one call.
 *
 * A runner serves one thread at a time. It pins the parameters that were current when it was
 * borrowed, so all passes of one call see the same model, and holds the OpenMP count of the model
 * until it is returned.
 *
 * Passes are in JEMI_MODE_EVAL until the borrower sets another mode. Where that makes batch
 * normalisation take the statistics of the batch, a chunk is as many rows as are left, up to 256
 * whatever the size of the network, and more rows than that are shared out evenly: the statistics
 * of 300 rows are those of 150 and 150.
 */
#ifndef JEMI_MODEL_RUNNER_H
#define JEMI_MODEL_RUNNER_H

#include <pthread.h>
#include <stdbool.h>

#include "model/generation.h"

typedef struct jemi_runner jemi_runner;

typedef struct jemi_runner_pool {
    jemi_program *program;         /* borrowed */
    jemi_generations *generations; /* borrowed */
    int32_t threads;
    int32_t runners_max;
    bool takes_batch;     /* has BATCHNORM: modes other than EVAL mix the rows of a pass */
    bool drops_out;       /* has DROPOUT */
    int64_t chunk_max;    /* rows of the largest plan for independent rows */
    int64_t batch_max;    /* rows whose statistics are taken together, >= chunk_max */
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

/** The mode of all following calls, until the return. */
void jemi_runner_set_mode(jemi_runner *runner, jemi_mode mode);

/** The masks of the next forward in JEMI_MODE_TRAIN. */
void jemi_runner_set_dropout(jemi_runner *runner, const jemi_dropout *dropout);

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

/** Whether passes in JEMI_MODE_TRAIN take statistics of the batch. */
bool jemi_runner_takes_batch(const jemi_runner *runner);

/** Those of the last forward, (state_count) as the backend's statistics() gives them. */
void jemi_runner_statistics(const jemi_runner *runner, float *state);

/** Room for one chunk of inputs, (chunk, C, H, W); contents are the caller's until the return.
 */
float *jemi_runner_input_scratch(jemi_runner *runner);

/** Compiles the plans that forwards of n rows, chunk by chunk, would need. */
jem_status jemi_runner_prepare_rows(jemi_runner *runner, int32_t precision, uint32_t wants,
                                    int64_t n);

/** As jemi_runner_prepare_rows(), and runs each plan once on zeros: that packs the weights too. */
jem_status jemi_runner_warm(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n);

/** The parameters this runner computes with, and the state behind them. */
const float *jemi_runner_params(const jemi_runner *runner);

#endif
