/*
 * A compiled plan: a list of steps, forward ones first, over tensors that share one arena.
 *
 * A step is an op. What all ops have stands in jemi_op: which tensors it reads and writes, from
 * which the lifetimes follow, and which packed weights it needs. What it computes is its type's
 * business alone, which keeps what it needs in `private`. There is one file op_<kind>.c for each
 * kind, and the oneDNN provider adds another.
 */
#ifndef JEMI_BACKEND_CPU_PLAN_H
#define JEMI_BACKEND_CPU_PLAN_H

#include "backend/cpu/arena.h"
#include "backend/plan.h"
#include "kernels/kept.h"
#include "kernels/layout.h"

typedef struct jemi_tensor {
    jemi_layout layout;    /* zeroed for what no kernel of ours walks */
    jemi_span span;        /* in steps; its place in the arena */
    bool signs;            /* holds the signs of values of this layout, see kernels/kept.h */
    bool outlives_forward; /* read between forward() and backward() */
    float *data;
} jemi_tensor;

typedef struct jemi_op jemi_op;
typedef struct jemi_cpu_plan jemi_cpu_plan;

/** An op in words, for one line about it. */
typedef struct jemi_op_words {
    const char *what;   /* "convolution"; before describe(), the type's name */
    int32_t direction;  /* JEM_STEP_*; before describe(), that of the half */
    jemi_kernel kernel; /* which was chosen; _AUTO = there is no choice */
    const char *impl;   /* that kernel in more words; NULL = there are none */
    int32_t from, to;   /* tensors, -1 = none; before describe(), reads[0] and writes[0] */
    bool sum, lrelu;    /* adds a tensor; applies a leaky ReLU */
    bool derivative;    /* multiplies by an activation's derivative */
    bool signs;         /* saves the signs of what it writes */
} jemi_op_words;

typedef struct jemi_op_type {
    const char *name;
    /** Computes what the op writes. */
    jem_status (*run)(jemi_cpu_plan *plan, jemi_op *op);
    /** Says more than the name and the first tensors; NULL = there is no more. */
    void (*describe)(const jemi_cpu_plan *plan, const jemi_op *op, jemi_op_words *words);
    /** Is it the product of its node: are the node's multiply-adds its own? */
    bool contracts;
    /** Is it computed by a team of OpenMP's? (base/openmp.h) */
    bool by_team;
    /** Does `private` begin with a jemi_native_fusion, so that the op can take along what follows? */
    bool fuses;
    /** Releases what `private` points to; NULL = nothing. `private` itself is not its business. */
    void (*destroy)(jemi_op *op);
} jemi_op_type;

/* The types give the places in `reads` and `writes` their meaning. */
enum { JEMI_OP_READS = 3, JEMI_OP_WRITES = 2 };

struct jemi_op {
    const jemi_op_type *type;
    int32_t node;
    uint32_t wants;                 /* backward: run if one of these was asked for */
    int32_t reads[JEMI_OP_READS];   /* tensors; -1 = none */
    int32_t writes[JEMI_OP_WRITES]; /* tensors; -1 = none. One may be read as well */
    size_t scratch_bytes;           /* of the scratchpad that all ops share */
    int32_t slot;                   /* packed weights (weight_cache.h); -1 = none */
    const void *packed;             /* these, valid while the op runs */
    void *private;
    double seconds; /* while the plan is timed */
};

struct jemi_cpu_plan {
    jemi_plan base;
    jemi_tensor *tensors;
    int32_t n_tensors, tensors_max;
    jemi_op *ops;
    int32_t n_ops, ops_max;
    int32_t n_forward; /* ops[0 .. n_forward) are forward() */
    bool input_saved;  /* the backward pass reads the caller's rows: they are always copied */
    jemi_span scratchpad;
    float *arena;
    size_t arena_bytes;
    bool timed;
    /* What a provider of kernels keeps with the plan; NULL where none of its ops is in it. */
    void *provider;
    void (*provider_destroy)(void *provider);
    /* arguments of the running call */
    int64_t n;
    jemi_dropout dropout;
    const float *params; /* flat, with state */
    const float *in, *dout;
    float *out, *features, *din, *dparams;
};

/** NULL for -1. */
static inline float *jemi_plan_data(const jemi_cpu_plan *plan, int32_t tensor)
{
    return tensor >= 0 ? plan->tensors[tensor].data : NULL;
}

static inline const jemi_layout *jemi_plan_layout(const jemi_cpu_plan *plan, int32_t tensor)
{
    return &plan->tensors[tensor].layout;
}

/** What a backward op multiplies by the derivative of; nothing for -1. */
static inline jemi_kept jemi_plan_saved(const jemi_cpu_plan *plan, int32_t tensor)
{
    const float *data = jemi_plan_data(plan, tensor);
    if (tensor >= 0 && plan->tensors[tensor].signs)
        return (jemi_kept){.signs = (const uint16_t *)data};
    return (jemi_kept){.values = data};
}

/** The part of the arena that the running op may write to as it likes. */
static inline void *jemi_plan_scratch(const jemi_cpu_plan *plan)
{
    return plan->arena + plan->scratchpad.offset / sizeof(float);
}

static inline const jemi_node *jemi_plan_node(const jemi_cpu_plan *plan, const jemi_op *op)
{
    return &plan->base.program->graph->nodes[op->node];
}

/** A parameter in the flat vector. */
static inline const float *jemi_plan_param(const jemi_cpu_plan *plan, int32_t param)
{
    return plan->params + plan->base.program->graph->params[param].offset;
}

/** Its gradient; NULL where parameter gradients are not asked for. */
static inline float *jemi_plan_dparam(const jemi_cpu_plan *plan, int32_t param)
{
    return plan->dparams != NULL ? plan->dparams + plan->base.program->graph->params[param].offset
                                 : NULL;
}

extern const jemi_planner jemi_cpu_planner;

/* Its slots. */
jem_status jemi_cpu_plan_create(jemi_plan **out, jemi_program *program, const jemi_plan_spec *spec);
size_t jemi_cpu_plan_bytes(const jemi_plan *plan);
void jemi_cpu_plan_describe(const jemi_plan *plan, jemi_describe_fn describe, void *user);
void jemi_cpu_plan_destroy(jemi_plan *plan);
void jemi_cpu_plan_statistics(const jemi_plan *plan, int64_t n, float *state);

#endif
