/*
 * Only the places of running statistics are moved, whatever else the state may hold.
 */
#include "train/running.h"

#include <math.h>
#include <string.h>

#include "base/status.h"

static const double momentum = 0.1;

void jemi_running_begin(jemi_running *running)
{
    memset(running->room, 0, (size_t)running->graph->state_count * sizeof *running->room);
}

void jemi_running_add(jemi_running *running, const jemi_chunk *chunk, double share)
{
    const int64_t count = running->graph->state_count;
    float *own = running->room + count;
    jemi_chunk_statistics(chunk, own);
    for (int64_t i = 0; i < count; i++)
        running->room[i] += (float)(share * (double)own[i]);
}

static jem_status move_tensor(const jemi_param *tensor, const float *batch, float *values)
{
    for (int64_t i = 0; i < tensor->count; i++) {
        values[i] = (float)((1.0 - momentum) * (double)values[i] + momentum * (double)batch[i]);
        if (!isfinite(values[i]))
            return jemi_fail(JEM_EDIVERGED, "%s became non-finite; nothing was updated",
                             tensor->name);
    }
    return JEM_OK;
}

jem_status jemi_running_move(const jemi_running *running, float *params)
{
    const jemi_graph *graph = running->graph;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].kind != JEMI_NODE_BATCHNORM)
            continue;
        const int32_t indices[] = {graph->nodes[i].mean, graph->nodes[i].var};
        for (int k = 0; k < 2; k++) {
            const jemi_param *tensor = &graph->states[indices[k]];
            JEMI_TRY(move_tensor(tensor, running->room + tensor->offset - graph->param_count,
                                 params + tensor->offset));
        }
    }
    return JEM_OK;
}
