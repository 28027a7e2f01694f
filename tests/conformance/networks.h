/*
 * The networks that backends are compared on: architectures by name, and hand-made graphs whose
 * orders of nodes no architecture has. Odd sizes, channels that are no multiple of any vector.
 */
#ifndef JEM_TESTS_CONFORMANCE_NETWORKS_H
#define JEM_TESTS_CONFORMANCE_NETWORKS_H

#include <string.h>

#include "base/memory.h"
#include "nn/graph.h"

typedef struct net_case {
    const char *name; // an arch, or a hand-made graph of this name
    int32_t c, h, w, classes;
    int32_t batch, n, threads;
} net_case;

static const net_case cases[] = {
    {"mlp-64-64", 30, 1, 1, 10, 7, 7, 2},
    {"mlp-20-33-5", 3, 5, 7, 37, 3, 2, 1},
    {"mlp-100:act=silu", 1, 1, 1, 1, 1, 1, 3},
    {"mlp-1500", 1300, 1, 1, 10, 17, 16, 2}, // long sums: where inner products split
    {"cnn-32-64", 1, 28, 28, 10, 3, 3, 2},
    {"cnn-5-20-33", 3, 13, 9, 37, 7, 5, 3},
    {"cnn-1-3", 5, 7, 11, 1, 3, 1, 2},
    {"cnn-16", 20, 6, 5, 10, 1, 1, 1},
    {"cnn-16-33", 33, 4, 4, 10, 7, 7, 2},
    {"cnn-20-20", 3, 1, 1, 10, 3, 3, 2},
    {"cnn-33-20:act=softplus", 3, 9, 7, 10, 3, 2, 2}, // padded lanes that must stay zero
    {"cnn-20-33:act=silu", 20, 9, 7, 10, 3, 3, 2},
    {"cnn-20:act=elu", 1, 7, 9, 37, 7, 7, 1},
    {"cnn-33:act=tanh", 5, 8, 8, 10, 3, 3, 3},
    {"cnn-16-20:act=relu", 3, 8, 8, 10, 3, 2, 2},
    {"wrn-10-1", 1, 28, 28, 10, 3, 3, 2},
    {"wrn-10-1", 3, 9, 7, 1, 7, 4, 1},
    {"wrn-10-2", 5, 16, 12, 37, 1, 1, 3},
    {"wrn-16-1", 3, 16, 16, 10, 3, 3, 2},
    {"wrn-10-1:act=silu", 1, 11, 11, 10, 3, 2, 2},
    {"wrn-10-1:act=softplus", 3, 8, 8, 10, 3, 3, 2},
    {"wrn-10-1:act=elu", 33, 8, 8, 10, 3, 3, 2},
    {"wrn-10-1:act=tanh", 20, 5, 5, 10, 3, 3, 1},
    {"wrn-10-1:act=relu", 3, 8, 8, 10, 3, 3, 2},
    {"made:residual-input", 4, 6, 5, 0, 3, 2, 2},
    {"made:double-add", 20, 5, 5, 0, 3, 3, 2},
    {"made:big-kernel", 3, 17, 14, 0, 2, 2, 2},
    {"made:act-first", 5, 4, 4, 0, 3, 3, 2},
    {"made:late-reader", 16, 6, 6, 0, 3, 2, 2},
    {"made:negative-slope", 7, 6, 6, 0, 3, 3, 2},
    {"made:three-readers", 16, 6, 6, 0, 3, 3, 2},
};

static const int n_cases = sizeof cases / sizeof cases[0];

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
    int32_t y;
    if (strcmp(name, "residual-input") == 0) { // the sum must not overwrite the caller's rows
        y = act(g, conv(g, x, 4, 3, 1, 1), JEMI_ACT_LRELU, 0.2f);
        const int32_t sum = add(g, conv(g, x, 4, 3, 1, 1), x);
        add(g, y, sum);
    } else if (strcmp(name, "double-add") == 0) { // both operands are the same value
        y = act(g, conv(g, x, 20, 1, 1, 0), JEMI_ACT_TANH, 0);
        pool(g, add(g, y, y), 2, 2);
    } else if (strcmp(name, "big-kernel") == 0) { // windows that leave a rest; stride over the edge
        y = pool(g, conv(g, x, 33, 5, 3, 2), 2, 3);
        conv(g, y, 7, 2, 1, 1);
    } else if (strcmp(name, "act-first") == 0) {
        y = act(g, act(g, x, JEMI_ACT_SILU, 0), JEMI_ACT_ELU, 0);
        const int32_t z = conv(g, y, 5, 3, 1, 1);
        add(g, z, act(g, y, JEMI_ACT_SOFTPLUS, 0));
    } else if (strcmp(name, "late-reader") == 0) { // z is read between the convolution and the sum
        const int32_t z = conv(g, x, 16, 3, 1, 1);
        y = conv(g, x, 16, 3, 1, 1);
        const int32_t reader = conv(g, z, 16, 3, 1, 1);
        add(g, add(g, y, z), reader);
    } else if (strcmp(name, "negative-slope") == 0) { // the sign of the value does not tell
        y = act(g, conv(g, x, 20, 3, 1, 1), JEMI_ACT_LRELU, -0.5f);
        conv(g, y, 3, 3, 2, 1);
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
                      .params = jemi_calloc(MOST, sizeof(jemi_param))};
    const int32_t x = new_node(g, (jemi_node){.kind = JEMI_NODE_INPUT,
                                              .input = {-1, -1},
                                              .shape = {t->c, t->h, t->w},
                                              .weight = -1,
                                              .bias = -1});
    make_nodes(g, t->name + strlen("made:"), x);
}

static jem_status net_graph(jemi_graph *g, const net_case *t)
{
    if (strncmp(t->name, "made:", 5) != 0)
        return jemi_graph_init(g, t->name, (jemi_shape){t->c, t->h, t->w}, t->classes);
    make_graph(g, t);
    return JEM_OK;
}

#endif
