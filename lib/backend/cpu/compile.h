/*
 * Compiling a plan: the tools with which the forward and the backward half are put together, and
 * the state they share.
 */
#ifndef JEMI_BACKEND_CPU_COMPILE_H
#define JEMI_BACKEND_CPU_COMPILE_H

#include "backend/cpu/conv_impl.h"
#include "backend/cpu/lower.h"
#include "backend/cpu/plan.h"

struct jemi_compile {
    jemi_cpu_plan *plan;
    const jemi_conv_rows *rows;
    const jemi_graph *graph; /* `view` */
    jemi_graph view;         /* the program's network up to the cut, perhaps with other nodes */
    jemi_node *nodes;        /* these, see lower.h; NULL = the program's own */
    jemi_lowered *lowered;
    int32_t *values; /* tensor of each node's value, -1 = never in memory */
    int32_t *signs;  /* of an ACT node's value, if all that is saved of it; or -1 */
    /* What a provider of kernels remembers from step to step; NULL until it has something. */
    void *provider;
    void (*provider_destroy)(void *provider);
};

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

/**
 * Appends an op that reads and writes nothing yet.
 *
 * @param private_size  Of its zeroed private part, 0 = none.
 * @param op            Out. Valid until the next op is appended; its private part stays.
 */
jem_status jemi_compile_op(jemi_compile *c, const jemi_op_type *type, int32_t node, uint32_t wants,
                           size_t private_size, jemi_op **op);

/** The op of that type which a node has become. */
const jemi_op *jemi_compile_find(const jemi_compile *c, const jemi_op_type *type, int32_t node);

/** The last op that wrote a tensor, or -1. */
int32_t jemi_compile_writer(const jemi_compile *c, int32_t tensor);

/** Does an op behind `step` read the tensor? */
bool jemi_compile_read_after(const jemi_compile *c, int32_t tensor, int32_t step);

jem_status jemi_compile_forward(jemi_compile *c);
jem_status jemi_compile_backward(jemi_compile *c);

#endif
