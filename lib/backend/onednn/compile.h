/*
 * Compiling a plan: the tools with which the forward and the backward half are put together, and
 * the state they share. Every step appended here marks its tensors as alive at that step.
 */
#ifndef JEMI_BACKEND_ONEDNN_COMPILE_H
#define JEMI_BACKEND_ONEDNN_COMPILE_H

#include "backend/onednn/choose.h"
#include "backend/onednn/lower.h"
#include "backend/onednn/plan.h"

typedef struct jemi_compile {
    jemi_dnnl_plan *plan;
    const jemi_graph *graph; /* the program's, or `view` */
    jemi_graph view;         /* the same network with other nodes, see lower.h */
    jemi_lowered *lowered;
    int32_t *values;              /* tensor of each node's value, -1 = never in memory */
    int32_t *signs;               /* of an ACT node's value, if all that is kept of it; or -1 */
    dnnl_primitive_desc_t *hints; /* forward descriptor of each convolution */
} jemi_compile;

/** @param bytes  0 = what the layout takes. */
jem_status jemi_compile_tensor(jemi_compile *c, const jemi_layout *layout, size_t bytes,
                               int32_t *tensor);

/**
 * A tensor for the signs of an ACT node's value, if the backward pass can do with them; else -1.
 * Whoever computes the value has to write them.
 *
 * @param layout  In. Of the value.
 */
jem_status jemi_compile_signs(jemi_compile *c, int32_t node, const jemi_layout *layout,
                              int32_t *tensor);

/** Appends a step and returns it, valid until the next one; NULL when out of memory. */
jemi_op *jemi_compile_op(jemi_compile *c, jemi_op_kind kind, int32_t node, uint32_t wants);

/** Appends a pass of our own; tensors that it does not have are -1. */
jem_status jemi_compile_pass(jemi_compile *c, const jemi_op *pass);

/** Adds an argument to the last step. @param md  In. How the primitive sees it. */
jem_status jemi_compile_arg(jemi_compile *c, int name, const jemi_md *md, jemi_arg arg);

/**
 * `*tensor` becomes a copy of itself: JEMI_OP_LOAD, of canonical memory in `layout`; JEMI_OP_STORE,
 * of any layout in canonical memory that is from then on seen as `layout`.
 */
jem_status jemi_compile_copy(jemi_compile *c, jemi_op_kind kind, int32_t *tensor,
                             const jemi_layout *layout, int32_t node, uint32_t wants);

/** `*tensor` becomes one with the same value in `layout`: itself, or a converted copy. */
jem_status jemi_compile_convert(jemi_compile *c, int32_t *tensor, const jemi_layout *layout,
                                int32_t node, uint32_t wants);

/** The last step uses this tensor too; -1 = none. */
void jemi_compile_touch(jemi_compile *c, int32_t tensor);

/** The step of that kind which a node has become. */
const jemi_op *jemi_compile_find(const jemi_compile *c, jemi_op_kind kind, int32_t node);

/** The last step needs this much of the scratchpad that all steps share. */
void jemi_compile_scratch(jemi_compile *c, size_t bytes);

/** What jemi_compile_conv_forward() computed beyond the convolution. */
typedef struct jemi_conv_fused {
    bool add, act;
} jemi_conv_fused;

/**
 * Appends a CONV or LINEAR node, fusing what it absorbs if oneDNN has a fast kernel for that.
 *
 * @param dst  Out. The tensor of the outcome.
 */
jem_status jemi_compile_conv_forward(jemi_compile *c, int32_t node, int32_t *dst,
                                     jemi_conv_fused *fused);

/** diff_dst -> diff_src, a new tensor. */
jem_status jemi_compile_conv_data(jemi_compile *c, int32_t node, int32_t diff_dst,
                                  int32_t *diff_src);

/** diff_dst and the kept src -> the node's part of dparams. */
jem_status jemi_compile_conv_weights(jemi_compile *c, int32_t node, int32_t diff_dst);

/**
 * The same by our own kernels. (own.c, own_weights.c)
 *
 * @param kernel  What jemi_choose() gave, but JEM_KERNEL_ONEDNN.
 */
jem_status jemi_compile_own_forward(jemi_compile *c, int32_t kernel, int32_t node, int32_t *dst,
                                    jemi_conv_fused *fused);
jem_status jemi_compile_own_data(jemi_compile *c, int32_t kernel, int32_t node, int32_t diff_dst,
                                 int32_t *diff_src);
jem_status jemi_compile_own_weights(jemi_compile *c, int32_t kernel, int32_t node,
                                    int32_t diff_dst);

/**
 * Lets the own step that made `tensor` scale it where `kept` <= 0 and then add `add` (-1: none).
 * False when no such step made it, or `add` comes later.
 */
bool jemi_compile_own_absorb(jemi_compile *c, int32_t tensor, jemi_activation activation,
                             int32_t kept, int32_t add);

/** Appends a GROUPNORM or BATCHNORM node. (norm.c) */
jem_status jemi_compile_norm_forward(jemi_compile *c, int32_t node);

/** Its gradient; node, wants, dst and src of the pass are set. */
jem_status jemi_compile_norm_backward(jemi_compile *c, jemi_op *pass);

/** The last step is one until which all statistics must last. */
void jemi_compile_keep_statistics(jemi_compile *c);

/** The same for a DROPOUT node. (dropout.c) */
jem_status jemi_compile_dropout_forward(jemi_compile *c, int32_t node);
jem_status jemi_compile_dropout_backward(jemi_compile *c, jemi_op *pass);

jem_status jemi_compile_forward(jemi_compile *c);
jem_status jemi_compile_backward(jemi_compile *c);

#endif
