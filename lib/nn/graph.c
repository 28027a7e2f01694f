/*
 * What one asks of a finished graph, and its end.
 */
#include "nn/graph.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

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
