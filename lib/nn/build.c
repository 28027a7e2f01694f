/*
 * The builder: the only code that appends to a graph. It knows the shape rule of each node kind,
 * gives every parameter its place in the flat vector in order of creation, the state its place
 * behind them, and counts the multiply-adds. Values and parameter vectors of 2^31 floats and more
 * are refused here, so nothing above or below has to think of overflow again.
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

// A list of tensors that lie one behind the other.
typedef struct tensor_list {
    jemi_param **tensors;
    int32_t *n, *cap;
    int64_t *count; /* floats */
} tensor_list;

// The next tensor of a list. `param` brings name, rank, shape, and how it begins.
static int32_t add_tensor(jemi_builder *builder, const tensor_list *list, const jemi_param *param)
{
    const jemi_graph *graph = builder->graph;
    if (builder->status != JEM_OK)
        return -1;
    size_t count = 1;
    bool fits = true;
    for (int32_t i = 0; i < param->rank; i++)
        fits = fits && jemi_mul(count, (size_t)param->shape[i], &count);
    if (!fits || count >= (size_t)(JEMI_SIZE_LIMIT - jemi_graph_size(graph))) {
        builder->status = jemi_fail(JEM_EUNSUPPORTED,
                                    "arch \"%s\" has too many parameters for this input (at "
                                    "\"%s\"); 2^31 - 1 are the most",
                                    graph->arch, param->name);
        return -1;
    }
    jemi_param *tensors = grown(*list->tensors, *list->n, list->cap, sizeof *tensors);
    if (tensors == NULL) {
        builder->status = jemi_fail_memory("network");
        return -1;
    }
    *list->tensors = tensors;
    jemi_param *added = &tensors[*list->n];
    *added = *param;
    added->offset = *list->count;
    added->count = (int64_t)count;
    *list->count += added->count;
    return (*list->n)++;
}

// A prefix of tensor names, "stages.0.0.conv1".
typedef struct layer_name {
    char text[48];
} layer_name;

static layer_name name_of(const char *format, va_list args)
{
    layer_name name;
    const int length = vsnprintf(name.text, sizeof name.text, format, args);
    assert(length > 0 && (size_t)length < sizeof name.text);
    (void)length;
    return name;
}

static int32_t add_param(jemi_builder *builder, const layer_name *layer, const char *suffix,
                         jemi_param param)
{
    jemi_graph *graph = builder->graph;
    const tensor_list list = {&graph->params, &graph->n_params, &builder->params_cap,
                              &graph->param_count};
    snprintf(param.name, sizeof param.name, "%s.%s", layer->text, suffix);
    return add_tensor(builder, &list, &param);
}

static int32_t add_state(jemi_builder *builder, const layer_name *layer, const char *suffix,
                         int64_t count, jemi_init init)
{
    jemi_graph *graph = builder->graph;
    const tensor_list list = {&graph->states, &graph->n_states, &builder->states_cap,
                              &graph->state_count};
    jemi_param state = {.rank = 1, .shape = {count}, .init = init, .fan_in = count};
    snprintf(state.name, sizeof state.name, "%s.%s", layer->text, suffix);
    return add_tensor(builder, &list, &state);
}

// The weight of a layer; under spectral normalisation with its two vectors, in PyTorch's names.
static int32_t add_weight(jemi_builder *builder, const layer_name *layer, jemi_param weight)
{
    if (builder->arch->norm != JEMI_NORM_SPECTRAL)
        return add_param(builder, layer, "weight", weight);
    weight.spectral = 1 + add_state(builder, layer, "weight_u", weight.shape[0], JEMI_INIT_UNIFORM);
    add_state(builder, layer, "weight_v", weight.fan_in, JEMI_INIT_UNIFORM);
    return add_param(builder, layer, "weight_orig", weight);
}

// The weight and the bias of one layer, and its share of the multiply-adds: each weight is used
// once per place of the output.
static void add_layer_params(jemi_builder *builder, jemi_node *node, const jemi_param *weight,
                             const layer_name *layer)
{
    const jemi_param bias = {.rank = 1, .shape = {weight->shape[0]}, .fan_in = weight->fan_in};
    node->weight = add_weight(builder, layer, *weight);
    node->bias = add_param(builder, layer, "bias", bias);

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
    const layer_name layer = name_of(name, args);
    va_end(args);
    add_layer_params(builder, &node, &weight, &layer);
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
    const layer_name layer = name_of(name, args);
    va_end(args);
    add_layer_params(builder, &node, &weight, &layer);
    return add_node(builder, &node);
}

int32_t jemi_build_act(jemi_builder *builder, int32_t x)
{
    jemi_node node = node_of(JEMI_NODE_ACT, x, jemi_build_shape(builder, x));
    node.act = builder->arch->act;
    node.slope = builder->arch->slope;
    return add_node(builder, &node);
}

// A group of one value would have variance 0 and its bias as the only outcome.
static void check_groups(jemi_builder *builder, jemi_shape shape, int32_t groups)
{
    const bool divides = shape.c % groups == 0;
    if (builder->status != JEM_OK || (divides && jemi_shape_size(shape) > groups))
        return;
    builder->status =
        jemi_fail(JEM_EINVAL,
                  "arch \"%s\": norm=%s needs groups of %s, and a layer has %lldx%lldx%lld values",
                  builder->graph->arch, builder->arch->norm_name,
                  divides ? "more than one value" : "equally many channels", (long long)shape.c,
                  (long long)shape.h, (long long)shape.w);
}

static jemi_node norm_node(jemi_builder *builder, int32_t x, const layer_name *layer)
{
    const jemi_shape shape = jemi_build_shape(builder, x);
    const jemi_arch *arch = builder->arch;
    if (arch->norm == JEMI_NORM_BATCH) {
        jemi_node node = node_of(JEMI_NODE_BATCHNORM, x, shape);
        node.mean = add_state(builder, layer, "running_mean", shape.c, JEMI_INIT_ZERO);
        node.var = add_state(builder, layer, "running_var", shape.c, JEMI_INIT_ONE);
        return node;
    }
    jemi_node node = node_of(JEMI_NODE_GROUPNORM, x, shape);
    node.groups = arch->groups == JEMI_GROUPS_INSTANCE ? (int32_t)shape.c : arch->groups;
    check_groups(builder, shape, node.groups);
    return node;
}

int32_t jemi_build_norm(jemi_builder *builder, int32_t x, const char *name, ...)
{
    const jemi_norm norm = builder->arch->norm;
    if (builder->status != JEM_OK || norm == JEMI_NORM_NONE || norm == JEMI_NORM_SPECTRAL)
        return x;
    va_list args;
    va_start(args, name);
    const layer_name layer = name_of(name, args);
    va_end(args);
    jemi_node node = norm_node(builder, x, &layer);
    jemi_param param = {.rank = 1, .shape = {node.shape.c}, .init = JEMI_INIT_ONE, .fan_in = 1};
    node.weight = add_param(builder, &layer, "weight", param);
    param.init = JEMI_INIT_ZERO;
    node.bias = add_param(builder, &layer, "bias", param);
    return add_node(builder, &node);
}

int32_t jemi_build_dropout(jemi_builder *builder, int32_t x)
{
    if (builder->status != JEM_OK || builder->arch->dropout == 0)
        return x;
    jemi_node node = node_of(JEMI_NODE_DROPOUT, x, jemi_build_shape(builder, x));
    node.rate = (float)(builder->arch->dropout / 1e4);
    node.mask_offset = builder->mask_size;
    builder->mask_size += (jemi_shape_size(node.shape) + 3) / 4 * 4;
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

void jemi_build_finish(jemi_builder *builder)
{
    jemi_graph *graph = builder->graph;
    for (int32_t i = 0; i < graph->n_states; i++)
        graph->states[i].offset += graph->param_count;
}
