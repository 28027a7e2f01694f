/*
 * The Winograd convolution against nine multiplications per tap in double: shapes that fill tiles
 * and shapes that do not, every fused operation, both directions; and its bits against batch and
 * threads.
 */
#include <check.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/winograd.h"

enum { LANES = 16 };

typedef struct row {
    const char *name;
    int64_t n, in, out, h, w;
    bool mask, add, act, bias;
} row;

static const row rows[] = {
    {"one tile", 1, 16, 16, 4, 4, false, false, false, false},
    {"one pixel", 2, 16, 16, 1, 1, false, false, false, true},
    {"5x7, tiles cut", 3, 16, 32, 5, 7, false, false, false, true},
    {"odd group of 16", 2, 32, 48, 9, 6, false, false, false, true},
    {"28x28", 2, 16, 64, 28, 28, false, false, false, true},
    {"many tiles", 5, 64, 32, 13, 13, false, false, false, true},
    {"mask", 2, 32, 16, 6, 5, true, false, false, false},
    {"mask and add", 2, 32, 16, 6, 5, true, true, false, false},
    {"add", 2, 32, 16, 7, 8, false, true, false, true},
    {"activation", 2, 16, 32, 7, 8, false, false, true, true},
    {"everything", 2, 32, 32, 9, 9, true, true, true, true},
};

static float random_value(void)
{
    return (float)rand() / (float)RAND_MAX - 0.5f;
}

static float *random_array(int64_t count)
{
    float *values = aligned_alloc(64, ((size_t)count * sizeof *values + 63) / 64 * 64);
    for (int64_t i = 0; i < count; i++)
        values[i] = random_value();
    return values;
}

static double leaky(double v)
{
    return v > 0.0 ? v : 0.2f * v;
}

static int64_t at(const row *t, int64_t channels, int64_t n, int64_t c, int64_t i, int64_t j)
{
    return (((n * (channels / LANES) + c / LANES) * t->h + i) * t->w + j) * LANES + c % LANES;
}

static double tap(const row *t, const float *x, int64_t n, int64_t c, int64_t i, int64_t j)
{
    if (i < 0 || j < 0 || i >= t->h || j >= t->w)
        return 0.0;
    return x[at(t, t->in, n, c, i, j)];
}

typedef struct operands {
    float *x, *weights, *bias, *mask, *add, *packed, *workspace;
} operands;

// @param size  Out. The sum of the absolute products, which rounding errors are proportional to.
static double expected(const row *t, const operands *a, int64_t n, int64_t o, int64_t i, int64_t j,
                       double *size)
{
    *size = 1.0;
    double sum = t->bias ? a->bias[o] : 0.0;
    for (int64_t c = 0; c < t->in; c++)
        for (int u = 0; u < 3; u++)
            for (int v = 0; v < 3; v++) {
                const double product = tap(t, a->x, n, c, i + u - 1, j + v - 1) *
                                       (double)a->weights[(o * t->in + c) * 9 + u * 3 + v];
                sum += product;
                *size += fabs(product);
            }
    const int64_t place = at(t, t->out, n, o, i, j);
    if (t->mask && a->mask[place] <= 0.0f)
        sum *= 0.2f;
    if (t->add)
        sum += a->add[place];
    return t->act ? leaky(sum) : sum;
}

static operands make_operands(const row *t, int threads)
{
    const int64_t outputs = t->n * t->out * t->h * t->w;
    operands a = {
        .x = random_array(t->n * t->in * t->h * t->w),
        .weights = random_array(t->out * t->in * 9),
        .bias = random_array(t->out),
        .mask = random_array(outputs),
        .add = random_array(outputs),
        .packed = random_array(jemi_winograd_weights_count(t->in, t->out)),
        .workspace = random_array(jemi_winograd_workspace(t->in, t->out, threads)),
    };
    jemi_winograd_pack(a.packed, a.weights, t->out, t->in, false);
    return a;
}

static void free_operands(operands *a)
{
    free(a->x);
    free(a->weights);
    free(a->bias);
    free(a->add);
    free(a->packed);
    free(a->workspace);
    free(a->mask);
}

static jemi_winograd conv_of(const row *t, const operands *a)
{
    return (jemi_winograd){
        .n = t->n,
        .h = t->h,
        .w = t->w,
        .in = t->in,
        .out = t->out,
        .weights = a->packed,
        .then = {.bias = t->bias ? a->bias : NULL,
                 .channels = t->out,
                 .mask = t->mask ? a->mask : NULL,
                 .add = t->add ? a->add : NULL,
                 .act = t->act,
                 .slope = 0.2f},
    };
}

START_TEST(test_values)
{
    const row *t = &rows[_i];
    operands a = make_operands(t, 2);
    const int64_t outputs = t->n * t->out * t->h * t->w;
    float *y = random_array(outputs);
    const jemi_winograd conv = conv_of(t, &a);
    omp_set_num_threads(2);
    jemi_winograd_run(&conv, a.x, y, a.workspace);
    for (int64_t n = 0; n < t->n; n++)
        for (int64_t o = 0; o < t->out; o++)
            for (int64_t i = 0; i < t->h; i++)
                for (int64_t j = 0; j < t->w; j++) {
                    const int64_t place = at(t, t->out, n, o, i, j);
                    double size;
                    const double want = expected(t, &a, n, o, i, j, &size);
                    // F(4x4) adds up to 10 x 10 times an input and takes it away again: some
                    // sixty roundings of 2^-24.
                    ck_assert_msg(fabs(y[place] - want) < 4e-6 * size, "%s: %g, expected %g",
                                  t->name, (double)y[place], want);
                }
    free(y);
    free_operands(&a);
}
END_TEST

START_TEST(test_add_in_place)
{
    const row t = {"in place", 2, 16, 16, 6, 6, false, true, false, true};
    operands a = make_operands(&t, 1);
    const size_t count = (size_t)(t.n * t.out * t.h * t.w);
    float *y = random_array((int64_t)count), *in_place = random_array((int64_t)count);
    jemi_winograd conv = conv_of(&t, &a);
    omp_set_num_threads(1);
    jemi_winograd_run(&conv, a.x, y, a.workspace);
    memcpy(in_place, a.add, count * sizeof *y);
    conv.then.add = in_place;
    jemi_winograd_run(&conv, a.x, in_place, a.workspace);
    ck_assert_mem_eq(y, in_place, count * sizeof *y);
    free(y);
    free(in_place);
    free_operands(&a);
}
END_TEST

// <w * x, dy> == <x, backward(dy)>: the packed backward weights are the adjoint.
START_TEST(test_backward_is_adjoint)
{
    const row t = {"adjoint", 2, 32, 16, 7, 9, false, false, false, false};
    operands a = make_operands(&t, 2);
    const int64_t outputs = t.n * t.out * t.h * t.w, inputs = t.n * t.in * t.h * t.w;
    float *y = random_array(outputs), *dy = random_array(outputs), *dx = random_array(inputs);
    jemi_winograd conv = conv_of(&t, &a);
    omp_set_num_threads(2);
    jemi_winograd_run(&conv, a.x, y, a.workspace);
    jemi_winograd_pack(a.packed, a.weights, t.out, t.in, true);
    float *workspace = random_array(jemi_winograd_workspace(t.out, t.in, 2));
    conv.in = t.out;
    conv.out = t.in;
    jemi_winograd_run(&conv, dy, dx, workspace);
    double left = 0.0, right = 0.0;
    for (int64_t i = 0; i < outputs; i++)
        left += (double)y[i] * dy[i];
    for (int64_t i = 0; i < inputs; i++)
        right += (double)a.x[i] * dx[i];
    // 2016 products of size about 0.5, each right to 1e-5.
    ck_assert_msg(fabs(left - right) < 1e-3, "%g, %g", left, right);
    ck_assert(fabs(left) > 0.1);
    free(y);
    free(dy);
    free(dx);
    free(workspace);
    free_operands(&a);
}
END_TEST

// A row alone, in a batch, and with any number of threads: the same bits.
START_TEST(test_bits)
{
    const row t = {"bits", 7, 48, 32, 11, 6, false, false, true, true};
    operands a = make_operands(&t, 3);
    const int64_t outputs = t.n * t.out * t.h * t.w, inputs = t.n * t.in * t.h * t.w;
    float *y = random_array(outputs), *other = random_array(outputs);
    jemi_winograd conv = conv_of(&t, &a);
    omp_set_num_threads(1);
    jemi_winograd_run(&conv, a.x, y, a.workspace);
    for (int threads = 2; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        jemi_winograd_run(&conv, a.x, other, a.workspace);
        ck_assert_mem_eq(y, other, (size_t)outputs * sizeof *y);
    }
    conv.n = 1;
    for (int64_t n = 0; n < t.n; n++)
        jemi_winograd_run(&conv, a.x + n * (inputs / t.n), other + n * (outputs / t.n),
                          a.workspace);
    ck_assert_mem_eq(y, other, (size_t)outputs * sizeof *y);
    free(y);
    free(other);
    free_operands(&a);
}
END_TEST

int main(void)
{
    if (!jemi_avx512_available()) {
        puts("100%: Checks: 0, Failures: 0, Errors: 0 (no AVX-512 here)");
        return 0;
    }
    TCase *tcase = tcase_create("winograd");
    tcase_add_loop_test(tcase, test_values, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tcase, test_add_in_place);
    tcase_add_test(tcase, test_backward_is_adjoint);
    tcase_add_test(tcase, test_bits);
    Suite *suite = suite_create("winograd");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
