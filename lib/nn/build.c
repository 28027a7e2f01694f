/*
 * The builder: the only code that appends to a graph. It knows the shape rule of each node kind,
 * gives every parameter its place in the flat vector in order of creation, and counts the
 * multiply-adds. Values and parameter vectors of 2^31 floats and more are refused here, so nothing
 * above or below has to think of overflow again.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "nn/build.h"

static jemi_node *node_at(const jemi_builder *builder, int32_t index)
{
    assert(index >= 0 && index < builder->graph->n_nodes);
    return &builder->graph->nodes[index];
}

// Moves `array` into one of twice the capacity when it is full; NULL when out of memory.
static void *grown(void *array, int32_t count, int32_t *cap, size_t size)
{
    if (count < *cap)
        return array;
    const int32_t new_cap = *cap > 0 ? 2 * *cap : 16;
    void *larger = jemi_calloc((size_t)new_cap, size);
    if (larger == NULL)
        return NULL;
    if (count > 0)
        memcpy(larger, array, (size_t)count * size);
    jemi_free(array);
    *cap = new_cap;
    return larger;
}

static int32_t add_node(jemi_builder *builder, const jemi_node *node)
{
    jemi_graph *graph = builder->graph;
    if (builder->status != JEM_OK)
        return 0;
    const jemi_shape shape = node->shape;
    if (jemi_shape_size(shape) >= JEMI_SIZE_LIMIT) {
        builder->status =
            jemi_fail(JEM_EUNSUPPORTED,
                      "arch \"%s\" has a layer of %lldx%lldx%lld values per row; 2^31 - 1 are "
                      "the most",
                      graph->arch, (long long)shape.c, (long long)shape.h, (long long)shape.w);
        return 0;
    }
    jemi_node *nodes = grown(graph->nodes, graph->n_nodes, &builder->nodes_cap, sizeof *nodes);
    if (nodes == NULL) {
        builder->status = jemi_fail_memory("network");
        return 0;
    }
    graph->nodes = nodes;
    nodes[graph->n_nodes] = *node;
    return graph->n_nodes++;
}

// The next parameter of the flat vector. `param` brings name, rank, shape and fan_in.
static int32_t add_param(jemi_builder *builder, const jemi_param *param)
{
    jemi_graph *graph = builder->graph;
    if (builder->status != JEM_OK)
        return -1;
    size_t count = 1;
    bool fits = true;
    for (int32_t i = 0; i < param->rank; i++)
        fits = fits && jemi_mul(count, (size_t)param->shape[i], &count);
    if (!fits || count >= (size_t)(JEMI_SIZE_LIMIT - graph->param_count)) {
        builder->status = jemi_fail(JEM_EUNSUPPORTED,
                                    "arch \"%s\" has too many parameters for this input (at "
                                    "\"%s\"); 2^31 - 1 are the most",
                                    graph->arch, param->name);
        return -1;
    }
    jemi_param *params =
        grown(graph->params, graph->n_params, &builder->params_cap, sizeof *params);
    if (params == NULL) {
        builder->status = jemi_fail_memory("network");
        return -1;
    }
    graph->params = params;
    jemi_param *added = &params[graph->n_params];
    *added = *param;
    added->offset = graph->param_count;
    added->count = (int64_t)count;
    graph->param_count += added->count;
    return graph->n_params++;
}

// The weight and the bias of one layer, and its share of the multiply-adds: each weight is used
// once per place of the output.
static void add_layer_params(jemi_builder *builder, jemi_node *node, const jemi_param *weight,
                             const char *name, va_list args)
{
    char prefix[48];
    const int length = vsnprintf(prefix, sizeof prefix, name, args);
    assert(length > 0 && (size_t)length < sizeof prefix);
    (void)length;

    jemi_param param = *weight;
    snprintf(param.name, sizeof param.name, "%s.weight", prefix);
    node->weight = add_param(builder, &param);

    jemi_param bias = {.rank = 1, .shape = {weight->shape[0]}, .fan_in = weight->fan_in};
    snprintf(bias.name, sizeof bias.name, "%s.bias", prefix);
    node->bias = add_param(builder, &bias);

    if (builder->status == JEM_OK)
        builder->graph->macs +=
            builder->graph->params[node->weight].count * node->shape.h * node->shape.w;
}

static jemi_node node_of(jemi_node_kind kind, int32_t x, jemi_shape shape)
{
    return (jemi_node){.kind = kind, .input = {x, -1}, .shape = shape, .weight = -1, .bias = -1};
}

jemi_shape jemi_build_shape(const jemi_builder *builder, int32_t x)
{
    if (builder->status != JEM_OK)
        return (jemi_shape){0};
    return node_at(builder, x)->shape;
}

int32_t jemi_build_input(jemi_builder *builder, jemi_shape shape)
{
    const jemi_node node = node_of(JEMI_NODE_INPUT, -1, shape);
    return add_node(builder, &node);
}

int32_t jemi_build_conv(jemi_builder *builder, int32_t x, int64_t channels, int32_t kernel,
                        int32_t stride, const char *name, ...)
{
    if (builder->status != JEM_OK)
        return 0;
    const jemi_shape in = jemi_build_shape(builder, x);
    const int32_t pad = kernel / 2;
    const jemi_shape out = {channels, (in.h + 2 * pad - kernel) / stride + 1,
                            (in.w + 2 * pad - kernel) / stride + 1};
    jemi_node node = node_of(JEMI_NODE_CONV, x, out);
    node.kernel = kernel;
    node.stride = stride;
    node.pad = pad;
    const jemi_param weight = {
        .rank = 4, .shape = {channels, in.c, kernel, kernel}, .fan_in = in.c * kernel * kernel};
    va_list args;
    va_start(args, name);
    add_layer_params(builder, &node, &weight, name, args);
    va_end(args);
    return add_node(builder, &node);
}

int32_t jemi_build_linear(jemi_builder *builder, int32_t x, int64_t features, const char *name, ...)
{
    if (builder->status != JEM_OK)
        return 0;
    const int64_t inputs = jemi_shape_size(jemi_build_shape(builder, x));
    jemi_node node = node_of(JEMI_NODE_LINEAR, x, (jemi_shape){features, 1, 1});
    const jemi_param weight = {.rank = 2, .shape = {features, inputs}, .fan_in = inputs};
    va_list args;
    va_start(args, name);
    add_layer_params(builder, &node, &weight, name, args);
    va_end(args);
    return add_node(builder, &node);
}

int32_t jemi_build_act(jemi_builder *builder, int32_t x, const jemi_arch *arch)
{
    jemi_node node = node_of(JEMI_NODE_ACT, x, jemi_build_shape(builder, x));
    node.act = arch->act;
    node.slope = arch->slope;
    return add_node(builder, &node);
}

int32_t jemi_build_avgpool(jemi_builder *builder, int32_t x, int64_t window_h, int64_t window_w)
{
    if (builder->status != JEM_OK)
        return 0;
    const jemi_shape in = jemi_build_shape(builder, x);
    assert(window_h >= 1 && window_h <= in.h && window_w >= 1 && window_w <= in.w);
    jemi_node node =
        node_of(JEMI_NODE_AVGPOOL, x, (jemi_shape){in.c, in.h / window_h, in.w / window_w});
    node.window_h = (int32_t)window_h;
    node.window_w = (int32_t)window_w;
    return add_node(builder, &node);
}

int32_t jemi_build_add(jemi_builder *builder, int32_t x, int32_t y)
{
    jemi_node node = node_of(JEMI_NODE_ADD, x, jemi_build_shape(builder, x));
    node.input[1] = y;
    assert(builder->status != JEM_OK ||
           jemi_shape_size(node.shape) == jemi_shape_size(jemi_build_shape(builder, y)));
    return add_node(builder, &node);
}
