/*
 * What each node of a graph becomes in a plan: which sums and activations a convolution computes
 * along, which values the backward pass will read, which gradients flow where.
 *
 * This is reasoning about the graph alone: no kernels, no memory orders, no batch.
 */
#ifndef JEMI_BACKEND_CPU_LOWER_H
#define JEMI_BACKEND_CPU_LOWER_H

#include <stdbool.h>

#include "kernels/activation.h"
#include "nn/graph.h"

typedef struct jemi_lowered {
    uint32_t wants;        /* for which JEMI_WANT_* is the gradient of this value needed */
    int32_t last_consumer; /* -1 = none */
    int32_t n_consumers;
    bool saved;     /* the backward pass reads this value, or its signs */
    bool absorbed;  /* ADD or ACT: the convolution before it may compute it along */
    int32_t add;    /* CONV: the absorbed ADD, or -1 */
    int32_t addend; /* its other operand, computed earlier and overwritten by the sum */
    int32_t act;    /* CONV, LINEAR: the absorbed ACT behind it and the ADD, or -1 */
} jemi_lowered;

/** @param lowered  Out. One per node, by jemi_alloc. */
jem_status jemi_lower(jemi_lowered **lowered, const jemi_graph *graph, uint32_t wants);

/**
 * The nodes of a graph without its dropouts: readers of a DROPOUT node are connected to its input,
 * and the node itself reads nothing. The output of a graph is never a DROPOUT.
 *
 * @param nodes  Out. By jemi_alloc.
 */
jem_status jemi_lower_without_dropout(jemi_node **nodes, const jemi_graph *graph);

/** May node `consumer` write its value over that of its input? */
bool jemi_lowered_in_place(const jemi_lowered *lowered, int32_t consumer, int32_t input);

/** The curve of an ACT node. */
jemi_activation jemi_lowered_activation(const jemi_node *node);

#endif
