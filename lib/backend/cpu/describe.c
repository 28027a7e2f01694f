/*
 * A plan in words, one line per op: for tests that look for slow implementations, and for people.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

static jemi_op_words words_of(const jemi_cpu_plan *plan, int32_t index)
{
    const jemi_op *op = &plan->ops[index];
    jemi_op_words words = {
        .what = op->type->name,
        .direction = index < plan->n_forward ? JEM_STEP_FORWARD : JEM_STEP_TRANSPOSED,
        .from = op->reads[0],
        .to = op->writes[0],
    };
    if (op->type->describe != NULL)
        op->type->describe(plan, op, &words);
    return words;
}

static void write_line(const jemi_cpu_plan *plan, int32_t node, const jemi_op_words *words,
                       char *line)
{
    static const char *const directions[] = {[JEM_STEP_FORWARD] = "forward",
                                             [JEM_STEP_TRANSPOSED] = "transposed",
                                             [JEM_STEP_WEIGHTS] = "weights"};
    char from[96], to[96];
    describe_tensor(plan, words->from, from, sizeof from);
    describe_tensor(plan, words->to, to, sizeof to);
    snprintf(line, LINE, "%s: node %d %s: %s, %s%s%s%s%s%s%s", directions[words->direction],
             (int)node, words->what, from, to, words->sum ? " + sum" : "",
             words->lrelu ? " + lrelu" : "", words->derivative ? " * act'" : "",
             words->signs ? ", keeps signs" : "", words->impl != NULL ? ": " : "",
             words->impl != NULL ? words->impl : "");
}

static void copy_shape(const jemi_cpu_plan *plan, int32_t tensor, int64_t shape[4])
{
    if (tensor < 0)
        return;
    const jemi_layout *l = jemi_plan_layout(plan, tensor);
    const int64_t sizes[4] = {l->n, l->c, l->h, l->w};
    memcpy(shape, sizes, sizeof sizes);
}

// What is the step's own product: the node's multiply-adds, and the weight that they are with.
static void describe_product(const jemi_cpu_plan *plan, const jemi_op *op, jem_step_info *info)
{
    if (!op->type->contracts)
        return;
    const jemi_graph *graph = plan->base.program->graph;
    const jemi_param *weight = &graph->params[graph->nodes[op->node].weight];
    info->macs = jemi_graph_node_macs(graph, op->node) * plan->base.spec.batch;
    for (int32_t i = 0; i < 4; i++)
        info->weight[i] = i < weight->rank ? weight->shape[i] : 1;
}

void jemi_cpu_plan_describe(const jemi_plan *base, jemi_describe_fn describe, void *user)
{
    const jemi_cpu_plan *plan = (const jemi_cpu_plan *)base;
    char line[LINE];
    for (int32_t i = 0; i < plan->n_ops; i++) {
        const jemi_op *op = &plan->ops[i];
        const jemi_op_words words = words_of(plan, i);
        write_line(plan, op->node, &words, line);
        jem_step_info info = {
            .struct_size = sizeof info,
            .text = line,
            .op = words.what,
            .kernel = words.kernel != JEMI_KERNEL_AUTO ? jemi_kernel_name(words.kernel) : "",
            .node = op->node,
            .direction = words.direction,
            .seconds = op->seconds,
        };
        copy_shape(plan, words.from, info.src);
        copy_shape(plan, words.to, info.dst);
        describe_product(plan, op, &info);
        describe(user, &info);
    }
}
