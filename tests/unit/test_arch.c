/*
 * The grammar of arch strings: options and full forms, a row for every way of being refused (status
 * and the words that must name the fault), and what is left of a graph after a failure: nothing.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/memory.h"
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

/* ---- options -------------------------------------------------------------------------------- */

typedef struct act_row {
    const char *arch, *full;
    jemi_act act;
    float slope;
} act_row;

static const act_row acts[] = {
    {"mlp-2", "mlp-2:act=lrelu", JEMI_ACT_LRELU, 0.2f},
    {"mlp-2:act=lrelu", "mlp-2:act=lrelu", JEMI_ACT_LRELU, 0.2f},
    {"mlp-2:act=relu", "mlp-2:act=relu", JEMI_ACT_LRELU, 0.0f},
    {"cnn-2-3:act=silu", "cnn-2-3:act=silu", JEMI_ACT_SILU, 0.0f},
    {"wrn-10-1:act=elu", "wrn-10-1:act=elu", JEMI_ACT_ELU, 0.0f},
    {"mlp-2:act=softplus", "mlp-2:act=softplus", JEMI_ACT_SOFTPLUS, 0.0f},
    {"mlp-2:act=tanh", "mlp-2:act=tanh", JEMI_ACT_TANH, 0.0f},
};

START_TEST(test_activations)
{
    const act_row *row = &acts[_i];
    jemi_graph graph = must_build(row->arch, (jemi_shape){1, 4, 4}, 2);
    ck_assert_str_eq(graph.arch, row->full);
    int n_acts = 0;
    for (int32_t i = 0; i < graph.n_nodes; i++) {
        if (graph.nodes[i].kind != JEMI_NODE_ACT)
            continue;
        n_acts++;
        ck_assert_msg(graph.nodes[i].act == row->act, "%s: act %d", row->arch, graph.nodes[i].act);
        ck_assert_msg(graph.nodes[i].slope == row->slope, "%s: slope", row->arch);
    }
    ck_assert_msg(n_acts > 0, "%s: no activation", row->arch);

    jemi_graph again = must_build(graph.arch, (jemi_shape){1, 4, 4}, 2);
    ck_assert_str_eq(again.arch, graph.arch);
    jemi_graph_fini(&again);
    jemi_graph_fini(&graph);
}
END_TEST

typedef struct option_row {
    const char *arch, *full;
    int n_norms, n_dropouts; /* nodes */
    int32_t groups;          /* of the first norm; 0 = batch norm */
    float rate;
} option_row;

static const option_row option_rows[] = {
    {"mlp-4-6:norm=none", "mlp-4-6:act=lrelu", 0, 0, 0, 0},
    {"mlp-4-6:norm=batch", "mlp-4-6:act=lrelu,norm=batch", 2, 0, 0, 0},
    {"mlp-4-6:norm=group2", "mlp-4-6:act=lrelu,norm=group2", 2, 0, 2, 0},
    {"mlp-4-6:norm=group1", "mlp-4-6:act=lrelu,norm=layer", 2, 0, 1, 0},
    {"mlp-4-6:norm=layer,act=elu", "mlp-4-6:act=elu,norm=layer", 2, 0, 1, 0},
    {"cnn-4:norm=instance", "cnn-4:act=lrelu,norm=instance", 1, 0, 4, 0},
    {"mlp-4-6:norm=spectral", "mlp-4-6:act=lrelu,norm=spectral", 0, 0, 0, 0},
    {"mlp-4-6:dropout=0", "mlp-4-6:act=lrelu", 0, 0, 0, 0},
    {"mlp-4-6:dropout=0.0", "mlp-4-6:act=lrelu", 0, 0, 0, 0},
    {"mlp-4-6:dropout=0.3", "mlp-4-6:act=lrelu,dropout=0.3", 0, 2, 0, 0.3f},
    {"cnn-4:dropout=0.0500,norm=batch", "cnn-4:act=lrelu,norm=batch,dropout=0.05", 1, 1, 0, 0.05f},
    {"mlp-4-6:dropout=0.9999", "mlp-4-6:act=lrelu,dropout=0.9999", 0, 2, 0, 0.9999f},
    {"mlp-4-6:dropout=0.0001", "mlp-4-6:act=lrelu,dropout=0.0001", 0, 2, 0, 0.0001f},
    // Two per block and the tail; one per block.
    {"wrn-16-1:norm=group8,dropout=0.1", "wrn-16-1:act=lrelu,norm=group8,dropout=0.1", 13, 6, 8,
     0.1f},
};

START_TEST(test_options)
{
    const option_row *row = &option_rows[_i];
    jemi_graph graph = must_build(row->arch, (jemi_shape){1, 4, 4}, 2);
    ck_assert_str_eq(graph.arch, row->full);
    int n_norms = 0, n_dropouts = 0;
    int64_t mask_end = 0;
    for (int32_t i = 0; i < graph.n_nodes; i++) {
        const jemi_node *node = &graph.nodes[i];
        if (node->kind == JEMI_NODE_BATCHNORM || node->kind == JEMI_NODE_GROUPNORM) {
            ck_assert_int_eq(node->kind == JEMI_NODE_BATCHNORM, row->groups == 0);
            ck_assert_msg(n_norms > 0 || node->groups == row->groups, "%s: groups", row->arch);
            n_norms++;
        }
        if (node->kind == JEMI_NODE_DROPOUT) {
            ck_assert_msg(node->rate == row->rate, "%s: %g", row->arch, (double)node->rate);
            ck_assert(node->mask_offset >= mask_end && node->mask_offset % 4 == 0);
            mask_end = node->mask_offset + jemi_shape_size(node->shape);
            n_dropouts++;
        }
    }
    ck_assert_msg(n_norms == row->n_norms && n_dropouts == row->n_dropouts, "%s: %d, %d", row->arch,
                  n_norms, n_dropouts);
    jemi_graph again = must_build(graph.arch, (jemi_shape){1, 4, 4}, 2);
    ck_assert_str_eq(again.arch, graph.arch);
    jemi_graph_fini(&again);
    jemi_graph_fini(&graph);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------- */

typedef struct refused_row {
    const char *arch;
    jem_status status;
    const char *fault; /* must be in the message */
    jemi_shape input;  /* zero: 3x8x8 */
    int64_t classes;   /* zero: 10 */
} refused_row;

static const refused_row refused[] = {
    {"", JEM_EINVAL, "expected mlp, cnn or wrn", {0}, 0},
    {"-", JEM_EINVAL, "expected mlp, cnn or wrn", {0}, 0},
    {":act=relu", JEM_EINVAL, "expected mlp, cnn or wrn", {0}, 0},
    {"resnet-18", JEM_EINVAL, "\"resnet-18\": unknown architecture", {0}, 0},
    {"ml-5", JEM_EINVAL, "unknown architecture", {0}, 0},
    {"mlps-5", JEM_EINVAL, "unknown architecture", {0}, 0},
    {"MLP-5", JEM_EINVAL, "unknown architecture", {0}, 0},
    {" mlp-5", JEM_EINVAL, "unknown architecture", {0}, 0},
    {"m\x01\xffp-5", JEM_EINVAL, "\"m??p-5\": unknown architecture", {0}, 0},
    {"mlp", JEM_EINVAL, "at least one width", {0}, 0},
    {"cnn", JEM_EINVAL, "at least one width", {0}, 0},
    {"mlp:act=relu", JEM_EINVAL, "at least one width", {0}, 0},
    {"mlp-", JEM_EINVAL, "\"\" is not a whole number from 1 to 16384", {0}, 0},
    {"mlp--5", JEM_EINVAL, "\"\" is not a whole number", {0}, 0},
    {"mlp-5-", JEM_EINVAL, "\"\" is not a whole number", {0}, 0},
    {"mlp-0", JEM_EINVAL, "\"0\" is not a whole number", {0}, 0},
    {"mlp-05", JEM_EINVAL, "\"05\" is not a whole number", {0}, 0},
    {"mlp-+5", JEM_EINVAL, "\"+5\" is not a whole number", {0}, 0},
    {"mlp- 5", JEM_EINVAL, "\" 5\" is not a whole number", {0}, 0},
    {"mlp-5 ", JEM_EINVAL, "\"5 \" is not a whole number", {0}, 0},
    {"mlp-5.5", JEM_EINVAL, "\"5.5\" is not a whole number", {0}, 0},
    {"mlp-1e3", JEM_EINVAL, "\"1e3\" is not a whole number", {0}, 0},
    {"mlp-16385", JEM_EINVAL, "\"16385\" is not a whole number from 1 to 16384", {0}, 0},
    {"cnn-4-4294967297", JEM_EINVAL, "\"4294967297\" is not a whole number", {0}, 0},
    {"mlp-18446744073709551617", JEM_EINVAL, "is not a whole number", {0}, 0},
    {"mlp-5,act=relu", JEM_EINVAL, "\"5,act=relu\" is not a whole number", {0}, 0},
    {"wrn", JEM_EINVAL, "depth and a widening factor", {0}, 0},
    {"wrn-10", JEM_EINVAL, "depth and a widening factor", {0}, 0},
    {"wrn-10-2-3", JEM_EINVAL, "depth and a widening factor", {0}, 0},
    {"wrn-4-2", JEM_EINVAL, "depth must be 6n + 4", {0}, 0},
    {"wrn-11-2", JEM_EINVAL, "depth must be 6n + 4", {0}, 0},
    {"wrn-12-2", JEM_EINVAL, "depth must be 6n + 4", {0}, 0},
    {"wrn-15-2", JEM_EINVAL, "depth must be 6n + 4", {0}, 0},
    {"wrn-1006-1", JEM_EINVAL, "up to 1000", {0}, 0},
    {"wrn-10-65", JEM_EINVAL, "widening factor must be 1 to 64", {0}, 0},
    {"wrn-10-0", JEM_EINVAL, "\"0\" is not a whole number", {0}, 0},
    {"mlp-5:", JEM_EINVAL, "unknown option \"\"", {0}, 0},
    {"mlp-5:act", JEM_EINVAL, "unknown option \"act\", expected act=", {0}, 0},
    {"mlp-5:=relu", JEM_EINVAL, "unknown option \"=relu\"", {0}, 0},
    {"mlp-5:act=relu,", JEM_EINVAL, "unknown option \"\"", {0}, 0},
    {"mlp-5:act=relu,x=1", JEM_EINVAL, "unknown option \"x=1\"", {0}, 0},
    {"mlp-5:act=", JEM_EINVAL, "unknown activation \"\"", {0}, 0},
    {"mlp-5:act=gelu", JEM_EINVAL, "\"gelu\", expected lrelu, relu, silu, elu", {0}, 0},
    {"mlp-5:act=Relu", JEM_EINVAL, "unknown activation \"Relu\"", {0}, 0},
    {"mlp-5:act=relu:act=elu", JEM_EINVAL, "unknown activation \"relu:act=elu\"", {0}, 0},
    {"mlp-5:act=relu,act=elu", JEM_EINVAL, "act is given twice", {0}, 0},
    {"mlp-5:norm=batch,norm=none", JEM_EINVAL, "norm is given twice", {0}, 0},
    {"mlp-5:dropout=0,dropout=0.1", JEM_EINVAL, "dropout is given twice", {0}, 0},
    {"mlp-5:norm", JEM_EINVAL, "unknown option \"norm\", expected act=..., norm=...", {0}, 0},
    {"mlp-5:norm=", JEM_EINVAL, "unknown norm \"\", expected none, batch", {0}, 0},
    {"mlp-5:norm=Batch", JEM_EINVAL, "unknown norm \"Batch\"", {0}, 0},
    {"mlp-5:norm=group", JEM_EINVAL, "as in group8", {0}, 0},
    {"mlp-5:norm=group0", JEM_EINVAL, "unknown norm \"group0\"", {0}, 0},
    {"mlp-5:norm=group-2", JEM_EINVAL, "unknown norm \"group-2\"", {0}, 0},
    {"mlp-5:norm=group02", JEM_EINVAL, "unknown norm \"group02\"", {0}, 0},
    {"mlp-5:norm=group99999", JEM_EINVAL, "unknown norm \"group99999\"", {0}, 0},
    {"cnn-12:norm=group8", JEM_EINVAL, "equally many channels, and a layer has 12x8x8", {0}, 0},
    {"mlp-8:norm=group16", JEM_EINVAL, "equally many channels, and a layer has 8x1x1", {0}, 0},
    {"mlp-8:norm=group8", JEM_EINVAL, "more than one value, and a layer has 8x1x1", {0}, 0},
    {"mlp-8:norm=instance", JEM_EINVAL, "norm=instance needs groups of more than", {0}, 0},
    {"mlp-1:norm=layer", JEM_EINVAL, "more than one value", {0}, 0},
    {"wrn-10-1:norm=instance", JEM_EINVAL, "a layer has 64x1x1", {3, 4, 4}, 0},
    {"mlp-5:dropout=", JEM_EINVAL, "dropout is \"\", expected 0 or a number", {0}, 0},
    {"mlp-5:dropout=1", JEM_EINVAL, "dropout is \"1\"", {0}, 0},
    {"mlp-5:dropout=1.0", JEM_EINVAL, "dropout is \"1.0\"", {0}, 0},
    {"mlp-5:dropout=.5", JEM_EINVAL, "dropout is \".5\"", {0}, 0},
    {"mlp-5:dropout=0.", JEM_EINVAL, "dropout is \"0.\"", {0}, 0},
    {"mlp-5:dropout=-0.5", JEM_EINVAL, "dropout is \"-0.5\"", {0}, 0},
    {"mlp-5:dropout=0.12345", JEM_EINVAL, "up to four decimals", {0}, 0},
    {"mlp-5:dropout=0.1e1", JEM_EINVAL, "dropout is \"0.1e1\"", {0}, 0},
    {"mlp-5:dropout=nan", JEM_EINVAL, "dropout is \"nan\"", {0}, 0},
    // 16384^2 * 8 floats.
    {"mlp-16384-16384-16384-16384-16384-16384-16384-16384-16384",
     JEM_EUNSUPPORTED,
     "too many parameters",
     {0},
     0},
    {"wrn-1000-64", JEM_EUNSUPPORTED, "too many parameters", {0}, 0},
    {"mlp-16384", JEM_EUNSUPPORTED, "too many parameters", {4096, 64, 64}, 0},
    {"cnn-16384", JEM_EUNSUPPORTED, "16384x1024x1024 values per row", {1, 1024, 1024}, 0},
    {"mlp-5", JEM_EUNSUPPORTED, "input shape 0x8x8", {0, 8, 8}, 0},
    {"mlp-5", JEM_EUNSUPPORTED, "input shape 3x-1x8", {3, -1, 8}, 0},
    {"mlp-5", JEM_EUNSUPPORTED, "product below 2^31", {4096, 1024, 1024}, 0},
    {"mlp-5", JEM_EUNSUPPORTED, "product below 2^31", {INT64_MAX, 2, 2}, 0},
    {"mlp-5", JEM_EUNSUPPORTED, "product below 2^31", {2, INT64_MAX, INT64_MAX}, 0},
    {"mlp-5", JEM_EUNSUPPORTED, "-1 classes", {0}, -1},
    {"mlp-5", JEM_EUNSUPPORTED, "too many parameters", {0}, INT32_MAX},
};

static void check_refused(const char *arch, jemi_shape input, int64_t classes, jem_status status,
                          const char *fault)
{
    jemi_graph graph;
    memset(&graph, 0xff, sizeof graph);
    const jem_status got = jemi_graph_init(&graph, arch, input, classes);
    ck_assert_msg(got == status, "\"%s\": status %d", arch, got);
    ck_assert_msg(strstr(jemi_last_message(), fault) != NULL, "\"%s\": %s", arch,
                  jemi_last_message());
    ck_assert_msg(graph.n_nodes == 0 && graph.n_params == 0 && graph.nodes == NULL &&
                      graph.params == NULL && graph.param_count == 0 && graph.states == NULL &&
                      graph.n_states == 0 && graph.state_count == 0 && graph.arch[0] == '\0',
                  "\"%s\": something is left", arch);
    jemi_graph_fini(&graph);
}

START_TEST(test_refused)
{
    const refused_row *row = &refused[_i];
    const jemi_shape input =
        row->input.h == 0 && row->input.c == 0 ? (jemi_shape){3, 8, 8} : row->input;
    check_refused(row->arch, input, row->classes != 0 ? row->classes : 10, row->status, row->fault);
}
END_TEST

// `count` widths of 1, that is "mlp-1-1-1...".
static void repeat_widths(char *arch, int count)
{
    strcpy(arch, "mlp");
    for (int i = 0; i < count; i++)
        strcpy(arch + 3 + 2 * i, "-1");
}

START_TEST(test_refused_lengths)
{
    char arch[4096];
    repeat_widths(arch, 65);
    check_refused(arch, (jemi_shape){1, 1, 1}, 2, JEM_EINVAL, "at most 64");
    repeat_widths(arch, 1000);
    check_refused(arch, (jemi_shape){1, 1, 1}, 2, JEM_EINVAL, "at most 64");

    // All 64 layers, or as many as the full form has room for: the longest that fits is taken, one
    // layer more is refused.
    const size_t room = sizeof((jemi_graph *)0)->arch - 1 - strlen("mlp:act=lrelu");
    const int fits = room / 2 < 64 ? (int)(room / 2) : 64;
    repeat_widths(arch, fits);
    jemi_graph graph = must_build(arch, (jemi_shape){1, 1, 1}, 2);
    ck_assert_int_eq(graph.n_nodes, 2 + 2 * fits);
    ck_assert_int_eq(strlen(graph.arch), strlen(arch) + strlen(":act=lrelu"));
    jemi_graph_fini(&graph);
    repeat_widths(arch, fits + 1);
    check_refused(arch, (jemi_shape){1, 1, 1}, 2, JEM_EINVAL, fits < 64 ? "full form" : "at most");
}
END_TEST

/* ---- memory --------------------------------------------------------------------------------- */

static int allocations_left;

static void *allocate_some(void *user, size_t alignment, size_t size)
{
    (void)user;
    const size_t rounded = (size + alignment - 1) / alignment * alignment;
    return allocations_left-- > 0 ? aligned_alloc(alignment, rounded) : NULL;
}

static void release(void *user, void *block)
{
    (void)user;
    free(block);
}

static const char *const memory_archs[] = {"wrn-16-1", "wrn-10-1:norm=batch,dropout=0.1",
                                           "wrn-10-1:norm=spectral"};

START_TEST(test_out_of_memory)
{
    const jem_allocator allocator = {allocate_some, release, NULL};
    ck_assert(jemi_memory_set_allocator(&allocator));
    int failures = 0;
    for (jem_status status = JEM_ENOMEM; status != JEM_OK; failures++) {
        jemi_graph graph;
        allocations_left = failures;
        status = jemi_graph_init(&graph, memory_archs[_i], (jemi_shape){3, 8, 8}, 10);
        ck_assert_int_eq(status, status == JEM_OK ? JEM_OK : JEM_ENOMEM);
        if (status != JEM_OK)
            ck_assert_ptr_null(graph.nodes);
        jemi_graph_fini(&graph);
        // Refused while a block lives: nothing leaked.
        ck_assert(jemi_memory_set_allocator(&allocator));
    }
    ck_assert_int_ge(failures, 4);
    ck_assert(jemi_memory_set_allocator(NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arch");
    TCase *options = tcase_create("options");
    tcase_add_loop_test(options, test_activations, 0, COUNT(acts));
    tcase_add_loop_test(options, test_options, 0, COUNT(option_rows));
    suite_add_tcase(suite, options);
    TCase *refusals = tcase_create("refusals");
    tcase_add_loop_test(refusals, test_refused, 0, COUNT(refused));
    tcase_add_test(refusals, test_refused_lengths);
    tcase_add_loop_test(refusals, test_out_of_memory, 0, COUNT(memory_archs));
    suite_add_tcase(suite, refusals);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
