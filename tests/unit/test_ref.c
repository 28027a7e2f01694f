/*
 * The reference backend by values: numeric gradients prove its backward by its forward, so here the
 * forward is held against numbers worked out by hand. And its float entry, which is the contract of
 * backend.h: the double result rounded once, the same bits for a row wherever it stands, gradients
 * only where wanted.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "backend/plan.h"
#include "backend/ref/ref.h"
#include "base/status.h"
#include "nn/graph.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum { VALUES = 24 };

typedef struct value_row {
    const char *name;
    jemi_shape in;
    jemi_node node;
    double x[VALUES];
    double params[VALUES]; /* weight, then bias */
    int64_t n_weights;
    double y[VALUES];
} value_row;

#define ACT(a, s)                                                                                  \
    {                                                                                              \
        .kind = JEMI_NODE_ACT, .shape = {5, 1, 1}, .act = a, .slope = s                            \
    }

static const value_row values[] = {
    // Kernel 1..9 on an impulse: cross-correlation shows it turned by 180 degrees. The bias is 10.
    {.name = "conv impulse",
     .in = {1, 3, 3},
     .node = {.kind = JEMI_NODE_CONV, .shape = {1, 3, 3}, .kernel = 3, .stride = 1, .pad = 1},
     .x = {0, 0, 0, 0, 1, 0, 0, 0, 0},
     .params = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
     .n_weights = 9,
     .y = {19, 18, 17, 16, 15, 14, 13, 12, 11}},
    // Stride 2: outputs at (0,0), (0,2); only the lower two kernel rows see the image's top rows.
    {.name = "conv stride 2, not square",
     .in = {1, 2, 3},
     .node = {.kind = JEMI_NODE_CONV, .shape = {1, 1, 2}, .kernel = 3, .stride = 2, .pad = 1},
     .x = {1, 10, 100, 1000, 10000, 100000},
     .params = {1, 2, 3, 4, 5, 6, 7, 8, 9, 0.5},
     .n_weights = 9,
     .y = {5 + 60 + 8000 + 90000 + 0.5, 40 + 500 + 70000 + 800000 + 0.5}},
    // Two channels in, two out: (O, I) order of the weights.
    {.name = "conv 1x1 channels",
     .in = {2, 1, 2},
     .node = {.kind = JEMI_NODE_CONV, .shape = {2, 1, 2}, .kernel = 1, .stride = 1, .pad = 0},
     .x = {1, 2, 10, 20},
     .params = {1, 2, 3, 4, 100, 200},
     .n_weights = 4,
     .y = {121, 142, 243, 286}},
    {.name = "linear of an image",
     .in = {2, 1, 2},
     .node = {.kind = JEMI_NODE_LINEAR, .shape = {2, 1, 1}},
     .x = {1, 10, 100, 1000},
     .params = {1, 2, 3, 4, 5, 6, 7, 8, 0.5, 0.25},
     .n_weights = 8,
     .y = {4321.5, 8765.25}},
    // The third column and the third row fill no window.
    {.name = "pool 2x2 odd",
     .in = {2, 3, 3},
     .node = {.kind = JEMI_NODE_AVGPOOL, .shape = {2, 1, 1}, .window_h = 2, .window_w = 2},
     .x = {1, 2, 99, 3, 6, 99, 99, 99, 99, 10, 20, 99, 30, 40, 99, 99, 99, 99},
     .y = {3, 25}},
    {.name = "pool 1x2",
     .in = {1, 2, 4},
     .node = {.kind = JEMI_NODE_AVGPOOL, .shape = {1, 2, 2}, .window_h = 1, .window_w = 2},
     .x = {1, 2, 3, 4, 5, 6, 7, 8},
     .y = {1.5, 3.5, 5.5, 7.5}},
    {.name = "add to itself",
     .in = {3, 1, 1},
     .node = {.kind = JEMI_NODE_ADD, .shape = {3, 1, 1}},
     .x = {1, -2, 3},
     .y = {2, -4, 6}},
    {.name = "lrelu",
     .in = {5, 1, 1},
     .node = ACT(JEMI_ACT_LRELU, 0.25f),
     .x = {-800, -1, 0, 1, 800},
     .y = {-200, -0.25, 0, 1, 800}},
    {.name = "relu",
     .in = {5, 1, 1},
     .node = ACT(JEMI_ACT_LRELU, 0.0f),
     .x = {-800, -1, 0, 1, 800},
     .y = {0, 0, 0, 1, 800}},
    {.name = "silu",
     .in = {5, 1, 1},
     .node = ACT(JEMI_ACT_SILU, 0.0f),
     .x = {-800, -1, 0, 1, 800},
     .y = {0, -0.26894142136999512, 0, 0.73105857863000488, 800}},
    {.name = "elu",
     .in = {5, 1, 1},
     .node = ACT(JEMI_ACT_ELU, 0.0f),
     .x = {-800, -1, 0, 1, 800},
     .y = {-1, -0.63212055882855768, 0, 1, 800}},
    {.name = "softplus",
     .in = {5, 1, 1},
     .node = ACT(JEMI_ACT_SOFTPLUS, 0.0f),
     .x = {-800, -1, 0, 1, 800},
     .y = {0, 0.31326168751822284, 0.69314718055994531, 1.3132616875182228, 800}},
    {.name = "tanh",
     .in = {5, 1, 1},
     .node = ACT(JEMI_ACT_TANH, 0.0f),
     .x = {-800, -1, 0, 1, 800},
     .y = {-1, -0.76159415595576489, 0, 0.76159415595576489, 1}},
};

START_TEST(test_values)
{
    const value_row *row = &values[_i];
    jemi_node nodes[2] = {{.kind = JEMI_NODE_INPUT, .input = {-1, -1}, .shape = row->in},
                          row->node};
    nodes[0].weight = nodes[0].bias = -1;
    nodes[1].weight = row->n_weights > 0 ? 0 : -1;
    nodes[1].bias = row->n_weights > 0 ? 1 : -1;
    jemi_param params[2] = {{.count = row->n_weights},
                            {.offset = row->n_weights, .count = row->node.shape.c}};
    const jemi_graph graph = {.nodes = nodes,
                              .n_nodes = 2,
                              .params = params,
                              .n_params = row->n_weights > 0 ? 2 : 0,
                              .param_count = row->n_weights + row->node.shape.c};
    double y[VALUES];
    ck_assert_int_eq(jemi_ref_run_f64(&graph, row->params, 1, row->x, y, NULL, NULL, NULL), JEM_OK);
    for (int64_t i = 0; i < jemi_shape_size(row->node.shape); i++)
        // A few roundings of libm; the other rows are exact in double.
        ck_assert_msg(fabs(y[i] - row->y[i]) <= 1e-15 * fmax(1.0, fabs(row->y[i])),
                      "%s: y[%lld] is %.17g, expected %.17g", row->name, (long long)i, y[i],
                      row->y[i]);
}
END_TEST

/* ---- dropout: the masks of backend.h -------------------------------------------------------- */

enum { DROPPED = 4099, DROP_ROWS = 3 }; // no multiple of four

START_TEST(test_dropout_masks)
{
    const jemi_shape shape = {DROPPED, 1, 1};
    const float rate = 0.3f;
    jemi_node nodes[] = {
        {.kind = JEMI_NODE_INPUT, .input = {-1, -1}, .shape = shape},
        {.kind = JEMI_NODE_DROPOUT, .input = {0, -1}, .shape = shape, .rate = rate}};
    nodes[1].mask_offset = 40;
    for (int i = 0; i < 2; i++)
        nodes[i].weight = nodes[i].bias = -1;
    const jemi_graph graph = {.nodes = nodes, .n_nodes = 2};
    const jemi_dropout dropout = {
        .key = jemi_random_key_make(7, JEMI_RANDOM_DROPOUT_DATA, 0), .step = 9, .first_row = 5};
    static double in[DROP_ROWS * DROPPED], out[DROP_ROWS * DROPPED];
    for (int i = 0; i < DROP_ROWS * DROPPED; i++)
        in[i] = 1.0 + i;
    ck_assert_int_eq(jemi_ref_run_mode_f64(&graph, JEMI_MODE_TRAIN, &dropout, NULL, DROP_ROWS, in,
                                           out, NULL, NULL, NULL, NULL),
                     JEM_OK);
    int dropped = 0;
    for (int i = 0; i < DROP_ROWS * DROPPED; i++) {
        const uint32_t row = 5 + (uint32_t)(i / DROPPED), element = 40 + (uint32_t)(i % DROPPED);
        uint32_t bits[4];
        jemi_random_u32x4(dropout.key, element / 4, row, 9, bits);
        const bool kept = jemi_unit_from_u32(bits[element % 4]) >= rate;
        const double expected = kept ? in[i] / (1.0 - (double)rate) : 0.0;
        ck_assert_msg(fabs(out[i] - expected) <= 1e-12 * in[i], "element %d", i);
        dropped += !kept;
    }
    // Hoeffding: farther off once in 10^9 seeds, and this one is fixed.
    ck_assert_double_lt(fabs(dropped / (double)(DROP_ROWS * DROPPED) - 0.3), 0.03);
    ck_assert_int_eq(jemi_ref_run_mode_f64(&graph, JEMI_MODE_CHAIN, &dropout, NULL, DROP_ROWS, in,
                                           out, NULL, NULL, NULL, NULL),
                     JEM_OK);
    ck_assert_mem_eq(in, out, sizeof in);
}
END_TEST

/* ---- the float entry ------------------------------------------------------------------------ */

enum { BATCH = 5 };

// A model of one architecture with everything that its runs need.
typedef struct fixture {
    jemi_graph graph;
    int64_t in_size, out_size;
    float *params, *in, *out, *dout, *din, *dparams;
    const jemi_backend *backend;
    jemi_program *program;
    jemi_weights *weights;
} fixture;

static float *floats(int64_t count)
{
    float *array = calloc((size_t)count, sizeof *array);
    ck_assert_ptr_nonnull(array);
    for (int64_t i = 0; i < count; i++)
        array[i] = (float)sin(1.0 + 0.7 * (double)i);
    return array;
}

// In place: the program keeps the address of the graph.
static void fixture_init(fixture *f, const char *arch)
{
    *f = (fixture){.backend = jemi_backend_find(JEM_BACKEND_REF)};
    ck_assert_ptr_nonnull(f->backend);
    ck_assert_int_eq(jemi_graph_init(&f->graph, arch, (jemi_shape){2, 5, 4}, 3), JEM_OK);
    f->in_size = jemi_shape_size(f->graph.nodes[0].shape);
    f->out_size = 3;
    f->params = floats(jemi_graph_size(&f->graph));
    jemi_graph_init_params(&f->graph, 3, f->params);
    f->in = floats(BATCH * f->in_size);
    f->din = floats(BATCH * f->in_size);
    f->out = floats(BATCH * f->out_size);
    f->dout = floats(BATCH * f->out_size);
    f->dparams = floats(f->graph.param_count);
    ck_assert_int_eq(f->backend->program_create(&f->program, &f->graph), JEM_OK);
    ck_assert_int_eq(f->backend->weights_create(&f->weights, f->program), JEM_OK);
    f->backend->weights_set(f->weights, f->params);
}

static void fixture_free(fixture *f)
{
    f->backend->weights_destroy(f->weights);
    f->backend->program_destroy(f->program);
    free(f->params);
    free(f->in);
    free(f->din);
    free(f->out);
    free(f->dout);
    free(f->dparams);
    jemi_graph_fini(&f->graph);
}

static jemi_plan *plan_new(const fixture *f, int64_t batch, uint32_t wants)
{
    const jemi_plan_spec spec = {
        .batch = batch, .threads = 1, .precision = JEM_PRECISION_F32, .wants = wants};
    jemi_plan *plan = NULL;
    ck_assert_int_eq(f->backend->planner->create(&plan, f->program, &spec), JEM_OK);
    ck_assert_int_eq(plan->spec.batch, batch);
    return plan;
}

static const char *const archs[] = {"mlp-6:act=tanh", "cnn-3-4", "wrn-10-1", "cnn-4-6:norm=group2",
                                    "cnn-3-4:norm=batch,dropout=0.2"};

static double *widen(int64_t count, const float *from)
{
    double *to = calloc((size_t)count, sizeof *to);
    ck_assert_ptr_nonnull(to);
    for (int64_t i = 0; from != NULL && i < count; i++)
        to[i] = (double)from[i];
    return to;
}

static void check_rounded(const char *name, const char *what, int64_t count, const float *got,
                          const double *expected)
{
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(got[i] == (float)expected[i], "%s: %s[%lld] is %.9g, in double %.17g", name,
                      what, (long long)i, (double)got[i], expected[i]);
}

START_TEST(test_float_is_rounded_double)
{
    fixture f;
    fixture_init(&f, archs[_i]);
    const int64_t n = BATCH - 1; // less than the plan's batch
    const int64_t count = f.graph.param_count;
    jemi_plan *plan = plan_new(&f, BATCH, JEMI_WANT_DINPUT | JEMI_WANT_DPARAMS);
    ck_assert_int_eq(f.backend->planner->forward(plan, f.weights, NULL, n, f.in, f.out, NULL),
                     JEM_OK);
    ck_assert_int_eq(f.backend->planner->backward(plan, f.weights, n, f.dout, f.din, f.dparams),
                     JEM_OK);

    double *in = widen(n * f.in_size, f.in);
    double *params = widen(jemi_graph_size(&f.graph), f.params);
    double *dout = widen(n * f.out_size, f.dout), *out = widen(n * f.out_size, NULL);
    double *din = widen(n * f.in_size, NULL), *dparams = widen(count, NULL);
    ck_assert_int_eq(jemi_ref_run_f64(&f.graph, params, n, in, out, dout, din, dparams), JEM_OK);
    check_rounded(archs[_i], "out", n * f.out_size, f.out, out);
    check_rounded(archs[_i], "din", n * f.in_size, f.din, din);
    check_rounded(archs[_i], "dparams", count, f.dparams, dparams);

    double *const all[] = {in, params, dout, out, din, dparams};
    for (int i = 0; i < COUNT(all); i++)
        free(all[i]);
    f.backend->planner->destroy(plan);
    fixture_free(&f);
}
END_TEST

START_TEST(test_rows_are_independent)
{
    fixture f;
    fixture_init(&f, archs[_i]);
    jemi_plan *whole = plan_new(&f, BATCH, JEMI_WANT_DINPUT);
    jemi_plan *single = plan_new(&f, 1, JEMI_WANT_DINPUT);
    ck_assert_int_eq(f.backend->planner->forward(whole, f.weights, NULL, BATCH, f.in, f.out, NULL),
                     JEM_OK);
    ck_assert_int_eq(f.backend->planner->backward(whole, f.weights, BATCH, f.dout, f.din, NULL),
                     JEM_OK);
    for (int64_t row = BATCH - 1; row >= 0; row--) {
        float out[3], din[2 * 5 * 4];
        const float *in = f.in + row * f.in_size, *dout = f.dout + row * 3;
        ck_assert_int_eq(f.backend->planner->forward(single, f.weights, NULL, 1, in, out, NULL),
                         JEM_OK);
        ck_assert_int_eq(f.backend->planner->backward(single, f.weights, 1, dout, din, NULL),
                         JEM_OK);
        ck_assert_msg(memcmp(out, f.out + row * 3, sizeof out) == 0, "%s: out", archs[_i]);
        ck_assert_msg(memcmp(din, f.din + row * f.in_size, sizeof din) == 0, "%s: din", archs[_i]);
    }
    f.backend->planner->destroy(whole);
    f.backend->planner->destroy(single);
    fixture_free(&f);
}
END_TEST

START_TEST(test_gradients_one_at_a_time)
{
    fixture f;
    fixture_init(&f, archs[_i]);
    const size_t din_bytes = (size_t)(BATCH * f.in_size) * sizeof(float);
    const size_t dparams_bytes = (size_t)f.graph.param_count * sizeof(float);
    jemi_plan *both = plan_new(&f, BATCH, JEMI_WANT_DINPUT | JEMI_WANT_DPARAMS);
    jemi_plan *dparams_only = plan_new(&f, BATCH, JEMI_WANT_DPARAMS);
    float *din = floats(BATCH * f.in_size), *dparams = floats(f.graph.param_count);

    // Twice from one forward, one gradient each, then from a plan that knows of one only.
    ck_assert_int_eq(f.backend->planner->forward(both, f.weights, NULL, BATCH, f.in, f.out, NULL),
                     JEM_OK);
    ck_assert_int_eq(f.backend->planner->backward(both, f.weights, BATCH, f.dout, f.din, f.dparams),
                     JEM_OK);
    ck_assert_int_eq(f.backend->planner->backward(both, f.weights, BATCH, f.dout, NULL, dparams),
                     JEM_OK);
    ck_assert_int_eq(f.backend->planner->backward(both, f.weights, BATCH, f.dout, din, NULL),
                     JEM_OK);
    ck_assert(memcmp(din, f.din, din_bytes) == 0);
    ck_assert(memcmp(dparams, f.dparams, dparams_bytes) == 0);
    memset(dparams, 0, dparams_bytes);
    ck_assert_int_eq(
        f.backend->planner->forward(dparams_only, f.weights, NULL, BATCH, f.in, f.out, NULL),
        JEM_OK);
    ck_assert_int_eq(
        f.backend->planner->backward(dparams_only, f.weights, BATCH, f.dout, NULL, dparams),
        JEM_OK);
    ck_assert(memcmp(dparams, f.dparams, dparams_bytes) == 0);

    free(din);
    free(dparams);
    f.backend->planner->destroy(both);
    f.backend->planner->destroy(dparams_only);
    fixture_free(&f);
}
END_TEST

START_TEST(test_weights_set_again)
{
    fixture f;
    fixture_init(&f, "mlp-6");
    jemi_plan *plan = plan_new(&f, 1, 0);
    float first[3], second[3];
    ck_assert_int_eq(f.backend->planner->forward(plan, f.weights, NULL, 1, f.in, first, NULL),
                     JEM_OK);
    float *other = floats(f.graph.param_count);
    f.backend->weights_set(f.weights, other);
    ck_assert_int_eq(f.backend->planner->forward(plan, f.weights, NULL, 1, f.in, second, NULL),
                     JEM_OK);
    for (int i = 0; i < 3; i++)
        ck_assert(first[i] != second[i]);
    f.backend->weights_set(f.weights, f.params);
    ck_assert_int_eq(f.backend->planner->forward(plan, f.weights, NULL, 1, f.in, second, NULL),
                     JEM_OK);
    ck_assert(memcmp(first, second, sizeof first) == 0);
    free(other);
    f.backend->planner->destroy(plan);
    fixture_free(&f);
}
END_TEST

/* ---- the rest of the table ------------------------------------------------------------------ */

static void append_line(void *user, const jem_step_info *step)
{
    strcat(user, step->text);
    strcat(user, "\n");
}

START_TEST(test_describe_and_bytes)
{
    fixture f;
    fixture_init(&f, "cnn-3");
    jemi_plan *small = plan_new(&f, 1, 0);
    jemi_plan *large = plan_new(&f, BATCH, JEMI_WANT_DPARAMS);
    char text[512] = "";
    f.backend->planner->describe(small, append_line, text);
    ck_assert_str_eq(text, "ref input 2x5x4\nref convolution 3x5x4\nref activation 3x5x4\n"
                           "ref average pooling 3x2x2\nref linear 3x1x1\n");
    // Values of one row: 40 + 60 + 60 + 12 + 3 doubles.
    ck_assert_uint_ge(f.backend->planner->bytes(small), 175 * sizeof(double));
    ck_assert_uint_ge(f.backend->planner->bytes(large), (BATCH + 1) * 175 * sizeof(double));
    ck_assert_uint_ge(f.backend->weights_bytes(f.weights),
                      (size_t)f.graph.param_count * sizeof(double));
    f.backend->planner->destroy(small);
    f.backend->planner->destroy(large);
    f.backend->planner->destroy(NULL);
    f.backend->weights_destroy(NULL);
    f.backend->program_destroy(NULL);
    fixture_free(&f);
}
END_TEST

START_TEST(test_find)
{
    ck_assert_ptr_eq(jemi_backend_find(JEM_BACKEND_REF), &jemi_backend_ref);
    ck_assert_ptr_null(jemi_backend_find(0));
    ck_assert_ptr_null(jemi_backend_find(99));
    const jemi_backend *fastest = jemi_backend_default();
    ck_assert_int_eq(fastest->id, JEM_HAVE_ONEDNN ? JEM_BACKEND_ONEDNN : JEM_BACKEND_NATIVE);
    ck_assert_ptr_eq(jemi_backend_find(fastest->id), fastest);
}
END_TEST

START_TEST(test_too_large)
{
    // 2^62 rows: refused as out of memory, nothing overflows, nothing is left.
    fixture f;
    fixture_init(&f, "mlp-6");
    const jemi_plan_spec spec = {.batch = INT64_C(1) << 62, .threads = 1, .precision = 1};
    jemi_plan *plan = (jemi_plan *)&f;
    ck_assert_int_eq(f.backend->planner->create(&plan, f.program, &spec), JEM_ENOMEM);
    ck_assert_ptr_null(plan);
    fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ref");
    TCase *by_hand = tcase_create("values");
    tcase_add_loop_test(by_hand, test_values, 0, COUNT(values));
    tcase_add_test(by_hand, test_dropout_masks);
    suite_add_tcase(suite, by_hand);
    TCase *entry = tcase_create("float entry");
    tcase_add_loop_test(entry, test_float_is_rounded_double, 0, COUNT(archs));
    tcase_add_loop_test(entry, test_rows_are_independent, 0, COUNT(archs));
    tcase_add_loop_test(entry, test_gradients_one_at_a_time, 0, COUNT(archs));
    tcase_add_test(entry, test_weights_set_again);
    tcase_add_test(entry, test_describe_and_bytes);
    tcase_add_test(entry, test_find);
    tcase_add_test(entry, test_too_large);
    suite_add_tcase(suite, entry);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
