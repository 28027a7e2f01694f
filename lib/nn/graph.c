/*
 * The life of a graph: from an arch string and an input shape to the finished node list, and back
 * to nothing. The string is understood in arch.c, the layers are listed in mlp.c, cnn.c and wrn.c,
 * and build.c appends them; here is the order of it all and what holds on failure.
 */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "nn/build.h"
#include "nn/graph.h"

static bool in_limit(int64_t size)
{
    return size >= 1 && size < JEMI_SIZE_LIMIT;
}

// Each dimension first, so that the products cannot overflow.
static jem_status check_shape(jemi_shape input, int64_t classes)
{
    if (!in_limit(input.c) || !in_limit(input.h) || !in_limit(input.w) ||
        !in_limit(input.c * input.h) || !in_limit(input.c * input.h * input.w))
        return jemi_fail(JEM_EUNSUPPORTED,
                         "input shape %lldx%lldx%lld: dimensions must be at least 1 and their "
                         "product below 2^31",
                         (long long)input.c, (long long)input.h, (long long)input.w);
    if (!in_limit(classes))
        return jemi_fail(JEM_EUNSUPPORTED, "%lld classes: expected 1 to 2^31 - 1",
                         (long long)classes);
    return JEM_OK;
}

static int32_t find_features(const jemi_graph *graph)
{
    int32_t node = graph->nodes[graph->n_nodes - 1].input[0];
    while (graph->nodes[node].kind == JEMI_NODE_DROPOUT)
        node = graph->nodes[node].input[0];
    return node;
}

jem_status jemi_graph_init(jemi_graph *graph, const char *arch, jemi_shape input, int64_t classes)
{
    *graph = (jemi_graph){0};
    jemi_arch parsed;
    JEMI_TRY(jemi_arch_parse(&parsed, arch));
    JEMI_TRY(check_shape(input, classes));

    jemi_builder builder = {.graph = graph, .arch = &parsed};
    builder.status = jemi_arch_format(&parsed, graph->arch, sizeof graph->arch);
    jemi_build_input(&builder, input);
    jemi_arch_build(&builder, &parsed, classes);
    jemi_build_finish(&builder);
    if (builder.status != JEM_OK)
        jemi_graph_fini(graph);
    else
        graph->features = find_features(graph);
    return builder.status;
}

void jemi_graph_fini(jemi_graph *graph)
{
    jemi_free(graph->nodes);
    jemi_free(graph->params);
    jemi_free(graph->states);
    *graph = (jemi_graph){0};
}

int64_t jemi_graph_node_macs(const jemi_graph *graph, int32_t node)
{
    const jemi_node *n = &graph->nodes[node];
    const bool contracts = n->kind == JEMI_NODE_CONV || n->kind == JEMI_NODE_LINEAR;
    return contracts ? graph->params[n->weight].count * n->shape.h * n->shape.w : 0;
}

const jemi_param *jemi_graph_find_tensor(const jemi_graph *graph, const char *name)
{
    for (int32_t i = 0; i < jemi_graph_n_tensors(graph); i++)
        if (strcmp(jemi_graph_tensor(graph, i)->name, name) == 0)
            return jemi_graph_tensor(graph, i);
    return NULL;
}

bool jemi_graph_has(const jemi_graph *graph, jemi_node_kind kind)
{
    for (int32_t i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].kind == kind)
            return true;
    return false;
}

int64_t jemi_graph_batch_min(const jemi_graph *graph)
{
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const jemi_node *node = &graph->nodes[i];
        if (node->kind == JEMI_NODE_BATCHNORM && node->shape.h * node->shape.w == 1)
            return 2;
    }
    return 1;
}

jem_status jemi_graph_check_values(const jemi_graph *graph, const float *values, jem_status status)
{
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].kind != JEMI_NODE_BATCHNORM)
            continue;
        const jemi_param *var = &graph->states[graph->nodes[i].var];
        for (int64_t k = 0; k < var->count; k++)
            if (!(values[var->offset + k] >= 0.0f))
                return jemi_fail(status,
                                 "tensor '%s' holds %g at element %lld; a variance is at "
                                 "least 0",
                                 var->name, (double)values[var->offset + k], (long long)k);
    }
    return JEM_OK;
}
