/*
 * Rows of finite inputs that overflow on the way: what stands for their results, on every backend,
 * for every kind of result, and that their neighbours do not notice. And which rows are told to lie
 * outside of the input range.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { ROWS = 9, SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 4, BAD = 3, FEATURES_MAX = 128 };

static const char *const archs[] = {
    "cnn-8-8",  "cnn-8:act=silu",      "cnn-8-8:norm=group4",
    "wrn-10-1", "wrn-10-1:norm=batch", "mlp-64-64-64",
};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

typedef struct results {
    float logits[ROWS][CLASSES], energy[ROWS], of_label[ROWS], grad[ROWS][PIXELS];
    float energy_alone[ROWS], scores[JEM_SCORE_GRADIENT_NORM][ROWS];
    float vjp_logits[ROWS][CLASSES], vjp[ROWS][PIXELS];
    float features[ROWS * FEATURES_MAX], features_vjp[ROWS][PIXELS];
    int64_t width; // of the features
} results;

static void compute(const jem_model *model, const float *x, results *r)
{
    const int64_t labels[ROWS] = {0, 1, 2, 3, 0, 1, 2, 3, 0};
    MUST(jem_logits(model, ROWS, x, r->logits[0]));
    MUST(jem_energy_grad(model, ROWS, x, NULL, r->energy, r->grad[0]));
    MUST(jem_energy(model, ROWS, x, NULL, r->energy_alone));
    MUST(jem_energy(model, ROWS, x, labels, r->of_label));
    for (int kind = JEM_SCORE_ENERGY; kind <= JEM_SCORE_GRADIENT_NORM; kind++)
        MUST(jem_score(model, kind, NULL, ROWS, x, r->scores[kind - 1]));
    float ones[ROWS * FEATURES_MAX];
    for (int i = 0; i < ROWS * FEATURES_MAX; i++)
        ones[i] = 1.0f;
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    r->width = info.feature_count;
    ck_assert_int_le(r->width, FEATURES_MAX);
    MUST(jem_vjp(model, ROWS, x, ones, r->vjp_logits[0], r->vjp[0]));
    MUST(jem_features(model, ROWS, x, r->features));
    MUST(jem_features_vjp(model, ROWS, x, ones, NULL, r->features_vjp[0]));
}

static void fill(float *x)
{
    for (int i = 0; i < ROWS * PIXELS; i++)
        x[i] = (float)(i * 37 % 101) / 50.0f - 1.0f;
}

static bool overflows(const results *r, int row)
{
    return isinf(r->energy[row]);
}

static void check_overflowed(const results *r, int row)
{
    ck_assert(r->energy[row] == INFINITY && r->energy_alone[row] == INFINITY);
    ck_assert(r->of_label[row] == INFINITY);
    for (int k = 0; k < CLASSES; k++)
        ck_assert(r->logits[row][k] == -INFINITY);
    for (int i = 0; i < PIXELS; i++)
        ck_assert(r->grad[row][i] == 0.0f);
    for (int kind = 0; kind < 3; kind++)
        ck_assert(r->scores[kind][row] == INFINITY);
    for (int k = 0; k < CLASSES; k++)
        ck_assert(r->vjp_logits[row][k] == -INFINITY);
    for (int i = 0; i < PIXELS; i++)
        ck_assert(r->vjp[row][i] == 0.0f && isfinite(r->features_vjp[row][i]));
    const float *features = r->features + row * r->width;
    for (int64_t k = 0; k < r->width; k++) // they may be finite where logits are not
        ck_assert(isfinite(features[0]) ? isfinite(features[k]) : features[k] == INFINITY);
}

static void check_same(const results *r, const results *good, int row)
{
    ck_assert_mem_eq(r->logits[row], good->logits[row], sizeof r->logits[row]);
    ck_assert_mem_eq(r->grad[row], good->grad[row], sizeof r->grad[row]);
    ck_assert_mem_eq(r->vjp[row], good->vjp[row], sizeof r->vjp[row]);
    ck_assert_mem_eq(r->features + row * r->width, good->features + row * r->width,
                     (size_t)r->width * sizeof(float));
    ck_assert(r->energy[row] == good->energy[row] && r->of_label[row] == good->of_label[row]);
    for (int kind = 0; kind < 3; kind++)
        ck_assert(r->scores[kind][row] == good->scores[kind][row]);
}

// Weights of 1e3 make every network overflow.
static jem_model *large_model(const char *arch, int32_t backend)
{
    const jem_exec_config exec = support_exec(backend, 2);
    jem_model *model = support_image_model(arch, 1, SIDE, CLASSES, &exec);
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    float *params = support_params(model);
    for (int64_t i = 0; i < info.param_count - info.state_count; i++)
        params[i] *= 1e3f;
    MUST(jem_model_set_params(model, info.param_count, params));
    free(params);
    return model;
}

START_TEST(a_row_that_overflows_is_the_most_unusual)
{
    static results good, bad;
    static float x[ROWS * PIXELS];
    const char *arch = archs[_i % N_ARCHS];
    jem_model *model = large_model(arch, support_backends[_i / N_ARCHS]);
    fill(x);
    compute(model, x, &good);
    for (int i = 0; i < PIXELS; i++)
        x[BAD * PIXELS + i] = -FLT_MAX;
    compute(model, x, &bad);
    for (int row = 0; row < ROWS; row++) {
        if (row == BAD && overflows(&bad, row))
            check_overflowed(&bad, row);
        else if (row != BAD)
            check_same(&bad, &good, row);
    }
    // The reference computes in double, where fewer values overflow on the way.
    const bool in_float = support_backends[_i / N_ARCHS] != JEM_BACKEND_REF;
    const bool normalised = strstr(arch, "norm=") != NULL;
    ck_assert_msg(overflows(&bad, BAD) || !in_float || normalised, "%s: nothing overflowed", arch);
    jem_model_destroy(model);
}
END_TEST

START_TEST(infinite_scores_have_a_rank)
{
    const float usual[] = {0, 1, 2, INFINITY}, unusual[] = {INFINITY, 3};
    const float with_nan[] = {0, NAN};
    double area;
    MUST(jem_auroc(4, usual, 2, unusual, &area));
    ck_assert_double_eq(area, (3 + 0.5 + 3) / 8);
    ck_assert_int_eq(jem_auroc(2, with_nan, 2, unusual, &area), JEM_EINVAL);
}
END_TEST

START_TEST(rows_outside_of_the_range_are_told)
{
    static float x[ROWS * PIXELS];
    uint8_t outside[ROWS];
    int64_t count;
    float low, high;
    const jem_exec_config exec = support_exec(JEM_BACKEND_REF, 1);
    jem_model *model = support_image_model("cnn-4", 1, SIDE, CLASSES, &exec);
    fill(x);
    x[0] = -1.0001f; // rounding
    MUST(jem_input_range(model, ROWS, x, outside, &count, &low, &high));
    ck_assert_int_eq(count, 0);
    ck_assert(low == 0.0f && high == 0.0f);
    x[2 * PIXELS + PIXELS - 1] = 1.01f;
    x[BAD * PIXELS] = -40.0f;
    MUST(jem_input_range(model, ROWS, x, outside, &count, &low, &high));
    ck_assert_int_eq(count, 2);
    for (int i = 0; i < ROWS; i++)
        ck_assert_int_eq(outside[i], i == 2 || i == BAD);
    ck_assert(low == -40.0f && high == 1.01f);
    MUST(jem_input_range(model, ROWS, x, NULL, &count, NULL, NULL));
    ck_assert_int_eq(jem_input_range(model, ROWS, x, outside, NULL, &low, &high), JEM_EINVAL);
    MUST(jem_input_range(model, 0, NULL, NULL, &count, &low, &high));
    ck_assert_int_eq(count, 0);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_row_that_overflows_is_the_most_unusual, 0,
                        support_n_backends * N_ARCHS);
    tcase_add_test(tcase, infinite_scores_have_a_rank);
    tcase_add_test(tcase, rows_outside_of_the_range_are_told);
}

int main(void)
{
    return support_main("overflow", add_tests);
}
