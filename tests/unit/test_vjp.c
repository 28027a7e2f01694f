/*
 * Penultimate features and vector-Jacobian products as a host calls them: what they are of each
 * other, in one piece and in many, and what is refused. test_golden proves the values.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { ROWS = 37, SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 5 };

static const char *const archs[] = {"mlp-40-20", "cnn-8-12:act=silu", "wrn-10-1:norm=batch",
                                    "cnn-8:dropout=0.3"};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

static jem_model *model_of(int i, int32_t threads)
{
    const jem_exec_config exec = support_exec(support_backends[i / N_ARCHS], threads);
    return support_image_model(archs[i % N_ARCHS], 1, SIDE, CLASSES, &exec);
}

static int64_t width_of(const jem_model *model)
{
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    return info.feature_count;
}

static void near(const float *got, const float *expected, int64_t count)
{
    float largest = 0.0f;
    for (int64_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(expected[i]));
    for (int64_t i = 0; i < count; i++)
        ck_assert_float_le(fabsf(got[i] - expected[i]), 2e-5f * largest);
}

// With the cotangent -softmax f(x) of E the product is E's gradient.
START_TEST(test_energy_gradient)
{
    jem_model *model = model_of(_i, 2);
    float *x = support_uniform(ROWS * PIXELS, 1);
    static float logits[ROWS][CLASSES], again[ROWS][CLASSES], cotangents[ROWS][CLASSES];
    static float dx[ROWS * PIXELS], grad[ROWS * PIXELS];
    MUST(jem_logits(model, ROWS, x, logits[0]));
    for (int i = 0; i < ROWS; i++) {
        double sum = 0.0;
        for (int k = 0; k < CLASSES; k++)
            sum += exp((double)logits[i][k]);
        for (int k = 0; k < CLASSES; k++)
            cotangents[i][k] = (float)(-exp((double)logits[i][k]) / sum);
    }
    MUST(jem_vjp(model, ROWS, x, cotangents[0], again[0], dx));
    MUST(jem_energy_grad(model, ROWS, x, NULL, NULL, grad));
    support_same_bits(again, logits, sizeof logits, "logits");
    near(dx, grad, ROWS * PIXELS);
    free(x);
    jem_model_destroy(model);
}
END_TEST

// A cotangent of the logits, taken through the last layer, is one of the features.
START_TEST(test_chain_rule)
{
    jem_model *model = model_of(_i, 2);
    const int64_t width = width_of(model);
    float *x = support_uniform(ROWS * PIXELS, 1), *cotangents = support_uniform(ROWS * CLASSES, 2);
    float *features = malloc((size_t)(ROWS * width) * sizeof *features);
    float *again = malloc((size_t)(ROWS * width) * sizeof *again);
    float *through = calloc((size_t)(ROWS * width), sizeof *through);
    float *weight = malloc((size_t)(CLASSES * width) * sizeof *weight);
    static float dx[ROWS * PIXELS], expected[ROWS * PIXELS];
    MUST(jem_model_get_tensor(model, "head.weight", CLASSES * width, weight));
    for (int64_t i = 0; i < ROWS * width; i++)
        for (int k = 0; k < CLASSES; k++)
            through[i] += cotangents[i / width * CLASSES + k] * weight[k * width + i % width];
    MUST(jem_vjp(model, ROWS, x, cotangents, NULL, expected));
    MUST(jem_features_vjp(model, ROWS, x, through, again, dx));
    MUST(jem_features(model, ROWS, x, features));
    near(dx, expected, ROWS * PIXELS);
    support_same_bits(again, features, (size_t)(ROWS * width) * sizeof *features, "features");
    float *const arrays[] = {x, cotangents, features, again, through, weight};
    for (int i = 0; i < 6; i++)
        free(arrays[i]);
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_a_row_depends_on_itself)
{
    jem_model *model = model_of(_i, 3);
    const int64_t width = width_of(model);
    float *x = support_uniform(ROWS * PIXELS, 1), *cotangents = support_uniform(ROWS * width, 2);
    float *whole = malloc((size_t)(ROWS * width) * sizeof *whole);
    float *one = malloc((size_t)width * sizeof *one);
    static float dx[ROWS * PIXELS], dx_one[PIXELS];
    MUST(jem_features_vjp(model, ROWS, x, cotangents, whole, dx));
    for (int i = 0; i < ROWS; i += 9) {
        MUST(jem_features_vjp(model, 1, x + i * PIXELS, cotangents + i * width, one, dx_one));
        support_same_bits(one, whole + i * width, (size_t)width * sizeof *one, "features");
        support_same_bits(dx_one, dx + i * PIXELS, sizeof dx_one, "gradient");
    }
    float *const arrays[] = {x, cotangents, whole, one};
    for (int i = 0; i < 4; i++)
        free(arrays[i]);
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_refusals)
{
    jem_model *model = model_of(0, 1);
    static float x[2 * PIXELS], dx[2 * PIXELS], features[2 * 20], cotangents[2 * 20];
    ck_assert_int_eq(width_of(model), 20);
    REFUSED(JEM_EINVAL, "dlogits", jem_vjp(model, 2, x, NULL, NULL, dx));
    REFUSED(JEM_EINVAL, "dx", jem_vjp(model, 2, x, cotangents, NULL, NULL));
    REFUSED(JEM_EINVAL, "features", jem_features(model, 2, x, NULL));
    REFUSED(JEM_EINVAL, "dfeatures", jem_features_vjp(model, 2, x, NULL, features, dx));
    cotangents[2 * 20 - 1] = NAN;
    REFUSED(JEM_EINVAL, "dfeatures", jem_features_vjp(model, 2, x, cotangents, features, dx));
    cotangents[2 * CLASSES - 1] = INFINITY;
    REFUSED(JEM_EINVAL, "dlogits", jem_vjp(model, 2, x, cotangents, NULL, dx));
    MUST(jem_vjp(model, 0, NULL, NULL, NULL, NULL));
    MUST(jem_features(model, 0, NULL, NULL));
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends * N_ARCHS;
    tcase_add_loop_test(tcase, test_energy_gradient, 0, n);
    tcase_add_loop_test(tcase, test_chain_rule, 0, n);
    tcase_add_loop_test(tcase, test_a_row_depends_on_itself, 0, n);
    tcase_add_test(tcase, test_refusals);
}

int main(void)
{
    return support_main("vjp", add_tests);
}
