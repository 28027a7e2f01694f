/*
 * The contract of backend.h beyond values, held by the backends of the executor: weights that change and are
 * shared, gradients left out, NaN that stays visible, failures that leave nothing behind, and no
 * growth of memory once a plan has run.
 */
#include <check.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/fixture.h"
#include "kernels/isa.h"

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
    backend->planner->destroy(plan);
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
    backend->planner->destroy(plan);
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
    backend->planner->destroy(plan);
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
    ok(backend->planner->forward(plan, t.weights, NULL, small.n, t.in, one.out, NULL));
    ok(backend->planner->backward(plan, t.weights, small.n, t.dout, one.din, NULL));
    ok(backend->planner->forward(plan, t.weights, NULL, small.n, t.in, one.out, NULL));
    ok(backend->planner->backward(plan, t.weights, small.n, t.dout, NULL, one.dparams));
    ck_assert_mem_eq(one.din, both.din, (size_t)(small.n * t.in_size) * sizeof(float));
    ck_assert_mem_eq(one.dparams, both.dparams, (size_t)t.graph.param_count * sizeof(float));
    backend->planner->destroy(plan);
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
    ok(backend->planner->forward(plan, t.weights, NULL, small.n, in, got.out, NULL));
    memset(in, 0xff, (size_t)(small.n * t.in_size) * sizeof *in);
    jemi_free(in);
    ok(backend->planner->backward(plan, t.weights, small.n, t.dout, got.din, got.dparams));
    ck_assert_mem_eq(got.dparams, expected.dparams, (size_t)t.graph.param_count * sizeof(float));
    ck_assert_mem_eq(got.din, expected.din, (size_t)(small.n * t.in_size) * sizeof(float));
    backend->planner->destroy(plan);
    result_fini(&expected);
    result_fini(&got);
    net_fini(&t);
}
END_TEST

static const char *const options[] = {
    "act=lrelu",    "act=relu", "act=silu",   "act=elu",
    "act=softplus", "act=tanh", "norm=batch", "norm=group8",
};

// A divergence must stay visible: NaN goes through activations and norms, forward and back.
START_TEST(nan_goes_through)
{
    char arch[64];
    snprintf(arch, sizeof arch, "wrn-10-1:%s", options[_i]);
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
    backend->planner->destroy(plan);
    result_fini(&r);
    net_fini(&t);
}
END_TEST

static bool runs_grow_memory(const net *t, jemi_plan *plan, result *r)
{
    const size_t before = mallinfo2().uordblks;
    for (int64_t i = 0; i < 50; i++) {
        backend->weights_set(t->weights, t->params);
        run(t, plan, small.n - i % 2, 0, r);
    }
    return mallinfo2().uordblks > before;
}

// malloc counts what its threads' caches hold as used, so one round may seem to grow (oneDNN
// allocates and frees in every call); a leak grows in all of them.
START_TEST(repeated_runs_grow_nothing)
{
    enum { ROUNDS = 4 };
    net t;
    net_init(&t, &small, small.n);
    result r;
    result_init(&r, &t, small.n);
    jemi_plan *plan = new_plan(&t, small.batch, small.threads, 3);
    run(&t, plan, small.n, 0, &r);
    int grown = 0;
    for (int i = 0; i < ROUNDS; i++)
        grown += runs_grow_memory(&t, plan, &r);
    ck_assert_int_lt(grown, ROUNDS);
    backend->planner->destroy(plan);
    result_fini(&r);
    net_fini(&t);
}
END_TEST

// An allocator that fails once, at its `left`-th call.
static void *failing_allocate(void *user, size_t alignment, size_t size)
{
    int *left = user;
    return (*left)-- == 0 ? NULL : aligned_alloc(alignment, size);
}

static void failing_release(void *user, void *block)
{
    (void)user;
    free(block);
}

static jem_status build_and_run(const net_case *c, jemi_mode mode)
{
    enum { FLOATS = 4096 };
    static float in[FLOATS], out[FLOATS], din[FLOATS], params[32 * FLOATS], dparams[32 * FLOATS];
    jemi_graph graph = {0};
    jemi_program *program = NULL;
    jemi_weights *weights = NULL;
    jemi_plan *plan = NULL;
    const jemi_plan_spec spec = {.batch = c->batch,
                                 .threads = c->threads,
                                 .precision = JEM_PRECISION_F32,
                                 .wants = 3,
                                 .mode = mode};
    const jemi_dropout dropout = masks_from(0);
    jem_status status =
        jemi_graph_init(&graph, c->name, (jemi_shape){c->c, c->h, c->w}, c->classes);
    ck_assert_int_le(graph.param_count, 32 * FLOATS);
    if (status == JEM_OK)
        status = backend->program_create(&program, &graph);
    if (status == JEM_OK)
        status = backend->weights_create(&weights, program);
    if (status == JEM_OK) {
        backend->weights_set(weights, params);
        support_threads(c->threads);
        status = backend->planner->create(&plan, program, &spec);
    }
    if (status == JEM_OK)
        status = backend->planner->forward(plan, weights, &dropout, c->n, in, out, NULL);
    if (status == JEM_OK)
        status = backend->planner->backward(plan, weights, c->n, out, din, dparams);
    backend->planner->destroy(plan);
    backend->weights_destroy(weights);
    backend->program_destroy(program);
    jemi_graph_fini(&graph);
    return status;
}

// Of our own kernels, for all nets; oneDNN splits its sums by thread.
START_TEST(parameter_gradients_do_not_depend_on_threads)
{
    if (!jemi_kernels_available())
        return;
    static const net_case nets[] = {
        {"wrn-10-1", 3, 17, 14, 10, 9, 9, 1},
        {"cnn-16-20", 1, 15, 13, 10, 9, 9, 1},
        {"mlp-40-33", 50, 1, 1, 7, 9, 9, 1},
        {"cnn-16-20:norm=batch", 1, 15, 13, 10, 9, 9, 1},
        {"cnn-16-20:norm=group4", 3, 15, 13, 10, 9, 9, 1},
    };
    const net_case *c = &nets[_i];
    net t;
    net_init(&t, c, c->n);
    t.mode = JEMI_MODE_TRAIN;
    result one, more;
    result_init(&one, &t, c->n);
    result_init(&more, &t, c->n);
    for (int32_t threads = 1; threads <= 4; threads++) {
        jemi_plan *plan = new_plan(&t, c->batch, threads, JEMI_WANT_DPARAMS);
        run(&t, plan, c->n, 0, threads == 1 ? &one : &more);
        backend->planner->destroy(plan);
        if (threads > 1)
            ck_assert_mem_eq(one.dparams, more.dparams,
                             (size_t)t.graph.param_count * sizeof *one.dparams);
    }
    result_fini(&one);
    result_fini(&more);
    net_fini(&t);
}
END_TEST

START_TEST(failed_allocations_leave_nothing_behind)
{
    static const net_case nets[] = {
        {"wrn-10-1:act=silu", 3, 7, 5, 3, 2, 1, 1},
        {"cnn-20:norm=batch,dropout=0.2", 3, 7, 5, 3, 2, 2, 1},
        {"cnn-20:norm=batch,dropout=0.2", 3, 7, 5, 3, 2, 2, 1},
    };
    static const jemi_mode modes[] = {JEMI_MODE_EVAL, JEMI_MODE_CHAIN, JEMI_MODE_TRAIN};
    int failures = 0;
    for (jem_status status = JEM_ENOMEM; status != JEM_OK; failures++) {
        int left = failures;
        const jem_allocator allocator = {failing_allocate, failing_release, &left};
        ck_assert(jemi_memory_set_allocator(&allocator));
        status = build_and_run(&nets[_i], modes[_i]);
        ck_assert(jemi_memory_set_allocator(NULL)); // refused while a block lives
        ck_assert_msg(status == JEM_OK || status == JEM_ENOMEM, "allocation %d: status %d",
                      failures, (int)status);
        ck_assert_int_lt(failures, 1000);
    }
    ck_assert_int_gt(failures, 20);
}
END_TEST

START_TEST(other_precisions_are_refused)
{
    net t;
    net_init(&t, &small, 1);
    const jemi_plan_spec spec = {.batch = 1, .threads = 1, .precision = 99};
    jemi_plan *plan = (jemi_plan *)&spec;
    ck_assert_int_eq(backend->planner->create(&plan, t.program, &spec), JEM_EUNSUPPORTED);
    ck_assert_ptr_null(plan);
    backend->planner->destroy(NULL);
    net_fini(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, new_parameters_take_effect);
    tcase_add_test(tcase, threads_share_weights);
    tcase_add_test(tcase, a_gradient_may_be_left_out);
    tcase_add_test(tcase, input_may_vanish_before_backward);
    tcase_add_loop_test(tcase, nan_goes_through, 0, sizeof options / sizeof options[0]);
    tcase_add_test(tcase, repeated_runs_grow_nothing);
    tcase_add_loop_test(tcase, parameter_gradients_do_not_depend_on_threads, 0, 5);
    tcase_add_loop_test(tcase, failed_allocations_leave_nothing_behind, 0, 3);
    tcase_add_test(tcase, other_precisions_are_refused);
}

int main(int argc, char **argv)
{
    choose_backend(argc, argv);
    return support_main("executor_contract", add_tests);
}
