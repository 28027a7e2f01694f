/*
 * Plans that end at the penultimate features: values and gradients are those of the reference, bits
 * depend neither on the batch nor on threads, and with the last layer's weights they give the
 * logits.
 */
#include <check.h>
#include <math.h>
#include <string.h>

#include "backend/ref/ref.h"
#include "conformance/fixture.h"

static const net_case cases[] = {
    {"mlp-64-48", 30, 1, 1, 10, 7, 7, 2},
    {"mlp-20-33:act=tanh", 3, 5, 7, 37, 3, 2, 1},
    {"mlp-33:norm=batch,dropout=0.3", 30, 1, 1, 10, 7, 5, 2},
    {"cnn-32-64", 1, 28, 28, 10, 3, 3, 2},
    {"cnn-20-33:act=silu", 20, 9, 7, 10, 3, 3, 2},
    {"cnn-37", 4, 1, 1, 10, 2, 2, 3}, // nothing to pool
    {"cnn-16:dropout=0.5", 4, 1, 1, 10, 2, 2, 1},
    {"wrn-10-1", 1, 28, 28, 10, 3, 3, 2},
    {"wrn-10-2", 5, 16, 12, 37, 2, 1, 3},
    {"wrn-10-1:norm=group8,act=elu", 3, 9, 7, 10, 3, 2, 2},
    {"wrn-10-1:norm=batch,dropout=0.3", 3, 9, 7, 10, 3, 2, 2},
};

enum {
    N_CASES = sizeof cases / sizeof cases[0],
    BATCH = 8,
    BOTH = JEMI_WANT_DINPUT | JEMI_WANT_DPARAMS,
};

static const double tolerance = 1e-5; // as test_executor.c has it

static void init(net *t, const net_case *c, int64_t rows)
{
    net_init(t, c, rows);
    net_cut(t, JEMI_CUT_FEATURES, rows);
}

static void run_plan(const net *t, int64_t batch, int32_t threads, uint32_t wants, int64_t n,
                     result *r)
{
    jemi_plan *plan = new_plan(t, batch, threads, wants);
    run(t, plan, n, 0, r);
    backend->planner->destroy(plan);
}

START_TEST(values_are_those_of_the_reference)
{
    const net_case *c = &cases[_i];
    net t;
    result got;
    init(&t, c, c->n);
    result_init(&got, &t, c->n);
    run_plan(&t, c->batch, c->threads, BOTH, c->n, &got);

    const jemi_graph until = jemi_graph_until(&t.graph, JEMI_CUT_FEATURES);
    const int64_t n_out = c->n * t.out_size, n_in = c->n * t.in_size;
    double *params = to_double(t.params, jemi_graph_size(&t.graph));
    double *in = to_double(t.in, n_in), *dout = to_double(t.dout, n_out);
    double *out = jemi_alloc((size_t)n_out, sizeof *out);
    double *din = jemi_alloc((size_t)n_in, sizeof *din);
    double *dparams = jemi_alloc((size_t)t.graph.param_count, sizeof *dparams);
    ok(jemi_ref_run_f64(&until, params, c->n, in, out, dout, din, dparams));
    near(c->name, "out", BOTH, got.out, out, n_out, tolerance);
    near(c->name, "din", BOTH, got.din, din, n_in, tolerance);
    near(c->name, "dparams", BOTH, got.dparams, dparams, t.graph.param_count, tolerance);
    const jemi_node *head = &t.graph.nodes[t.graph.n_nodes - 1];
    for (int64_t i = t.graph.params[head->weight].offset; i < t.graph.param_count; i++)
        ck_assert(got.dparams[i] == 0.0f); // what lies beyond the cut
    double *arrays[] = {params, in, dout, out, din, dparams};
    for (int i = 0; i < 6; i++)
        jemi_free(arrays[i]);
    result_fini(&got);
    net_fini(&t);
}
END_TEST

START_TEST(bits_depend_on_the_row_alone)
{
    const net_case *c = &cases[_i];
    net t;
    result whole, part;
    init(&t, c, BATCH);
    result_init(&whole, &t, BATCH);
    result_init(&part, &t, BATCH);
    run_plan(&t, BATCH, 1, JEMI_WANT_DINPUT, BATCH, &whole);
    for (int32_t threads = 1; threads <= 3; threads += 2)
        for (int64_t n = 1; n <= BATCH; n += 3) {
            run_plan(&t, BATCH, threads, JEMI_WANT_DINPUT, n, &part);
            support_same_bits(part.out, whole.out, (size_t)(n * t.out_size) * sizeof(float),
                              c->name);
            support_same_bits(part.din, whole.din, (size_t)(n * t.in_size) * sizeof(float),
                              c->name);
            run_plan(&t, n, threads, 0, n, &part);
            support_same_bits(part.out, whole.out, (size_t)(n * t.out_size) * sizeof(float),
                              c->name);
        }
    result_fini(&whole);
    result_fini(&part);
    net_fini(&t);
}
END_TEST

START_TEST(the_last_layer_makes_logits_of_features)
{
    const net_case *c = &cases[_i];
    net t;
    result features, logits;
    init(&t, c, c->n);
    const int64_t width = t.out_size;
    result_init(&features, &t, c->n);
    run_plan(&t, c->batch, 1, 0, c->n, &features);
    net_cut(&t, JEMI_CUT_OUTPUT, c->n);
    result_init(&logits, &t, c->n);
    run_plan(&t, c->batch, 1, 0, c->n, &logits);

    const jemi_node *head = &t.graph.nodes[t.graph.n_nodes - 1];
    const float *weight = t.params + t.graph.params[head->weight].offset;
    const float *bias = t.params + t.graph.params[head->bias].offset;
    double *expected = jemi_alloc((size_t)(c->n * t.out_size), sizeof *expected);
    for (int64_t i = 0; i < c->n * t.out_size; i++) {
        const int64_t k = i % t.out_size;
        expected[i] = (double)bias[k];
        for (int64_t j = 0; j < width; j++)
            expected[i] +=
                (double)weight[k * width + j] * (double)features.out[i / t.out_size * width + j];
    }
    near(c->name, "logits", 0, logits.out, expected, c->n * t.out_size, tolerance);
    jemi_free(expected);
    result_fini(&features);
    result_fini(&logits);
    net_fini(&t);
}
END_TEST

// Bit for bit what plans of either cut give.
START_TEST(one_pass_hands_out_features_and_logits)
{
    const net_case *c = &cases[_i];
    net t;
    result features, logits;
    init(&t, c, c->n);
    result_init(&features, &t, c->n);
    run_plan(&t, c->batch, c->threads, 0, c->n, &features);
    const size_t features_bytes = (size_t)(c->n * t.out_size) * sizeof(float);
    net_cut(&t, JEMI_CUT_OUTPUT, c->n);
    result_init(&logits, &t, c->n);
    run_plan(&t, c->batch, c->threads, 0, c->n, &logits);
    const size_t logits_bytes = (size_t)(c->n * t.out_size) * sizeof(float);

    const jemi_plan_spec spec = {.batch = c->batch,
                                 .threads = c->threads,
                                 .precision = t.precision,
                                 .cut = JEMI_CUT_OUTPUT,
                                 .features = true};
    jemi_plan *both;
    float *got_features = jemi_alloc(features_bytes, 1), *got_logits = jemi_alloc(logits_bytes, 1);
    ok(backend->planner->create(&both, t.program, &spec));
    ok(backend->planner->forward(both, t.weights, NULL, c->n, t.in, got_logits, got_features));
    support_same_bits(got_features, features.out, features_bytes, c->name);
    support_same_bits(got_logits, logits.out, logits_bytes, c->name);

    backend->planner->destroy(both);
    jemi_free(got_features);
    jemi_free(got_logits);
    result_fini(&features);
    result_fini(&logits);
    net_fini(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, values_are_those_of_the_reference, 0, N_CASES);
    tcase_add_loop_test(tcase, bits_depend_on_the_row_alone, 0, N_CASES);
    tcase_add_loop_test(tcase, the_last_layer_makes_logits_of_features, 0, N_CASES);
    tcase_add_loop_test(tcase, one_pass_hands_out_features_and_logits, 0, N_CASES);
}

int main(int argc, char **argv)
{
    choose_backend(argc, argv);
    return support_main("cuts", add_tests);
}
