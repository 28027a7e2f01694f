/*
 * Models tuned for latency: other kernels than for throughput where that pays, the same logits up to
 * rounding, and bits of a row that depend on neither n, neighbours nor threads.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "support.h"

enum { ROWS = 19, SIDE = 16, PIXELS = SIDE * SIDE, CLASSES = 4 };

static jem_model *make(int32_t backend, int32_t tuned_for, int32_t threads)
{
    jem_exec_config exec = support_exec(backend, threads);
    exec.tuned_for = tuned_for;
    return support_image_model("wrn-10-2", 1, SIDE, CLASSES, &exec);
}

typedef struct results {
    float logits[ROWS][CLASSES], grad[ROWS][PIXELS];
} results;

static void compute(const jem_model *model, const float *x, int64_t n, results *r)
{
    MUST(jem_logits(model, n, x, r->logits[0]));
    MUST(jem_energy_grad(model, n, x, NULL, NULL, r->grad[0]));
}

START_TEST(test_same_logits)
{
    static results throughput, latency;
    float *x = support_uniform(ROWS * PIXELS, 1);
    const int32_t tuned_for[] = {JEM_TUNED_THROUGHPUT, JEM_TUNED_LATENCY};
    results *const of[] = {&throughput, &latency};
    for (int i = 0; i < 2; i++) {
        jem_model *model = make(support_backends[_i], tuned_for[i], 2);
        compute(model, x, ROWS, of[i]);
        jem_model_destroy(model);
    }
    for (int row = 0; row < ROWS; row++)
        for (int k = 0; k < CLASSES; k++)
            ck_assert_float_le(fabsf(throughput.logits[row][k] - latency.logits[row][k]), 1e-4f);
    free(x);
}
END_TEST

START_TEST(test_bits_depend_on_the_row_alone)
{
    static results whole, one;
    float *x = support_uniform(ROWS * PIXELS, 1);
    jem_model *model = make(support_backends[_i], JEM_TUNED_LATENCY, 1);
    compute(model, x, ROWS, &whole);
    jem_model_destroy(model);
    model = make(support_backends[_i], JEM_TUNED_LATENCY, 3);
    for (int row = 0; row < ROWS; row += 6) {
        compute(model, x + row * PIXELS, 1, &one);
        support_same_bits(one.logits[0], whole.logits[row], sizeof one.logits[0], "logits");
        support_same_bits(one.grad[0], whole.grad[row], sizeof one.grad[0], "gradient");
    }
    jem_model_destroy(model);
    free(x);
}
END_TEST

typedef struct count {
    int winograd, direct_3x3, other;
} count;

static void count_kernels(void *user, const jem_step_info *step)
{
    count *c = user;
    c->winograd += strcmp(step->kernel, "winograd") == 0;
    c->direct_3x3 +=
        strcmp(step->kernel, "direct") == 0 && strstr(step->text, "convolution") != NULL;
    c->other += strcmp(step->kernel, "onednn") == 0;
}

// wrn-10-2 has two convolutions of 3x3 with stride 2.
START_TEST(test_kernels)
{
    count throughput = {0}, latency = {0};
    if (!jemi_kernels_available())
        return;
    jem_model *model = make(JEM_BACKEND_NATIVE, JEM_TUNED_THROUGHPUT, 1);
    MUST(jem_model_profile(model, JEM_PREPARE_LOGITS, 1, 0, count_kernels, &throughput));
    jem_model_destroy(model);
    model = make(JEM_BACKEND_NATIVE, JEM_TUNED_LATENCY, 1);
    MUST(jem_model_profile(model, JEM_PREPARE_LOGITS, 1, 0, count_kernels, &latency));
    jem_model_destroy(model);
    ck_assert_int_eq(latency.winograd, throughput.winograd - 2);
    ck_assert_int_eq(latency.direct_3x3, throughput.direct_3x3 + 2);
}
END_TEST

// What was measured on many rows, oneDNN's rows among it, is not asked.
START_TEST(test_table_is_not_asked)
{
    count latency = {0};
    if (!JEM_HAVE_ONEDNN || !jemi_kernels_available())
        return;
    jem_model *model = make(0, JEM_TUNED_LATENCY, 1);
    MUST(jem_model_profile(model, JEM_PREPARE_GRAD, 1, 0, count_kernels, &latency));
    jem_model_destroy(model);
    ck_assert_int_eq(latency.other, 0);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_same_logits, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_bits_depend_on_the_row_alone, 0, support_n_backends);
    tcase_add_test(tcase, test_kernels);
    tcase_add_test(tcase, test_table_is_not_asked);
}

int main(void)
{
    return support_main("tuned for", add_tests);
}
