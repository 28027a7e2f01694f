/*
 * What the ops of our own convolutions have in common. Their layout is nChw16c; a linear layer is a
 * 1x1 convolution of single pixels.
 *
 * A forward op takes along what the convolution absorbed (lower.h). An op for the gradient of the
 * source takes along the derivative and the sum that follow it, once these turn out to be next.
 */
#ifndef JEMI_BACKEND_CPU_NATIVE_CONV_H
#define JEMI_BACKEND_CPU_NATIVE_CONV_H

#include "backend/cpu/cpu_program.h"
#include "backend/cpu/ops.h"
#include "kernels/epilogue.h"

enum { JEMI_NATIVE_BLOCK = 16 };

/* Places in an op's tensors. A weights' gradient writes none: it goes to the caller's dparams. */
enum { JEMI_NATIVE_SRC, JEMI_NATIVE_ADD, JEMI_NATIVE_SAVED }; /* reads */
enum { JEMI_NATIVE_DST, JEMI_NATIVE_SIGNS };                  /* writes */
enum { JEMI_NATIVE_DIFF = 1 };                                /* reads of a weights' gradient */

/** What is done to a value before it is stored; the first member of what such an op keeps. */
typedef struct jemi_native_fusion {
    bool bias;   /* adds the node's */
    bool act;    /* then applies a leaky ReLU; otherwise scales by its derivative at SAVED */
    float slope; /* of either */
} jemi_native_fusion;

jemi_epilogue jemi_native_epilogue(const jemi_cpu_plan *plan, const jemi_op *op);

/** Fills the words that a fusion calls for. */
void jemi_native_describe(const jemi_cpu_plan *plan, const jemi_op *op, jemi_kernel kernel,
                          const char *impl, jemi_op_words *words);

/** How the source and the destination of a forward convolution lie. */
typedef struct jemi_native_sides {
    jemi_layout src, dst;
} jemi_native_sides;

/** @param block  Of the source: 1, or JEMI_NATIVE_BLOCK. */
jemi_native_sides jemi_native_sides_of(const jemi_compile *c, int32_t node, int64_t block);

/** The kernel's geometry; that of a linear layer is 1, 1, 0. */
typedef struct jemi_native_geometry {
    int64_t kernel, stride, pad;
} jemi_native_geometry;

jemi_native_geometry jemi_native_geometry_of(const jemi_node *node);

/** An op to be appended: src -> dst, of these layouts. */
typedef struct jemi_native_step {
    jemi_op_place at;
    jemi_layout from, to;
    int32_t src, dst;
    bool transposed; /* from dy to dx */
} jemi_native_step;

/** Appends the op of one kernel, with its weights and without any fusion. */
typedef jem_status (*jemi_native_append)(jemi_compile *c, const jemi_native_step *step,
                                         jemi_op **op);

/* Slots of a jemi_conv_impl, but for the kernel. */
jem_status jemi_native_forward(jemi_compile *c, jemi_native_append append, int64_t block,
                               int32_t node, int32_t *dst, jemi_conv_fused *fused);
jem_status jemi_native_transposed(jemi_compile *c, jemi_native_append append, int32_t node,
                                  int32_t diff_dst, int32_t *diff_src);

/** The tensors that a weights' gradient reads, in the layouts of `sides`. */
jem_status jemi_native_weights_ends(jemi_compile *c, int32_t node, const jemi_native_sides *sides,
                                    int32_t diff_dst, int32_t *src, int32_t *diff);

/** The gradient of the node's bias, from the op that computes that of its weights. */
void jemi_native_bias_gradient(const jemi_cpu_plan *plan, const jemi_op *op);

/** A weight as that of a convolution, (out, in, kernel, kernel). */
typedef struct jemi_native_dims {
    int64_t out, in, kernel;
} jemi_native_dims;

jemi_native_dims jemi_native_dims_of(const jemi_param *param);

/** The rows of our own kernels. */
extern const jemi_conv_impl jemi_conv_winograd, jemi_conv_direct, jemi_conv_direct_bf16,
    jemi_conv_stem;

#endif
