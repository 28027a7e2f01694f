/*
 * A plan in words, one line per op: for tests that look for slow implementations, and for people.
 */
#include <inttypes.h>
#include <stdio.h>

#include "backend/cpu/plan.h"

enum { LINE = 256 };

static void describe_tensor(const jemi_cpu_plan *plan, int32_t tensor, char *text, size_t size)
{
    if (tensor < 0) {
        snprintf(text, size, "-");
        return;
    }
    const jemi_layout *l = jemi_plan_layout(plan, tensor);
    char order[32];
    if (jemi_layout_is_canonical(l))
        snprintf(order, sizeof order, "nchw");
    else if (l->block == l->c)
        snprintf(order, sizeof order, "nhwc");
    else
        snprintf(order, sizeof order, "nChw%" PRId64 "c", l->block);
    snprintf(text, size, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " %s", l->n, l->c, l->h,
             l->w, order);
}

static void describe_op(const jemi_cpu_plan *plan, const jemi_op *op, const char *half, char *line)
{
    jemi_op_words words = {.what = op->type->name, .from = op->reads[0], .to = op->writes[0]};
    if (op->type->describe != NULL)
        op->type->describe(plan, op, &words);
    char from[96], to[96];
    describe_tensor(plan, words.from, from, sizeof from);
    describe_tensor(plan, words.to, to, sizeof to);
    snprintf(line, LINE, "%s: node %d %s: %s, %s%s%s%s%s%s%s", half, (int)op->node, words.what,
             from, to, words.sum ? " + sum" : "", words.lrelu ? " + lrelu" : "",
             words.derivative ? " * act'" : "", words.signs ? ", keeps signs" : "",
             words.kernel != NULL ? ": " : "", words.kernel != NULL ? words.kernel : "");
}

static int64_t macs_of(const jemi_cpu_plan *plan, const jemi_op *op)
{
    return op->type->contracts
               ? jemi_graph_node_macs(plan->base.program->graph, op->node) * plan->base.spec.batch
               : 0;
}

void jemi_cpu_plan_describe(const jemi_plan *base, jemi_describe_fn describe, void *user)
{
    const jemi_cpu_plan *plan = (const jemi_cpu_plan *)base;
    char line[LINE];
    for (int32_t i = 0; i < plan->n_ops; i++) {
        describe_op(plan, &plan->ops[i], i < plan->n_forward ? "forward" : "backward", line);
        const jemi_step step = {line, macs_of(plan, &plan->ops[i]), plan->ops[i].seconds};
        describe(user, &step);
    }
}
