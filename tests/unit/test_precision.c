/*
 * JEM_PRECISION_BF16 on a network that has learned something: its logits and input gradients are
 * near those of JEM_PRECISION_F32 for every single row. Random networks would prove less: training
 * is what makes some weights large and moves activations away from zero.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "support.h"

enum { SIDE = 12, CLASSES = 4, ROWS = 96, BATCH = 32, PIXELS = SIDE * SIDE };

static float x[ROWS * PIXELS];
static int64_t y[ROWS];

// Noise, in which a bar shines: its place is the class.
static void make_images(void)
{
    float *noise = support_uniform(ROWS * PIXELS, 21);
    for (int r = 0; r < ROWS; r++) {
        y[r] = r % CLASSES;
        for (int i = 0; i < PIXELS; i++) {
            const bool bar = i / SIDE * CLASSES / SIDE == y[r];
            x[r * PIXELS + i] = 0.5f * noise[r * PIXELS + i] + (bar ? 0.5f : -0.5f);
        }
    }
    free(noise);
}

static jem_model *train(const jem_exec_config *exec)
{
    jem_model *model = support_image_model("wrn-10-1", 1, SIDE, CLASSES, exec);
    jem_optimizer *optimizer = support_optimizer(model, 2e-3f);
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.w_px = config.energy_l2 = 0.0f;
    for (int step = 0; step < 60; step++) {
        const int first = step * BATCH % ROWS;
        const jem_train_batch batch = support_batch(BATCH, x + first * PIXELS, y + first);
        MUST(jem_train_step(model, optimizer, NULL, &config, &batch, NULL));
    }
    jem_optimizer_destroy(optimizer);
    return model;
}

static void check_accuracy(const float *logits)
{
    jem_classification metrics = {.struct_size = sizeof metrics};
    MUST(jem_classification_metrics(ROWS, CLASSES, logits, y, 1.0, 15, &metrics));
    ck_assert_msg(metrics.accuracy > 0.9, "nothing learned: accuracy %g", metrics.accuracy);
}

static void look_for_bf16(void *user, const jem_step_info *step)
{
    *(int *)user += strstr(step->text, "bf16") != NULL;
}

static double largest(const float *values, int n)
{
    double most = 0.0;
    for (int i = 0; i < n; i++)
        most = fmax(most, fabs((double)values[i]));
    return most;
}

static double distance(const float *a, const float *b, int n)
{
    double most = 0.0;
    for (int i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static double cosine(const float *a, const float *b, int n)
{
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (int i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

typedef struct outputs {
    float logits[ROWS * CLASSES], grad[ROWS * PIXELS];
} outputs;

static void compute(const jem_model *model, outputs *out)
{
    MUST(jem_logits(model, ROWS, x, out->logits));
    MUST(jem_energy_grad(model, ROWS, x, NULL, NULL, out->grad));
}

// Ten layers whose products are off by at most 2^-7 each, mostly apart: 3e-2 is four of them in one
// direction. A gradient also changes where a unit is taken over the kink of its activation.
static void check_rows(const outputs *exact, const outputs *rounded)
{
    double worst_logits = 0.0, worst_cosine = 1.0;
    for (int r = 0; r < ROWS; r++) {
        const float *logits = exact->logits + r * CLASSES;
        const double off = distance(logits, rounded->logits + r * CLASSES, CLASSES);
        worst_logits = fmax(worst_logits, off / largest(logits, CLASSES));
        worst_cosine = fmin(worst_cosine,
                            cosine(exact->grad + r * PIXELS, rounded->grad + r * PIXELS, PIXELS));
    }
    printf("worst row: logits off by %.2g of the largest, cosine of gradients %.5f\n", worst_logits,
           worst_cosine);
    ck_assert_msg(worst_logits <= 3e-2, "logits off by %g of the largest", worst_logits);
    ck_assert_msg(worst_logits > 0.0, "nothing was rounded");
    ck_assert_msg(worst_cosine >= 0.995, "cosine of gradients %g", worst_cosine);
}

START_TEST(test_trained_network_in_bf16)
{
    static outputs exact, rounded;
    jem_exec_config exec = support_exec(JEM_BACKEND_NATIVE, 2);
    make_images();
    jem_model *model = train(&exec), *in_bf16;
    exec.precision_scoring = JEM_PRECISION_BF16;
    MUST(jem_model_clone(&in_bf16, model, &exec));
    int steps = 0;
    MUST(jem_model_profile(in_bf16, JEM_PREPARE_LOGITS, ROWS, 0, look_for_bf16, &steps));
    ck_assert_int_ge(steps, 2);
    compute(model, &exact);
    compute(in_bf16, &rounded);
    check_accuracy(exact.logits);
    check_rows(&exact, &rounded);
    jem_model_destroy(in_bf16);
    jem_model_destroy(model);
}
END_TEST

// A step without noise, in the precision of chains.
static void step_chains(const jem_model *model, float *chains)
{
    jem_sampler_config config = support_sampler_config(BATCH, 1);
    config.noise_std = 0.0f;
    jem_sampler *sampler = support_sampler(model, &config);
    memcpy(chains, x, BATCH * PIXELS * sizeof *x);
    MUST(jem_sgld_step(model, sampler, BATCH, NULL, chains));
    jem_sampler_destroy(sampler);
}

// What was compiled for one purpose does not serve another one of the same gradients.
START_TEST(test_each_purpose_keeps_its_precision)
{
    static float before[BATCH * PIXELS], after[BATCH * PIXELS], grad[BATCH * PIXELS];
    jem_exec_config exec = support_exec(JEM_BACKEND_NATIVE, 1);
    exec.precision_scoring = JEM_PRECISION_BF16;
    make_images();
    jem_model *model = support_image_model("wrn-10-1", 1, SIDE, CLASSES, &exec), *scored;
    MUST(jem_model_clone(&scored, model, &exec));
    MUST(jem_energy_grad(scored, BATCH, x, NULL, NULL, grad));
    step_chains(model, before);
    step_chains(scored, after);
    support_same_bits(before, after, sizeof before, "chains");
    jem_model_destroy(scored);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    if (jemi_bf16_available()) {
        tcase_add_test(tcase, test_trained_network_in_bf16);
        tcase_add_test(tcase, test_each_purpose_keeps_its_precision);
    } else {
        puts("skipped: nothing is computed with bfloat16 here");
    }
}

int main(void)
{
    return support_main("precision", add_tests);
}
