/*
 * The rules of fusion and of saving.
 *
 * - A convolution absorbs the ADD that alone reads it if the other operand is there already and
 *   nobody reads that one afterwards: the sum goes into the other operand's memory.
 * - It absorbs a leaky ReLU that alone reads the outcome. Not a ReLU: oneDNN's turns NaN into 0 and
 *   would hide a divergence. Not the smooth ones: our own pass is more exact, and nearly free.
 * - The backward pass reads an activation's value or argument, a norm's argument, and a
 *   convolution's src if parameter gradients are wanted; nothing else is saved.
 * - What is fused is decided as if all gradients were wanted: a fused sum rounds differently, and
 *   plans of all kinds have to give a row the same logits.
 */
#include "backend/cpu/lower.h"

#include "backend/backend.h"
#include "base/memory.h"
#include "base/status.h"

jemi_activation jemi_lowered_activation(const jemi_node *node)
{
    static const jemi_curve curves[] = {
        [JEMI_ACT_LRELU] = JEMI_CURVE_LRELU,       [JEMI_ACT_SILU] = JEMI_CURVE_SILU,
        [JEMI_ACT_ELU] = JEMI_CURVE_ELU,           [JEMI_ACT_TANH] = JEMI_CURVE_TANH,
        [JEMI_ACT_SOFTPLUS] = JEMI_CURVE_SOFTPLUS,
    };
    return (jemi_activation){curves[node->act], node->slope};
}

static bool contracts(const jemi_node *node)
{
    return node->kind == JEMI_NODE_CONV || node->kind == JEMI_NODE_LINEAR;
}

static bool normalizes(const jemi_node *node)
{
    return node->kind == JEMI_NODE_GROUPNORM || node->kind == JEMI_NODE_BATCHNORM;
}

static void find_consumers(jemi_lowered *lowered, const jemi_graph *graph)
{
    for (int32_t i = 0; i < graph->n_nodes; i++)
        lowered[i] = (jemi_lowered){.last_consumer = -1, .add = -1, .addend = -1, .act = -1};
    for (int32_t i = 0; i < graph->n_nodes; i++)
        for (int k = 0; k < 2; k++) {
            const int32_t input = graph->nodes[i].input[k];
            if (input < 0)
                continue;
            lowered[input].n_consumers++;
            lowered[input].last_consumer = i;
        }
}

static void find_wants(jemi_lowered *lowered, const jemi_graph *graph, uint32_t wants)
{
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const jemi_node *node = &graph->nodes[i];
        uint32_t here = wants & JEMI_WANT_DINPUT;
        if (contracts(node) || normalizes(node))
            here = wants;
        for (int k = 0; k < 2; k++)
            if (node->input[k] >= 0)
                here |= lowered[node->input[k]].wants;
        lowered[i].wants = here;
    }
}

static void find_saved(jemi_lowered *lowered, const jemi_graph *graph, uint32_t wants)
{
    find_wants(lowered, graph, wants);
    for (int32_t i = 0; i < graph->n_nodes; i++)
        lowered[i].saved = false;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const jemi_node *node = &graph->nodes[i];
        if (contracts(node) && (wants & JEMI_WANT_DPARAMS) != 0)
            lowered[node->input[0]].saved = true;
        if (normalizes(node) && lowered[i].wants != 0)
            lowered[node->input[0]].saved = true;
        if (node->kind == JEMI_NODE_ACT && lowered[node->input[0]].wants != 0) {
            const bool by_value = jemi_act_grad_from_value(jemi_lowered_activation(node));
            lowered[by_value ? i : node->input[0]].saved = true;
        }
    }
}

// Is everybody but `except` that reads the value of `node` done before node `time`?
static bool read_before(const jemi_graph *graph, int32_t node, int32_t except, int32_t time)
{
    for (int32_t i = time; i < graph->n_nodes; i++)
        if (i != except && (graph->nodes[i].input[0] == node || graph->nodes[i].input[1] == node))
            return false;
    return true;
}

static void absorb_add(jemi_lowered *lowered, const jemi_graph *graph, int32_t conv)
{
    const int32_t add = lowered[conv].last_consumer;
    if (lowered[conv].n_consumers != 1 || graph->nodes[add].kind != JEMI_NODE_ADD)
        return;
    const int32_t *inputs = graph->nodes[add].input;
    const int32_t addend = inputs[0] == conv ? inputs[1] : inputs[0];
    // Node 0 is the caller's memory.
    if (addend == 0 || addend >= conv || lowered[addend].saved ||
        !read_before(graph, addend, add, conv))
        return;
    lowered[conv].add = add;
    lowered[conv].addend = addend;
    lowered[add].absorbed = true;
}

static void absorb_act(jemi_lowered *lowered, const jemi_graph *graph, int32_t conv)
{
    const int32_t last = lowered[conv].add >= 0 ? lowered[conv].add : conv;
    const int32_t act = lowered[last].last_consumer;
    if (lowered[last].n_consumers != 1 || graph->nodes[act].kind != JEMI_NODE_ACT)
        return;
    const jemi_activation activation = jemi_lowered_activation(&graph->nodes[act]);
    if (activation.curve != JEMI_CURVE_LRELU || !(activation.slope > 0.0f))
        return;
    lowered[conv].act = act;
    lowered[act].absorbed = true;
}

static void absorb(jemi_lowered *lowered, const jemi_graph *graph)
{
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].kind == JEMI_NODE_CONV)
            absorb_add(lowered, graph, i);
        if (contracts(&graph->nodes[i]))
            absorb_act(lowered, graph, i);
    }
}

jem_status jemi_lower(jemi_lowered **out, const jemi_graph *graph, uint32_t wants)
{
    jemi_lowered *lowered = jemi_alloc((size_t)graph->n_nodes, sizeof *lowered);
    *out = lowered;
    if (lowered == NULL)
        return jemi_fail_memory("lowered graph");
    find_consumers(lowered, graph);
    find_saved(lowered, graph, JEMI_WANT_DINPUT | JEMI_WANT_DPARAMS);
    absorb(lowered, graph);
    find_saved(lowered, graph, wants);
    return JEM_OK;
}

jem_status jemi_lower_without_dropout(jemi_node **nodes, const jemi_graph *graph)
{
    *nodes = jemi_alloc((size_t)graph->n_nodes, sizeof **nodes);
    if (*nodes == NULL)
        return jemi_fail_memory("lowered graph");
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        jemi_node *node = &(*nodes)[i];
        *node = graph->nodes[i];
        for (int k = 0; k < 2; k++)
            while (node->input[k] >= 0 && graph->nodes[node->input[k]].kind == JEMI_NODE_DROPOUT)
                node->input[k] = graph->nodes[node->input[k]].input[0];
        if (node->kind == JEMI_NODE_DROPOUT)
            node->input[0] = -1;
    }
    return JEM_OK;
}

bool jemi_lowered_in_place(const jemi_lowered *lowered, int32_t consumer, int32_t input)
{
    return input != 0 && !lowered[input].saved && lowered[input].last_consumer == consumer;
}
