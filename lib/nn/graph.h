/*
 * What a network is: a flat list of nodes in execution order, each with the shape of its value, and
 * the layout of all parameters in one flat vector. Nothing here says how it is computed.
 *
 * Behind the parameters, in the same vector, lies the state: tensors that belong to the model but
 * that no gradient trains, that is running statistics and the vectors of power iterations.
 */
#ifndef JEMI_NN_GRAPH_H
#define JEMI_NN_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include <jem/jem.h>

/** Added to a variance before its root is taken, as PyTorch's normalisation layers do. */
#define JEMI_NORM_EPS 1e-5

typedef enum jemi_node_kind {
    JEMI_NODE_INPUT,     /* node 0, the rows handed in */
    JEMI_NODE_CONV,      /* kernel x kernel cross-correlation, zero padding, bias */
    JEMI_NODE_LINEAR,    /* flattens its input (C, H, W order), weight (O, I), bias */
    JEMI_NODE_ACT,       /* elementwise */
    JEMI_NODE_AVGPOOL,   /* window = stride, no padding; what does not fill a window is dropped */
    JEMI_NODE_ADD,       /* input[0] + input[1], equal shapes */
    JEMI_NODE_GROUPNORM, /* (x - mean) / sqrt(var + eps) * weight[c] + bias[c], mean and variance
                            over the channels of a group and the pixels of one row */
    JEMI_NODE_BATCHNORM, /* the same per channel, over all rows and pixels of a batch, or by the
                            running statistics: the pass decides (backend.h) */
    JEMI_NODE_DROPOUT,   /* identity; in training passes each element becomes 0 with probability
                            `rate` and x / (1 - rate) otherwise */
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
    int32_t groups;              /* GROUPNORM: of channels, divides them */
    int32_t mean, var;           /* BATCHNORM: indices into states */
    float rate;                  /* DROPOUT, 0..1 exclusive */
    int64_t mask_offset;  /* DROPOUT: its first element among all dropped ones of a row; % 4 */
    int32_t weight, bias; /* CONV, LINEAR, norms: indices into params; else -1 */
} jemi_node;

typedef enum jemi_init {
    JEMI_INIT_UNIFORM, /* U(-1, 1) / sqrt(fan_in) */
    JEMI_INIT_ZERO,
    JEMI_INIT_ONE,
} jemi_init;

typedef struct jemi_param {
    char name[64];
    int32_t rank;
    int64_t shape[4];
    int64_t offset; /* in the flat vector */
    int64_t count;
    jemi_init init;
    int64_t fan_in;   /* of the layer it belongs to */
    int32_t spectral; /* 1 + the index in states of its u, v being next (spectral.h); 0 = none */
} jemi_param;

typedef struct jemi_graph {
    char arch[512]; /* full form */
    jemi_node *nodes;
    int32_t n_nodes;  /* the last node's value is the output: logits (K, 1, 1) */
    int32_t features; /* the node whose value the last layer reads, dropout aside */
    jemi_param *params;
    int32_t n_params;
    int64_t param_count; /* floats of all params: the first of the flat vector */
    jemi_param *states;
    int32_t n_states;
    int64_t state_count; /* floats of all states: the rest of it */
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

/** Fills the flat vector, state included, as PyTorch's layers do by default. */
void jemi_graph_init_params(const jemi_graph *graph, uint64_t seed, float *params);

/** Floats of the whole flat vector. */
static inline int64_t jemi_graph_size(const jemi_graph *graph)
{
    return graph->param_count + graph->state_count;
}

/** Tensors of the whole flat vector: parameters, then states. */
static inline int32_t jemi_graph_n_tensors(const jemi_graph *graph)
{
    return graph->n_params + graph->n_states;
}

static inline const jemi_param *jemi_graph_tensor(const jemi_graph *graph, int32_t index)
{
    return index < graph->n_params ? &graph->params[index]
                                   : &graph->states[index - graph->n_params];
}

/** The tensor of that name, or NULL. */
const jemi_param *jemi_graph_find_tensor(const jemi_graph *graph, const char *name);

/** Whether the network has a node of that kind. */
bool jemi_graph_has(const jemi_graph *graph, jemi_node_kind kind);

/** Rows that a pass needs for its batch statistics to have a variance: 2 where a channel has one
 *  pixel, else 1. */
int64_t jemi_graph_batch_min(const jemi_graph *graph);

/**
 * Refuses a flat vector whose values no network can have: a running variance below 0.
 *
 * @param status  The one to fail with.
 */
jem_status jemi_graph_check_values(const jemi_graph *graph, const float *values, jem_status status);

/** Multiply-adds of a node's forward pass on one row; 0 for what is no contraction. */
int64_t jemi_graph_node_macs(const jemi_graph *graph, int32_t node);

static inline int64_t jemi_shape_size(jemi_shape shape)
{
    return shape.c * shape.h * shape.w;
}

/** Where a network is cut: what is handed out of it, and what cotangents are taken for. */
typedef enum jemi_cut {
    JEMI_CUT_OUTPUT,   /* the last node */
    JEMI_CUT_FEATURES, /* the penultimate layer */
} jemi_cut;

enum { JEMI_CUTS = 2 };

static inline int32_t jemi_graph_cut_node(const jemi_graph *graph, jemi_cut cut)
{
    return cut == JEMI_CUT_FEATURES ? graph->features : graph->n_nodes - 1;
}

/** Floats of a row there. */
static inline int64_t jemi_graph_cut_size(const jemi_graph *graph, jemi_cut cut)
{
    return jemi_shape_size(graph->nodes[jemi_graph_cut_node(graph, cut)].shape);
}

/** The network up to the cut. Shares the arrays of `graph`, and is not to be fini'd. */
static inline jemi_graph jemi_graph_until(const jemi_graph *graph, jemi_cut cut)
{
    jemi_graph part = *graph;
    part.n_nodes = jemi_graph_cut_node(graph, cut) + 1;
    return part;
}

#endif
