/*
 * The Winograd convolutions against nine multiplications per tap in double: shapes that fill tiles
 * and shapes that do not, every fused operation, both strides and directions; and their bits against
 * batch and threads.
 */
#include <check.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/winograd.h"

enum { LANES = 16 };

// h x w is the image's side of the convolution, as stride 1 or 2 sees it.
typedef struct row {
    const char *name;
    int64_t n, in, out, h, w; // channels of the forward convolution
    int64_t stride;
    bool backward, mask, add, act, bias;
} row;

static const row rows[] = {
    {"one tile", 1, 16, 16, 4, 4, 1, false, false, false, false, false},
    {"one pixel", 2, 16, 16, 1, 1, 1, false, false, false, false, true},
    {"5x7, tiles cut", 3, 16, 32, 5, 7, 1, false, false, false, false, true},
    {"odd group of 16", 2, 32, 48, 9, 6, 1, false, false, false, false, true},
    {"28x28", 2, 16, 64, 28, 28, 1, false, false, false, false, true},
    {"many tiles", 5, 64, 32, 13, 13, 1, false, false, false, false, true},
    {"mask", 2, 32, 16, 6, 5, 1, false, true, false, false, false},
    {"mask and add", 2, 32, 16, 6, 5, 1, false, true, true, false, false},
    {"add", 2, 32, 16, 7, 8, 1, false, false, true, false, true},
    {"activation", 2, 16, 32, 7, 8, 1, false, false, false, true, true},
    {"everything", 2, 32, 32, 9, 9, 1, false, true, true, true, true},
    {"backward", 2, 32, 48, 9, 6, 1, true, true, true, false, false},
    {"stride 2", 2, 32, 48, 16, 16, 2, false, false, false, false, true},
    {"stride 2, one pixel", 2, 16, 16, 1, 1, 2, false, false, false, false, true},
    {"stride 2, 7x10", 3, 16, 32, 7, 10, 2, false, false, false, true, true},
    {"stride 2, everything", 2, 48, 16, 9, 11, 2, false, true, true, true, true},
    {"stride 2 backward", 2, 32, 48, 16, 16, 2, true, false, false, false, false},
    {"stride 2 backward, one pixel", 2, 16, 16, 1, 1, 2, true, false, false, false, false},
    {"stride 2 backward, 7x10", 3, 16, 32, 7, 10, 2, true, true, false, false, false},
    {"stride 2 backward, everything", 2, 48, 16, 9, 11, 2, true, true, true, true, true},
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

typedef struct side {
    int64_t channels, h, w;
} side;

// What the run reads and what it writes.
static side source_of(const row *t)
{
    const side image = {t->in, t->h, t->w};
    const side convolved = {t->out, (t->h - 1) / t->stride + 1, (t->w - 1) / t->stride + 1};
    return t->backward ? convolved : image;
}

static side destination_of(const row *t)
{
    row turned = *t;
    turned.backward = !t->backward;
    return source_of(&turned);
}

static int64_t count_of(const row *t, side s)
{
    return t->n * s.channels * s.h * s.w;
}

static int64_t at(side s, int64_t n, int64_t c, int64_t i, int64_t j)
{
    return (((n * (s.channels / LANES) + c / LANES) * s.h + i) * s.w + j) * LANES + c % LANES;
}

// The source pixel that tap k of destination pixel i looks at, or -1.
static int64_t look(const row *t, int64_t i, int k, int64_t size)
{
    const int64_t forward = i * t->stride + k - 1, back = i + 1 - k;
    if (!t->backward)
        return forward >= 0 && forward < size ? forward : -1;
    return back >= 0 && back % t->stride == 0 && back / t->stride < size ? back / t->stride : -1;
}

typedef struct operands {
    float *x, *weights, *bias, *mask, *add, *packed, *workspace;
} operands;

static double kernel_at(const row *t, const operands *a, int64_t from, int64_t to, int u, int v)
{
    const int64_t o = t->backward ? from : to, i = t->backward ? to : from;
    return a->weights[(o * t->in + i) * 9 + u * 3 + v];
}

// @param size  Out. The sum of the absolute products, which rounding errors are proportional to.
static double expected(const row *t, const operands *a, int64_t n, int64_t o, int64_t i, int64_t j,
                       double *size)
{
    const side src = source_of(t);
    *size = 1.0;
    double sum = t->bias ? a->bias[o] : 0.0;
    for (int64_t c = 0; c < src.channels; c++)
        for (int u = 0; u < 3; u++)
            for (int v = 0; v < 3; v++) {
                const int64_t y = look(t, i, u, src.h), x = look(t, j, v, src.w);
                if (y < 0 || x < 0)
                    continue;
                const double product = a->x[at(src, n, c, y, x)] * kernel_at(t, a, c, o, u, v);
                sum += product;
                *size += fabs(product);
            }
    const int64_t place = at(destination_of(t), n, o, i, j);
    if (t->mask && a->mask[place] <= 0.0f)
        sum *= 0.2f;
    if (t->add)
        sum += a->add[place];
    return t->act && sum <= 0.0 ? 0.2f * sum : sum;
}

static jemi_winograd conv_of(const row *t, const operands *a)
{
    const side src = source_of(t), dst = destination_of(t);
    return (jemi_winograd){
        .n = t->n,
        .in = src.channels,
        .out = dst.channels,
        .src_h = src.h,
        .src_w = src.w,
        .dst_h = dst.h,
        .dst_w = dst.w,
        .stride = t->stride,
        .backward = t->backward,
        .weights = a->packed,
        .then = {.bias = t->bias ? a->bias : NULL,
                 .channels = dst.channels,
                 .mask = t->mask ? a->mask : NULL,
                 .add = t->add ? a->add : NULL,
                 .act = t->act,
                 .slope = 0.2f},
    };
}

static operands make_operands(const row *t, int threads)
{
    const int64_t outputs = count_of(t, destination_of(t));
    operands a = {
        .x = random_array(count_of(t, source_of(t))),
        .weights = random_array(t->out * t->in * 9),
        .bias = random_array(destination_of(t).channels),
        .mask = random_array(outputs),
        .add = random_array(outputs),
        .packed = random_array(jemi_winograd_weights_count(t->in, t->out, t->stride)),
    };
    const jemi_winograd conv = conv_of(t, &a);
    a.workspace = random_array(jemi_winograd_workspace(&conv, threads));
    jemi_winograd_pack(a.packed, a.weights, t->out, t->in, t->stride, t->backward);
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

static void check_row(const row *t, int threads)
{
    operands a = make_operands(t, threads);
    const side dst = destination_of(t);
    float *y = random_array(count_of(t, dst));
    const jemi_winograd conv = conv_of(t, &a);
    omp_set_num_threads(threads);
    jemi_winograd_run(&conv, a.x, y, a.workspace);
    for (int64_t n = 0; n < t->n; n++)
        for (int64_t o = 0; o < dst.channels; o++)
            for (int64_t i = 0; i < dst.h; i++)
                for (int64_t j = 0; j < dst.w; j++) {
                    double size;
                    const double want = expected(t, &a, n, o, i, j, &size);
                    const double have = y[at(dst, n, o, i, j)];
                    // F(4x4) adds up to 10 x 10 times an input and takes it away again: some
                    // sixty roundings of 2^-24.
                    ck_assert_msg(fabs(have - want) < 4e-6 * size, "%s: %g, expected %g", t->name,
                                  have, want);
                }
    free(y);
    free_operands(&a);
}

START_TEST(test_values)
{
    check_row(&rows[_i], 1);
    check_row(&rows[_i], 2);
}
END_TEST

START_TEST(test_add_in_place)
{
    const row t = {"in place", 2, 16, 16, 6, 6, 1, false, false, true, false, true};
    operands a = make_operands(&t, 1);
    const size_t count = (size_t)count_of(&t, destination_of(&t));
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

// A row alone, in a batch, and with any number of threads, few tiles or many: the same bits.
START_TEST(test_bits)
{
    const row cases[] = {
        {"forward", 7, 48, 32, 11, 6, 1, false, false, false, true, true},
        {"many tiles", 40, 16, 16, 11, 6, 1, false, false, false, true, true},
        {"stride 2", 7, 48, 32, 11, 6, 2, false, false, false, true, true},
        {"stride 2 backward", 7, 48, 32, 11, 6, 2, true, false, false, false, false},
    };
    const row *t = &cases[_i];
    operands a = make_operands(t, 3);
    const int64_t outputs = count_of(t, destination_of(t)), inputs = count_of(t, source_of(t));
    float *y = random_array(outputs), *other = random_array(outputs);
    jemi_winograd conv = conv_of(t, &a);
    omp_set_num_threads(1);
    jemi_winograd_run(&conv, a.x, y, a.workspace);
    for (int threads = 2; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        jemi_winograd_run(&conv, a.x, other, a.workspace);
        ck_assert_mem_eq(y, other, (size_t)outputs * sizeof *y);
    }
    conv.n = 1;
    free(a.workspace);
    a.workspace = random_array(jemi_winograd_workspace(&conv, 3));
    for (int64_t n = 0; n < t->n; n++)
        jemi_winograd_run(&conv, a.x + n * (inputs / t->n), other + n * (outputs / t->n),
                          a.workspace);
    ck_assert_mem_eq(y, other, (size_t)outputs * sizeof *y);
    free(y);
    free(other);
    free_operands(&a);
}
END_TEST

// dw = sum over rows and pixels of dy times the pixel that the tap looks at.
static double expected_weight(const row *t, const operands *a, const float *dy, int64_t o,
                              int64_t c, int u, int v, double *size)
{
    const side src = source_of(t), dst = destination_of(t);
    double sum = 0.0;
    *size = 1.0;
    for (int64_t n = 0; n < t->n; n++)
        for (int64_t i = 0; i < dst.h; i++)
            for (int64_t j = 0; j < dst.w; j++) {
                const int64_t y = look(t, i, u, src.h), x = look(t, j, v, src.w);
                if (y < 0 || x < 0)
                    continue;
                const double product = (double)dy[at(dst, n, o, i, j)] * a->x[at(src, n, c, y, x)];
                sum += product;
                *size += fabs(product);
            }
    return sum;
}

static const row gradients[] = {
    {"one tile", 1, 16, 16, 4, 4, 1, false, false, false, false, false},
    {"one pixel", 2, 16, 16, 1, 1, 1, false, false, false, false, false},
    {"many blocks", 9, 16, 48, 15, 14, 1, false, false, false, false, false},
    {"stride 2", 2, 32, 16, 16, 16, 2, false, false, false, false, false},
    {"stride 2, many blocks", 16, 16, 32, 23, 21, 2, false, false, false, false, false},
};

START_TEST(test_weights)
{
    const row *t = &gradients[_i];
    operands a = make_operands(t, 1);
    float *dy = random_array(count_of(t, destination_of(t)));
    const size_t count = (size_t)(t->out * t->in * 9);
    float *dw = random_array((int64_t)count), *other = random_array((int64_t)count);
    const jemi_winograd conv = conv_of(t, &a);
    float *workspace = random_array(jemi_winograd_weights_workspace(&conv));
    omp_set_num_threads(1);
    jemi_winograd_weights_run(&conv, a.x, dy, dw, workspace);
    for (int64_t o = 0; o < t->out; o++)
        for (int64_t c = 0; c < t->in; c++)
            for (int k = 0; k < 9; k++) {
                double size;
                const double want = expected_weight(t, &a, dy, o, c, k / 3, k % 3, &size);
                const double have = dw[(o * t->in + c) * 9 + k];
                ck_assert_msg(fabs(have - want) < 4e-6 * size, "%s: %g, expected %g", t->name, have,
                              want);
            }
    omp_set_num_threads(3);
    jemi_winograd_weights_run(&conv, a.x, dy, other, workspace);
    ck_assert_mem_eq(dw, other, count * sizeof *dw);
    free(dy);
    free(dw);
    free(other);
    free(workspace);
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
    tcase_add_loop_test(tcase, test_bits, 0, 4);
    tcase_add_loop_test(tcase, test_weights, 0, (int)(sizeof gradients / sizeof gradients[0]));
    Suite *suite = suite_create("winograd");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
