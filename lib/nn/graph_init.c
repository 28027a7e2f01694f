/*
 * From an arch string and an input shape to the finished node list. The string is understood in
 * arch.c, the layers are listed in mlp.c, cnn.c and wrn.c, and build.c appends them; here is the
 * order of it all and what holds on failure.
 */
#include "base/status.h"
#include "nn/build.h"

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
