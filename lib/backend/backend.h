/*
 * The contract between a model and what computes it. A backend compiles a graph for one batch size
 * into a plan (layouts, fusions, one workspace), and then only runs it.
 *
 * All arrays that cross this line are canonical: inputs (n, C, H, W), outputs (n, K), one flat
 * parameter vector with the state behind it, contiguous float. So everything above is written once,
 * on plain arrays.
 *
 * Who may do what when:
 * - A program belongs to a model, is shared by all of its plans and weights, and is immutable but
 * for what the backend itself guards.
 * - Weights belong to one parameter generation and may be used by many plans in many threads at
 * once.
 * - A plan serves one thread at a time, any thread that has entered the width of its spec and, where
 *   the plan needs one, may have a team of OpenMP's.
 */
#ifndef JEMI_BACKEND_BACKEND_H
#define JEMI_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jem/jem.h>

#include "base/random.h"
#include "nn/graph.h"

typedef struct jemi_backend jemi_backend;

/** Backends embed these as their first member and cast. */
typedef struct jemi_program {
    const jemi_backend *backend;
    const jemi_graph *graph; /* borrowed, outlives the program */
    int32_t kernel;          /* JEM_KERNEL_* of all plans; the owner may set it before the first */
} jemi_program;

typedef struct jemi_weights {
    jemi_program *program;
} jemi_weights;

enum { JEMI_WANT_DINPUT = 1, JEMI_WANT_DPARAMS = 2 };

/* What a pass is part of. It matters to two kinds of nodes only. */
typedef enum jemi_mode {
    JEMI_MODE_EVAL,  /* BATCHNORM by the running statistics of the weights; no dropout */
    JEMI_MODE_CHAIN, /* BATCHNORM by the statistics of the batch; no dropout */
    JEMI_MODE_TRAIN, /* BATCHNORM by the statistics of the batch; dropout */
} jemi_mode;

typedef struct jemi_plan_spec {
    int64_t batch;     /* rows of a run, at most; >= 1 */
    int32_t threads;   /* the width that every run will have, see base/threads.h */
    int32_t precision; /* JEM_PRECISION_* */
    uint32_t wants;    /* gradients that backward() will give; 0 = there is no backward() */
    jemi_mode mode;
} jemi_plan_spec;

/**
 * The masks of one pass. Element e of row r of a DROPOUT node is dropped when the number at
 *
 *     key, element node->mask_offset + e, row first_row + r, step          (base/random.h)
 *
 * lies below the node's rate; others are multiplied by 1 / (1 - rate).
 */
typedef struct jemi_dropout {
    jemi_random_key key;
    uint64_t step;
    uint32_t first_row;
} jemi_dropout;

typedef struct jemi_plan {
    jemi_program *program;
    jemi_plan_spec spec;
    int32_t team;         /* threads of the OpenMP regions of its runs; 0 or 1 = there are none */
    jemi_dropout dropout; /* of the next forward() in JEMI_MODE_TRAIN; the caller writes it */
} jemi_plan;

typedef struct jemi_step {
    const char *line; /* what it does, on which shapes, by which implementation */
    int64_t macs;     /* multiply-adds of the direct algorithm for spec.batch rows */
    double seconds;   /* in the runs since plan_time() */
} jemi_step;

/** Receives the steps of a plan in order: primitives and passes. */
typedef void (*jemi_describe_fn)(void *user, const jemi_step *step);

struct jemi_backend {
    const char *name;
    int32_t id; /* JEM_BACKEND_* */

    jem_status (*program_create)(jemi_program **out, const jemi_graph *graph);
    void (*program_destroy)(jemi_program *program); /* NULL is a no-op, as in all destroys here */

    /* Empty until the first weights_set(). */
    jem_status (*weights_create)(jemi_weights **out, jemi_program *program);
    /* New values: packed copies are stale and will be made again on first use. `params`, the state
     * behind it included, stays valid and unchanged until the next set or the destroy. No plan is
     * using these weights. */
    void (*weights_set)(jemi_weights *weights, const float *params);
    size_t (*weights_bytes)(const jemi_weights *weights);
    void (*weights_destroy)(jemi_weights *weights);

    jem_status (*plan_create)(jemi_plan **out, jemi_program *program, const jemi_plan_spec *spec);
    size_t (*plan_bytes)(const jemi_plan *plan);
    /* From now on runs are timed step by step, or no longer. */
    void (*plan_time)(jemi_plan *plan, bool on);
    void (*plan_describe)(const jemi_plan *plan, jemi_describe_fn describe, void *user);
    void (*plan_destroy)(jemi_plan *plan);

    /* in (n, C, H, W) -> out (n, K), 1 <= n <= batch. A row's bits depend neither on n nor on batch
     * nor on the other rows - but where BATCHNORM takes the statistics of the batch: there they
     * depend on all rows, n is the plan's batch, and only the count of threads must not matter.
     * After the first run nothing is allocated. */
    jem_status (*forward)(jemi_plan *plan, jemi_weights *weights, int64_t n, const float *in,
                          float *out);
    /* Once after a forward() of this plan, which it uses up: same n and weights. dout (n, K) ->
     * din (n, C, H, W) and dparams (flat, summed over rows, overwritten; param_count floats, the
     * state has no gradient). NULL for the one that is not wanted this time; one that the spec does
     * not want must be NULL. Batch statistics are differentiated too. */
    jem_status (*backward)(jemi_plan *plan, jemi_weights *weights, int64_t n, const float *dout,
                           float *din, float *dparams);
    /* After a forward() with statistics of the batch: mean and unbiased variance of what entered
     * each BATCHNORM, in the places of its running statistics in the state (state_count floats, all
     * written; other places 0). Never called without such a node. */
    void (*statistics)(const jemi_plan *plan, int64_t n, float *state);

    /* Version, instruction set and kernels of plans of that precision, for people: texts are equal
     * where bits are, for the same network and spec. */
    void (*choice)(const jemi_program *program, int32_t precision, char *out, size_t size);

    /* May be NULL. One JSON object about the library behind this backend. */
    void (*library_info)(char *out, size_t size);
};

extern const jemi_backend jemi_backend_ref, jemi_backend_native;
#if JEM_HAVE_ONEDNN
extern const jemi_backend jemi_backend_onednn;
#endif

/** NULL when this build has none of that id. */
const jemi_backend *jemi_backend_find(int32_t id);

/** The fastest of this build. */
const jemi_backend *jemi_backend_default(void);

#endif
