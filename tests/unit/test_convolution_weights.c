/*
 * The gradients of weights and biases by all our kernels against sums in double, and their bits
 * against the thread count.
 */
#include "base/parallel.h"
#include "convolution.h"
#include "kernels/direct_weights.h"
#include "kernels/stem.h"
#include "kernels/winograd.h"

typedef enum kind { WINOGRAD, DIRECT, STEM } kind;

typedef struct gradient_case {
    conv_case conv;
    kind kind;
} gradient_case;

static const gradient_case cases[] = {
    {{"one tile", 1, 16, 16, 4, 4, 3, 1, 1, 0}, WINOGRAD},
    {{"one pixel", 2, 16, 16, 1, 1, 3, 1, 1, 0}, WINOGRAD},
    {{"many blocks", 9, 16, 48, 15, 14, 3, 1, 1, 0}, WINOGRAD},
    {{"channel groups", 2, 176, 208, 6, 5, 3, 1, 1, 0}, WINOGRAD},
    {{"tile groups", 11, 16, 48, 23, 22, 3, 1, 1, 0}, WINOGRAD},
    {{"many tile groups", 2100, 16, 16, 2, 3, 3, 1, 1, 0}, WINOGRAD},
    {{"groups of tiles and sources", 65, 176, 16, 5, 6, 3, 1, 1, 0}, WINOGRAD},
    {{"stride 2", 2, 32, 16, 16, 16, 3, 2, 1, 0}, WINOGRAD},
    {{"last tiles of 2 and 3", 5, 32, 16, 14, 7, 3, 1, 1, 0}, WINOGRAD},
    {{"stride 2, last tiles of 2 and 3", 5, 32, 16, 12, 14, 3, 2, 1, 0}, WINOGRAD},
    {{"stride 2, many blocks", 16, 16, 32, 23, 21, 3, 2, 1, 0}, WINOGRAD},
    {{"stride 2, groups of tiles and destinations", 65, 16, 176, 9, 10, 3, 2, 1, 0}, WINOGRAD},
    {{"1x1", 3, 20, 50, 6, 5, 1, 1, 0, 0}, DIRECT},
    {{"1x1, stride 2", 3, 16, 33, 7, 6, 1, 2, 0, 0}, DIRECT},
    {{"3x3", 3, 9, 17, 6, 5, 3, 1, 1, 0}, DIRECT},
    {{"3x3, stride 2", 2, 24, 16, 7, 8, 3, 2, 1, 0}, DIRECT},
    {{"2x2, stride 3", 2, 16, 16, 9, 7, 2, 3, 1, 0}, DIRECT},
    {{"3x3 of one pixel", 5, 16, 16, 1, 1, 3, 1, 1, 0}, DIRECT},
    {{"linear", 70, 41, 37, 1, 1, 1, 1, 0, 0}, DIRECT},
    {{"grey images", 5, 1, 16, 9, 8, 3, 1, 1, IMAGE}, STEM},
    {{"colour images", 3, 3, 40, 6, 7, 3, 1, 1, IMAGE}, STEM},
    {{"two channels, stride 2", 3, 2, 16, 7, 9, 3, 2, 1, IMAGE}, STEM},
    {{"four channels, 1x1", 3, 4, 16, 4, 4, 1, 1, 0, IMAGE}, STEM},
};

static void run_winograd(const conv_case *t, const float *x, const float *dy, float *dw)
{
    const jemi_winograd conv = conv_winograd(t);
    float *workspace = conv_alloc(jemi_winograd_weights_workspace(&conv, jemi_parallel_width()));
    jemi_winograd_weights_run(&conv, x, dy, dw, workspace);
    free(workspace);
}

static void run_direct(const conv_case *t, const float *x, const float *dy, float *dw)
{
    const jemi_direct_weights conv = {conv_source(t), conv_destination(t), t->kernel, t->stride,
                                      t->pad};
    float *workspace = conv_alloc(jemi_direct_weights_workspace(&conv));
    jemi_direct_weights_run(&conv, x, dy, dw, workspace);
    free(workspace);
}

static void run_stem(const conv_case *t, const float *x, const float *dy, float *dw)
{
    const jemi_stem stem = {conv_destination(t), t->in, t->h, t->w, t->kernel, t->stride, t->pad};
    float *workspace = conv_alloc(jemi_stem_weights_workspace(&stem));
    jemi_stem_weights(dw, x, dy, &stem, workspace);
    free(workspace);
}

static void run(const gradient_case *g, const float *x, const float *dy, float *dw)
{
    void (*const runs[])(const conv_case *, const float *, const float *, float *) = {
        [WINOGRAD] = run_winograd, [DIRECT] = run_direct, [STEM] = run_stem};
    runs[g->kind](&g->conv, x, dy, dw);
}

// Sum over rows and pixels of dy times the pixel that the tap looks at.
static double expected(const conv_case *t, const float *x, const float *dy, int64_t o, int64_t c,
                       int64_t u, int64_t v, double *size)
{
    const jemi_layout src = conv_source(t), dst = conv_destination(t);
    double sum = 0.0;
    *size = 1.0;
    for (int64_t n = 0; n < t->n; n++)
        for (int64_t i = 0; i < dst.h; i++)
            for (int64_t j = 0; j < dst.w; j++) {
                const int64_t y = conv_look(t, i, u, src.h), z = conv_look(t, j, v, src.w);
                if (y < 0 || z < 0)
                    continue;
                const double product =
                    (double)dy[conv_at(&dst, n, o, i, j)] * (double)x[conv_at(&src, n, c, y, z)];
                sum += product;
                *size += fabs(product);
            }
    return sum;
}

static void check_values(const conv_case *t, const float *x, const float *dy, const float *dw)
{
    const int64_t k = t->kernel;
    for (int64_t i = 0; i < t->out * t->in * k * k; i++) {
        double size;
        const int64_t o = i / (t->in * k * k), c = i / (k * k) % t->in;
        const double want = expected(t, x, dy, o, c, i / k % k, i % k, &size);
        ck_assert_msg(fabs((double)dw[i] - want) <= 4e-6 * size, "%s: element %d is %g, not %g",
                      t->name, (int)i, (double)dw[i], want);
    }
}

START_TEST(test_weights)
{
    const gradient_case *g = &cases[_i];
    const jemi_layout src = conv_source(&g->conv), dst = conv_destination(&g->conv);
    float *x = conv_random_tensor(&src, 1), *dy = conv_random_tensor(&dst, 2);
    const int64_t count = g->conv.out * g->conv.in * g->conv.kernel * g->conv.kernel;
    float *dw = conv_alloc(count), *other = conv_alloc(count);
    support_threads(1);
    run(g, x, dy, dw);
    check_values(&g->conv, x, dy, dw);
    for (int threads = 2; threads <= 3; threads++) {
        support_threads(threads);
        run(g, x, dy, other);
        support_same_bits(dw, other, (size_t)count * sizeof *dw, g->conv.name);
    }
    free(x);
    free(dy);
    free(dw);
    free(other);
}
END_TEST

START_TEST(test_bias)
{
    const jemi_layout layout = {5, 37, 6, 7, 16};
    float *dy = conv_random_tensor(&layout, 3), db[37];
    support_threads(2);
    jemi_bias_gradient(&layout, dy, db);
    for (int64_t c = 0; c < layout.c; c++) {
        double sum = 0.0;
        for (int64_t n = 0; n < layout.n; n++)
            for (int64_t i = 0; i < layout.h; i++)
                for (int64_t j = 0; j < layout.w; j++)
                    sum += (double)dy[conv_at(&layout, n, c, i, j)];
        ck_assert_double_eq_tol((double)db[c], sum, 1e-4);
    }
    free(dy);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_weights, 0, COUNT(cases));
    tcase_add_test(tcase, test_bias);
}

int main(void)
{
    return conv_main("convolution weights", add_tests);
}
