/*
 * The kernels of normalisation and dropout against the reference backend: every kind, on every
 * layout, forward and back; padded lanes, rows that must not see each other, thread counts, NaN.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ref/ref.h"
#include "kernels/dropout.h"
#include "kernels/norm.h"
#include "support.h"

typedef struct norm_case {
    const char *name;
    jemi_norm_over over;
    int64_t n, c, h, w, block, groups;
} norm_case;

static const norm_case cases[] = {
    {"batch, blocked with a rest", JEMI_OVER_BATCH, 5, 20, 7, 3, 16, 0},
    {"batch, blocked", JEMI_OVER_BATCH, 9, 32, 16, 16, 16, 0}, // long enough for threads
    {"batch, canonical", JEMI_OVER_BATCH, 4, 3, 5, 5, 1, 0},
    {"batch, nhwc", JEMI_OVER_BATCH, 3, 21, 4, 5, 21, 0},
    {"batch, features", JEMI_OVER_BATCH, 6, 19, 1, 1, 19, 0},
    {"running, blocked with a rest", JEMI_OVER_NONE, 5, 20, 7, 3, 16, 0},
    {"running, blocked", JEMI_OVER_NONE, 9, 32, 16, 16, 16, 0},
    {"groups, blocked with a rest", JEMI_OVER_GROUPS, 3, 20, 7, 3, 16, 5},
    {"groups across blocks", JEMI_OVER_GROUPS, 9, 48, 16, 16, 16, 2},
    {"layer", JEMI_OVER_GROUPS, 3, 40, 4, 4, 16, 1},
    {"instance", JEMI_OVER_GROUPS, 3, 18, 4, 6, 16, 18},
    {"groups, canonical", JEMI_OVER_GROUPS, 3, 6, 4, 6, 1, 3},
    {"groups, features", JEMI_OVER_GROUPS, 4, 24, 1, 1, 24, 8},
};

// Everything in canonical order, (n, C, H, W).
typedef struct problem {
    const norm_case *c;
    jemi_norm_pass pass;
    int64_t size, row, blocked; /* floats: canonical, of one row, in the layout */
    float *src, *diff, *weight, *bias, *mean, *var;
} problem;

typedef struct result {
    float *dst, *diff_src, *dweight, *dbias;
} result;

static float *floats(int64_t count)
{
    float *values = calloc((size_t)count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

static problem make_problem(const norm_case *c)
{
    problem p = {.c = c,
                 .pass = {.layout = {c->n, c->c, c->h, c->w, c->block},
                          .over = c->over,
                          .groups = c->groups,
                          .eps = JEMI_NORM_EPS}};
    p.row = c->c * c->h * c->w;
    p.size = c->n * p.row;
    p.blocked = jemi_layout_size(&p.pass.layout);
    p.src = support_uniform(p.size, 1);
    for (int64_t i = 0; i < p.size; i++)
        p.src[i] = 2.0f * p.src[i] + 3.0f; // a mean that is larger than the deviation
    p.diff = support_uniform(p.size, 2);
    p.weight = support_uniform(c->c, 3);
    p.bias = support_uniform(c->c, 4);
    const int64_t n_statistics = jemi_norm_statistics(&p.pass);
    p.mean = support_uniform(n_statistics, 5);
    p.var = support_uniform(n_statistics, 6);
    for (int64_t i = 0; i < n_statistics; i++)
        p.var[i] += 1.5f;
    return p;
}

static void free_problem(problem *p)
{
    float *const all[] = {p->src, p->diff, p->weight, p->bias, p->mean, p->var};
    for (int i = 0; i < COUNT(all); i++)
        free(all[i]);
}

static void free_result(result *r)
{
    free(r->dst);
    free(r->diff_src);
    free(r->dweight);
    free(r->dbias);
}

static void check_padding(const problem *p, const float *data)
{
    const jemi_layout *layout = &p->pass.layout;
    const int64_t pixels = layout->h * layout->w, blocks = jemi_layout_blocks(layout);
    for (int64_t i = 0; i < p->blocked; i++) {
        const int64_t block = i / (pixels * layout->block) % blocks;
        if (block * layout->block + i % layout->block >= layout->c)
            ck_assert_msg(data[i] == 0.0f, "%s: padding", p->c->name);
    }
}

// By the kernels. The scratch memory holds NaN before, so that nothing is read unwritten.
static result run(problem *p)
{
    const norm_case *c = p->c;
    const jemi_layout *layout = &p->pass.layout;
    result r = {floats(p->size), floats(p->size), floats(c->c), floats(c->c)};
    float *src = floats(p->blocked), *dst = floats(p->blocked), *diff = floats(p->blocked);
    const size_t bytes = jemi_norm_scratch_bytes(&p->pass);
    void *scratch = malloc(bytes);
    jemi_layout_load(src, layout, p->src, c->n);
    jemi_layout_load(diff, layout, p->diff, c->n);
    memset(scratch, 0xff, bytes);
    jemi_norm_forward(&p->pass, dst, src, p->weight, p->bias, p->mean, p->var, scratch);
    check_padding(p, dst);
    jemi_layout_store(r.dst, dst, layout, c->n);
    memset(scratch, 0xff, bytes);
    jemi_norm_gradient(&p->pass, dst, diff, src, p->weight, p->mean, p->var, r.dweight, r.dbias,
                       scratch);
    check_padding(p, dst);
    jemi_layout_store(r.diff_src, dst, layout, c->n);
    // In place, and without the parameters' gradients: the same.
    memset(scratch, 0xff, bytes);
    jemi_norm_gradient(&p->pass, diff, diff, src, p->weight, p->mean, p->var, NULL, NULL, scratch);
    support_same_bits(diff, dst, (size_t)p->blocked * sizeof *diff, c->name);
    free(src);
    free(dst);
    free(diff);
    free(scratch);
    return r;
}

static double *widen(const float *values, int64_t count)
{
    double *wide = calloc((size_t)count, sizeof *wide);
    for (int64_t i = 0; i < count && values != NULL; i++)
        wide[i] = (double)values[i];
    return wide;
}

static void compare(const char *name, const char *what, int64_t count, const float *found,
                    const double *expected)
{
    double scale = 0.0;
    for (int64_t i = 0; i < count; i++)
        scale = fmax(scale, fabs(expected[i]));
    for (int64_t i = 0; i < count; i++)
        // A few float roundings; the mean of 3 deviations adds one of its own size.
        ck_assert_msg(fabs((double)found[i] - expected[i]) <= 1e-6 * scale,
                      "%s: %s[%lld] is %.9g, expected %.9g", name, what, (long long)i,
                      (double)found[i], expected[i]);
}

// By the reference backend, as a graph of one node.
START_TEST(test_against_ref)
{
    const norm_case *c = &cases[_i];
    problem p = make_problem(c);
    const jemi_shape shape = {c->c, c->h, c->w};
    const bool grouped = c->over == JEMI_OVER_GROUPS;
    jemi_node nodes[] = {
        {.kind = JEMI_NODE_INPUT, .input = {-1, -1}, .shape = shape, .weight = -1, .bias = -1},
        {.kind = grouped ? JEMI_NODE_GROUPNORM : JEMI_NODE_BATCHNORM,
         .input = {0, -1},
         .shape = shape,
         .groups = (int32_t)c->groups,
         .weight = 0,
         .bias = 1,
         .var = 1}};
    jemi_param params[] = {{.count = c->c}, {.offset = c->c, .count = c->c}};
    jemi_param states[] = {{.offset = 2 * c->c, .count = c->c},
                           {.offset = 3 * c->c, .count = c->c}};
    const jemi_graph graph = {.nodes = nodes,
                              .n_nodes = 2,
                              .params = params,
                              .n_params = 2,
                              .param_count = 2 * c->c,
                              .states = states,
                              .n_states = grouped ? 0 : 2,
                              .state_count = grouped ? 0 : 2 * c->c};
    float *flat = floats(4 * c->c);
    memcpy(flat, p.weight, (size_t)c->c * sizeof *flat);
    memcpy(flat + c->c, p.bias, (size_t)c->c * sizeof *flat);
    if (c->over == JEMI_OVER_NONE) {
        memcpy(flat + 2 * c->c, p.mean, (size_t)c->c * sizeof *flat);
        memcpy(flat + 3 * c->c, p.var, (size_t)c->c * sizeof *flat);
    }
    double *values = widen(flat, 4 * c->c), *in = widen(p.src, p.size),
           *dout = widen(p.diff, p.size);
    double *out = widen(NULL, p.size), *din = widen(NULL, p.size), *dparams = widen(NULL, 2 * c->c);
    double *state = widen(NULL, 2 * c->c);
    MUST(jemi_ref_run_mode_f64(&graph, c->over == JEMI_OVER_NONE ? JEMI_MODE_EVAL : JEMI_MODE_CHAIN,
                               NULL, values, c->n, in, out, dout, din, dparams,
                               c->over == JEMI_OVER_BATCH ? state : NULL));
    result r = run(&p);
    compare(c->name, "dst", p.size, r.dst, out);
    compare(c->name, "diff_src", p.size, r.diff_src, din);
    compare(c->name, "dweight", c->c, r.dweight, dparams);
    compare(c->name, "dbias", c->c, r.dbias, dparams + c->c);
    if (c->over == JEMI_OVER_BATCH) {
        const double count = (double)(c->n * c->h * c->w);
        for (int64_t i = 0; i < c->c; i++)
            state[c->c + i] *= (count - 1.0) / count;
        compare(c->name, "mean", c->c, p.mean, state);
        compare(c->name, "var", c->c, p.var, state + c->c);
    }
    double *const all[] = {values, in, dout, out, din, dparams, state};
    for (int i = 0; i < COUNT(all); i++)
        free(all[i]);
    free(flat);
    free_result(&r);
    free_problem(&p);
}
END_TEST

START_TEST(test_threads_change_no_bit)
{
    problem p = make_problem(&cases[_i]);
    support_threads(1);
    result one = run(&p);
    support_threads(3);
    result three = run(&p);
    const size_t bytes = (size_t)p.size * sizeof(float), few = (size_t)p.c->c * sizeof(float);
    support_same_bits(one.dst, three.dst, bytes, "dst");
    support_same_bits(one.diff_src, three.diff_src, bytes, "diff_src");
    support_same_bits(one.dweight, three.dweight, few, "dweight");
    support_same_bits(one.dbias, three.dbias, few, "dbias");
    free_result(&one);
    free_result(&three);
    free_problem(&p);
}
END_TEST

// Of groups and running statistics a row alone; NaN stays in it, and stays.
START_TEST(test_rows_and_nan)
{
    problem p = make_problem(&cases[_i]);
    result before = run(&p);
    p.src[p.row - 1] = NAN;
    result after = run(&p);
    ck_assert_msg(isnan(after.dst[p.row - 1]), "%s", p.c->name);
    if (p.c->over == JEMI_OVER_GROUPS || p.c->over == JEMI_OVER_NONE) {
        const size_t rest = (size_t)(p.size - p.row) * sizeof(float);
        support_same_bits(before.dst + p.row, after.dst + p.row, rest, "dst of other rows");
        support_same_bits(before.diff_src + p.row, after.diff_src + p.row, rest,
                          "diff_src of other rows");
    }
    free_result(&before);
    free_result(&after);
    free_problem(&p);
}
END_TEST

// On every layout of above, so canonical order shows the same mask everywhere.
START_TEST(test_dropout)
{
    problem p = make_problem(&cases[_i]);
    const norm_case *c = p.c;
    const jemi_shape shape = {c->c, c->h, c->w};
    jemi_node nodes[] = {{.kind = JEMI_NODE_INPUT, .input = {-1, -1}, .shape = shape},
                         {.kind = JEMI_NODE_DROPOUT,
                          .input = {0, -1},
                          .shape = shape,
                          .rate = 0.3f,
                          .mask_offset = 12}};
    for (int i = 0; i < 2; i++)
        nodes[i].weight = nodes[i].bias = -1;
    const jemi_graph graph = {.nodes = nodes, .n_nodes = 2};
    const jemi_dropout dropout = {.key = {{1, 2}}, .step = 3, .first_row = 4};
    double *in = widen(p.src, p.size), *out = widen(NULL, p.size);
    MUST(jemi_ref_run_mode_f64(&graph, JEMI_MODE_TRAIN, &dropout, NULL, c->n, in, out, NULL, NULL,
                               NULL, NULL));
    const jemi_dropout_draw draw = {dropout.key, dropout.step, dropout.first_row, 12, 0.3f};
    float *values = floats(p.blocked), *found = floats(p.size);
    uint8_t *kept = malloc((size_t)p.blocked);
    memset(kept, 0xff, (size_t)p.blocked);
    jemi_layout_load(values, &p.pass.layout, p.src, c->n);
    jemi_dropout_mask(kept, &p.pass.layout, &draw);
    float *mask = floats(p.blocked);
    for (int64_t i = 0; i < p.blocked; i++)
        mask[i] = (float)kept[i];
    check_padding(&p, mask);
    free(mask);
    jemi_dropout_apply(values, values, kept, p.blocked, 0.3f);
    check_padding(&p, values);
    jemi_layout_store(found, values, &p.pass.layout, c->n);
    compare(c->name, "dropout", p.size, found, out);
    values[0] = NAN;
    for (int k = 0; k < 2; k++) {
        kept[0] = (uint8_t)k;
        jemi_dropout_apply(found, values, kept, 1, 0.3f);
        ck_assert(isnan(found[0]));
    }
    free(in);
    free(out);
    free(values);
    free(found);
    free(kept);
    free_problem(&p);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_dropout, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_against_ref, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_threads_change_no_bit, 0, COUNT(cases));
    tcase_add_loop_test(tcase, test_rows_and_nan, 0, COUNT(cases));
}

int main(void)
{
    return support_main("norm kernels", add_tests);
}
