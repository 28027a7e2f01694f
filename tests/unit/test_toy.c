/*
 * Training leads somewhere: three blobs in the plane are told apart, chains keep up with the data,
 * and the energy tells data from noise. A fixed seed, so the same run every time; the margins are
 * wide because backends round differently.
 */
#include <math.h>
#include <stdlib.h>

#include "support.h"

enum { FEATURES = 2, CLASSES = 3 };

// Three blobs at the corners of a triangle, spread 0.12.
static void draw_blobs(int64_t n, float *rows, int64_t *labels, uint64_t *state)
{
    static const float centre[CLASSES][2] = {{-0.6f, -0.5f}, {0.6f, -0.5f}, {0.0f, 0.6f}};
    for (int64_t r = 0; r < n; r++) {
        labels[r] = (int64_t)(support_next(state) % CLASSES);
        for (int i = 0; i < FEATURES; i++) {
            float sum = 0.0f; // of four uniforms in +-1/2: variance 1/3
            for (int k = 0; k < 4; k++)
                sum += (float)(support_next(state) >> 40) * 0x1p-24f - 0.5f;
            rows[r * FEATURES + i] = centre[labels[r]][i] + 0.2f * sum;
        }
    }
}

START_TEST(test_toy_problem)
{
    enum { STEPS = 400, BATCH = 48, TEST_ROWS = 600 };
    const jem_exec_config exec = support_exec(support_backends[_i], 1);
    jem_model *model = support_model("mlp-32-32:act=silu", FEATURES, CLASSES, &exec);
    jem_sampler_config config = support_sampler_config(300, 10);
    config.step_size = 0.05f;
    config.noise_std = 0.02f;
    config.x_low = -1.5f;
    config.x_high = 1.5f;
    jem_sampler *sampler = support_sampler(model, &config);
    jem_optimizer *optimizer = support_optimizer(model, 3e-3f);
    float *rows = malloc(TEST_ROWS * FEATURES * sizeof *rows);
    float *noise = support_uniform(TEST_ROWS * FEATURES, 99), *logits = malloc(TEST_ROWS * 12);
    int64_t *labels = malloc(TEST_ROWS * sizeof *labels);
    float *usual = malloc(TEST_ROWS * 4), *unusual = malloc(TEST_ROWS * 4);
    uint64_t state = 5;
    double gaps = 0.0;
    for (int i = 0; i < STEPS; i++) {
        jem_train_stats stats = {.struct_size = sizeof stats};
        draw_blobs(BATCH, rows, labels, &state);
        const jem_train_batch batch = support_batch(BATCH, rows, labels);
        MUST(jem_train_step(model, optimizer, sampler, NULL, &batch, &stats));
        gaps += i >= STEPS - 100 ? stats.gap / 100 : 0.0;
    }
    draw_blobs(TEST_ROWS, rows, labels, &state);
    jem_classification metrics = {.struct_size = sizeof metrics};
    MUST(jem_logits(model, TEST_ROWS, rows, logits));
    MUST(jem_classification_metrics(TEST_ROWS, CLASSES, logits, labels, 1.0, 15, &metrics));
    ck_assert_double_gt(metrics.accuracy, 0.95);
    // Chains that keep up with the data: F of both stays within a few nats.
    ck_assert_double_lt(fabs(gaps), 3.0);
    double area;
    for (int i = 0; i < TEST_ROWS * FEATURES; i++)
        noise[i] *= 1.5f;
    MUST(jem_score(model, JEM_SCORE_ENERGY, NULL, TEST_ROWS, rows, usual));
    MUST(jem_score(model, JEM_SCORE_ENERGY, NULL, TEST_ROWS, noise, unusual));
    MUST(jem_auroc(TEST_ROWS, usual, TEST_ROWS, unusual, &area));
    ck_assert_double_gt(area, 0.8); // the density has been learned: 1/2 would be nothing
    free(rows), free(noise), free(logits), free(labels), free(usual), free(unusual);
    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_toy_problem, 0, support_n_backends);
}

int main(void)
{
    return support_main("toy problem", add_tests);
}
