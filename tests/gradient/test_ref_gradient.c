/*
 * The first link of the oracle chain: numeric differences prove the reference backend. For every
 * node kind, every activation and every architecture the gradients of jemi_ref_run_mode_f64() with
 * respect to input and parameters are compared with central differences of its forward pass, for
 * normalisation and dropout in every mode.
 *
 * The graphs of the node table are put together by hand, so that kernels, strides and pads occur
 * that no architecture uses. At a kink there is no derivative to compare with: seeds are tried in
 * order until every value that enters a leaky ReLU is further from 0 than the differences reach.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "backend/ref/ref.h"
#include "backend/ref/run.h"
#include "base/status.h"
#include "nn/graph.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

// Central differences: the error is STEP^2 * f'''/6 + 1e-16 * f / STEP, both near 1e-11 here.
static const double STEP = 1e-5;
// A parameter moved by STEP moves what follows by STEP times a value of size 1 to 3.
static const double KINK_MARGIN = 20e-5;
// Relative to the element, or to a hundredth of the largest element where that is more, because the
// error above does not shrink with the element.
static const double TOLERANCE = 1e-6;
static const double FLOOR = 1e-2;
// A bias in front of a norm per channel changes nothing: rounding is all that its gradient is.
static const double ROUNDING = 1e-14, ROUNDING_NUMERIC = 1e-9;

enum { ROWS = 3, KINK_TRIES = 1000, ELEMENTS = 100 };

static const jemi_dropout dropout = {.key = {{3, 4}}, .step = 5, .first_row = 6};

/* ---- one graph at one point ----------------------------------------------------------------- */

typedef struct point {
    jemi_mode mode;
    int64_t in_count, out_count, param_count; /* in and out of all rows */
    double *in, *params, *out, *dout, *din, *dparams;
} point;

static double *doubles(int64_t count)
{
    double *values = calloc((size_t)count + 1, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

static point point_new(const jemi_graph *graph, jemi_mode mode)
{
    point p = {.mode = mode,
               .in_count = ROWS * jemi_shape_size(graph->nodes[0].shape),
               .out_count = ROWS * jemi_shape_size(graph->nodes[graph->n_nodes - 1].shape),
               .param_count = graph->param_count};
    p.in = doubles(p.in_count);
    p.din = doubles(p.in_count);
    p.out = doubles(p.out_count);
    p.dout = doubles(p.out_count);
    p.params = doubles(jemi_graph_size(graph));
    p.dparams = doubles(p.param_count);
    return p;
}

static void point_free(point *p)
{
    free(p->in);
    free(p->din);
    free(p->out);
    free(p->dout);
    free(p->params);
    free(p->dparams);
}

// U(-1, 1) from the high bits of Knuth's MMIX generator.
static void fill(uint64_t *state, int64_t count, double scale, double *values)
{
    for (int64_t i = 0; i < count; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        values[i] = scale * ((double)(*state >> 11) * 0x1p-52 - 1.0);
    }
}

// Inputs and gradients of size 1 and weights that keep it: U(-s, s), s^2 / 3 = 1 / fan_in. Running
// statistics: means of size 1/2, variances of 1/2 to 3/2.
static void point_fill(point *p, const jemi_graph *graph, uint64_t seed)
{
    uint64_t state = seed;
    fill(&state, 64, 1.0, (double[64]){0});
    fill(&state, p->in_count, 2.0, p->in);
    fill(&state, p->out_count, 1.0, p->dout);
    for (int32_t i = 0; i < graph->n_params; i++)
        fill(&state, graph->params[i].count, sqrt(3.0 / (double)graph->params[i].fan_in),
             p->params + graph->params[i].offset);
    for (int32_t i = 0; i < graph->n_states; i++) {
        double *values = p->params + graph->states[i].offset;
        fill(&state, graph->states[i].count, 0.5, values);
        for (int64_t k = 0; k < graph->states[i].count && i % 2 == 1; k++)
            values[k] += 1.0;
    }
}

static void forward(const jemi_graph *graph, const point *p, double *out)
{
    ck_assert_int_eq(jemi_ref_run_mode_f64(graph, p->mode, &dropout, p->params, ROWS, p->in, out,
                                           NULL, NULL, NULL, NULL),
                     JEM_OK);
}

// The smallest distance from 0 of anything that enters a leaky ReLU or an ELU (whose second
// derivative jumps at 0).
static double kink_distance(const jemi_graph *graph, const point *p)
{
    double least = INFINITY;
    jemi_ref_workspace ws;
    ck_assert_int_eq(jemi_ref_workspace_init(&ws, graph, ROWS, false, p->mode), JEM_OK);
    ws.dropout = dropout;
    const int64_t in_size = p->in_count / ROWS;
    for (int64_t row = 0; row < ROWS; row++)
        memcpy(jemi_ref_value(&ws, row, 0), p->in + row * in_size, (size_t)in_size * sizeof *p->in);
    jemi_ref_forward(&ws, p->params, ROWS);
    for (int32_t i = 1; i < graph->n_nodes; i++) {
        const jemi_node *node = &graph->nodes[i];
        if (node->kind != JEMI_NODE_ACT ||
            (node->act != JEMI_ACT_LRELU && node->act != JEMI_ACT_ELU))
            continue;
        for (int64_t row = 0; row < ROWS; row++) {
            const double *x = jemi_ref_value(&ws, row, node->input[0]);
            for (int64_t j = 0; j < jemi_shape_size(node->shape); j++)
                least = fmin(least, fabs(x[j]));
        }
    }
    jemi_ref_workspace_fini(&ws);
    return least;
}

static void choose_point(const char *name, point *p, const jemi_graph *graph)
{
    for (uint64_t seed = 1; seed <= KINK_TRIES; seed++) {
        point_fill(p, graph, seed);
        if (kink_distance(graph, p) > KINK_MARGIN)
            return;
    }
    ck_abort_msg("%s: every seed is near a kink", name);
}

// d(sum of dout * out) for values[at] moved by STEP both ways. The difference is taken output by
// output, before the sum, where it loses least.
static double numeric(const jemi_graph *graph, point *p, double *values, int64_t at)
{
    double *below = doubles(p->out_count);
    const double value = values[at];
    values[at] = value - STEP;
    forward(graph, p, below);
    values[at] = value + STEP;
    forward(graph, p, p->out);
    values[at] = value;
    double sum = 0.0;
    for (int64_t i = 0; i < p->out_count; i++)
        sum += p->dout[i] * ((p->out[i] - below[i]) / (2.0 * STEP));
    free(below);
    return sum;
}

// Every element, or about ELEMENTS of them, in steps that share no factor with a kernel's size or
// the channels, so that every place of a kernel has its turn.
static int64_t stride_of(int64_t count)
{
    int64_t stride = count / ELEMENTS + 1;
    while (stride > 1 && (stride % 2 == 0 || stride % 3 == 0))
        stride++;
    return stride;
}

static void compare(const char *name, const char *what, const jemi_graph *graph, point *p,
                    double *values, const double *analytic, int64_t count)
{
    double largest = 0.0, worst = 0.0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(analytic[i]));
    ck_assert_msg(analytic != p->din || largest > ROUNDING, "%s: no gradient of %s", name, what);
    for (int64_t i = 0; i < count && largest < ROUNDING; i++)
        ck_assert_msg(fabs(numeric(graph, p, values, i)) < ROUNDING_NUMERIC,
                      "%s: the gradient of %s is all zero", name, what);
    for (int64_t i = 0; i < count && largest >= ROUNDING; i += stride_of(count)) {
        const double expected = numeric(graph, p, values, i);
        const double scale = fmax(fmax(fabs(expected), fabs(analytic[i])), FLOOR * largest);
        const double error = fabs(expected - analytic[i]) / scale;
        worst = fmax(worst, error);
        ck_assert_msg(error <= TOLERANCE, "%s: d %s[%lld] is %.12g, numerically %.12g", name, what,
                      (long long)i, analytic[i], expected);
    }
    if (getenv("JEM_TEST_VERBOSE") != NULL)
        printf("%.1e worst relative error of %lld, %s: %s\n", worst, (long long)count, name, what);
}

static void check_gradients(const char *name, const jemi_graph *graph, jemi_mode mode)
{
    point p = point_new(graph, mode);
    choose_point(name, &p, graph);
    // What is in the outputs before must not matter.
    fill(&(uint64_t){9}, p.in_count, 5.0, p.din);
    fill(&(uint64_t){9}, p.param_count, 5.0, p.dparams);
    const jem_status status = jemi_ref_run_mode_f64(graph, mode, &dropout, p.params, ROWS, p.in,
                                                    p.out, p.dout, p.din, p.dparams, NULL);
    ck_assert_int_eq(status, JEM_OK);
    compare(name, "input", graph, &p, p.in, p.din, p.in_count);
    for (int32_t i = 0; i < graph->n_params; i++) {
        const jemi_param *param = &graph->params[i];
        compare(name, param->name, graph, &p, p.params + param->offset, p.dparams + param->offset,
                param->count);
    }
    point_free(&p);
}

/* ---- single nodes --------------------------------------------------------------------------- */

typedef struct node_row {
    const char *name;
    jemi_shape in;
    jemi_node node;
} node_row;

#define CONV(o, oh, ow, k, s, p)                                                                   \
    {                                                                                              \
        .kind = JEMI_NODE_CONV, .shape = {o, oh, ow}, .kernel = k, .stride = s, .pad = p           \
    }
#define LINEAR(o)                                                                                  \
    {                                                                                              \
        .kind = JEMI_NODE_LINEAR, .shape = { o, 1, 1 }                                             \
    }
#define POOL(c, oh, ow, wh, ww)                                                                    \
    {                                                                                              \
        .kind = JEMI_NODE_AVGPOOL, .shape = {c, oh, ow}, .window_h = wh, .window_w = ww            \
    }
#define GROUPNORM(c, h, w, g)                                                                      \
    {                                                                                              \
        .kind = JEMI_NODE_GROUPNORM, .shape = {c, h, w}, .groups = g                               \
    }
#define BATCHNORM(c, h, w)                                                                         \
    {                                                                                              \
        .kind = JEMI_NODE_BATCHNORM, .shape = {c, h, w}, .var = 1                                  \
    }
#define DROPOUT(c, h, w, p)                                                                        \
    {                                                                                              \
        .kind = JEMI_NODE_DROPOUT, .shape = {c, h, w}, .rate = p, .mask_offset = 8                 \
    }
#define ACT(c, h, w, a, s)                                                                         \
    {                                                                                              \
        .kind = JEMI_NODE_ACT, .shape = {c, h, w}, .act = a, .slope = s                            \
    }

static const node_row nodes[] = {
    {"conv 3x3", {2, 4, 5}, CONV(3, 4, 5, 3, 1, 1)},
    {"conv 3x3 one row", {2, 1, 6}, CONV(3, 1, 6, 3, 1, 1)},
    {"conv 3x3 one column", {2, 6, 1}, CONV(3, 6, 1, 3, 1, 1)},
    {"conv 3x3 of 1x1", {3, 1, 1}, CONV(2, 1, 1, 3, 1, 1)},
    {"conv 3x3 no pad", {2, 5, 4}, CONV(2, 3, 2, 3, 1, 0)},
    {"conv 3x3 stride 2 odd", {2, 7, 5}, CONV(3, 4, 3, 3, 2, 1)},
    {"conv 3x3 stride 2 even", {2, 6, 4}, CONV(3, 3, 2, 3, 2, 1)},
    {"conv 3x3 stride 2 of 1x1", {2, 1, 1}, CONV(3, 1, 1, 3, 2, 1)},
    {"conv 3x3 stride 3", {1, 8, 7}, CONV(2, 3, 3, 3, 3, 1)},
    {"conv 1x1", {3, 3, 2}, CONV(4, 3, 2, 1, 1, 0)},
    {"conv 1x1 stride 2 odd", {3, 5, 3}, CONV(2, 3, 2, 1, 2, 0)},
    {"conv 1x1 stride 2 even", {3, 4, 6}, CONV(2, 2, 3, 1, 2, 0)},
    {"conv 5x5 pad 2", {1, 4, 3}, CONV(2, 4, 3, 5, 1, 2)},
    {"conv 2x2 stride 2 pad 1", {2, 3, 5}, CONV(2, 2, 3, 2, 2, 1)},
    {"linear", {5, 1, 1}, LINEAR(3)},
    {"linear of an image", {2, 3, 4}, LINEAR(3)},
    {"linear 1 to 1", {1, 1, 1}, LINEAR(1)},
    {"pool 2x2", {2, 4, 6}, POOL(2, 2, 3, 2, 2)},
    {"pool 2x2 odd", {2, 5, 3}, POOL(2, 2, 1, 2, 2)},
    {"pool 1x2", {2, 1, 4}, POOL(2, 1, 2, 1, 2)},
    {"pool 3x1", {1, 7, 2}, POOL(1, 2, 2, 3, 1)},
    {"pool all", {3, 4, 3}, POOL(3, 1, 1, 4, 3)},
    {"lrelu", {2, 3, 5}, ACT(2, 3, 5, JEMI_ACT_LRELU, 0.2f)},
    {"relu", {2, 3, 5}, ACT(2, 3, 5, JEMI_ACT_LRELU, 0.0f)},
    {"silu", {2, 3, 5}, ACT(2, 3, 5, JEMI_ACT_SILU, 0.0f)},
    {"elu", {2, 3, 5}, ACT(2, 3, 5, JEMI_ACT_ELU, 0.0f)},
    {"softplus", {2, 3, 5}, ACT(2, 3, 5, JEMI_ACT_SOFTPLUS, 0.0f)},
    {"tanh", {2, 3, 5}, ACT(2, 3, 5, JEMI_ACT_TANH, 0.0f)},
    {"layer norm", {4, 3, 2}, GROUPNORM(4, 3, 2, 1)},
    {"group norm", {6, 2, 3}, GROUPNORM(6, 2, 3, 2)},
    {"group norm of features", {6, 1, 1}, GROUPNORM(6, 1, 1, 3)},
    {"instance norm", {3, 2, 3}, GROUPNORM(3, 2, 3, 3)},
    {"batch norm", {3, 2, 4}, BATCHNORM(3, 2, 4)},
    {"batch norm of features", {5, 1, 1}, BATCHNORM(5, 1, 1)},
    {"dropout", {3, 3, 5}, DROPOUT(3, 3, 5, 0.4f)},
};

// The tensors of a convolution, a linear layer or a norm; none for the other kinds.
static int32_t make_params(const jemi_node *node, jemi_shape in, jemi_param params[2])
{
    const bool conv = node->kind == JEMI_NODE_CONV;
    const bool norm = node->kind == JEMI_NODE_GROUPNORM || node->kind == JEMI_NODE_BATCHNORM;
    if (!conv && !norm && node->kind != JEMI_NODE_LINEAR)
        return 0;
    const int64_t window = conv ? in.c * node->kernel * node->kernel : jemi_shape_size(in);
    const int64_t fan_in = norm ? 1 : window;
    const int64_t count = node->shape.c * fan_in;
    params[0] = (jemi_param){.name = "weight", .count = count, .fan_in = fan_in};
    params[1] =
        (jemi_param){.name = "bias", .offset = count, .count = node->shape.c, .fan_in = fan_in};
    return 2;
}

// Every kind in every mode: most of them must not care.
enum { MODES = JEMI_MODE_TRAIN + 1 };

START_TEST(test_node)
{
    const node_row *row = &nodes[_i / MODES];
    jemi_node list[2] = {
        {.kind = JEMI_NODE_INPUT, .input = {-1, -1}, .shape = row->in, .weight = -1, .bias = -1},
        row->node};
    jemi_param params[2] = {0};
    const int32_t n_params = make_params(&row->node, row->in, params);
    list[1].input[0] = 0;
    list[1].input[1] = -1;
    list[1].weight = n_params > 0 ? 0 : -1;
    list[1].bias = n_params > 0 ? 1 : -1;
    const int64_t param_count = params[0].count + params[1].count, c = row->node.shape.c;
    jemi_param states[2] = {{.offset = param_count, .count = c},
                            {.offset = param_count + c, .count = c}};
    const int32_t n_states = row->node.kind == JEMI_NODE_BATCHNORM ? 2 : 0;
    const jemi_graph graph = {.nodes = list,
                              .n_nodes = 2,
                              .params = params,
                              .n_params = n_params,
                              .param_count = param_count,
                              .states = states,
                              .n_states = n_states,
                              .state_count = n_states * c};
    check_gradients(row->name, &graph, (jemi_mode)(_i % MODES));
}
END_TEST

typedef struct add_row {
    const char *name;
    int32_t input[2];
} add_row;

// Node 0 is the input, node 1 silu of it, node 2 tanh of node 1: so gradients meet.
static const add_row adds[] = {
    {"add two branches", {1, 2}}, {"add input and branch", {0, 2}}, {"add to itself", {2, 2}}};

START_TEST(test_add)
{
    const jemi_shape shape = {2, 3, 1};
    jemi_node list[] = {
        {.kind = JEMI_NODE_INPUT, .input = {-1, -1}, .shape = shape},
        {.kind = JEMI_NODE_ACT, .input = {0, -1}, .shape = shape, .act = JEMI_ACT_SILU},
        {.kind = JEMI_NODE_ACT, .input = {1, -1}, .shape = shape, .act = JEMI_ACT_TANH},
        {.kind = JEMI_NODE_ADD, .input = {adds[_i].input[0], adds[_i].input[1]}, .shape = shape},
    };
    for (int i = 0; i < COUNT(list); i++)
        list[i].weight = list[i].bias = -1;
    const jemi_graph graph = {.nodes = list, .n_nodes = COUNT(list)};
    check_gradients(adds[_i].name, &graph, JEMI_MODE_EVAL);
}
END_TEST

/* ---- architectures -------------------------------------------------------------------------- */

typedef struct arch_row {
    const char *arch;
    jemi_shape in;
    int64_t classes;
    jemi_mode mode;
} arch_row;

static const arch_row archs[] = {
    {"mlp-7-5", {3, 2, 2}, 4, JEMI_MODE_EVAL},
    {"mlp-9:act=softplus", {6, 1, 1}, 1, JEMI_MODE_EVAL},
    {"cnn-3-4", {2, 7, 5}, 3, JEMI_MODE_EVAL},
    {"cnn-3-4-2:act=elu", {1, 5, 3}, 2, JEMI_MODE_EVAL},
    {"cnn-4:act=relu", {2, 1, 6}, 3, JEMI_MODE_EVAL},
    {"cnn-4-3:act=tanh", {5, 1, 1}, 2, JEMI_MODE_EVAL},
    {"wrn-10-1", {1, 3, 2}, 3, JEMI_MODE_EVAL},
    {"wrn-10-1:act=silu", {2, 5, 3}, 2, JEMI_MODE_EVAL},
    {"wrn-10-1:act=softplus", {3, 1, 1}, 2, JEMI_MODE_EVAL},
    {"mlp-6-5:act=tanh,norm=batch,dropout=0.3", {4, 1, 1}, 3, JEMI_MODE_EVAL},
    {"mlp-6-5:act=tanh,norm=batch,dropout=0.3", {4, 1, 1}, 3, JEMI_MODE_TRAIN},
    {"mlp-6-5:norm=layer", {4, 1, 1}, 3, JEMI_MODE_CHAIN},
    {"cnn-4-6:act=silu,norm=group2,dropout=0.25", {2, 5, 4}, 3, JEMI_MODE_TRAIN},
    {"cnn-3-4:act=silu,norm=batch", {2, 5, 4}, 3, JEMI_MODE_CHAIN},
    {"wrn-10-1:act=silu,norm=batch,dropout=0.2", {1, 3, 2}, 2, JEMI_MODE_TRAIN},
    {"wrn-10-1:act=silu,norm=instance", {1, 5, 5}, 2, JEMI_MODE_EVAL},
};

START_TEST(test_arch)
{
    const arch_row *row = &archs[_i];
    jemi_graph graph;
    const jem_status status = jemi_graph_init(&graph, row->arch, row->in, row->classes);
    ck_assert_msg(status == JEM_OK, "%s: %s", row->arch, jemi_last_message());
    check_gradients(row->arch, &graph, row->mode);
    jemi_graph_fini(&graph);
}
END_TEST

// Up to the penultimate features; the last layer's parameters have no gradient then.
START_TEST(test_features)
{
    const arch_row *row = &archs[_i];
    jemi_graph graph;
    ck_assert_int_eq(jemi_graph_init(&graph, row->arch, row->in, row->classes), JEM_OK);
    const jemi_graph until = jemi_graph_until(&graph, JEMI_CUT_FEATURES);
    check_gradients(row->arch, &until, row->mode);
    jemi_graph_fini(&graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ref gradient");
    TCase *single = tcase_create("single nodes");
    tcase_add_loop_test(single, test_node, 0, MODES * COUNT(nodes));
    tcase_add_loop_test(single, test_add, 0, COUNT(adds));
    suite_add_tcase(suite, single);
    TCase *whole = tcase_create("architectures");
    tcase_set_timeout(whole, 60); // sanitizers
    tcase_add_loop_test(whole, test_arch, 0, COUNT(archs));
    tcase_add_loop_test(whole, test_features, 0, COUNT(archs));
    suite_add_tcase(suite, whole);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
