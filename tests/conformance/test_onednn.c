/*
 * oneDNN plans against the double-precision reference, row by row of a table of networks; and the
 * promises that no comparison of values shows: equal bits for equal rows whatever the batch, the
 * place and the thread count, no slow implementation anywhere, shared weights, no memory growth.
 *
 * JEM_TEST_VERBOSE=1 prints every plan. The reference itself is proven by numeric gradients.
 */
#include <check.h>
#include <malloc.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/ref/ref.h"
#include "base/memory.h"
#include "conformance/networks.h"

// Relative to the largest element. Sums here have up to 3000 terms: their f32 rounding errors grow
// like sqrt(3000) * 2^-24 = 3e-6 at worst, and the networks are at most ten layers deep.
#define TOLERANCE 1e-5

static const jemi_backend *const backend = &jemi_backend_onednn;

// ---- a network with its data -------------------------------------------------------------------

typedef struct net {
    jemi_graph graph;
    jemi_program *program;
    jemi_weights *weights;
    int64_t in_size, out_size; // floats per row
    float *params, *in, *dout;
} net;

typedef struct result {
    float *out, *din, *dparams;
} result;

// -1 .. 1 from a counter: the same on every machine.
static float uniform(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-23f - 1.0f;
}

static float *random_array(int64_t count, uint32_t seed)
{
    float *array = jemi_alloc((size_t)count, sizeof *array);
    for (int64_t i = 0; i < count; i++)
        array[i] = uniform(&seed);
    return array;
}

static void ok(jem_status status)
{
    ck_assert_msg(status == JEM_OK, "status %d", (int)status);
}

static void net_init(net *t, const net_case *c, int64_t rows)
{
    memset(t, 0, sizeof *t);
    ok(net_graph(&t->graph, c));
    t->in_size = jemi_shape_size(t->graph.nodes[0].shape);
    t->out_size = jemi_shape_size(t->graph.nodes[t->graph.n_nodes - 1].shape);
    t->params = jemi_alloc((size_t)t->graph.param_count, sizeof *t->params);
    jemi_graph_init_params(&t->graph, 5, t->params);
    t->in = random_array(rows * t->in_size, 1);
    t->dout = random_array(rows * t->out_size, 2);
    ok(backend->program_create(&t->program, &t->graph));
    ok(backend->weights_create(&t->weights, t->program));
    backend->weights_set(t->weights, t->params);
}

static void net_fini(net *t)
{
    backend->weights_destroy(t->weights);
    backend->program_destroy(t->program);
    jemi_graph_fini(&t->graph);
    jemi_free(t->params);
    jemi_free(t->in);
    jemi_free(t->dout);
}

static jemi_plan *new_plan(const net *t, int64_t batch, int32_t threads, uint32_t wants)
{
    const jemi_plan_spec spec = {batch, threads, JEM_PRECISION_F32, wants};
    jemi_plan *plan;
    omp_set_num_threads(threads);
    ok(backend->plan_create(&plan, t->program, &spec));
    return plan;
}

static void result_init(result *r, const net *t, int64_t rows)
{
    r->out = jemi_alloc((size_t)(rows * t->out_size), sizeof(float));
    r->din = jemi_alloc((size_t)(rows * t->in_size), sizeof(float));
    r->dparams = jemi_alloc((size_t)t->graph.param_count, sizeof(float));
    for (int64_t i = 0; i < t->graph.param_count; i++)
        r->dparams[i] = NAN; // to be overwritten, all of it
}

static void result_fini(result *r)
{
    jemi_free(r->out);
    jemi_free(r->din);
    jemi_free(r->dparams);
}

static void run(const net *t, jemi_plan *plan, int64_t n, int64_t first_row, result *r)
{
    const uint32_t wants = plan->spec.wants;
    ok(backend->forward(plan, t->weights, n, t->in + first_row * t->in_size, r->out));
    if (wants != 0)
        ok(backend->backward(plan, t->weights, n, t->dout + first_row * t->out_size,
                             (wants & JEMI_WANT_DINPUT) != 0 ? r->din : NULL,
                             (wants & JEMI_WANT_DPARAMS) != 0 ? r->dparams : NULL));
}

static void print_line(void *user, const char *line)
{
    fprintf(stderr, "  [%s] %s\n", (const char *)user, line);
}

// ---- values ------------------------------------------------------------------------------------

static double *to_double(const float *from, int64_t count)
{
    double *to = jemi_alloc((size_t)count, sizeof *to);
    for (int64_t i = 0; i < count; i++)
        to[i] = (double)from[i];
    return to;
}

static void near(const char *name, const char *what, uint32_t wants, const float *got,
                 const double *expected, int64_t count)
{
    double largest = 0.0;
    double error = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - expected[i]);
        error = e <= error ? error : e; // NaN wins
        largest = fmax(largest, fabs(expected[i]));
    }
    ck_assert_msg(largest > 0.0 && error <= TOLERANCE * largest,
                  "%s, wants %u: %s is off by %g of %g", name, wants, what, error, largest);
}

static void check_values(const net_case *c)
{
    net t;
    net_init(&t, c, c->n);
    double *params = to_double(t.params, t.graph.param_count);
    double *in = to_double(t.in, c->n * t.in_size);
    double *dout = to_double(t.dout, c->n * t.out_size);
    double *out = jemi_alloc((size_t)(c->n * t.out_size), sizeof *out);
    double *din = jemi_alloc((size_t)(c->n * t.in_size), sizeof *din);
    double *dparams = jemi_alloc((size_t)t.graph.param_count, sizeof *dparams);
    ok(jemi_ref_run_f64(&t.graph, params, c->n, in, out, dout, din, dparams));
    for (uint32_t wants = 0; wants <= 3; wants++) {
        result r;
        result_init(&r, &t, c->n);
        jemi_plan *plan = new_plan(&t, c->batch, c->threads, wants);
        run(&t, plan, c->n, 0, &r);
        run(&t, plan, c->n, 0, &r); // the workspace is dirty now
        near(c->name, "out", wants, r.out, out, c->n * t.out_size);
        if ((wants & JEMI_WANT_DINPUT) != 0)
            near(c->name, "din", wants, r.din, din, c->n * t.in_size);
        if ((wants & JEMI_WANT_DPARAMS) != 0)
            near(c->name, "dparams", wants, r.dparams, dparams, t.graph.param_count);
        backend->plan_destroy(plan);
        result_fini(&r);
    }
    net_fini(&t);
    double *arrays[] = {params, in, dout, out, din, dparams};
    for (int i = 0; i < 6; i++)
        jemi_free(arrays[i]);
}

START_TEST(values_are_those_of_the_reference)
{
    check_values(&cases[_i]);
}
END_TEST

// ---- bits --------------------------------------------------------------------------------------

enum { BIT_ROWS = 17 };

// Rows first .. first + n of `all`, which came from plans of one row.
static void same_bits(const net_case *c, const net *t, const result *all, const jemi_plan *plan,
                      const result *r, int64_t n, int64_t first)
{
    const jemi_plan_spec *s = &plan->spec;
    const size_t out_bytes = (size_t)(n * t->out_size) * sizeof(float);
    const size_t in_bytes = (size_t)(n * t->in_size) * sizeof(float);
    ck_assert_msg(memcmp(r->out, all->out + first * t->out_size, out_bytes) == 0,
                  "%s: out of batch %d, n %d, row %d, threads %d, wants %u", c->name, (int)s->batch,
                  (int)n, (int)first, (int)s->threads, s->wants);
    if ((s->wants & JEMI_WANT_DINPUT) != 0)
        ck_assert_msg(memcmp(r->din, all->din + first * t->in_size, in_bytes) == 0,
                      "%s: din of batch %d, n %d, row %d, threads %d, wants %u", c->name,
                      (int)s->batch, (int)n, (int)first, (int)s->threads, s->wants);
}

static void rows_one_by_one(const net *t, result *all)
{
    jemi_plan *plan = new_plan(t, 1, 1, JEMI_WANT_DINPUT);
    for (int64_t i = 0; i < BIT_ROWS; i++) {
        result row = {all->out + i * t->out_size, all->din + i * t->in_size, NULL};
        run(t, plan, 1, i, &row);
    }
    backend->plan_destroy(plan);
}

static void check_bits(const net_case *c, const net *t, const result *all, const jemi_plan_spec *s)
{
    result r;
    result_init(&r, t, BIT_ROWS);
    jemi_plan *plan = new_plan(t, s->batch, s->threads, s->wants);
    const int64_t counts[] = {s->batch, (s->batch + 1) / 2};
    for (int i = 0; i < 2; i++)
        for (int64_t first = 0; first + counts[i] <= BIT_ROWS; first += 7) {
            run(t, plan, counts[i], first, &r);
            same_bits(c, t, all, plan, &r, counts[i], first);
        }
    backend->plan_destroy(plan);
    result_fini(&r);
}

START_TEST(bits_of_a_row_depend_on_the_row_alone)
{
    static const int64_t batches[] = {1, 3, 16, 17};
    const net_case *c = &cases[_i];
    net t;
    net_init(&t, c, BIT_ROWS);
    result all;
    result_init(&all, &t, BIT_ROWS);
    rows_one_by_one(&t, &all);
    for (int b = 0; b < 4; b++)
        for (int32_t threads = 1; threads <= (batches[b] == BIT_ROWS ? 3 : 2); threads++)
            for (uint32_t wants = 0; wants <= 3; wants += 1 + wants) // none, din, both
                check_bits(c, &t, &all,
                           &(jemi_plan_spec){batches[b], threads, JEM_PRECISION_F32, wants});
    result_fini(&all);
    net_fini(&t);
}
END_TEST

// ---- implementations ---------------------------------------------------------------------------

typedef struct census {
    int lines, slow;
    char first[256];
} census;

static void count_line(void *user, const char *line)
{
    census *found = user;
    found->lines++;
    if (strstr(line, ": ref") == NULL && strstr(line, ": simple") == NULL)
        return;
    if (found->slow++ == 0)
        snprintf(found->first, sizeof found->first, "%s", line);
}

START_TEST(no_step_has_a_slow_implementation)
{
    const net_case *c = &cases[_i];
    net t;
    net_init(&t, c, 1);
    for (uint32_t wants = 0; wants <= 3; wants++) {
        census found = {0};
        jemi_plan *plan = new_plan(&t, c->batch, c->threads, wants);
        if (getenv("JEM_TEST_VERBOSE") != NULL)
            backend->plan_describe(plan, print_line, (void *)c->name);
        backend->plan_describe(plan, count_line, &found);
        ck_assert_msg(found.slow == 0 || !__builtin_cpu_supports("avx2"), "%s, wants %u: %s",
                      c->name, wants, found.first);
        ck_assert_int_ge(found.lines, 3);
        ck_assert_uint_gt(backend->plan_bytes(plan), 0);
        backend->plan_destroy(plan);
    }
    net_fini(&t);
}
END_TEST

typedef struct needle {
    const char *text;
    int32_t expected, found;
} needle;

static void count_needles(void *user, const char *line)
{
    for (needle *each = user; each->text != NULL; each++)
        each->found += strstr(line, each->text) != NULL;
}

// What makes the Langevin step fast must not get lost unnoticed.
START_TEST(langevin_plan_of_a_wide_resnet_is_fused)
{
    needle needles[] = {
        {" activation: ", 3, 0},          // at the heads of the blocks, where x is needed too
        {" activation backward: ", 6, 0}, // one pass per activation, the residual sums in them
        {" + sum * act'", 3, 0},          //
        {" sum: 2x", 0, 0},               // no pass only to add
        {" to layout: ", 0, 0},           //
        {" to canonical: ", 0, 0},        //
        {" average pooling backward: ", 1, 0},
        {"backward weights", 0, 0},
        {NULL, 0, 0},
    };
    const net_case c = {"wrn-10-2", 3, 32, 32, 10, 2, 2, 1};
    net t;
    net_init(&t, &c, 1);
    jemi_plan *plan = new_plan(&t, 2, 1, JEMI_WANT_DINPUT);
    backend->plan_describe(plan, count_needles, needles);
    for (const needle *each = needles; each->text != NULL; each++)
        ck_assert_msg(each->found == each->expected, "%d lines with \"%s\", expected %d",
                      (int)each->found, each->text, (int)each->expected);
    backend->plan_destroy(plan);
    net_fini(&t);
}
END_TEST

// ---- weights -----------------------------------------------------------------------------------

static const net_case small = {"wrn-10-1", 3, 9, 7, 10, 4, 4, 2};

START_TEST(new_parameters_take_effect)
{
    net t;
    net_init(&t, &small, small.n);
    result before, after, fresh;
    result_init(&before, &t, small.n);
    result_init(&after, &t, small.n);
    result_init(&fresh, &t, small.n);
    jemi_plan *plan = new_plan(&t, small.batch, small.threads, 3);
    ck_assert_uint_gt(backend->weights_bytes(t.weights), 0);
    run(&t, plan, small.n, 0, &before);
    const size_t bytes = backend->weights_bytes(t.weights);
    float *other = jemi_alloc((size_t)t.graph.param_count, sizeof *other);
    jemi_graph_init_params(&t.graph, 6, other);
    backend->weights_set(t.weights, other);
    run(&t, plan, small.n, 0, &after);
    ck_assert_uint_eq(backend->weights_bytes(t.weights), bytes);
    backend->weights_destroy(t.weights);
    ok(backend->weights_create(&t.weights, t.program));
    backend->weights_set(t.weights, other);
    run(&t, plan, small.n, 0, &fresh);
    const size_t din_bytes = (size_t)(small.n * t.in_size) * sizeof(float);
    ck_assert_mem_eq(after.din, fresh.din, din_bytes);
    ck_assert_mem_ne(after.din, before.din, din_bytes);
    ck_assert_mem_eq(after.dparams, fresh.dparams, (size_t)t.graph.param_count * sizeof(float));
    backend->plan_destroy(plan);
    jemi_free(other);
    result_fini(&before);
    result_fini(&after);
    result_fini(&fresh);
    net_fini(&t);
}
END_TEST

typedef struct worker {
    const net *net;
    const result *expected;
    pthread_t thread;
    uint32_t wants;
    int failures;
} worker;

// Creates its plan too: the program's table of slots grows while others compute.
static void *work(void *argument)
{
    worker *w = argument;
    result r;
    result_init(&r, w->net, small.n);
    jemi_plan *plan = new_plan(w->net, small.batch, 1, w->wants);
    for (int i = 0; i < 20; i++) {
        run(w->net, plan, small.n, 0, &r);
        const size_t bytes = (size_t)(small.n * w->net->out_size) * sizeof(float);
        w->failures += memcmp(r.out, w->expected->out, bytes) != 0;
        const size_t din_bytes = (size_t)(small.n * w->net->in_size) * sizeof(float);
        if ((w->wants & JEMI_WANT_DINPUT) != 0)
            w->failures += memcmp(r.din, w->expected->din, din_bytes) != 0;
    }
    backend->plan_destroy(plan);
    result_fini(&r);
    return NULL;
}

START_TEST(threads_share_weights)
{
    enum { N_THREADS = 6 };
    net t;
    net_init(&t, &small, small.n);
    result expected;
    result_init(&expected, &t, small.n);
    jemi_plan *plan = new_plan(&t, small.batch, 1, JEMI_WANT_DINPUT);
    run(&t, plan, small.n, 0, &expected);
    backend->weights_set(t.weights, t.params); // stale again: all threads want to pack
    worker workers[N_THREADS];
    for (uint32_t i = 0; i < N_THREADS; i++) {
        workers[i] = (worker){.net = &t, .expected = &expected, .wants = i % 4};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    int failures = 0;
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        failures += workers[i].failures;
    }
    ck_assert_int_eq(failures, 0);
    backend->plan_destroy(plan);
    result_fini(&expected);
    net_fini(&t);
}
END_TEST

// ---- the contract's small print ----------------------------------------------------------------

START_TEST(a_gradient_may_be_left_out)
{
    net t;
    net_init(&t, &small, small.n);
    result both, one;
    result_init(&both, &t, small.n);
    result_init(&one, &t, small.n);
    jemi_plan *plan = new_plan(&t, small.batch, small.threads, 3);
    run(&t, plan, small.n, 0, &both);
    ok(backend->forward(plan, t.weights, small.n, t.in, one.out));
    ok(backend->backward(plan, t.weights, small.n, t.dout, one.din, NULL));
    ok(backend->forward(plan, t.weights, small.n, t.in, one.out));
    ok(backend->backward(plan, t.weights, small.n, t.dout, NULL, one.dparams));
    ck_assert_mem_eq(one.din, both.din, (size_t)(small.n * t.in_size) * sizeof(float));
    ck_assert_mem_eq(one.dparams, both.dparams, (size_t)t.graph.param_count * sizeof(float));
    backend->plan_destroy(plan);
    result_fini(&both);
    result_fini(&one);
    net_fini(&t);
}
END_TEST

// backward() may not read the caller's input, which need not be there any more.
START_TEST(input_may_vanish_before_backward)
{
    net t;
    net_init(&t, &small, small.n);
    result expected, got;
    result_init(&expected, &t, small.n);
    result_init(&got, &t, small.n);
    jemi_plan *plan = new_plan(&t, small.batch, small.threads, 3);
    run(&t, plan, small.n, 0, &expected);
    float *in = jemi_alloc((size_t)(small.n * t.in_size), sizeof *in);
    memcpy(in, t.in, (size_t)(small.n * t.in_size) * sizeof *in);
    ok(backend->forward(plan, t.weights, small.n, in, got.out));
    memset(in, 0xff, (size_t)(small.n * t.in_size) * sizeof *in);
    jemi_free(in);
    ok(backend->backward(plan, t.weights, small.n, t.dout, got.din, got.dparams));
    ck_assert_mem_eq(got.dparams, expected.dparams, (size_t)t.graph.param_count * sizeof(float));
    ck_assert_mem_eq(got.din, expected.din, (size_t)(small.n * t.in_size) * sizeof(float));
    backend->plan_destroy(plan);
    result_fini(&expected);
    result_fini(&got);
    net_fini(&t);
}
END_TEST

// A divergence must stay visible: NaN goes through every activation, forward and back.
START_TEST(nan_goes_through)
{
    static const char *const acts[] = {"lrelu", "relu", "silu", "elu", "softplus", "tanh"};
    char arch[64];
    snprintf(arch, sizeof arch, "wrn-10-1:act=%s", acts[_i]);
    const net_case c = {arch, 3, 8, 8, 10, 2, 2, 2};
    net t;
    net_init(&t, &c, 2);
    result r;
    result_init(&r, &t, 2);
    t.in[0] = NAN;
    jemi_plan *plan = new_plan(&t, 2, 2, JEMI_WANT_DINPUT);
    run(&t, plan, 2, 0, &r);
    ck_assert_msg(isnan(r.out[0]), "%s", arch);
    ck_assert_msg(!isnan(r.out[t.out_size]), "%s: NaN crept into another row", arch);
    backend->plan_destroy(plan);
    result_fini(&r);
    net_fini(&t);
}
END_TEST

START_TEST(repeated_runs_grow_nothing)
{
    net t;
    net_init(&t, &small, small.n);
    result r;
    result_init(&r, &t, small.n);
    jemi_plan *plan = new_plan(&t, small.batch, small.threads, 3);
    run(&t, plan, small.n, 0, &r);
    run(&t, plan, small.n - 1, 1, &r);
    const size_t before = mallinfo2().uordblks;
    for (int64_t i = 0; i < 50; i++) {
        backend->weights_set(t.weights, t.params);
        run(&t, plan, small.n - i % 2, 0, &r);
    }
    ck_assert_uint_eq(mallinfo2().uordblks, before);
    backend->plan_destroy(plan);
    result_fini(&r);
    net_fini(&t);
}
END_TEST

START_TEST(other_precisions_are_refused)
{
    net t;
    net_init(&t, &small, 1);
    const jemi_plan_spec spec = {1, 1, 99, 0};
    jemi_plan *plan = (jemi_plan *)&spec;
    ck_assert_int_eq(backend->plan_create(&plan, t.program, &spec), JEM_EUNSUPPORTED);
    ck_assert_ptr_null(plan);
    backend->plan_destroy(NULL);
    net_fini(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onednn");
    TCase *tcase = tcase_create("onednn");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, values_are_those_of_the_reference, 0, n_cases);
    tcase_add_loop_test(tcase, bits_of_a_row_depend_on_the_row_alone, 0, n_cases);
    tcase_add_loop_test(tcase, no_step_has_a_slow_implementation, 0, n_cases);
    tcase_add_test(tcase, langevin_plan_of_a_wide_resnet_is_fused);
    tcase_add_test(tcase, new_parameters_take_effect);
    tcase_add_test(tcase, threads_share_weights);
    tcase_add_test(tcase, a_gradient_may_be_left_out);
    tcase_add_test(tcase, input_may_vanish_before_backward);
    tcase_add_loop_test(tcase, nan_goes_through, 0, 6);
    tcase_add_test(tcase, repeated_runs_grow_nothing);
    tcase_add_test(tcase, other_precisions_are_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
