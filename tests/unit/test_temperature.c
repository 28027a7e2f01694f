/*
 * jem_fit_temperature: the least NLL by a search of the test's own, scales, ends of the range, rows
 * that tell nothing. And what a model does with a temperature: kept by files and clones, lost with
 * the parameters that it was fitted to, without effect on all that is computed.
 */
#define _GNU_SOURCE // memmem
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { N = 500, CLASSES = 4, FEATURES = 3 };

// ---- the fit ------------------------------------------------------------------------------------

static double nll(const float *logits, const int64_t *labels, double temperature)
{
    double sum = 0.0;
    for (int i = 0; i < N; i++) {
        double total = 0.0;
        for (int k = 0; k < CLASSES; k++)
            total += exp((double)(logits[i * CLASSES + k] - logits[i * CLASSES + labels[i]]) /
                         temperature);
        sum += log(total);
    }
    return sum / N;
}

// Logits in +-4 and labels drawn from their softmax at temperature T; overconfident where T > 1.
static void draw_rows(double temperature, float *logits, int64_t *labels)
{
    uint64_t state = 7;
    for (int i = 0; i < N; i++) {
        double p[CLASSES], total = 0.0;
        for (int k = 0; k < CLASSES; k++) {
            logits[i * CLASSES + k] =
                8.0f * ((float)(support_next(&state) >> 40) * 0x1p-24f - 0.5f);
            p[k] = exp((double)logits[i * CLASSES + k] / temperature);
            total += p[k];
        }
        double lot = (double)(support_next(&state) >> 11) * 0x1p-53 * total;
        labels[i] = 0;
        while (labels[i] < CLASSES - 1 && lot >= p[labels[i]])
            lot -= p[labels[i]++];
    }
}

static float logits[N * CLASSES];
static int64_t labels[N];

static float fitted(void)
{
    float temperature;
    MUST(jem_fit_temperature(N, CLASSES, logits, labels, &temperature));
    return temperature;
}

static const double temperatures[] = {0.3, 1.0, 2.5, 9.0};

START_TEST(test_least_nll)
{
    const double drawn = temperatures[_i];
    draw_rows(drawn, logits, labels);
    double low = log(0.01), high = log(100.0); // golden section over a convex function
    while (high - low > 1e-9) {
        const double a = high - 0.6180339887498949 * (high - low), b = low + high - a;
        if (nll(logits, labels, exp(a)) < nll(logits, labels, exp(b)))
            high = b;
        else
            low = a;
    }
    // The search is as exact as the NLL is flat: 1e-16 of it is 1e-8 of T.
    NEAR((double)fitted() / exp(low), 1.0, 1e-6);
    NEAR((double)fitted() / drawn, 1.0, 0.3); // of 500 rows
}
END_TEST

START_TEST(test_temperature_scales_with_the_logits)
{
    draw_rows(1.5, logits, labels);
    const double one = (double)fitted();
    const float factors[] = {0.125f, 8.0f, 32.0f};
    for (int i = 0; i < COUNT(factors); i++) {
        draw_rows(1.5, logits, labels);
        for (int k = 0; k < N * CLASSES; k++)
            logits[k] *= factors[i];
        NEAR((double)fitted() / one, (double)factors[i], 1e-6 * (double)factors[i]);
    }
}
END_TEST

static int64_t extreme_class(const float *row, float sign)
{
    int64_t best = 0;
    for (int k = 1; k < CLASSES; k++)
        best = sign * row[k] > sign * row[best] ? k : best;
    return best;
}

START_TEST(test_ends_of_the_range)
{
    draw_rows(1.0, logits, labels);
    for (int i = 0; i < N; i++)
        labels[i] = extreme_class(logits + i * CLASSES, 1.0f);
    ck_assert_float_eq(fitted(), 0.01f);
    for (int i = 0; i < N; i++)
        labels[i] = extreme_class(logits + i * CLASSES, -1.0f);
    ck_assert_float_eq(fitted(), 100.0f);
    for (int i = 0; i < N * CLASSES; i++)
        logits[i] = 0.1f * (float)(i / CLASSES);
    ck_assert_float_eq(fitted(), 1.0f); // all classes alike
    for (int i = 0; i < N * CLASSES; i++)
        logits[i] = i % CLASSES == labels[i / CLASSES] ? 20.0f : 0.0f;
    ck_assert_float_eq(fitted(), 0.01f); // though at less than 0.03 the NLL is 0
    // Beyond what exp can take, and a single row.
    const float far[] = {-3e38f, 3e38f, 0.0f, 1.0f};
    const int64_t right = 1, wrong = 0;
    float temperature;
    MUST(jem_fit_temperature(1, CLASSES, far, &right, &temperature));
    ck_assert_float_eq(temperature, 1.0f); // nothing can be gained
    MUST(jem_fit_temperature(1, CLASSES, far, &wrong, &temperature));
    ck_assert_float_eq(temperature, 100.0f);
}
END_TEST

START_TEST(test_fit_refusals)
{
    draw_rows(1.0, logits, labels);
    float t, nan_row[CLASSES] = {0, NAN, 0, 0};
    const int64_t bad[1] = {CLASSES};
    REFUSED(JEM_EINVAL, "n is 0", jem_fit_temperature(0, CLASSES, logits, labels, &t));
    REFUSED(JEM_EINVAL, "classes is 1", jem_fit_temperature(N, 1, logits, labels, &t));
    REFUSED(JEM_EINVAL, "logits is NULL", jem_fit_temperature(N, CLASSES, NULL, labels, &t));
    REFUSED(JEM_EINVAL, "logits is nan", jem_fit_temperature(1, CLASSES, nan_row, labels, &t));
    REFUSED(JEM_EINVAL, "labels is NULL", jem_fit_temperature(N, CLASSES, logits, NULL, &t));
    REFUSED(JEM_EINVAL, "labels is 4", jem_fit_temperature(1, CLASSES, logits, bad, &t));
    REFUSED(JEM_EINVAL, "temperature", jem_fit_temperature(N, CLASSES, logits, labels, NULL));
}
END_TEST

// ---- the model ----------------------------------------------------------------------------------

static float temperature_of(const jem_model *model)
{
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    return info.temperature;
}

static jem_model *tempered(float temperature)
{
    jem_model *model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    MUST(jem_model_set_temperature(model, temperature));
    return model;
}

START_TEST(test_values_of_a_temperature)
{
    jem_model *model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    ck_assert_float_eq(temperature_of(model), 1.0f);
    const float good[] = {0.01f, 1.7f, 100.0f},
                bad[] = {0.0f, -1.0f, 0.009f, 101.0f, NAN, INFINITY};
    for (int i = 0; i < COUNT(good); i++) {
        MUST(jem_model_set_temperature(model, good[i]));
        ck_assert_float_eq(temperature_of(model), good[i]);
    }
    for (int i = 0; i < COUNT(bad); i++)
        REFUSED(JEM_EINVAL, "temperature is", jem_model_set_temperature(model, bad[i]));
    ck_assert_float_eq(temperature_of(model), 100.0f);
    REFUSED(JEM_EINVAL, "model", jem_model_set_temperature(NULL, 1.0f));
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_nothing_is_computed_with_it)
{
    jem_model *model = tempered(1.0f);
    float *x = support_uniform(FEATURES, 1), values[2][CLASSES + 2];
    for (int i = 0; i < 2; i++) {
        MUST(jem_model_set_temperature(model, i == 0 ? 1.0f : 3.0f));
        MUST(jem_logits(model, 1, x, values[i]));
        MUST(jem_energy(model, 1, x, NULL, values[i] + CLASSES));
        MUST(jem_score(model, JEM_SCORE_MAX_SOFTMAX, NULL, 1, x, values[i] + CLASSES + 1));
    }
    support_same_bits(values[0], values[1], sizeof values[0], "logits, energy, score");
    free(x);
    jem_model_destroy(model);
}
END_TEST

static void save_as(const jem_model *model, const char *folder, const char *name, char path[300])
{
    snprintf(path, 300, "%s/%s", folder, name);
    MUST(jem_model_save(model, path));
}

START_TEST(test_files_and_clones_keep_it)
{
    const float odd = 1.0f / 3.0f;
    char folder[256], path[2][300];
    support_make_dir(folder, sizeof folder);
    jem_model *model = tempered(1.0f), *copy;
    save_as(model, folder, "before", path[0]);
    MUST(jem_model_set_temperature(model, odd));
    MUST(jem_model_clone(&copy, model, NULL));
    ck_assert_float_eq(temperature_of(copy), odd);
    jem_model_destroy(copy);
    save_as(model, folder, "fitted", path[1]);
    MUST(jem_model_load(&copy, path[1], NULL));
    ck_assert_float_eq(temperature_of(copy), odd);
    MUST(jem_model_set_temperature(copy, 1.0f));
    save_as(copy, folder, "fitted", path[1]);
    jem_model_destroy(copy);
    jem_model_destroy(model);
    size_t sizes[2];
    void *files[2];
    for (int i = 0; i < 2; i++)
        files[i] = support_read_file(path[i], &sizes[i]);
    ck_assert_uint_eq(sizes[0], sizes[1]); // at 1 there is no trace of it
    ck_assert_ptr_null(memmem(files[0], sizes[0], "temperature", strlen("temperature")));
    support_same_bits(files[0], files[1], sizes[0], "files");
    free(files[0]);
    free(files[1]);
    support_remove_dir(folder);
}
END_TEST

// ---- what it is lost by -------------------------------------------------------------------------

static char file_path[300];

static void set_all(jem_model *model)
{
    float *params = support_params(model);
    MUST(jem_model_set_params(model, support_param_count(model), params));
    free(params);
}

static void set_one(jem_model *model)
{
    float bias[CLASSES];
    MUST(jem_model_get_tensor(model, "head.bias", CLASSES, bias));
    MUST(jem_model_set_tensor(model, "head.bias", CLASSES, bias));
}

static void load_some(jem_model *model)
{
    MUST(jem_model_load_matching(model, file_path, NULL));
}

static jem_status train(jem_model *model, float w_pyx)
{
    const int64_t y[] = {0, 1};
    float *x = support_uniform(2 * FEATURES, 1);
    jem_optimizer *optimizer = support_optimizer(model, 0.01f);
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.w_px = config.energy_l2 = 0.0f;
    config.w_pyx = w_pyx;
    const jem_train_batch batch = support_batch(2, x, y);
    const jem_status status = jem_train_step(model, optimizer, NULL, &config, &batch, NULL);
    jem_optimizer_destroy(optimizer);
    free(x);
    return status;
}

static void train_once(jem_model *model)
{
    MUST(train(model, 1.0f));
}

static void load_checkpoint(jem_model *model)
{
    jem_optimizer *optimizer = support_optimizer(model, 0.01f);
    MUST(jem_checkpoint_save(file_path, model, optimizer, NULL));
    ck_assert_float_eq(temperature_of(model), 2.0f);
    MUST(jem_checkpoint_load(file_path, model, optimizer, NULL));
    jem_optimizer_destroy(optimizer);
}

static void (*const writes[])(jem_model *model) = {set_all, set_one, load_some, train_once,
                                                   load_checkpoint};

START_TEST(test_writes_lose_it)
{
    char folder[256];
    support_make_dir(folder, sizeof folder);
    jem_model *model = tempered(1.0f);
    save_as(model, folder, "m", file_path);
    for (int round = 0; round < 3; round++) { // generations are recycled
        MUST(jem_model_set_temperature(model, 2.0f));
        writes[_i](model);
        ck_assert_float_eq(temperature_of(model), 1.0f);
    }
    jem_model_destroy(model);
    support_remove_dir(folder);
}
END_TEST

START_TEST(test_failed_writes_do_not)
{
    jem_model *model = tempered(2.0f);
    float nan_bias[CLASSES] = {NAN, 0, 0, 0};
    REFUSED(JEM_EINVAL, "", jem_model_set_tensor(model, "head.bias", CLASSES, nan_bias));
    REFUSED(JEM_EDIVERGED, "", train(model, 1e29f));
    ck_assert_float_eq(temperature_of(model), 2.0f);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_least_nll, 0, COUNT(temperatures));
    tcase_add_test(tcase, test_temperature_scales_with_the_logits);
    tcase_add_test(tcase, test_ends_of_the_range);
    tcase_add_test(tcase, test_fit_refusals);
    tcase_add_test(tcase, test_values_of_a_temperature);
    tcase_add_test(tcase, test_nothing_is_computed_with_it);
    tcase_add_test(tcase, test_files_and_clones_keep_it);
    tcase_add_loop_test(tcase, test_writes_lose_it, 0, COUNT(writes));
    tcase_add_test(tcase, test_failed_writes_do_not);
}

int main(void)
{
    return support_main("temperature", add_tests);
}
