/*
 * lib/nn: which network an arch string names. Node lists and parameter layouts are compared as
 * text, sizes with the published ones and with sums made by hand, initial values with their
 * definition. What is no arch string is in test_arch.c.
 */
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/random.h"
#include "base/status.h"
#include "nn/graph.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static jemi_graph must_build(const char *arch, jemi_shape input, int64_t classes)
{
    jemi_graph graph;
    const jem_status status = jemi_graph_init(&graph, arch, input, classes);
    ck_assert_msg(status == JEM_OK, "%s: %s", arch, jemi_last_message());
    return graph;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

typedef struct size_row {
    const char *arch;
    jemi_shape input;
    int64_t classes;
    double params, macs; /* expected */
    double params_within, macs_within;
} size_row;

// The WRN rows are the table of the JEM paper's architecture, so within half of its last digit; the
// others are sums made by hand, exact.
static const size_row sizes[] = {
    {"wrn-28-10", {3, 32, 32}, 10, 36.47e6, 5.951e9, 5e3, 5e5},
    {"wrn-28-4", {3, 32, 32}, 10, 5.85e6, 0.959e9, 5e3, 5e5},
    {"wrn-40-2", {3, 32, 32}, 10, 2.24e6, 0.356e9, 5e3, 5e5},
    {"wrn-28-2", {3, 32, 32}, 10, 1.47e6, 0.243e9, 5e3, 5e5},
    {"wrn-16-4", {3, 32, 32}, 10, 2.75e6, 0.506e9, 5e3, 5e5},
    {"wrn-16-2", {3, 32, 32}, 10, 0.69e6, 0.129e9, 5e3, 5e5},
    {"wrn-10-2", {3, 32, 32}, 10, 0.30e6, 0.073e9, 5e3, 5e5},
    {"wrn-10-1", {3, 32, 32}, 10, 0.078e6, 0.020e9, 5e2, 5e5},
    // 2*4+4 + 4*3+3 + 3*5+5
    {"mlp-4-3", {2, 1, 1}, 5, 47, 35, 0, 0},
    // an image is flattened: 24*1+1 + 1*1+1
    {"mlp-1", {2, 3, 4}, 1, 27, 25, 0, 0},
    // conv 18+2 at 5x4, pooled to 2x2; conv 54+3 at 2x2, pooled to 1x1; head 6+2
    {"cnn-2-3", {1, 5, 4}, 2, 85, 18 * 20 + 54 * 4 + 6, 0, 0},
    // nothing to pool: conv 9*7*2+2, head 2*3+3
    {"cnn-2", {7, 1, 1}, 3, 137, 126 + 6, 0, 0},
    // the bounds themselves are inside
    {"mlp-16384", {1, 1, 1}, 1, 3 * 16384 + 1, 2 * 16384, 0, 0},
};

START_TEST(test_sizes)
{
    const size_row *row = &sizes[_i];
    jemi_graph graph = must_build(row->arch, row->input, row->classes);
    ck_assert_msg(fabs((double)graph.param_count - row->params) <= row->params_within,
                  "%s: %lld parameters", row->arch, (long long)graph.param_count);
    ck_assert_msg(fabs((double)graph.macs - row->macs) <= row->macs_within,
                  "%s: %lld multiply-adds", row->arch, (long long)graph.macs);
    jemi_graph_fini(&graph);
}
END_TEST

/* ---- node lists ----------------------------------------------------------------------------- */

static void append(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
    const size_t length = strlen(text);
    va_list args;
    va_start(args, format);
    const int added = vsnprintf(text + length, size - length, format, args);
    va_end(args);
    ck_assert(added >= 0 && (size_t)added < size - length);
}

static void print_node(char *text, size_t size, const jemi_graph *graph, const jemi_node *node)
{
    static const char *const kinds[] = {
        [JEMI_NODE_INPUT] = "input",         [JEMI_NODE_CONV] = "conv",
        [JEMI_NODE_LINEAR] = "linear",       [JEMI_NODE_ACT] = "act",
        [JEMI_NODE_AVGPOOL] = "pool",        [JEMI_NODE_ADD] = "add",
        [JEMI_NODE_GROUPNORM] = "groupnorm", [JEMI_NODE_BATCHNORM] = "batchnorm",
        [JEMI_NODE_DROPOUT] = "dropout",
    };
    append(text, size, "%s", kinds[node->kind]);
    if (node->input[0] >= 0)
        append(text, size, " %d", node->input[0]);
    if (node->input[1] >= 0)
        append(text, size, ",%d", node->input[1]);
    if (node->kind == JEMI_NODE_CONV)
        append(text, size, " k%ds%dp%d", node->kernel, node->stride, node->pad);
    if (node->kind == JEMI_NODE_AVGPOOL)
        append(text, size, " %dx%d", node->window_h, node->window_w);
    if (node->weight >= 0)
        append(text, size, " %s", graph->params[node->weight].name);
    if (node->bias >= 0)
        append(text, size, " %s", graph->params[node->bias].name);
    if (node->kind == JEMI_NODE_BATCHNORM)
        append(text, size, " %s %s", graph->states[node->mean].name, graph->states[node->var].name);
    append(text, size, " -> %lldx%lldx%lld\n", (long long)node->shape.c, (long long)node->shape.h,
           (long long)node->shape.w);
}

typedef struct list_row {
    const char *arch;
    jemi_shape input;
    int64_t classes;
    const char *nodes; /* as print_node writes them */
} list_row;

static const list_row lists[] = {
    {"mlp-4-3",
     {2, 1, 3},
     5,
     "input -> 2x1x3\n"
     "linear 0 hidden.0.weight hidden.0.bias -> 4x1x1\n"
     "act 1 -> 4x1x1\n"
     "linear 2 hidden.1.weight hidden.1.bias -> 3x1x1\n"
     "act 3 -> 3x1x1\n"
     "linear 4 head.weight head.bias -> 5x1x1\n"},
    // Odd height, then a height of 1 that is no longer pooled, then no pool at all.
    {"cnn-2-3-4-5",
     {1, 3, 5},
     2,
     "input -> 1x3x5\n"
     "conv 0 k3s1p1 conv.0.weight conv.0.bias -> 2x3x5\n"
     "act 1 -> 2x3x5\n"
     "pool 2 2x2 -> 2x1x2\n"
     "conv 3 k3s1p1 conv.1.weight conv.1.bias -> 3x1x2\n"
     "act 4 -> 3x1x2\n"
     "pool 5 1x2 -> 3x1x1\n"
     "conv 6 k3s1p1 conv.2.weight conv.2.bias -> 4x1x1\n"
     "act 7 -> 4x1x1\n"
     "conv 8 k3s1p1 conv.3.weight conv.3.bias -> 5x1x1\n"
     "act 9 -> 5x1x1\n"
     "linear 10 head.weight head.bias -> 2x1x1\n"},
    // The stride is conv2's, the shortcut reads the raw x; at K = 1 stage 0 has no shortcut.
    {"wrn-10-1",
     {3, 7, 2},
     4,
     "input -> 3x7x2\n"
     "conv 0 k3s1p1 stem.weight stem.bias -> 16x7x2\n"
     "act 1 -> 16x7x2\n"
     "conv 2 k3s1p1 stages.0.0.conv1.weight stages.0.0.conv1.bias -> 16x7x2\n"
     "act 3 -> 16x7x2\n"
     "conv 4 k3s1p1 stages.0.0.conv2.weight stages.0.0.conv2.bias -> 16x7x2\n"
     "add 5,1 -> 16x7x2\n"
     "act 6 -> 16x7x2\n"
     "conv 7 k3s1p1 stages.1.0.conv1.weight stages.1.0.conv1.bias -> 32x7x2\n"
     "act 8 -> 32x7x2\n"
     "conv 9 k3s2p1 stages.1.0.conv2.weight stages.1.0.conv2.bias -> 32x4x1\n"
     "conv 6 k1s2p0 stages.1.0.shortcut.weight stages.1.0.shortcut.bias -> 32x4x1\n"
     "add 10,11 -> 32x4x1\n"
     "act 12 -> 32x4x1\n"
     "conv 13 k3s1p1 stages.2.0.conv1.weight stages.2.0.conv1.bias -> 64x4x1\n"
     "act 14 -> 64x4x1\n"
     "conv 15 k3s2p1 stages.2.0.conv2.weight stages.2.0.conv2.bias -> 64x2x1\n"
     "conv 12 k1s2p0 stages.2.0.shortcut.weight stages.2.0.shortcut.bias -> 64x2x1\n"
     "add 16,17 -> 64x2x1\n"
     "act 18 -> 64x2x1\n"
     "pool 19 2x1 -> 64x1x1\n"
     "linear 20 head.weight head.bias -> 4x1x1\n"},
    {"mlp-4:norm=batch,dropout=0.5",
     {2, 1, 3},
     5,
     "input -> 2x1x3\n"
     "linear 0 hidden.0.weight hidden.0.bias -> 4x1x1\n"
     "batchnorm 1 norm.0.weight norm.0.bias norm.0.running_mean norm.0.running_var -> 4x1x1\n"
     "act 2 -> 4x1x1\n"
     "dropout 3 -> 4x1x1\n"
     "linear 4 head.weight head.bias -> 5x1x1\n"},
    {"cnn-2:norm=layer,dropout=0.5",
     {1, 3, 5},
     2,
     "input -> 1x3x5\n"
     "conv 0 k3s1p1 conv.0.weight conv.0.bias -> 2x3x5\n"
     "groupnorm 1 norm.0.weight norm.0.bias -> 2x3x5\n"
     "act 2 -> 2x3x5\n"
     "dropout 3 -> 2x3x5\n"
     "pool 4 2x2 -> 2x1x2\n"
     "linear 5 head.weight head.bias -> 2x1x1\n"},
    // The shortcut still reads the raw x; the tail is normalised too.
    {"wrn-10-1:norm=group4,dropout=0.5",
     {3, 7, 2},
     4,
     "input -> 3x7x2\n"
     "conv 0 k3s1p1 stem.weight stem.bias -> 16x7x2\n"
     "groupnorm 1 stages.0.0.norm1.weight stages.0.0.norm1.bias -> 16x7x2\n"
     "act 2 -> 16x7x2\n"
     "conv 3 k3s1p1 stages.0.0.conv1.weight stages.0.0.conv1.bias -> 16x7x2\n"
     "groupnorm 4 stages.0.0.norm2.weight stages.0.0.norm2.bias -> 16x7x2\n"
     "act 5 -> 16x7x2\n"
     "dropout 6 -> 16x7x2\n"
     "conv 7 k3s1p1 stages.0.0.conv2.weight stages.0.0.conv2.bias -> 16x7x2\n"
     "add 8,1 -> 16x7x2\n"
     "groupnorm 9 stages.1.0.norm1.weight stages.1.0.norm1.bias -> 16x7x2\n"
     "act 10 -> 16x7x2\n"
     "conv 11 k3s1p1 stages.1.0.conv1.weight stages.1.0.conv1.bias -> 32x7x2\n"
     "groupnorm 12 stages.1.0.norm2.weight stages.1.0.norm2.bias -> 32x7x2\n"
     "act 13 -> 32x7x2\n"
     "dropout 14 -> 32x7x2\n"
     "conv 15 k3s2p1 stages.1.0.conv2.weight stages.1.0.conv2.bias -> 32x4x1\n"
     "conv 9 k1s2p0 stages.1.0.shortcut.weight stages.1.0.shortcut.bias -> 32x4x1\n"
     "add 16,17 -> 32x4x1\n"
     "groupnorm 18 stages.2.0.norm1.weight stages.2.0.norm1.bias -> 32x4x1\n"
     "act 19 -> 32x4x1\n"
     "conv 20 k3s1p1 stages.2.0.conv1.weight stages.2.0.conv1.bias -> 64x4x1\n"
     "groupnorm 21 stages.2.0.norm2.weight stages.2.0.norm2.bias -> 64x4x1\n"
     "act 22 -> 64x4x1\n"
     "dropout 23 -> 64x4x1\n"
     "conv 24 k3s2p1 stages.2.0.conv2.weight stages.2.0.conv2.bias -> 64x2x1\n"
     "conv 18 k1s2p0 stages.2.0.shortcut.weight stages.2.0.shortcut.bias -> 64x2x1\n"
     "add 25,26 -> 64x2x1\n"
     "groupnorm 27 norm.weight norm.bias -> 64x2x1\n"
     "act 28 -> 64x2x1\n"
     "pool 29 2x1 -> 64x1x1\n"
     "linear 30 head.weight head.bias -> 4x1x1\n"},
};

START_TEST(test_node_lists)
{
    const list_row *row = &lists[_i];
    jemi_graph graph = must_build(row->arch, row->input, row->classes);
    char text[4096] = "";
    for (int32_t i = 0; i < graph.n_nodes; i++)
        print_node(text, sizeof text, &graph, &graph.nodes[i]);
    ck_assert_msg(strcmp(text, row->nodes) == 0, "%s is\n%s", row->arch, text);
    jemi_graph_fini(&graph);
}
END_TEST

START_TEST(test_wrn_blocks)
{
    // Two blocks a stage, widened: stage 0 needs a shortcut, second blocks never do; 1x1 inputs
    // have stride 2 as well.
    jemi_graph graph = must_build("wrn-16-2", (jemi_shape){5, 1, 1}, 3);
    ck_assert_ptr_nonnull(jemi_graph_find_tensor(&graph, "stages.0.0.shortcut.weight"));
    ck_assert_ptr_nonnull(jemi_graph_find_tensor(&graph, "stages.2.1.conv2.bias"));
    ck_assert_ptr_null(jemi_graph_find_tensor(&graph, "stages.1.1.shortcut.weight"));
    ck_assert_ptr_null(jemi_graph_find_tensor(&graph, "stages.0.2.conv1.weight"));
    for (int32_t i = 0; i < graph.n_nodes; i++)
        ck_assert_int_eq(graph.nodes[i].shape.h * graph.nodes[i].shape.w, 1);
    jemi_graph_fini(&graph);
}
END_TEST

/* ---- parameter layout ----------------------------------------------------------------------- */

typedef struct layout_row {
    const char *arch;
    const char *params; /* name (shape) offset count fan_in */
} layout_row;

static const layout_row layouts[] = {
    {"mlp-4", "hidden.0.weight (4,50) 0 200 50\n"
              "hidden.0.bias (4) 200 4 50\n"
              "head.weight (3,4) 204 12 4\n"
              "head.bias (3) 216 3 4\n"},
    {"cnn-4", "conv.0.weight (4,2,3,3) 0 72 18\n"
              "conv.0.bias (4) 72 4 18\n"
              "head.weight (3,16) 76 48 16\n"
              "head.bias (3) 124 3 16\n"},
    // The state lies behind the parameters.
    {"mlp-4:norm=batch", "hidden.0.weight (4,50) 0 200 50\n"
                         "hidden.0.bias (4) 200 4 50\n"
                         "norm.0.weight (4) 204 4 1\n"
                         "norm.0.bias (4) 208 4 1\n"
                         "head.weight (3,4) 212 12 4\n"
                         "head.bias (3) 224 3 4\n"
                         "norm.0.running_mean (4) 227 4 4\n"
                         "norm.0.running_var (4) 231 4 4\n"},
    {"mlp-4:norm=spectral", "hidden.0.weight_orig (4,50) 0 200 50\n"
                            "hidden.0.bias (4) 200 4 50\n"
                            "head.weight_orig (3,4) 204 12 4\n"
                            "head.bias (3) 216 3 4\n"
                            "hidden.0.weight_u (4) 219 4 4\n"
                            "hidden.0.weight_v (50) 223 50 50\n"
                            "head.weight_u (3) 273 3 3\n"
                            "head.weight_v (4) 276 4 4\n"},
};

START_TEST(test_layouts)
{
    const layout_row *row = &layouts[_i];
    jemi_graph graph = must_build(row->arch, (jemi_shape){2, 5, 5}, 3);
    char text[1024] = "";
    for (int32_t i = 0; i < jemi_graph_n_tensors(&graph); i++) {
        const jemi_param *param = jemi_graph_tensor(&graph, i);
        append(text, sizeof text, "%s (%lld", param->name, (long long)param->shape[0]);
        for (int32_t j = 1; j < param->rank; j++)
            append(text, sizeof text, ",%lld", (long long)param->shape[j]);
        append(text, sizeof text, ") %lld %lld %lld\n", (long long)param->offset,
               (long long)param->count, (long long)param->fan_in);
    }
    ck_assert_msg(strcmp(text, row->params) == 0, "%s has\n%s", row->arch, text);
    jemi_graph_fini(&graph);
}
END_TEST

START_TEST(test_layout_is_contiguous)
{
    const size_row *row = &sizes[_i];
    jemi_graph graph = must_build(row->arch, row->input, row->classes);
    int64_t offset = 0;
    for (int32_t i = 0; i < graph.n_params; i++) {
        ck_assert_int_eq(graph.params[i].offset, offset);
        ck_assert_ptr_eq(jemi_graph_find_tensor(&graph, graph.params[i].name), &graph.params[i]);
        offset += graph.params[i].count;
    }
    ck_assert_int_eq(graph.param_count, offset);
    ck_assert_ptr_null(jemi_graph_find_tensor(&graph, ""));
    ck_assert_ptr_null(jemi_graph_find_tensor(&graph, "head"));
    jemi_graph_fini(&graph);
}
END_TEST

/* ---- initial values ------------------------------------------------------------------------- */

START_TEST(test_init_params)
{
    jemi_graph graph = must_build("mlp-64-64-63", (jemi_shape){64, 1, 1}, 3);
    const size_t count = (size_t)graph.param_count;
    float *values = malloc((count + 4) * sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < 4; i++)
        values[count + i] = 123.0f;
    jemi_graph_init_params(&graph, 7, values);
    for (size_t i = 0; i < 4; i++)
        ck_assert(values[count + i] == 123.0f);

    const jemi_random_key key = jemi_random_key_make(7, JEMI_RANDOM_INIT, 0);
    for (int32_t t = 0; t < graph.n_params; t++) {
        const jemi_param *param = &graph.params[t];
        const float bound = (float)(1.0 / sqrt((double)param->fan_in));
        double square_sum = 0.0;
        for (int64_t i = 0; i < param->count; i++) {
            const float value = values[param->offset + i];
            uint32_t bits[4];
            jemi_random_u32x4(key, (uint32_t)(i / 4), (uint32_t)t, 0, bits);
            ck_assert(value == bound * (2.0f * jemi_unit_from_u32(bits[i % 4]) - 1.0f));
            ck_assert(fabsf(value) <= bound);
            square_sum += (double)value * value;
        }
        // U(-b, b) has variance b^2 / 3 with a relative error of 0.9 / sqrt(count), here 0.014 for
        // a matrix; 0.07 is five of them. The seed is fixed, so this either holds or does not.
        const double variance = square_sum / (double)param->count * 3.0 / (bound * bound);
        ck_assert_msg(param->count < 4000 || fabs(variance - 1.0) < 0.07, "%s: %g", param->name,
                      variance);
    }
    free(values);
    jemi_graph_fini(&graph);
}
END_TEST

// Norms begin as the identity but for the statistics, and draw no numbers of their own.
START_TEST(test_init_norms)
{
    jemi_graph plain = must_build("mlp-8", (jemi_shape){4, 1, 1}, 3);
    jemi_graph normed = must_build("mlp-8:norm=batch", (jemi_shape){4, 1, 1}, 3);
    float a[256], b[256];
    ck_assert_int_le(jemi_graph_size(&normed), COUNT(b));
    jemi_graph_init_params(&plain, 7, a);
    jemi_graph_init_params(&normed, 7, b);
    ck_assert(memcmp(a, b, (size_t)plain.params[2].offset * sizeof *a) == 0);
    for (int32_t i = 2; i < jemi_graph_n_tensors(&normed); i++) {
        const jemi_param *param = jemi_graph_tensor(&normed, i);
        const bool one = strcmp(param->name, "norm.0.weight") == 0 ||
                         strcmp(param->name, "norm.0.running_var") == 0;
        for (int64_t k = 0; k < param->count && strncmp(param->name, "norm", 4) == 0; k++)
            ck_assert_msg(b[param->offset + k] == (one ? 1.0f : 0.0f), "%s", param->name);
    }
    jemi_graph_fini(&plain);
    jemi_graph_fini(&normed);
}
END_TEST

START_TEST(test_init_streams)
{
    // Equal layers get other numbers, and so do other seeds.
    jemi_graph graph = must_build("mlp-8-8-8", (jemi_shape){8, 1, 1}, 8);
    float a[4 * 72], b[4 * 72];
    ck_assert_int_eq(graph.param_count, 4 * 72);
    jemi_graph_init_params(&graph, 1, a);
    jemi_graph_init_params(&graph, 1, b);
    ck_assert(memcmp(a, b, sizeof a) == 0);
    jemi_graph_init_params(&graph, UINT64_C(1) << 40, b);
    int equal = 0;
    for (int i = 0; i < COUNT(a); i++)
        equal += a[i] == b[i];
    for (int i = 0; i < 72; i++)
        equal += a[i] == a[72 + i];
    ck_assert_int_eq(equal, 0);
    jemi_graph_fini(&graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nn");
    TCase *graphs = tcase_create("graphs");
    tcase_add_loop_test(graphs, test_sizes, 0, COUNT(sizes));
    tcase_add_loop_test(graphs, test_node_lists, 0, COUNT(lists));
    tcase_add_test(graphs, test_wrn_blocks);
    tcase_add_loop_test(graphs, test_layouts, 0, COUNT(layouts));
    tcase_add_loop_test(graphs, test_layout_is_contiguous, 0, COUNT(sizes));
    suite_add_tcase(suite, graphs);
    TCase *init = tcase_create("initial values");
    tcase_add_test(init, test_init_params);
    tcase_add_test(init, test_init_norms);
    tcase_add_test(init, test_init_streams);
    suite_add_tcase(suite, init);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
