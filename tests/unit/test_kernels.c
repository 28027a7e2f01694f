/*
 * The elementwise and layout kernels against plain loops with libm in double, and the arena against
 * its definition: no two spans that are alive together may overlap.
 */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/arena.h"
#include "base/memory.h"
#include "kernels/pooling.h"
#include "kernels/vector.h"

static uint32_t state = 1;

static uint32_t draw(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

static float uniform(float low, float high)
{
    return low + (high - low) * (float)draw() * 0x1p-24f;
}

static float *random_array(int64_t count)
{
    float *array = jemi_alloc((size_t)count, sizeof *array);
    for (int64_t i = 0; i < count; i++)
        array[i] = uniform(-1, 1);
    return array;
}

// ---- finite or not ------------------------------------------------------------------------------

// The array ends with its heap block, so that under a sanitizer nothing beyond it is looked at.
static void check_all_finite(int64_t count, int64_t place, float bad)
{
    float *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = i % 2 == 0 ? 3.4e38f : -1e-45f;
    int64_t index = -1;
    ck_assert_msg(jemi_all_finite(x, count, &index), "%lld finite floats", (long long)count);
    x[place] = bad;
    ck_assert_msg(!jemi_all_finite(x, count, &index) && index == place, "%g at %lld of %lld",
                  (double)bad, (long long)place, (long long)count);
    free(x);
}

START_TEST(finite_everywhere_or_not)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const int64_t block = 16384; // of the function's loop
    for (int b = 0; b < 3; b++) {
        for (int64_t count = 1; count <= 100; count++)
            for (int64_t place = 0; place < count; place++)
                check_all_finite(count, place, bad[b]);
        for (int64_t count = block - 2; count <= block + 2; count++)
            check_all_finite(count, count - 1, bad[b]);
        for (int64_t place = block - 2; place <= block + 2; place++)
            check_all_finite(2 * block + 3, place, bad[b]);
        for (int64_t place = 2 * block - 2; place < 2 * block + 3; place++)
            check_all_finite(2 * block + 3, place, bad[b]);
    }
}
END_TEST

// ---- activations -------------------------------------------------------------------------------

static double value_of(jemi_activation a, double x)
{
    switch (a.curve) {
    case JEMI_CURVE_LRELU:
        return x > 0 ? x : (double)a.slope * x;
    case JEMI_CURVE_SILU:
        return x / (1 + exp(-x));
    case JEMI_CURVE_ELU:
        return x > 0 ? x : expm1(x);
    case JEMI_CURVE_SOFTPLUS:
        return fmax(x, 0) + log1p(exp(-fabs(x)));
    default:
        return tanh(x);
    }
}

static double derivative_of(jemi_activation a, double x)
{
    const double t = tanh(x);
    const double s = 1 / (1 + exp(-x));
    switch (a.curve) {
    case JEMI_CURVE_LRELU:
        return x > 0 ? 1 : (double)a.slope;
    case JEMI_CURVE_SILU:
        return s * (1 + x * (1 - s));
    case JEMI_CURVE_ELU:
        return x > 0 ? 1 : exp(x);
    case JEMI_CURVE_SOFTPLUS:
        return s;
    default:
        return 1 - t * t;
    }
}

static const jemi_activation curves[] = {
    {JEMI_CURVE_LRELU, 0.2f}, {JEMI_CURVE_LRELU, 0.0f}, {JEMI_CURVE_LRELU, -0.5f},
    {JEMI_CURVE_SILU, 0},     {JEMI_CURVE_ELU, 0},      {JEMI_CURVE_SOFTPLUS, 0},
    {JEMI_CURVE_TANH, 0},
};

enum { N_CURVES = sizeof curves / sizeof curves[0], N_POINTS = 40000 };

static void fill_points(float *x)
{
    static const float special[] = {0.0f,   -0.0f, 1e-8f,  -1e-8f, 1e-30f, -1e-30f, 1.0f,  -1.0f,
                                    -0.35f, 20.0f, -20.0f, 60.0f,  -60.0f, 86.0f,   -86.0f};
    for (int i = 0; i < N_POINTS; i++)
        x[i] = i % 2 == 0 ? uniform(-1.5f, 1.5f) : uniform(-30.0f, 30.0f);
    memcpy(x, special, sizeof special);
}

START_TEST(activations_are_exact_to_a_few_ulp)
{
    const jemi_activation a = curves[_i];
    float *x = jemi_alloc(N_POINTS, sizeof *x);
    float *y = jemi_alloc(N_POINTS, sizeof *y);
    fill_points(x);
    jemi_act_forward(y, x, N_POINTS, a);
    for (int i = 0; i < N_POINTS; i++) {
        const double expected = value_of(a, (double)x[i]);
        // 1e-6 is 8 ulp; silu's e^-86 and its kin are compared as far as f32 is normal.
        ck_assert_msg(fabs((double)y[i] - expected) <= 1e-6 * fabs(expected) + 1e-36,
                      "curve %d at %.9g: %.9g, expected %.9g", _i, (double)x[i], (double)y[i],
                      expected);
        float alone;
        jemi_act_forward(&alone, &x[i], 1, a);
        ck_assert_msg(memcmp(&alone, &y[i], sizeof alone) == 0,
                      "curve %d at %.9g: other bits alone", _i, (double)x[i]);
    }
    jemi_free(x);
    jemi_free(y);
}
END_TEST

START_TEST(derivatives_are_exact)
{
    const jemi_activation a = curves[_i];
    float *x = jemi_alloc(N_POINTS, sizeof *x);
    float *kept = jemi_alloc(N_POINTS, sizeof *kept);
    float *diff = jemi_alloc(N_POINTS, sizeof *diff);
    float *add = jemi_alloc(N_POINTS, sizeof *add);
    float *got = jemi_alloc(N_POINTS, sizeof *got);
    fill_points(x);
    for (int i = 0; i < N_POINTS; i++) {
        diff[i] = uniform(-1, 1);
        add[i] = uniform(-1, 1);
    }
    jemi_act_forward(kept, x, N_POINTS, a);
    if (!jemi_act_grad_from_value(a))
        memcpy(kept, x, N_POINTS * sizeof *x);
    for (int with_add = 0; with_add < 2; with_add++) {
        memcpy(got, diff, N_POINTS * sizeof *got); // in place, as plans do
        jemi_act_gradient(got, got, (jemi_kept){.values = kept}, with_add ? add : NULL, N_POINTS,
                          a);
        for (int i = 0; i < N_POINTS; i++) {
            const double expected = (double)diff[i] * derivative_of(a, (double)x[i]) +
                                    (with_add ? (double)add[i] : 0.0);
            // Absolute: from a value near its asymptote a small derivative loses digits, and is
            // small against the others it will be added to. Derivatives are of order 1.
            ck_assert_msg(fabs((double)got[i] - expected) <= 5e-7,
                          "curve %d at %.9g: %.9g, expected %.9g", _i, (double)x[i], (double)got[i],
                          expected);
        }
    }
    jemi_free(x);
    jemi_free(kept);
    jemi_free(diff);
    jemi_free(add);
    jemi_free(got);
}
END_TEST

START_TEST(nan_stays_nan)
{
    const jemi_activation a = curves[_i];
    float x[20], y[20];
    for (int i = 0; i < 20; i++)
        x[i] = NAN;
    jemi_act_forward(y, x, 20, a);
    for (int i = 0; i < 20; i++)
        ck_assert(isnan(y[i]));
    for (int i = 0; i < 20; i++)
        y[i] = 0.5f;
    jemi_act_gradient(y, x, (jemi_kept){.values = y}, NULL, 20, a);
    for (int i = 0; i < 20; i++)
        ck_assert(isnan(y[i]));
}
END_TEST

// One vector; and chunks of several threads, of which the last is shorter.
START_TEST(signs_do_as_well_as_values)
{
    const jemi_activation a = curves[_i];
    if (!jemi_act_grad_from_signs(a))
        return;
    for (int64_t count = 16; count <= N_POINTS; count += N_POINTS - 16) {
        float *x = jemi_alloc(N_POINTS, sizeof *x);
        fill_points(x);
        float *add = random_array(count), *y = random_array(count), *twin = random_array(count);
        uint16_t *signs = jemi_calloc((size_t)count / 16, sizeof *signs);
        jemi_act_forward(y, x, count, a);
        memcpy(twin, x, (size_t)count * sizeof *twin);
        jemi_act_forward_signs(twin, signs, twin, count, a);
        ck_assert_mem_eq(twin, y, (size_t)count * sizeof *y);
        for (int64_t i = 0; i < count; i++)
            ck_assert((signs[i / 16] >> i % 16 & 1) == (y[i] <= 0.0f));
        const jemi_kept kept[2] = {{.values = y}, {.signs = signs}};
        for (int with_add = 0; with_add < 2; with_add++) {
            float *got[2] = {random_array(count), random_array(count)};
            for (int k = 0; k < 2; k++)
                jemi_act_gradient(got[k], x, kept[k], with_add ? add : NULL, count, a);
            ck_assert_mem_eq(got[0], got[1], (size_t)count * sizeof *add);
            jemi_free(got[0]);
            jemi_free(got[1]);
        }
        jemi_free(x);
        jemi_free(add);
        jemi_free(y);
        jemi_free(twin);
        jemi_free(signs);
    }
}
END_TEST

// ---- layouts and pooling -----------------------------------------------------------------------

static const jemi_layout layouts[] = {
    {3, 20, 5, 7, 1},  {3, 20, 5, 7, 16}, {2, 33, 4, 4, 8},  {3, 20, 5, 7, 20}, {2, 16, 9, 9, 16},
    {1, 3, 17, 5, 16}, {4, 33, 1, 1, 16}, {2, 40, 6, 4, 40}, {2, 48, 6, 4, 48},
};

enum { N_LAYOUTS = sizeof layouts / sizeof layouts[0] };

static int64_t place_of(const jemi_layout *l, int64_t n, int64_t c, int64_t pixel)
{
    return n * jemi_layout_row(l) + (c / l->block * l->h * l->w + pixel) * l->block + c % l->block;
}

START_TEST(layouts_hold_what_was_loaded)
{
    const jemi_layout *l = &layouts[_i];
    const int64_t pixels = l->h * l->w;
    const int64_t row = l->c * pixels;
    float *canonical = random_array(l->n * row);
    float *back = random_array(l->n * row);
    float *data = random_array(jemi_layout_size(l));
    for (int64_t n = 1; n <= l->n; n++) {
        jemi_layout_load(data, l, canonical, n);
        double total = 0.0; // of everything but the elements: padding and missing rows
        for (int64_t i = 0; i < jemi_layout_size(l); i++)
            total += fabs((double)data[i]);
        for (int64_t r = 0; r < n; r++)
            for (int64_t i = 0; i < row; i++) {
                const float at = data[place_of(l, r, i / pixels, i % pixels)];
                ck_assert(at == canonical[r * row + i]);
                total -= fabs((double)at);
            }
        ck_assert(fabs(total) < 1e-9);
        jemi_layout_store(back, data, l, n);
        ck_assert_mem_eq(back, canonical, (size_t)(n * row) * sizeof *back);
    }
    for (int64_t i = 0; i < jemi_layout_size(l); i++)
        data[i] = 1.0f;
    jemi_layout_clear_padding(data, l);
    double ones = 0.0;
    for (int64_t i = 0; i < jemi_layout_size(l); i++)
        ones += (double)data[i];
    ck_assert(ones == (double)(l->n * row));
    jemi_free(canonical);
    jemi_free(back);
    jemi_free(data);
}
END_TEST

// The gradient `diff` that was made by the values `src`, by their signs: the same bits.
static void check_pooling_by_signs(const jemi_pooling *p, jemi_activation lrelu, const float *src,
                                   const float *dst, const float *diff)
{
    const int64_t count = jemi_layout_size(&p->src);
    if (p->src.block % JEMI_SIGNS != 0 || !jemi_act_grad_from_signs(lrelu))
        return;
    float *other = random_array(count);
    uint16_t *signs = jemi_alloc((size_t)count / 16, sizeof *signs);
    jemi_act_forward_signs(other, signs, src, count, lrelu);
    jemi_avgpool_transposed(other, dst, (jemi_kept){.signs = signs}, lrelu, p);
    ck_assert_mem_eq(other, diff, (size_t)count * sizeof *other);
    jemi_free(other);
    jemi_free(signs);
}

static void check_pooling(const jemi_layout *l, int64_t window_h, int64_t window_w)
{
    const int64_t h = l->h / window_h;
    const int64_t w = l->w / window_w;
    const jemi_pooling p = {*l, jemi_pooling_dst(l, h, w), window_h, window_w};
    const jemi_activation lrelu = {JEMI_CURVE_LRELU, 0.2f};
    float *canonical = random_array(l->n * l->c * l->h * l->w);
    float *src = random_array(jemi_layout_size(l));
    float *dst = random_array(jemi_layout_size(&p.dst));
    float *diff = random_array(jemi_layout_size(l));
    jemi_layout_load(src, l, canonical, l->n);
    jemi_avgpool_forward(dst, src, &p);
    jemi_avgpool_transposed(diff, dst, (jemi_kept){.values = src}, lrelu, &p);
    check_pooling_by_signs(&p, lrelu, src, dst, diff);
    for (int64_t n = 0; n < l->n; n++)
        for (int64_t c = 0; c < l->c; c++)
            for (int64_t i = 0; i < l->h * l->w; i++) {
                const int64_t y = i / l->w / window_h;
                const int64_t x = i % l->w / window_w;
                double mean = 0.0;
                if (y < h && x < w)
                    for (int64_t k = 0; k < window_h * window_w; k++)
                        mean += (double)src[place_of(l, n, c,
                                                     (y * window_h + k / window_w) * l->w +
                                                         x * window_w + k % window_w)];
                mean /= (double)(window_h * window_w);
                if (y < h && x < w)
                    ck_assert(fabs((double)dst[place_of(&p.dst, n, c, y * w + x)] - mean) < 1e-6);
                const double mask = src[place_of(l, n, c, i)] > 0.0f ? 1.0 : 0.2;
                const double expected = mean / (double)(window_h * window_w) * mask;
                ck_assert(fabs((double)diff[place_of(l, n, c, i)] - expected) < 1e-6);
            }
    float *twin = random_array(jemi_layout_size(l));
    memcpy(twin, diff, (size_t)jemi_layout_size(l) * sizeof *twin);
    jemi_layout_clear_padding(twin, l);
    ck_assert_mem_eq(twin, diff, (size_t)jemi_layout_size(l) * sizeof *twin);
    float *arrays[] = {canonical, src, dst, diff, twin};
    for (int i = 0; i < 5; i++)
        jemi_free(arrays[i]);
}

START_TEST(pooling_is_a_mean)
{
    const jemi_layout *l = &layouts[_i];
    check_pooling(l, l->h, l->w);
    check_pooling(l, l->h > 1 ? 2 : 1, l->w > 1 ? 2 : 1);
    check_pooling(l, 1, l->w > 2 ? 3 : 1);
}
END_TEST

// ---- arena -------------------------------------------------------------------------------------

START_TEST(arena_keeps_the_living_apart)
{
    enum { N = 60 };
    jemi_span spans[N];
    jemi_span *pointers[N];
    size_t sum = 0;
    for (int i = 0; i < N; i++) {
        const int32_t first = (int32_t)(draw() % 40);
        spans[i] = (jemi_span){.first = first, .last = first + (int32_t)(draw() % 9) - 1};
        spans[i].bytes = draw() % 5000;
        pointers[i] = &spans[i];
        sum += spans[i].bytes + 63;
    }
    size_t total;
    ck_assert_int_eq(jemi_arena_place(pointers, N, &total), JEM_OK);
    ck_assert_uint_lt(total, sum / 2); // it does share
    for (int i = 0; i < N; i++) {
        if (spans[i].first > spans[i].last)
            continue;
        ck_assert_uint_eq(spans[i].offset % 64, 0);
        ck_assert_uint_le(spans[i].offset + spans[i].bytes, total);
        for (int k = 0; k < i; k++)
            if (spans[k].first <= spans[k].last && spans[k].first <= spans[i].last &&
                spans[i].first <= spans[k].last)
                ck_assert(spans[i].offset + spans[i].bytes <= spans[k].offset ||
                          spans[k].offset + spans[k].bytes <= spans[i].offset);
    }
}
END_TEST

// ---- sums over vectors -------------------------------------------------------------------------

// Lengths around a vector, and across the blocks that threads share.
static const int64_t lengths[] = {0, 1, 15, 16, 17, 33, 16384, 16385, 50001};
enum { N_LENGTHS = sizeof lengths / sizeof lengths[0] };

START_TEST(sums_and_largest)
{
    const int64_t n = lengths[_i];
    float *x = jemi_alloc(2 * (size_t)n, sizeof *x), *y = x + n;
    double square = 0.0, change = 0.0, most = 0.0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = uniform(-1.0f, 1.0f);
        y[i] = uniform(-1.0f, 1.0f);
        square += pow((double)x[i], 2);
        change += pow((double)x[i] - (double)y[i], 2);
        most = fmax(most, fabs((double)x[i]));
    }
    // Other orders of n additions in double.
    ck_assert_double_eq_tol(jemi_sum_squares(x, n), square,
                            1e-15 * (double)(n + 1) * (square + 1.0));
    ck_assert_double_eq_tol(jemi_sum_squares_difference(x, y, n), change,
                            1e-15 * (double)(n + 1) * (change + 1.0));
    ck_assert_double_eq((double)jemi_max_abs(x, n), most);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int64_t place = 0; place < n; place = 2 * place + 1) {
        const float was = x[place];
        x[place] = bad[place % 3];
        ck_assert(isnan(jemi_max_abs(x, n)));
        x[place] = was;
    }
    jemi_free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("kernels");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, finite_everywhere_or_not);
    tcase_add_loop_test(tcase, activations_are_exact_to_a_few_ulp, 0, N_CURVES);
    tcase_add_loop_test(tcase, derivatives_are_exact, 0, N_CURVES);
    tcase_add_loop_test(tcase, nan_stays_nan, 0, N_CURVES);
    tcase_add_loop_test(tcase, signs_do_as_well_as_values, 0, N_CURVES);
    tcase_add_loop_test(tcase, layouts_hold_what_was_loaded, 0, N_LAYOUTS);
    tcase_add_loop_test(tcase, pooling_is_a_mean, 0, N_LAYOUTS);
    tcase_add_loop_test(tcase, sums_and_largest, 0, N_LENGTHS);
    tcase_add_loop_test(tcase, arena_keeps_the_living_apart, 0, 20);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
