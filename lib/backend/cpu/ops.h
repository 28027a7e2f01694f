/*
 * The kinds of ops, each in a file of its own, and how one is appended to a plan. Tensors that an op
 * does without are -1.
 */
#ifndef JEMI_BACKEND_CPU_OPS_H
#define JEMI_BACKEND_CPU_OPS_H

#include "backend/cpu/compile.h"
#include "kernels/pooling.h"

/** Where an op belongs: its node, and for which gradients a backward op runs. */
typedef struct jemi_op_place {
    int32_t node;
    uint32_t wants; /* 0 in the forward half */
} jemi_op_place;

/* ---- the caller's arrays (op_boundary.c) ---- */

/** The caller's rows, or a copy of them padded with zeros, become `dst`. */
jem_status jemi_op_input(jemi_compile *c, int32_t node, int32_t dst);
/** `src` goes to the caller's out. */
jem_status jemi_op_output(jemi_compile *c, int32_t node, int32_t src);
/** `src` goes to the caller's features. */
jem_status jemi_op_features(jemi_compile *c, int32_t node, int32_t src);
/** The caller's dout, padded with zeros, becomes `dst`. */
jem_status jemi_op_diff_output(jemi_compile *c, jemi_op_place at, int32_t dst);
/** `src` goes to the caller's din. */
jem_status jemi_op_diff_input(jemi_compile *c, jemi_op_place at, int32_t src);

/* ---- copies (op_copy.c) ---- */

extern const jemi_op_type jemi_op_load;  /* from canonical order to a layout */
extern const jemi_op_type jemi_op_store; /* from a layout to canonical order */

/**
 * `*tensor` becomes a copy of itself, which by a store is from then on seen as `layout`, or by a
 * load lies in it.
 */
jem_status jemi_op_copy(jemi_compile *c, const jemi_op_type *type, int32_t *tensor,
                        const jemi_layout *layout, int32_t node, uint32_t wants);

/** `*tensor` becomes one with the same value in `layout`: itself, or a converted copy. */
jem_status jemi_op_convert(jemi_compile *c, int32_t *tensor, const jemi_layout *layout,
                           int32_t node, uint32_t wants);

/** `*tensor` becomes a copy of itself rounded to bfloat16. */
jem_status jemi_op_round(jemi_compile *c, int32_t *tensor, int32_t node, uint32_t wants);

/* ---- elementwise ---- */

/** dst = act(src), with its signs if there is a tensor for them. (op_activation.c) */
jem_status jemi_op_act(jemi_compile *c, int32_t node, int32_t dst, int32_t src, int32_t signs);

/** dst = diff * act'(saved) + add; `act` is the ACT node. (op_activation.c) */
jem_status jemi_op_act_backward(jemi_compile *c, jemi_op_place at, int32_t act, int32_t dst,
                                int32_t diff, int32_t saved, int32_t add);

/** dst = a + b. (op_sum.c) */
jem_status jemi_op_sum(jemi_compile *c, jemi_op_place at, int32_t dst, int32_t a, int32_t b);

/** dst = the means of src's windows. (op_pooling.c) */
jem_status jemi_op_pool(jemi_compile *c, int32_t node, int32_t dst, int32_t src,
                        const jemi_pooling *pooling);

/** dst = diff spread over the windows, times the derivative of the ACT node `act` at `saved`, if
 *  they are not -1. (op_pooling.c) */
jem_status jemi_op_pool_backward(jemi_compile *c, jemi_op_place at, int32_t act, int32_t dst,
                                 int32_t diff, int32_t saved, const jemi_pooling *pooling);

/* ---- nodes with both halves ---- */

/** A GROUPNORM or BATCHNORM node, and its gradient from `diff` to `dst`. (op_norm.c) */
jem_status jemi_op_norm(jemi_compile *c, int32_t node);
jem_status jemi_op_norm_backward(jemi_compile *c, jemi_op_place at, int32_t dst, int32_t diff);

/** The same for a DROPOUT node. (op_dropout.c) */
jem_status jemi_op_dropout(jemi_compile *c, int32_t node);
jem_status jemi_op_dropout_backward(jemi_compile *c, jemi_op_place at, int32_t dst, int32_t diff);

/* ---- products: see conv_impl.h ---- */

/**
 * Lets the op that made `tensor` scale it by the derivative of a leaky ReLU at `saved` and then add
 * `add` (-1: none). False when no op made it that can, or `add` comes later. (native_conv.c)
 */
bool jemi_op_absorb(jemi_compile *c, int32_t tensor, jemi_activation activation, int32_t saved,
                    int32_t add);

#endif
