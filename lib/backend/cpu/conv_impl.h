/*
 * A way to compute convolutions and linear layers: a row of a table from which the planner chooses.
 *
 * Our own kernels and oneDNN's differ in nothing else. A row says what it can compute and appends
 * the steps that do it to the plan that is being compiled; the types of these steps run them.
 */
#ifndef JEMI_BACKEND_CPU_CONV_IMPL_H
#define JEMI_BACKEND_CPU_CONV_IMPL_H

#include <stdbool.h>

#include "backend/kernel_name.h"
#include "nn/graph.h"

typedef struct jemi_compile jemi_compile;

typedef enum jemi_conv_direction {
    JEMI_CONV_FORWARD,
    JEMI_CONV_TRANSPOSED, /* the gradient of the source */
    JEMI_CONV_WEIGHTS,    /* the gradients of weights and bias */
} jemi_conv_direction;

/** What is to be computed: a CONV or LINEAR node in one direction. */
typedef struct jemi_conv {
    const jemi_node *node;
    jemi_shape in;
    jemi_conv_direction direction;
    int32_t precision; /* JEM_PRECISION_* */
    bool latency;      /* JEM_TUNED_LATENCY */
} jemi_conv;

/** What a forward step computes beyond the convolution. */
typedef struct jemi_conv_fused {
    bool add, act;
} jemi_conv_fused;

typedef struct jemi_conv_impl {
    jemi_kernel kernel;
    /** Can it? Never by batch or by time: a row's bits would depend on them. NULL = always. */
    bool (*fits)(const jemi_conv *conv);
    /** Is it the better choice, where it fits, than the rows behind it? NULL = always. Never by the
     *  instruction set: bits would differ between processors. */
    bool (*worthwhile)(const jemi_conv *conv);
    /** Sums weights' gradients as its threads share the rows, so that bits depend on their number:
     *  for these it is taken where nothing else fits, and on no other ground. */
    bool splits_rows;
    /** Appends the node's forward steps, fusing what it absorbs (lower.h) where it can.
     *  `dst` out: the tensor of the outcome. */
    jem_status (*forward)(jemi_compile *c, int32_t node, int32_t *dst, jemi_conv_fused *fused);
    /** The transposed product: diff_dst -> diff_src, a new tensor. */
    jem_status (*transposed)(jemi_compile *c, int32_t node, int32_t diff_dst, int32_t *diff_src);
    /** diff_dst and the saved source -> the node's part of dparams. */
    jem_status (*weights)(jemi_compile *c, int32_t node, int32_t diff_dst);
} jemi_conv_impl;

/** The rows of a program, preferred ones first. */
typedef struct jemi_conv_rows {
    const jemi_conv_impl *const *rows;
    int32_t count;
    int32_t version; /* the major one of the library behind rows that are not ours; 0 = none */
} jemi_conv_rows;

#endif
