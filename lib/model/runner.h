/*
 * Runners: compiled plans with their workspaces, borrowed from a pool for the length of one call.
 *
 * A runner serves one thread at a time. It pins the parameters that were current when it was
 * borrowed, so all passes of one call see the same model, and holds the OpenMP count of the model
 * until it is returned.
 *
 * A runner computes many rows in one of two ways: chunk after chunk, the threads sharing each
 * layer; or, where a network is small, by lanes: each thread takes small chunks of its own through
 * all layers, so that their values stay in its core's cache. A row's results are the same bits.
 * Sums over rows are cut into pieces by the network and the number of rows, never by threads.
 *
 * Passes are in JEMI_MODE_EVAL until the borrower sets another mode. Where that makes batch
 * normalisation take the statistics of the batch there are no lanes, and a chunk is as many rows as
 * are left, up to 256 whatever the size of the network; more rows than that are shared out evenly:
 * the statistics of 300 rows are those of 150 and 150.
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
    int64_t lane_max;     /* of a lane's largest plan for independent rows; 0 = not by lanes */
    int64_t sum_lane_max; /* of a lane's largest plan for parameter gradients; 0 = not by lanes */
    int64_t batch_max;    /* rows whose statistics are taken together, >= chunk_max */
    jemi_lock lock;       /* guards the fields below, never held while computing */
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
 * What is done with rows first .. first + n - 1. `runner` is a lane or the runner itself; `caller`
 * tells that this is the thread that called jemi_runner_for_rows().
 */
typedef jem_status (*jemi_rows_fn)(void *context, jemi_runner *runner, bool caller, int64_t first,
                                   int64_t n);

/**
 * Calls `work` on n rows in pieces, several at once if by lanes; after a failure on no more. All
 * plans are compiled before the first call. Each row must depend on itself alone.
 */
jem_status jemi_runner_for_rows(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                                jemi_rows_fn work, void *context);

/**
 * The same for sums over rows, parameter gradients above all: `work` computes those of a piece,
 * and `add` adds them up. It is called for the pieces in the order of their rows, one at a time,
 * and the pieces depend on the network and n alone: the sum has the same bits for any number of
 * threads.
 */
jem_status jemi_runner_sum_rows(jemi_runner *runner, int32_t precision, int64_t n,
                                jemi_rows_fn work, jemi_rows_fn add, void *context);

/**
 * x (n, C, H, W) -> logits (n, K) in memory of the runner, valid until its next forward.
 *
 * @param n      1 .. what jemi_runner_chunk() gave.
 * @param wants  JEMI_WANT_*: which gradients a backward may ask for.
 */
jem_status jemi_runner_forward(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                               const float *x, const float **logits);

/** Those of the last forward. */
const float *jemi_runner_logits(const jemi_runner *runner);

/** Where to put dL/dlogits (n, K) for jemi_runner_backward(). */
float *jemi_runner_dlogits(jemi_runner *runner);

/** Of the last forward. Either output may be NULL; dparams is overwritten. */
jem_status jemi_runner_backward(jemi_runner *runner, float *dx, float *dparams);

/** Whether passes in JEMI_MODE_TRAIN take statistics of the batch. */
bool jemi_runner_takes_batch(const jemi_runner *runner);

/** Those of the last forward, (state_count) as the backend's statistics() gives them. */
void jemi_runner_statistics(const jemi_runner *runner, float *state);

/** Room for one chunk of inputs, (chunk, C, H, W), until the return. NULL: out of memory. */
float *jemi_runner_input_scratch(jemi_runner *runner);

/** Room for the parameter gradients of one chunk, (param_count). NULL: out of memory. */
float *jemi_runner_dparams(jemi_runner *runner);

/** Compiles the plans that n rows need and runs each once on zeros: that packs the weights too. */
jem_status jemi_runner_warm(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n);

/**
 * Runs the plan for a chunk of n rows `runs` times on zeros and hands over its steps, with their
 * times where runs > 0.
 */
jem_status jemi_runner_profile(jemi_runner *runner, int32_t precision, uint32_t wants, int64_t n,
                               int32_t runs, jemi_describe_fn receive, void *user);

/**
 * Computes with `trial` instead of the pinned parameters until the next call, with NULL, or the
 * return. For a writer and its own uncommitted generation.
 */
void jemi_runner_try(jemi_runner *runner, jemi_generation *trial);

/** The pinned generation. */
const jemi_generation *jemi_runner_generation(const jemi_runner *runner);

/** The parameters this runner computes with, and the state behind them. */
const float *jemi_runner_params(const jemi_runner *runner);

#endif
