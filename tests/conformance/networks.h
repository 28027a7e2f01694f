/*
 * The networks that backends are compared on: architectures by name, and hand-made graphs whose
 * orders of nodes no architecture has. Odd sizes, channels that are no multiple of any vector.
 */
#ifndef JEM_TESTS_CONFORMANCE_NETWORKS_H
#define JEM_TESTS_CONFORMANCE_NETWORKS_H

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "nn/graph.h"

typedef struct net_case {
    const char *name; // an arch, or a hand-made graph of this name
    int32_t c, h, w, classes;
    int32_t batch, n, threads;
} net_case;

// ---- hand-made graphs: orders of nodes that no architecture has --------------------------------

static int32_t new_node(jemi_graph *g, jemi_node node)
{
    g->nodes[g->n_nodes] = node;
    return g->n_nodes++;
}

static int32_t new_param(jemi_graph *g, int32_t rank, const int64_t *shape)
{
    jemi_param *param = &g->params[g->n_params];
    param->rank = rank;
    param->count = 1;
    param->fan_in = 9;
    param->offset = g->param_count;
    for (int32_t i = 0; i < rank; i++)
        param->count *= param->shape[i] = shape[i];
    g->param_count += param->count;
    return g->n_params++;
}

static int32_t new_state(jemi_graph *g, int64_t count)
{
    jemi_param *state = &g->states[g->n_states];
    *state = (jemi_param){.rank = 1, .shape = {count}, .count = count, .offset = g->state_count};
    g->state_count += count;
    return g->n_states++;
}

static int32_t batchnorm(jemi_graph *g, int32_t x)
{
    const jemi_shape shape = g->nodes[x].shape;
    const int32_t weight = new_param(g, 1, &shape.c), bias = new_param(g, 1, &shape.c);
    const int32_t mean = new_state(g, shape.c), var = new_state(g, shape.c);
    return new_node(g, (jemi_node){.kind = JEMI_NODE_BATCHNORM,
                                   .input = {x, -1},
                                   .shape = shape,
                                   .weight = weight,
                                   .bias = bias,
                                   .mean = mean,
                                   .var = var});
}

static int32_t groupnorm(jemi_graph *g, int32_t x, int32_t groups)
{
    const jemi_shape shape = g->nodes[x].shape;
    const int32_t weight = new_param(g, 1, &shape.c), bias = new_param(g, 1, &shape.c);
    return new_node(g, (jemi_node){.kind = JEMI_NODE_GROUPNORM,
                                   .input = {x, -1},
                                   .shape = shape,
                                   .groups = groups,
                                   .weight = weight,
                                   .bias = bias});
}

static int32_t dropout(jemi_graph *g, int32_t x, float rate, int64_t mask_offset)
{
    return new_node(g, (jemi_node){.kind = JEMI_NODE_DROPOUT,
                                   .input = {x, -1},
                                   .shape = g->nodes[x].shape,
                                   .rate = rate,
                                   .mask_offset = mask_offset,
                                   .weight = -1,
                                   .bias = -1});
}

static int32_t conv(jemi_graph *g, int32_t x, int32_t channels, int32_t kernel, int32_t stride,
                    int32_t pad)
{
    const jemi_shape in = g->nodes[x].shape;
    const int32_t weight = new_param(g, 4, (int64_t[]){channels, in.c, kernel, kernel});
    const int32_t bias = new_param(g, 1, (int64_t[]){channels});
    return new_node(g, (jemi_node){.kind = JEMI_NODE_CONV,
                                   .input = {x, -1},
                                   .shape = {channels, (in.h + 2 * pad - kernel) / stride + 1,
                                             (in.w + 2 * pad - kernel) / stride + 1},
                                   .kernel = kernel,
                                   .stride = stride,
                                   .pad = pad,
                                   .weight = weight,
                                   .bias = bias});
}

static int32_t act(jemi_graph *g, int32_t x, jemi_act kind, float slope)
{
    return new_node(g, (jemi_node){.kind = JEMI_NODE_ACT,
                                   .input = {x, -1},
                                   .shape = g->nodes[x].shape,
                                   .act = kind,
                                   .slope = slope,
                                   .weight = -1,
                                   .bias = -1});
}

static int32_t add(jemi_graph *g, int32_t x, int32_t y)
{
    return new_node(g, (jemi_node){.kind = JEMI_NODE_ADD,
                                   .input = {x, y},
                                   .shape = g->nodes[x].shape,
                                   .weight = -1,
                                   .bias = -1});
}

static int32_t pool(jemi_graph *g, int32_t x, int32_t h, int32_t w)
{
    const jemi_shape in = g->nodes[x].shape;
    return new_node(g, (jemi_node){.kind = JEMI_NODE_AVGPOOL,
                                   .input = {x, -1},
                                   .shape = {in.c, in.h / h, in.w / w},
                                   .window_h = h,
                                   .window_w = w,
                                   .weight = -1,
                                   .bias = -1});
}

static void make_nodes(jemi_graph *g, const char *name, int32_t x)
{
    int32_t y, channels, kernel, stride;
    if (strcmp(name, "residual-input") == 0) { // the sum must not overwrite the caller's rows
        y = act(g, x, JEMI_ACT_TANH, 0);
        add(g, conv(g, y, 16, 3, 1, 1), x);
    } else if (strcmp(name, "double-add") == 0) { // both operands are the same value
        y = act(g, conv(g, x, 20, 1, 1, 0), JEMI_ACT_TANH, 0);
        pool(g, add(g, y, y), 2, 2);
    } else if (strcmp(name, "shared-gradient") == 0) { // y and z get the same one, z masks it first
        y = conv(g, x, 16, 3, 1, 1);
        const int32_t z = conv(g, x, 16, 3, 1, 1);
        conv(g, add(g, y, act(g, z, JEMI_ACT_LRELU, 0.3f)), 16, 3, 1, 1);
    } else if (strcmp(name, "big-kernel") == 0) { // windows that leave a rest; stride over the edge
        y = pool(g, conv(g, x, 33, 5, 3, 2), 2, 3);
        conv(g, y, 7, 2, 1, 1);
    } else if (strcmp(name, "wide-stem") == 0) { // a kernel larger than the image is high
        y = conv(g, x, 20, 5, 1, 2);
        conv(g, add(g, y, conv(g, x, 20, 3, 1, 1)), 3, 3, 1, 0);
    } else if (strcmp(name, "act-first") == 0) {
        y = act(g, act(g, x, JEMI_ACT_SILU, 0), JEMI_ACT_ELU, 0);
        const int32_t z = conv(g, y, 5, 3, 1, 1);
        add(g, z, act(g, y, JEMI_ACT_SOFTPLUS, 0));
    } else if (strcmp(name, "late-reader") == 0) { // z is read between the convolution and the sum
        const int32_t z = conv(g, x, 16, 3, 1, 1);
        y = conv(g, x, 16, 3, 1, 1);
        const int32_t reader = act(g, z, JEMI_ACT_TANH, 0);
        add(g, add(g, y, z), reader);
    } else if (strcmp(name, "negative-slope") == 0) { // the sign of the value does not tell
        y = act(g, conv(g, x, 20, 3, 1, 1), JEMI_ACT_LRELU, -0.5f);
        conv(g, y, 3, 3, 2, 1);
    } else if (strcmp(name, "norm-first") == 0) { // of the caller's memory
        conv(g, batchnorm(g, x), 20, 3, 1, 1);
    } else if (strcmp(name, "norm-of-norm") == 0) { // the sum reads what a norm would write over
        y = groupnorm(g, conv(g, x, 20, 3, 1, 1), 5);
        const int32_t z = batchnorm(g, y);
        conv(g, act(g, add(g, z, y), JEMI_ACT_SILU, 0), 7, 3, 1, 1);
    } else if (strcmp(name, "dropped-twice") == 0) { // and read before, between and behind
        y = act(g, conv(g, x, 20, 3, 1, 1), JEMI_ACT_LRELU, 0.2f);
        const int32_t once = dropout(g, y, 0.3f, 0);
        const int32_t twice = dropout(g, once, 0.2f, 800);
        conv(g, add(g, add(g, act(g, twice, JEMI_ACT_TANH, 0), once), y), 7, 3, 1, 1);
    } else if (sscanf(name, "layer-%d-%d-%d", &channels, &kernel, &stride) == 3) {
        conv(g, act(g, x, JEMI_ACT_TANH, 0), channels, kernel, stride, kernel / 2);
    } else { // three gradients meet
        y = act(g, conv(g, x, 16, 3, 1, 1), JEMI_ACT_LRELU, 0.1f);
        const int32_t left = conv(g, y, 16, 3, 1, 1);
        const int32_t middle = act(g, y, JEMI_ACT_TANH, 0);
        const int32_t right = act(g, y, JEMI_ACT_SILU, 0);
        add(g, add(g, left, middle), right);
    }
}

static void make_graph(jemi_graph *g, const net_case *t)
{
    enum { MOST = 16 };
    *g = (jemi_graph){.nodes = jemi_calloc(MOST, sizeof(jemi_node)),
                      .params = jemi_calloc(MOST, sizeof(jemi_param)),
                      .states = jemi_calloc(MOST, sizeof(jemi_param))};
    const int32_t x = new_node(g, (jemi_node){.kind = JEMI_NODE_INPUT,
                                              .input = {-1, -1},
                                              .shape = {t->c, t->h, t->w},
                                              .weight = -1,
                                              .bias = -1});
    make_nodes(g, t->name + strlen("made:"), x);
    for (int32_t i = 0; i < g->n_states; i++)
        g->states[i].offset += g->param_count;
}

static jem_status net_graph(jemi_graph *g, const net_case *t)
{
    if (strncmp(t->name, "made:", 5) != 0)
        return jemi_graph_init(g, t->name, (jemi_shape){t->c, t->h, t->w}, t->classes);
    make_graph(g, t);
    return JEM_OK;
}

#endif
