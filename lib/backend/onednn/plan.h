/*
 * A compiled plan: a list of steps, forward ones first, over tensors that share one arena.
 *
 * A step is a oneDNN primitive with its arguments bound, or a pass of our own kernels. What changes
 * from call to call is only which packed weights, and which of the caller's arrays, the arguments
 * point at.
 */
#ifndef JEMI_BACKEND_ONEDNN_PLAN_H
#define JEMI_BACKEND_ONEDNN_PLAN_H

#include "backend/backend.h"
#include "backend/onednn/arena.h"
#include "backend/onednn/dnnl_compat.h"
#include "kernels/direct.h"
#include "kernels/direct_weights.h"
#include "kernels/kept.h"
#include "kernels/norm.h"
#include "kernels/pooling.h"
#include "kernels/stem.h"
#include "kernels/winograd.h"

typedef struct jemi_tensor {
    jemi_layout layout; /* zeroed for what only oneDNN understands */
    jemi_span span;     /* in steps; its place in the arena */
    bool signs;         /* not values of this layout but their signs, see kernels/kept.h */
    float *data;
} jemi_tensor;

typedef enum jemi_arg_source {
    JEMI_ARG_TENSOR,
    JEMI_ARG_WEIGHT, /* the memory object is the weights' own, put in for each call */
    JEMI_ARG_DPARAM, /* the caller's dparams + offset */
    JEMI_ARG_SCRATCHPAD,
} jemi_arg_source;

typedef struct jemi_arg {
    jemi_arg_source source;
    int32_t index;  /* tensor or slot */
    int64_t offset; /* floats, DPARAM */
} jemi_arg;

typedef enum jemi_op_kind {
    JEMI_OP_PRIMITIVE,
    JEMI_OP_INPUT,        /* dst: the caller's rows, or a copy of them padded with zeros */
    JEMI_OP_OUTPUT,       /* src -> the caller's out */
    JEMI_OP_DIFF_OUTPUT,  /* the caller's dout -> dst, padded with zeros */
    JEMI_OP_DIFF_INPUT,   /* src -> the caller's din */
    JEMI_OP_LOAD,         /* canonical src -> dst in its layout */
    JEMI_OP_STORE,        /* src in its layout -> canonical dst */
    JEMI_OP_BF16,         /* dst = src, rounded */
    JEMI_OP_ACT,          /* kept: as fused_act */
    JEMI_OP_ACT_BACKWARD, /* dst = src * act'(kept) + add */
    JEMI_OP_SUM,          /* dst = src + add */
    JEMI_OP_POOL,
    JEMI_OP_POOL_BACKWARD, /* dst = spread(src) * act'(kept) */
    JEMI_OP_NORM,
    JEMI_OP_NORM_BACKWARD, /* kept: what entered the norm */
    JEMI_OP_DROPOUT,       /* kept: its mask, bytes */
    JEMI_OP_DROPOUT_BACKWARD,
    JEMI_OP_STEM_BACKWARD, /* dst = input gradient of the first convolution; args[0]: weights */
    JEMI_OP_STEM,          /* args: weights, bias */
    /* Convolutions by our own kernels; args: weights, then bias if there is one. */
    JEMI_OP_WINOGRAD,
    JEMI_OP_DIRECT,
    /* Their weights' and biases' gradients into dparams, of src and kept, which is dy. */
    JEMI_OP_STEM_WEIGHTS,
    JEMI_OP_WINOGRAD_WEIGHTS,
    JEMI_OP_DIRECT_WEIGHTS,
} jemi_op_kind;

enum { JEMI_OP_ARGS = 6 };

typedef struct jemi_op {
    jemi_op_kind kind;
    int32_t node;
    uint32_t wants;              /* backward: run if one of these was asked for */
    int32_t dst, src, kept, add; /* tensors; -1 = none */
    jemi_activation activation;
    jemi_pooling pooling;
    jemi_norm_pass norm;
    int32_t moments;        /* NORM: tensor of means, then variances; -1 = the running ones */
    jemi_winograd winograd; /* without pointers, as the next */
    jemi_direct direct;
    jemi_direct_weights direct_weights;
    jemi_stem stem;
    const char *what; /* PRIMITIVE: for plan_describe */
    const char *impl;
    bool fused_sum;
    bool fused_act; /* kept, of our own kernels: -1, or the signs of dst, written */
    double seconds; /* while the plan is timed */
    dnnl_primitive_t primitive;
    int32_t n_args;
    jemi_arg args[JEMI_OP_ARGS];
    dnnl_exec_arg_t exec[JEMI_OP_ARGS];
} jemi_op;

typedef struct jemi_dnnl_plan {
    jemi_plan base;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    jemi_tensor *tensors;
    int32_t n_tensors, tensors_max;
    jemi_op *ops;
    int32_t n_ops, ops_max;
    int32_t n_forward; /* ops[0 .. n_forward) are forward() */
    int32_t input;     /* tensor of the caller's rows */
    bool input_kept;   /* the backward pass reads it: always copied */
    jemi_span scratchpad;
    float *arena;
    size_t arena_bytes;
    const float *bound_dparams;
    bool timed;
    /* arguments of the running call */
    int64_t n;
    const float *params; /* flat, with state */
    const float *in, *dout;
    float *out, *din, *dparams;
} jemi_dnnl_plan;

/* Slots of the vtable. */
jem_status jemi_dnnl_plan_create(jemi_plan **out, jemi_program *program,
                                 const jemi_plan_spec *spec);
size_t jemi_dnnl_plan_bytes(const jemi_plan *plan);
void jemi_dnnl_plan_time(jemi_plan *plan, bool on);
void jemi_dnnl_plan_describe(const jemi_plan *plan, jemi_describe_fn describe, void *user);
void jemi_dnnl_plan_destroy(jemi_plan *plan);
jem_status jemi_dnnl_plan_forward(jemi_plan *plan, jemi_weights *weights, int64_t n,
                                  const float *in, float *out);
jem_status jemi_dnnl_plan_backward(jemi_plan *plan, jemi_weights *weights, int64_t n,
                                   const float *dout, float *din, float *dparams);

void jemi_dnnl_plan_statistics(const jemi_plan *plan, int64_t n, float *state);

/** Runs a step of kind JEMI_OP_NORM or JEMI_OP_NORM_BACKWARD. (norm.c) */
void jemi_dnnl_run_norm(const jemi_dnnl_plan *plan, const jemi_op *op);

/** Runs a step of kind JEMI_OP_DROPOUT or JEMI_OP_DROPOUT_BACKWARD. (dropout.c) */
void jemi_dnnl_run_dropout(const jemi_dnnl_plan *plan, const jemi_op *op);

/** Runs a step of kind JEMI_OP_STEM_WEIGHTS, _WINOGRAD_WEIGHTS or _DIRECT_WEIGHTS. */
void jemi_dnnl_run_own_weights(const jemi_dnnl_plan *plan, const jemi_op *op);

/** Runs a step of kind JEMI_OP_STEM, _WINOGRAD or _DIRECT. */
jem_status jemi_dnnl_run_own(const jemi_dnnl_plan *plan, const jemi_op *op);

/** What a backward step multiplies by the derivative of; -1 = nothing. */
jemi_kept jemi_dnnl_kept(const jemi_dnnl_plan *plan, int32_t tensor);

/** Points all arguments that are this tensor at its data. */
dnnl_status_t jemi_dnnl_plan_bind(jemi_dnnl_plan *plan, int32_t tensor);

#endif
