/*
 * What a network is: a flat list of nodes in execution order, each with the shape of its value, and
 * the layout of all parameters in one flat vector. Nothing here says how it is computed.
 */
#ifndef JEMI_NN_GRAPH_H
#define JEMI_NN_GRAPH_H

#include <stdint.h>

#include <jem/jem.h>

typedef enum jemi_node_kind {
    JEMI_NODE_INPUT,   /* node 0, the rows handed in */
    JEMI_NODE_CONV,    /* kernel x kernel cross-correlation, zero padding, bias */
    JEMI_NODE_LINEAR,  /* flattens its input (C, H, W order), weight (O, I), bias */
    JEMI_NODE_ACT,     /* elementwise */
    JEMI_NODE_AVGPOOL, /* window = stride, no padding; what does not fill a window is dropped */
    JEMI_NODE_ADD,     /* input[0] + input[1], equal shapes */
} jemi_node_kind;

typedef enum jemi_act {
    JEMI_ACT_LRELU, /* x > 0 ? x : slope * x; relu is slope 0 */
    JEMI_ACT_SILU,
    JEMI_ACT_ELU,      /* alpha 1 */
    JEMI_ACT_SOFTPLUS, /* beta 1 */
    JEMI_ACT_TANH,
} jemi_act;

typedef struct jemi_shape {
    int64_t c, h, w; /* of one row */
} jemi_shape;

typedef struct jemi_node {
    jemi_node_kind kind;
    int32_t input[2];            /* indices of earlier nodes; -1 = none */
    jemi_shape shape;            /* of the value; a linear layer's is (O, 1, 1) */
    int32_t kernel, stride, pad; /* CONV */
    int32_t window_h, window_w;  /* AVGPOOL */
    jemi_act act;                /* ACT */
    float slope;                 /* ACT, lrelu */
    int32_t weight, bias;        /* CONV, LINEAR: indices into params; else -1 */
} jemi_node;

typedef struct jemi_param {
    char name[64];
    int32_t rank;
    int64_t shape[4];
    int64_t offset; /* in the flat vector */
    int64_t count;
    int64_t fan_in; /* of the layer it belongs to: the initial bound is 1 / sqrt(fan_in) */
} jemi_param;

typedef struct jemi_graph {
    char arch[512]; /* full form, every option spelled out */
    jemi_node *nodes;
    int32_t n_nodes; /* the last node's value is the output: logits (K, 1, 1) */
    jemi_param *params;
    int32_t n_params;
    int64_t param_count; /* floats in the flat vector */
    int64_t macs;        /* multiply-adds of one row's forward pass, direct algorithm */
} jemi_graph;

/**
 * Builds the network that `arch` names for rows of `input` and `classes` logits.
 *
 * @return JEM_OK; JEM_EINVAL for a string that is no arch; JEM_EUNSUPPORTED for a shape it cannot
 *         take; JEM_ENOMEM. On failure the graph is empty.
 */
jem_status jemi_graph_init(jemi_graph *graph, const char *arch, jemi_shape input, int64_t classes);

/** Accepts a zeroed graph. */
void jemi_graph_fini(jemi_graph *graph);

/** Fills the flat vector with U(-1, 1) / sqrt(fan_in), PyTorch's default initialisation. */
void jemi_graph_init_params(const jemi_graph *graph, uint64_t seed, float *params);

/** Index of the parameter of that name, or -1. */
int32_t jemi_graph_find_param(const jemi_graph *graph, const char *name);

/** Multiply-adds of a node's forward pass on one row; 0 for what has no weights. */
int64_t jemi_graph_node_macs(const jemi_graph *graph, int32_t node);

static inline int64_t jemi_shape_size(jemi_shape shape)
{
    return shape.c * shape.h * shape.w;
}

#endif
