/*
 * The contract between a model and what computes it: rows go through the network, forward and back,
 * as a pass says. How many at a time, by how many threads and in which memory is the backend's
 * business.
 *
 * All arrays that cross this line are canonical: inputs (n, C, H, W), values of a cut (n, width) in
 * the order C, H, W, one flat parameter vector with the state behind it, contiguous float. So
 * everything above is written once, on plain arrays.
 *
 * Who may do what when:
 * - A program belongs to a model, is shared by all of its workspaces and weights, and is immutable
 *   but for what the backend itself guards.
 * - Weights belong to one parameter generation and may be used by many threads at once.
 * - A workspace serves one call at a time, of any thread. A chunk belongs to the thread that its
 *   work was called on.
 */
#ifndef JEMI_BACKEND_BACKEND_H
#define JEMI_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jem/jem.h>

#include "backend/chain.h"
#include "backend/kernel_name.h"
#include "base/random.h"
#include "nn/graph.h"

typedef struct jemi_backend jemi_backend;

/** Backends embed these as their first member and cast. */
typedef struct jemi_program {
    const jemi_backend *backend;
    const jemi_graph *graph; /* borrowed, outlives the program */
    jemi_choosing choosing;  /* for all plans; the owner may set it before the first */
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

/**
 * How rows go through the network. What computes them keeps nothing of it between two calls.
 */
typedef struct jemi_pass {
    int32_t precision;     /* JEM_PRECISION_* */
    uint32_t wants;        /* JEMI_WANT_*: gradients that backward() may be asked for */
    jemi_mode mode;        /* where it makes BATCHNORM mix rows, these are cut by n alone */
    jemi_cut cut;          /* where values are handed out and cotangents come in */
    bool features;         /* with JEMI_CUT_OUTPUT: penultimate features are handed out, too */
    jemi_dropout dropout;  /* in JEMI_MODE_TRAIN; rows are counted from the pass's first one */
    jemi_weights *weights; /* borrowed; nobody sets them during the pass */
} jemi_pass;

/** Plans, and the memory of one call at a time. Backends embed this as their first member. */
typedef struct jemi_workspace {
    jemi_program *program;
    int32_t threads; /* that a call may have, at most */
} jemi_workspace;

/** Rows first .. first + n - 1 of a pass, in the hands of one thread. Backends embed this. */
typedef struct jemi_chunk {
    const jemi_program *program;
    const jemi_pass *pass;
    int64_t first, n;
    bool caller;           /* this is the thread that called run_rows() */
    float *scratch;        /* (n, C, H, W), for the work to use as it likes; NULL if wants is 0 */
    const float *out;      /* (n, width of the cut), of the last forward() */
    const float *features; /* (n, width of JEMI_CUT_FEATURES), of the same; NULL unless asked for */
    float *dout;           /* (n, width of the cut), of the next backward(): the work writes it */
    float *dparams;        /* (param_count), of the last backward(); NULL unless wanted */
} jemi_chunk;

/** What is done with a chunk. The memory that it points to is valid until the function returns. */
typedef jem_status (*jemi_rows_fn)(void *context, jemi_chunk *chunk);

typedef struct jemi_rows_work {
    jemi_rows_fn compute;
    /* NULL: each row depends on itself alone. Else it adds up what `compute` has made of a chunk:
     * called for the chunks in the order of their rows, one at a time, with the chunk as `compute`
     * left it. Where the rows are cut depends on the network and n alone, so the sum has the same
     * bits for any number of threads. */
    jemi_rows_fn add;
    void *context;
} jemi_rows_work;

/** Receives the steps of a pass in order, for all rows of its plan, with the seconds of all runs. */
typedef void (*jemi_describe_fn)(void *user, const jem_step_info *step);

struct jemi_backend {
    const char *name;
    int32_t id;                         /* JEM_BACKEND_* */
    const struct jemi_planner *planner; /* of one that compiles plans (plan.h), else NULL */

    jem_status (*program_create)(jemi_program **out, const jemi_graph *graph);
    void (*program_destroy)(jemi_program *program); /* NULL is a no-op, as in all destroys here */

    /* Empty until the first weights_set(). */
    jem_status (*weights_create)(jemi_weights **out, jemi_program *program);
    /* New values: packed copies are stale and will be made again on first use. `params`, the state
     * behind it included, stays valid and unchanged until the next set or the destroy. No pass is
     * using these weights. */
    void (*weights_set)(jemi_weights *weights, const float *params);
    size_t (*weights_bytes)(const jemi_weights *weights);
    void (*weights_destroy)(jemi_weights *weights);

    jem_status (*workspace_create)(jemi_workspace **out, jemi_program *program, int32_t threads);
    size_t (*workspace_bytes)(const jemi_workspace *workspace);
    void (*workspace_destroy)(jemi_workspace *workspace);

    /* Calls the work on n rows in chunks, several at once where that is faster; after a failure on
     * no more. All memory is taken, and all plans are made, before the first chunk. */
    jem_status (*run_rows)(jemi_workspace *workspace, const jemi_pass *pass, int64_t n,
                           const jemi_rows_work *work);
    /* May be NULL: then chains go through run_rows() step by step. All steps of all chains, for a
     * backend whose memory they should not leave in between; the same bits, progress and failures
     * as jemi_langevin_chains() has without it. */
    jem_status (*chain)(jemi_workspace *workspace, const jemi_pass *pass,
                        const jemi_langevin_run_config *config, const jemi_chains *chains);
    /* Makes what n rows need and runs it once on zeros, which packs the weights too. */
    jem_status (*warm)(jemi_workspace *workspace, const jemi_pass *pass, int64_t n);
    /* Runs a chunk of n rows `runs` times on zeros and hands over its steps, with their times where
     * runs > 0. */
    jem_status (*profile)(jemi_workspace *workspace, const jemi_pass *pass, int64_t n, int32_t runs,
                          jemi_describe_fn receive, void *user);

    /* x (n, C, H, W) -> chunk->out. A row's bits depend on the row alone, but where BATCHNORM takes
     * the statistics of the batch: there they depend on all rows of the chunk, and the count of
     * threads must not matter. After the first time nothing is allocated. */
    jem_status (*forward)(jemi_chunk *chunk, const float *x);
    /* Once after a forward(), which it uses up: chunk->dout -> dx (n, C, H, W) and chunk->dparams,
     * summed over rows. NULL for a dx that is not wanted this time. The state has no gradient;
     * batch statistics are differentiated too. */
    jem_status (*backward)(jemi_chunk *chunk, float *dx);
    /* After a forward() with statistics of the batch: mean and unbiased variance of what entered
     * each BATCHNORM, in the places of its running statistics in the state (state_count floats, all
     * written; other places 0). Never called without such a node. */
    void (*statistics)(const jemi_chunk *chunk, float *state);

    /* Version, instruction set and kernels of plans of that precision, for people: texts are equal
     * where bits are, for the same network and spec. */
    void (*choice)(const jemi_program *program, int32_t precision, char *out, size_t size);

    /* May be NULL. One JSON object about the library behind this backend. */
    void (*library_info)(char *out, size_t size);

    /* May be NULL. From now on that library uses no faster instruction set than this one of
     * kernels/isa.h; NULL = the fastest. One caller at a time. */
    jem_status (*limit_isa)(const char *isa);
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
