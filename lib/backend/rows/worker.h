/*
 * A worker: plans for chunks of several sizes, and the arrays of one chunk at a time.
 *
 * Plans are compiled for batches that are powers of two, so that calls of any size share a few. A
 * remainder that fills three quarters of the next power is padded up to it, a smaller one
 * is split: at most a third of a pass is wasted. Under batch statistics neither is allowed: there a
 * plan has the size of its batch.
 */
#ifndef JEMI_BACKEND_ROWS_WORKER_H
#define JEMI_BACKEND_ROWS_WORKER_H

#include "backend/plan.h"

/* Batches 1, 2, .. 256 times gradient kinds times precisions; far more than one host uses. */
enum { JEMI_WORKER_PLANS_MAX = 96 };

typedef struct jemi_worker {
    jemi_program *program;
    int32_t threads;   /* of its plans */
    int64_t rows_max;  /* of its plans for independent rows */
    int64_t rows_room; /* of its arrays, >= rows_max */
    bool takes_batch;  /* the network has BATCHNORM: modes other than EVAL mix the rows of a pass */
    bool drops_out;    /* it has DROPOUT */
    jemi_plan *plans[JEMI_WORKER_PLANS_MAX];
    int n_plans;
    /* Made on first use: */
    float *out[JEMI_CUTS], *dout[JEMI_CUTS]; /* (rows_room, width of the cut) */
    float *scratch;                          /* (rows_room, C, H, W) */
    float *dparams;                          /* (param_count) */
    size_t bytes;
} jemi_worker;

/** The slots of the vtable know their worker and its plan by this. */
typedef struct jemi_worker_chunk {
    jemi_chunk base;
    jemi_worker *worker;
    jemi_plan *plan; /* of the last forward */
} jemi_worker_chunk;

/** Zeroed before. */
void jemi_worker_init(jemi_worker *worker, jemi_program *program, int32_t threads, int64_t rows_max,
                      int64_t rows_room);
void jemi_worker_fini(jemi_worker *worker);

/** Does the mode make the rows of a pass depend on each other in this network? */
bool jemi_worker_mixes_rows(const jemi_worker *worker, jemi_mode mode);

/** How many of n_left independent rows the next chunk should take. */
int64_t jemi_worker_rows(const jemi_worker *worker, int64_t n_left);

/** The plan for n rows, found or compiled. */
jem_status jemi_worker_plan(jemi_worker *worker, const jemi_pass *pass, int64_t n, jemi_plan **out);

/** That plan, and the arrays that a chunk of this pass points to. */
jem_status jemi_worker_prepare(jemi_worker *worker, const jemi_pass *pass, int64_t n);

/** A chunk in this worker's arrays, which are prepared. */
jemi_worker_chunk jemi_worker_chunk_of(jemi_worker *worker, const jemi_pass *pass, int64_t first,
                                       int64_t n, bool caller);

#endif
