/*
 * Plans of the executor against the double-precision reference, row by row of a table of networks;
 * and what no comparison of values shows: equal bits for equal rows whatever the batch, the place
 * and the thread count.
 *
 * The reference itself is proven by numeric gradients.
 */
#include <math.h>
#include <string.h>

#include "backend/ref/ref.h"
#include "conformance/cases.h"
#include "kernels/isa.h"

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
    ok(backend->planner->forward(plan, t->weights, &dropout, c->n, t->in, r->out, NULL));
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
            t.program->choosing.kernel = kernel;
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

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, values_are_those_of_the_reference, 0, N_CASES * N_PRECISIONS);
    tcase_add_loop_test(tcase, values_of_the_layers_in_the_table, 0, jemi_choice_rows);
    tcase_add_loop_test(tcase, winograd_stays_within_what_is_promised, 0, n_promised);
    tcase_add_loop_test(tcase, bits_of_a_row_depend_on_the_row_alone, 0, N_CASES * N_PRECISIONS);
    tcase_add_loop_test(tcase, bits_do_not_depend_on_threads, 0, N_CASES * N_PRECISIONS);
}

int main(int argc, char **argv)
{
    choose_backend(argc, argv);
    return support_main("executor", add_tests);
}
