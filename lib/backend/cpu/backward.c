/*
 * The backward half of a plan.
 *
 * A node's gradient is a sum of terms, one from each consumer. An activation or a pooling does not
 * compute its term but leaves a note how to: so activation mask, pooling and residual sum become
 * one pass, when the node below collects its terms. A plain single term costs no pass at all, and
 * a pass writes over a gradient that nobody else will read.
 */
#include "backend/cpu/choose.h"
#include "backend/cpu/ops.h"
#include "base/memory.h"
#include "base/status.h"

enum { MAX_TERMS = 2 };

// spread(tensor) * act'(saved), either part optional.
typedef struct term {
    int32_t tensor;
    int32_t pool; // AVGPOOL node, or -1
    int32_t act;  // ACT node, or -1
} term;

typedef struct terms {
    int32_t count;
    term at[MAX_TERMS];
} terms;

typedef struct reverse {
    jemi_compile *c;
    terms *nodes;   // pending, per node
    int32_t *holds; // per tensor: how many terms, or the node at work, still need it
    int32_t holds_max;
} reverse;

static jem_status hold(reverse *r, int32_t tensor)
{
    if (tensor >= r->holds_max) {
        const int32_t wanted = 2 * tensor + 64;
        int32_t *grown = jemi_calloc((size_t)wanted, sizeof *grown);
        if (grown == NULL)
            return jemi_fail_memory("plan");
        for (int32_t i = 0; i < r->holds_max; i++)
            grown[i] = r->holds[i];
        jemi_free(r->holds);
        r->holds = grown;
        r->holds_max = wanted;
    }
    r->holds[tensor]++;
    return JEM_OK;
}

static const jemi_layout *layout_of(const reverse *r, int32_t tensor)
{
    return jemi_plan_layout(r->c->plan, tensor);
}

// What the derivative of an ACT node is computed from.
static int32_t saved_of(const reverse *r, int32_t act)
{
    const jemi_node *node = &r->c->graph->nodes[act];
    const bool by_value = jemi_act_grad_from_value(jemi_lowered_activation(node));
    if (r->c->signs[act] >= 0)
        return r->c->signs[act];
    return r->c->values[by_value ? act : node->input[0]];
}

// Where a pass for the gradient of a node's value belongs.
static jemi_op_place place_of(const reverse *r, int32_t node)
{
    return (jemi_op_place){node, r->c->lowered[node].wants};
}

// A tensor to write to: `candidate` if it is nobody else's and fits, else a new one, held.
static jem_status target(reverse *r, int32_t candidate, const jemi_layout *layout, int32_t *dst)
{
    if (candidate >= 0 && r->holds[candidate] == 1 &&
        jemi_layout_same(layout_of(r, candidate), layout)) {
        *dst = candidate;
        return JEM_OK;
    }
    JEMI_TRY(jemi_compile_tensor(r->c, layout, 0, dst));
    JEMI_TRY(hold(r, *dst));
    if (candidate >= 0)
        r->holds[candidate]--;
    return JEM_OK;
}

// *tensor becomes a converted copy, and the hold goes over to it.
static jem_status convert(reverse *r, int32_t *tensor, const jemi_layout *layout, int32_t node)
{
    const int32_t before = *tensor;
    const jemi_layout wanted = *layout; // the list of tensors may move
    JEMI_TRY(jemi_op_convert(r->c, tensor, &wanted, node, r->c->lowered[node].wants));
    if (*tensor == before)
        return JEM_OK;
    r->holds[before]--;
    return hold(r, *tensor);
}

// The pooling of a term, with its activation. `node` is where the gradient arrives.
static jem_status unpool(reverse *r, int32_t node, term *t)
{
    const jemi_node *pool = &r->c->graph->nodes[t->pool];
    const jemi_layout src = *layout_of(r, r->c->values[pool->input[0]]);
    const jemi_layout dst = jemi_pooling_dst(&src, pool->shape.h, pool->shape.w);
    int32_t spread;
    JEMI_TRY(convert(r, &t->tensor, &dst, node));
    JEMI_TRY(jemi_compile_tensor(r->c, &src, 0, &spread));
    JEMI_TRY(hold(r, spread));
    r->holds[t->tensor]--;
    const int32_t saved = t->act >= 0 ? saved_of(r, t->act) : -1;
    const jemi_pooling pooling = {src, dst, pool->window_h, pool->window_w};
    JEMI_TRY(
        jemi_op_pool_backward(r->c, place_of(r, node), t->act, spread, t->tensor, saved, &pooling));
    *t = (term){spread, -1, -1};
    return JEM_OK;
}

// t = t * act' + add, add = -1 for none.
static jem_status mask(reverse *r, int32_t node, term *t, int32_t add)
{
    const jemi_activation activation = jemi_lowered_activation(&r->c->graph->nodes[t->act]);
    const int32_t saved = saved_of(r, t->act), diff_act = t->act;
    const jemi_layout layout = *layout_of(r, saved);
    JEMI_TRY(convert(r, &t->tensor, &layout, node));
    if (add >= 0)
        JEMI_TRY(convert(r, &add, &layout, node));
    const int32_t diff = t->tensor;
    t->act = -1;
    if (r->holds[diff] == 1 && jemi_op_absorb(r->c, diff, activation, saved, add)) {
        if (add >= 0)
            r->holds[add]--;
        return JEM_OK;
    }
    JEMI_TRY(target(r, diff, &layout, &t->tensor));
    if (add >= 0)
        r->holds[add]--;
    return jemi_op_act_backward(r->c, place_of(r, node), diff_act, t->tensor, diff, saved, add);
}

static jem_status plain_sum(reverse *r, int32_t node, term *t, int32_t add)
{
    const int32_t diff = t->tensor;
    const jemi_layout layout = *layout_of(r, diff);
    JEMI_TRY(convert(r, &add, &layout, node));
    JEMI_TRY(target(r, diff, &layout, &t->tensor));
    r->holds[add]--;
    return jemi_op_sum(r->c, place_of(r, node), t->tensor, diff, add);
}

// All terms of a node into the first, whose tensor is then the gradient.
static jem_status collect(reverse *r, int32_t node)
{
    terms *pending = &r->nodes[node];
    term *first = &pending->at[0];
    term *second = &pending->at[1];
    for (int32_t i = 0; i < pending->count; i++)
        if (pending->at[i].pool >= 0)
            JEMI_TRY(unpool(r, node, &pending->at[i]));
    if (pending->count == 2) {
        if (first->act < 0) {
            const term swap = *first;
            *first = *second;
            *second = swap;
        }
        if (second->act >= 0)
            JEMI_TRY(mask(r, node, second, -1));
        JEMI_TRY(first->act >= 0 ? mask(r, node, first, second->tensor)
                                 : plain_sum(r, node, first, second->tensor));
    } else if (first->act >= 0) {
        JEMI_TRY(mask(r, node, first, -1));
    }
    pending->count = 1;
    return JEM_OK;
}

static jem_status send(reverse *r, int32_t node, term t)
{
    if (r->c->lowered[node].wants == 0)
        return JEM_OK;
    terms *pending = &r->nodes[node];
    if (pending->count == MAX_TERMS)
        JEMI_TRY(collect(r, node));
    pending->at[pending->count++] = t;
    return hold(r, t.tensor);
}

static jem_status contraction(reverse *r, int32_t index, int32_t diff)
{
    jemi_compile *c = r->c;
    const int32_t input = c->graph->nodes[index].input[0];
    if ((c->plan->base.spec.wants & JEMI_WANT_DPARAMS) != 0)
        JEMI_TRY(jemi_choose_for(c, index, JEMI_CONV_WEIGHTS)->weights(c, index, diff));
    if (c->lowered[input].wants == 0)
        return JEM_OK;
    term t = {-1, -1, -1};
    JEMI_TRY(
        jemi_choose_for(c, index, JEMI_CONV_TRANSPOSED)->transposed(c, index, diff, &t.tensor));
    return send(r, input, t);
}

// A node whose input has its value's layout; `append` makes an op of what it does to a gradient.
static jem_status through(reverse *r, int32_t index,
                          jem_status (*append)(jemi_compile *, jemi_op_place, int32_t, int32_t))
{
    term *t = &r->nodes[index].at[0];
    const jemi_layout layout = *layout_of(r, r->c->values[index]);
    JEMI_TRY(convert(r, &t->tensor, &layout, index));
    const int32_t diff = t->tensor;
    JEMI_TRY(target(r, diff, &layout, &t->tensor));
    JEMI_TRY(append(r->c, place_of(r, index), t->tensor, diff));
    return send(r, r->c->graph->nodes[index].input[0], *t);
}

static jem_status node_backward(reverse *r, int32_t index)
{
    const jemi_node *node = &r->c->graph->nodes[index];
    // Lazily: an activation passes a pooling on, and both go down as a note.
    if (node->kind == JEMI_NODE_ACT && r->nodes[index].count == 1 &&
        r->nodes[index].at[0].act < 0) {
        term t = r->nodes[index].at[0];
        t.act = index;
        return send(r, node->input[0], t);
    }
    JEMI_TRY(collect(r, index));
    const int32_t diff = r->nodes[index].at[0].tensor;
    switch (node->kind) {
    case JEMI_NODE_INPUT:
        return jemi_op_diff_input(r->c, place_of(r, index), diff);
    case JEMI_NODE_CONV:
    case JEMI_NODE_LINEAR:
        return contraction(r, index, diff);
    case JEMI_NODE_ACT:
        return send(r, node->input[0], (term){diff, -1, index});
    case JEMI_NODE_AVGPOOL:
        return send(r, node->input[0], (term){diff, index, -1});
    case JEMI_NODE_ADD:
        JEMI_TRY(send(r, node->input[0], (term){diff, -1, -1}));
        return send(r, node->input[1], (term){diff, -1, -1});
    case JEMI_NODE_GROUPNORM:
    case JEMI_NODE_BATCHNORM:
        return through(r, index, jemi_op_norm_backward);
    case JEMI_NODE_DROPOUT:
        return through(r, index, jemi_op_dropout_backward);
    }
    return JEM_OK;
}

static jem_status diff_output(reverse *r)
{
    const int32_t last = r->c->graph->n_nodes - 1;
    const jemi_shape shape = r->c->graph->nodes[last].shape;
    const jemi_layout layout = {r->c->plan->base.spec.batch, shape.c, shape.h, shape.w, 1};
    int32_t diff;
    JEMI_TRY(jemi_compile_tensor(r->c, &layout, 0, &diff));
    JEMI_TRY(jemi_op_diff_output(r->c, place_of(r, last), diff));
    return send(r, last, (term){diff, -1, -1});
}

static jem_status walk(reverse *r)
{
    JEMI_TRY(diff_output(r));
    for (int32_t i = r->c->graph->n_nodes - 1; i >= 0; i--) {
        if (r->c->lowered[i].wants == 0 || r->nodes[i].count == 0)
            continue;
        JEMI_TRY(node_backward(r, i));
        r->holds[r->nodes[i].at[0].tensor]--;
    }
    return JEM_OK;
}

jem_status jemi_compile_backward(jemi_compile *c)
{
    reverse r = {.c = c, .nodes = jemi_calloc((size_t)c->graph->n_nodes, sizeof *r.nodes)};
    const jem_status status = r.nodes != NULL ? walk(&r) : jemi_fail_memory("plan");
    jemi_free(r.nodes);
    jemi_free(r.holds);
    return status;
}
