/*
 * Plans of the executor against the double-precision reference, row by row of a table of networks; and what
 * no comparison of values shows: equal bits for equal rows whatever the batch, the place and the
 * thread count, and no slow implementation anywhere.
 *
 * JEM_TEST_VERBOSE=1 prints every plan. The reference itself is proven by numeric gradients.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ref/ref.h"
#include "conformance/fixture.h"
#include "kernels/isa.h"

static const int32_t precisions[] = {JEM_PRECISION_F32, JEM_PRECISION_F32_STRICT,
                                     JEM_PRECISION_BF16};

enum { N_PRECISIONS = sizeof precisions / sizeof precisions[0] };

static const net_case cases[] = {
    {"mlp-64-64", 30, 1, 1, 10, 7, 7, 2},
    {"mlp-20-33-5", 3, 5, 7, 37, 3, 2, 1},
    {"mlp-100:act=silu", 1, 1, 1, 1, 1, 1, 3},
    {"mlp-64-48:act=tanh", 32, 1, 1, 10, 7, 7, 2},
    {"mlp-1500", 1300, 1, 1, 10, 17, 16, 2}, // long sums: where inner products split
    {"cnn-32-64", 1, 28, 28, 10, 3, 3, 2},
    {"cnn-5-20-33", 3, 13, 9, 37, 7, 5, 3},
    {"cnn-1-3", 5, 7, 11, 1, 3, 1, 2},
    {"cnn-16", 20, 6, 5, 10, 1, 1, 1},
    {"cnn-20", 2, 5, 19, 10, 3, 2, 2},
    {"cnn-37-16", 4, 7, 16, 10, 2, 2, 3},
    {"cnn-16-33", 33, 4, 4, 10, 7, 7, 2},
    {"cnn-20-20", 3, 1, 1, 10, 3, 3, 2},
    {"cnn-33-20:act=softplus", 3, 9, 7, 10, 3, 2, 2}, // padded lanes that must stay zero
    {"cnn-20-33:act=silu", 20, 9, 7, 10, 3, 3, 2},
    {"cnn-20:act=elu", 1, 7, 9, 37, 7, 7, 1},
    {"cnn-33:act=tanh", 5, 8, 8, 10, 3, 3, 3},
    {"cnn-16-20:act=relu", 3, 8, 8, 10, 3, 2, 2},
    {"wrn-10-1", 1, 28, 28, 10, 3, 3, 2},
    {"wrn-10-1", 3, 9, 7, 1, 7, 4, 1},
    {"wrn-10-2", 5, 16, 12, 37, 1, 1, 3},
    {"wrn-16-1", 3, 16, 16, 10, 3, 3, 2},
    {"wrn-10-1:act=silu", 1, 11, 11, 10, 3, 2, 2},
    {"wrn-10-1:act=softplus", 3, 8, 8, 10, 3, 3, 2},
    {"wrn-10-1:act=elu", 33, 8, 8, 10, 3, 3, 2},
    {"wrn-10-1:act=tanh", 20, 5, 5, 10, 3, 3, 1},
    {"wrn-10-1:act=relu", 3, 8, 8, 10, 3, 3, 2},
    {"made:residual-input", 16, 1, 1, 0, 3, 3, 2}, // one pixel: no layout to convert to
    {"made:double-add", 20, 5, 5, 0, 3, 3, 2},
    {"made:shared-gradient", 16, 5, 5, 0, 3, 3, 2},
    {"made:big-kernel", 3, 17, 14, 0, 2, 2, 2},
    {"made:wide-stem", 3, 4, 21, 0, 3, 3, 2},
    {"made:act-first", 5, 4, 4, 0, 3, 3, 2},
    {"made:late-reader", 16, 6, 6, 0, 3, 2, 2},
    {"made:negative-slope", 7, 6, 6, 0, 3, 3, 2},
    {"made:three-readers", 16, 6, 6, 0, 3, 3, 2},
    {"mlp-64-20:norm=layer", 30, 1, 1, 10, 7, 6, 2},
    {"mlp-40:norm=group5,act=tanh", 30, 1, 1, 10, 7, 7, 3},
    {"mlp-33:norm=batch,dropout=0.3", 30, 1, 1, 10, 7, 5, 2},
    {"cnn-16-33:norm=layer", 3, 8, 8, 10, 3, 2, 2},
    {"cnn-20-40:norm=group4,act=silu", 3, 9, 7, 10, 3, 3, 2}, // groups across blocks of channels
    {"cnn-20-33:norm=instance", 1, 9, 8, 10, 3, 3, 1},
    {"cnn-20-33:norm=batch,act=elu,dropout=0.2", 3, 9, 7, 10, 3, 2, 3},
    {"wrn-10-1:norm=group8", 3, 9, 7, 10, 3, 2, 2},
    {"wrn-10-1:norm=batch", 3, 9, 7, 10, 3, 2, 2},
    {"made:norm-first", 5, 4, 4, 0, 3, 3, 2},
    {"made:norm-of-norm", 3, 6, 5, 0, 3, 2, 2},
    {"made:dropped-twice", 3, 6, 5, 0, 3, 2, 2},
};

typedef struct mode_case {
    net_case net;
    jemi_mode mode;
} mode_case;

// Modes other than JEMI_MODE_EVAL. Where rows share statistics the plan has their number.
static const mode_case mode_cases[] = {
    {{"mlp-33-20:norm=batch", 30, 1, 1, 10, 11, 11, 2}, JEMI_MODE_CHAIN},
    {{"mlp-33-20:norm=batch,dropout=0.3", 30, 1, 1, 10, 17, 17, 2}, JEMI_MODE_TRAIN},
    {{"mlp-33-20:dropout=0.5", 30, 1, 1, 10, 7, 5, 2}, JEMI_MODE_TRAIN},
    {{"cnn-20-33:norm=batch", 3, 9, 7, 10, 5, 5, 3}, JEMI_MODE_CHAIN},
    {{"cnn-20-33:norm=batch,act=silu,dropout=0.2", 3, 9, 7, 10, 5, 5, 2}, JEMI_MODE_TRAIN},
    {{"cnn-20-33:dropout=0.4", 3, 13, 9, 10, 5, 3, 2}, JEMI_MODE_TRAIN},
    {{"wrn-10-1:norm=batch", 3, 9, 7, 10, 5, 5, 2}, JEMI_MODE_CHAIN},
    {{"wrn-10-1:norm=instance,dropout=0.3", 1, 11, 11, 10, 3, 2, 1}, JEMI_MODE_TRAIN},
    {{"wrn-10-1:norm=batch,dropout=0.3,act=silu", 3, 8, 8, 10, 4, 4, 2}, JEMI_MODE_TRAIN},
    {{"made:norm-first", 5, 4, 4, 0, 3, 3, 2}, JEMI_MODE_TRAIN},
    {{"made:norm-of-norm", 3, 6, 5, 0, 3, 3, 2}, JEMI_MODE_TRAIN},
    {{"made:dropped-twice", 3, 6, 5, 0, 3, 2, 2}, JEMI_MODE_TRAIN},
};

enum {
    N_EVAL_CASES = sizeof cases / sizeof cases[0],
    N_CASES = N_EVAL_CASES + sizeof mode_cases / sizeof mode_cases[0],
};

static mode_case case_at(int i)
{
    return i < N_EVAL_CASES ? (mode_case){cases[i], JEMI_MODE_EVAL} : mode_cases[i - N_EVAL_CASES];
}

// ---- steps -------------------------------------------------------------------------------------

typedef struct needle {
    const char *text;
    int32_t direction; // JEM_STEP_*, 0 = any
    int32_t expected, found;
} needle;

static void count_needles(void *user, const jem_step_info *step)
{
    for (needle *each = user; each->text != NULL; each++)
        each->found += strstr(step->text, each->text) != NULL &&
                       (each->direction == 0 || each->direction == step->direction);
}

// Fails unless each text is in as many steps of the Langevin plan as expected.
static void check_needles(const net_case *c, int32_t precision, needle *needles)
{
    net t;
    net_init(&t, c, 1);
    t.precision = precision;
    jemi_plan *plan = new_plan(&t, c->batch, c->threads, JEMI_WANT_DINPUT);
    backend->planner->describe(plan, count_needles, needles);
    for (const needle *each = needles; each->text != NULL; each++)
        ck_assert_msg(each->found == each->expected, "%d lines with \"%s\", expected %d",
                      (int)each->found, each->text, (int)each->expected);
    backend->planner->destroy(plan);
    net_fini(&t);
}

// Is this a precision of its own, or does it choose the kernels of another one here?
static bool differs(const net *t)
{
    needle needles[] = {{"bf16", 0, 0, 0}, {NULL, 0, 0, 0}};
    if (t->precision != JEM_PRECISION_BF16)
        return true;
    jemi_plan *plan = new_plan(t, 1, 1, JEMI_WANT_DINPUT);
    backend->planner->describe(plan, count_needles, needles);
    backend->planner->destroy(plan);
    return needles[0].found > 0;
}

// ---- values ------------------------------------------------------------------------------------

static bool has_kinks(const char *arch)
{
    return strstr(arch, ":act=") == NULL || strstr(arch, ":act=relu") != NULL;
}

// Relative to the largest element.
//
// F32: sums here have up to 3000 terms; their rounding errors grow like sqrt(3000) * 2^-24 = 3e-6
// at worst, and the networks are at most ten layers deep.
//
// BF16: a rounded factor is off by up to 2^-8, so a product by up to 2^-7, and sums average that.
// But a unit that this takes over a kink has another slope from there on, which no size of error
// bounds: so gradients are tested closely where activations are smooth. With a norm in between they
// are not bounded at all: it divides by a deviation that may be as small as the error.
static double tolerance_of(const char *arch, int32_t precision, bool gradient)
{
    if (precision != JEM_PRECISION_BF16)
        return 1e-5;
    if (!gradient || !has_kinks(arch))
        return 0x1p-7;
    return strstr(arch, "norm=") == NULL ? 0x1p-3 : INFINITY;
}

static double *to_double(const float *from, int64_t count)
{
    double *to = jemi_alloc((size_t)count, sizeof *to);
    for (int64_t i = 0; i < count; i++)
        to[i] = (double)from[i];
    return to;
}

static void near(const char *name, const char *what, uint32_t wants, const float *got,
                 const double *expected, int64_t count, double tolerance)
{
    double largest = 0.0;
    double error = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - expected[i]);
        error = e <= error ? error : e; // NaN wins
        largest = fmax(largest, fabs(expected[i]));
    }
    ck_assert_msg(largest > 0.0 && error <= tolerance * largest,
                  "%s, wants %u: %s is off by %g of %g", name, wants, what, error, largest);
}

// Whether its rows share statistics.
static bool mixes_rows(const net *t)
{
    return t->mode != JEMI_MODE_EVAL && jemi_graph_has(&t->graph, JEMI_NODE_BATCHNORM);
}

typedef struct tolerances {
    double out, gradient;
} tolerances;

typedef struct reference {
    double *out, *din, *dparams, *state;
} reference;

static void reference_init(reference *r, const net *t, int64_t n)
{
    double *params = to_double(t->params, jemi_graph_size(&t->graph));
    double *in = to_double(t->in, n * t->in_size);
    double *dout = to_double(t->dout, n * t->out_size);
    r->out = jemi_alloc((size_t)(n * t->out_size), sizeof *r->out);
    r->din = jemi_alloc((size_t)(n * t->in_size), sizeof *r->din);
    r->dparams = jemi_alloc((size_t)t->graph.param_count, sizeof *r->dparams);
    r->state = jemi_alloc((size_t)t->graph.state_count + 1, sizeof *r->state);
    const jemi_dropout masks = masks_from(0);
    ok(jemi_ref_run_mode_f64(&t->graph, t->mode, &masks, params, n, in, r->out, dout, r->din,
                             r->dparams, mixes_rows(t) ? r->state : NULL));
    jemi_free(params);
    jemi_free(in);
    jemi_free(dout);
}

static void reference_fini(reference *r)
{
    jemi_free(r->out);
    jemi_free(r->din);
    jemi_free(r->dparams);
    jemi_free(r->state);
}

// After a forward pass of their own: a backward pass uses the workspace up.
static void check_statistics(const net_case *c, const net *t, jemi_plan *plan, result *r,
                             const double *expected, double tolerance)
{
    if (!mixes_rows(t))
        return;
    float *state = jemi_alloc((size_t)t->graph.state_count, sizeof *state);
    const jemi_dropout dropout = masks_from(0);
    ok(backend->planner->forward(plan, t->weights, &dropout, c->n, t->in, r->out));
    backend->planner->statistics(plan, c->n, state);
    near(c->name, "statistics", plan->spec.wants, state, expected, t->graph.state_count, tolerance);
    jemi_free(state);
}

static void check_plan(const net_case *c, const net *t, const reference *expected, uint32_t wants,
                       tolerances most)
{
    result r;
    result_init(&r, t, c->n);
    jemi_plan *plan = new_plan(t, c->batch, c->threads, wants);
    run(t, plan, c->n, 0, &r);
    run(t, plan, c->n, 0, &r); // the workspace is dirty now
    near(c->name, "out", wants, r.out, expected->out, c->n * t->out_size, most.out);
    if ((wants & JEMI_WANT_DINPUT) != 0)
        near(c->name, "din", wants, r.din, expected->din, c->n * t->in_size, most.gradient);
    if ((wants & JEMI_WANT_DPARAMS) != 0)
        near(c->name, "dparams", wants, r.dparams, expected->dparams, t->graph.param_count,
             most.gradient);
    check_statistics(c, t, plan, &r, expected->state, most.out);
    backend->planner->destroy(plan);
    result_fini(&r);
}

static void check_values(const net_case *c, jemi_mode mode, int32_t precision)
{
    const tolerances most = {tolerance_of(c->name, precision, false),
                             tolerance_of(c->name, precision, true)};
    if (!computes(c))
        return;
    net t;
    net_init(&t, c, c->n);
    t.precision = precision;
    t.mode = mode;
    if (differs(&t)) {
        reference expected;
        reference_init(&expected, &t, c->n);
        for (uint32_t wants = 0; wants <= 3; wants++)
            check_plan(c, &t, &expected, wants, most);
        // Strictly there is one only.
        const bool strict = precision == JEM_PRECISION_F32_STRICT;
        for (jemi_kernel kernel = JEMI_KERNEL_ONEDNN; !strict && kernel < JEMI_KERNELS; kernel++) {
            if (kernel == JEMI_KERNEL_DIRECT_BF16) // in every layer it errs more than is promised
                continue;
            t.program->kernel = kernel;
            check_plan(c, &t, &expected, 3, most);
        }
        reference_fini(&expected);
    }
    net_fini(&t);
}

START_TEST(values_are_those_of_the_reference)
{
    const mode_case c = case_at(_i / N_PRECISIONS);
    check_values(&c.net, c.mode, precisions[_i % N_PRECISIONS]);
}
END_TEST

// What jem.h promises of JEM_PRECISION_F32, for the networks and images that Winograd is for. Among
// their million units some lie within a rounding error of the kink: there gradients promise nothing.
static const net_case promised[] = {
    {"wrn-10-2", 3, 32, 32, 10, 2, 2, 2},
    {"wrn-10-2:act=silu", 3, 32, 32, 10, 2, 2, 2},
    {"wrn-16-4", 3, 32, 32, 10, 1, 1, 2},
    {"wrn-16-4:act=silu", 3, 32, 32, 10, 1, 1, 2},
};

static const int n_promised = sizeof promised / sizeof promised[0];

START_TEST(values_of_the_layers_in_the_table)
{
    char name[ROW_NAME];
    const net_case c = row_case(&jemi_choice_table[_i], name);
    check_values(&c, JEMI_MODE_EVAL, jemi_choice_table[_i].precision);
}
END_TEST

START_TEST(winograd_stays_within_what_is_promised)
{
    const net_case *c = &promised[_i];
    const tolerances most = {1e-4, has_kinks(c->name) ? (double)INFINITY : 1e-4};
    net t;
    net_init(&t, c, c->n);
    reference expected;
    reference_init(&expected, &t, c->n);
    check_plan(c, &t, &expected, JEMI_WANT_DINPUT | JEMI_WANT_DPARAMS, most);
    reference_fini(&expected);
    net_fini(&t);
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
    backend->planner->destroy(plan);
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
    backend->planner->destroy(plan);
    result_fini(&r);
}

START_TEST(bits_of_a_row_depend_on_the_row_alone)
{
    if (!__builtin_cpu_supports("avx2"))
        return; // oneDNN falls back to general matrix products, which promise nothing
    static const int64_t batches[] = {1, 3, 16, 17};
    const mode_case at = case_at(_i / N_PRECISIONS);
    const net_case *c = &at.net;
    if (!computes(c))
        return;
    net t;
    net_init(&t, c, BIT_ROWS);
    t.precision = precisions[_i % N_PRECISIONS];
    t.mode = at.mode;
    if (mixes_rows(&t)) {
        net_fini(&t);
        return;
    }
    result all;
    result_init(&all, &t, BIT_ROWS);
    rows_one_by_one(&t, &all);
    for (int b = 0; b < 4 && differs(&t); b++)
        for (int32_t threads = 1; threads <= (batches[b] == BIT_ROWS ? 3 : 2); threads++)
            for (uint32_t wants = 0; wants <= 3; wants += 1 + wants) // none, din, both
                check_bits(c, &t, &all,
                           &(jemi_plan_spec){.batch = batches[b],
                                             .threads = threads,
                                             .precision = t.precision,
                                             .wants = wants});
    result_fini(&all);
    net_fini(&t);
}
END_TEST

// Where rows share statistics, the thread count must not matter.
START_TEST(bits_do_not_depend_on_threads)
{
    const mode_case at = case_at(_i / N_PRECISIONS);
    const net_case *c = &at.net;
    if (!computes(c))
        return;
    net t;
    net_init(&t, c, c->n);
    t.precision = precisions[_i % N_PRECISIONS];
    t.mode = at.mode;
    result one, more;
    result_init(&one, &t, c->n);
    result_init(&more, &t, c->n);
    for (int32_t threads = 1; threads <= 3 && mixes_rows(&t); threads++) {
        result *r = threads == 1 ? &one : &more;
        jemi_plan *plan = new_plan(&t, c->batch, threads, JEMI_WANT_DINPUT);
        run(&t, plan, c->n, 0, r);
        backend->planner->destroy(plan);
        ck_assert_mem_eq(r->out, one.out, (size_t)(c->n * t.out_size) * sizeof(float));
        ck_assert_mem_eq(r->din, one.din, (size_t)(c->n * t.in_size) * sizeof(float));
    }
    result_fini(&one);
    result_fini(&more);
    net_fini(&t);
}
END_TEST

// ---- implementations ---------------------------------------------------------------------------

static void print_line(void *user, const jem_step_info *step)
{
    fprintf(stderr, "  [%s] %s\n", (const char *)user, step->text);
}

typedef struct census {
    int lines, slow;
    char first[256];
} census;

static void count_line(void *user, const jem_step_info *step)
{
    census *found = user;
    found->lines++;
    if (strstr(step->text, ": ref") == NULL && strstr(step->text, ": simple") == NULL)
        return;
    if (found->slow++ == 0)
        snprintf(found->first, sizeof found->first, "%s", step->text);
}

static void check_speed(const net_case *c, jemi_mode mode, int32_t precision)
{
    if (!computes(c))
        return;
    net t;
    net_init(&t, c, 1);
    t.precision = precision;
    t.mode = mode;
    for (uint32_t wants = 0; wants <= 3; wants++) {
        census found = {0};
        jemi_plan *plan = new_plan(&t, c->batch, c->threads, wants);
        if (getenv("JEM_TEST_VERBOSE") != NULL)
            backend->planner->describe(plan, print_line, (void *)c->name);
        backend->planner->describe(plan, count_line, &found);
        ck_assert_msg(found.slow == 0 || !__builtin_cpu_supports("avx2"), "%s, wants %u: %s",
                      c->name, wants, found.first);
        ck_assert_int_ge(found.lines, 3);
        ck_assert_uint_gt(backend->planner->bytes(plan), 0);
        backend->planner->destroy(plan);
    }
    net_fini(&t);
}

START_TEST(no_step_has_a_slow_implementation)
{
    const mode_case c = case_at(_i / N_PRECISIONS);
    check_speed(&c.net, c.mode, precisions[_i % N_PRECISIONS]);
}
END_TEST

// Networks and batches as in use; too slow for the reference, so only their plans are looked at.
static const net_case used[] = {
    {"wrn-10-1", 1, 28, 28, 10, 64, 0, 2},
    {"wrn-16-4", 3, 32, 32, 10, 64, 0, 2},
    {"cnn-16-32-64", 1, 28, 28, 10, 64, 0, 2},
    {"mlp-512-512", 1, 28, 28, 10, 64, 0, 2},
};

static const int n_used = sizeof used / sizeof used[0];

START_TEST(no_step_of_a_network_in_use_is_slow)
{
    check_speed(&used[_i / N_PRECISIONS], JEMI_MODE_EVAL, precisions[_i % N_PRECISIONS]);
}
END_TEST

// What makes the Langevin step fast must not get lost unnoticed.
START_TEST(langevin_plan_of_a_wide_resnet_is_fused)
{
    const bool native = backend->id == JEM_BACKEND_NATIVE; // takes them along
    needle needles[] = {
        // at the heads of the blocks, where x is needed too
        {" activation: ", JEM_STEP_FORWARD, 3, 0},
        // the residual sums in them
        {" activation: ", JEM_STEP_TRANSPOSED, native ? 0 : 6, 0},
        {" + sum * act'", 0, 3, 0},
        {" sum: 2x", 0, 0, 0},                  // no pass only to add
        {" to layout: ", 0, native ? 1 : 0, 0}, // the gradient of ten logits
        {" to canonical: ", 0, 0, 0},
        {" average pooling: ", JEM_STEP_TRANSPOSED, 1, 0},
        {"", JEM_STEP_WEIGHTS, 0, 0},
        {NULL, 0, 0, 0},
    };
    const net_case c = {"wrn-10-2", 3, 32, 32, 10, 2, 2, 1};
    check_needles(&c, JEM_PRECISION_F32_STRICT, needles);
}
END_TEST

// And with our own kernels, which leave no pass over memory between them but the head of a block.
START_TEST(langevin_plan_of_a_wide_resnet_uses_own_kernels)
{
    if (!jemi_kernels_available())
        return;
    needle needles[] = {
        {"own Winograd", 0, 12, 0}, // all but the first and the shortcuts, each way
        {"own direct", 0, 8, 0},    // three shortcuts, the head, each way
        {"jit", 0, 0, 0},           //
        {" activation: ", JEM_STEP_FORWARD, 3, 0},
        {" activation: ", JEM_STEP_TRANSPOSED, 0, 0},
        {", keeps signs", 0, 7, 0}, // of every activation
        {" to layout: ", 0, 1, 0},  // the gradient of ten logits
        {" to canonical: ", 0, 0, 0},
        {NULL, 0, 0, 0},
    };
    const net_case c = {"wrn-10-2", 3, 32, 32, 10, 2, 2, 1};
    check_needles(&c, JEM_PRECISION_F32, needles);
}
END_TEST

static size_t langevin_bytes(const char *arch)
{
    const net_case c = {arch, 3, 32, 32, 10, 8, 8, 1};
    net t;
    net_init(&t, &c, 1);
    jemi_plan *plan = new_plan(&t, c.batch, c.threads, JEMI_WANT_DINPUT);
    const size_t bytes = backend->planner->bytes(plan);
    backend->planner->destroy(plan);
    net_fini(&t);
    return bytes;
}

START_TEST(langevin_plan_that_keeps_signs_is_small)
{
    if (!jemi_kernels_available())
        return;
    const size_t signs = langevin_bytes("wrn-16-2"), values = langevin_bytes("wrn-16-2:act=elu");
    ck_assert_msg(2 * signs < values, "%zu bytes, with values %zu", signs, values);
}
END_TEST

START_TEST(langevin_plan_in_bf16)
{
    if (!jemi_bf16_available())
        return;
    needle needles[] = {
        {"own direct, bf16", 0, 6, 0}, // two convolutions of stride 2 and the head, each way
        {" to bf16: ", 0, 6, 0},
        {"own Winograd", 0, 8, 0},
        {NULL, 0, 0, 0},
    };
    check_needles(&(net_case){"wrn-10-2", 3, 32, 32, 10, 2, 2, 1}, JEM_PRECISION_BF16, needles);
}
END_TEST

int main(int argc, char **argv)
{
    choose_backend(argc, argv);
    Suite *suite = suite_create("executor");
    TCase *tcase = tcase_create("executor");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, values_are_those_of_the_reference, 0, N_CASES * N_PRECISIONS);
    tcase_add_loop_test(tcase, values_of_the_layers_in_the_table, 0, jemi_choice_rows);
    tcase_add_loop_test(tcase, winograd_stays_within_what_is_promised, 0, n_promised);
    tcase_add_loop_test(tcase, bits_of_a_row_depend_on_the_row_alone, 0, N_CASES * N_PRECISIONS);
    tcase_add_loop_test(tcase, bits_do_not_depend_on_threads, 0, N_CASES * N_PRECISIONS);
    tcase_add_loop_test(tcase, no_step_has_a_slow_implementation, 0, N_CASES * N_PRECISIONS);
    tcase_add_loop_test(tcase, no_step_of_a_network_in_use_is_slow, 0, n_used * N_PRECISIONS);
    tcase_add_test(tcase, langevin_plan_of_a_wide_resnet_is_fused);
    tcase_add_test(tcase, langevin_plan_of_a_wide_resnet_uses_own_kernels);
    tcase_add_test(tcase, langevin_plan_that_keeps_signs_is_small);
    tcase_add_test(tcase, langevin_plan_in_bf16);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
