/*
 * The term of w_pxy compares labelled rows and samples class by class: what a row weighs, that no
 * bias of a class is moved, that a class without samples is left alone, and that training with
 * unbalanced labels stays where it should. That the loss is the loss it says is test_train.c's to
 * prove, that its gradient is right the goldens'.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "train/objective.h"

enum { FEATURES = 2, CLASSES = 3, HIDDEN = 8, ROWS = 20 };

// ---- weights ------------------------------------------------------------------------------------

// With the same shares in both batches it is the difference of the plain means.
START_TEST(test_balanced_weights_are_plain)
{
    const int64_t labelled[] = {0, 1, 2, 0, 2, 1}, samples[] = {2, 1, 0};
    double pxy[2][CLASSES];
    jemi_objective_weigh_classes(0.7, CLASSES, 6, labelled, 3, samples, pxy[0]);
    for (int k = 0; k < CLASSES; k++) {
        NEAR(pxy[0][k], -0.7 / 6, 1e-16);
        NEAR(pxy[1][k], 0.7 / 3, 1e-16);
    }
}
END_TEST

START_TEST(test_unbalanced_weights)
{
    const int64_t labelled[] = {1, 1, 1, 0, 1, 3}, samples[] = {1, 4, 0, 0, 1, 0};
    const double n = 6,
                 expected[2][5] = {{-1 / n, -1 / n, 0, 0, -1 / n}, {1 / n / 3, 4 / n / 2, 0, 0, 0}};
    double pxy[2][5];
    jemi_objective_weigh_classes(1.0, 5, 6, labelled, 6, samples, pxy[0]);
    for (int k = 0; k < 5; k++) {
        NEAR(pxy[0][k], expected[0][k], 1e-16);
        NEAR(pxy[1][k], expected[1][k], 1e-16);
    }
}
END_TEST

// ---- a step -------------------------------------------------------------------------------------

typedef struct step_row {
    int64_t n_samples; /* 0 = drawn */
    int64_t y_samples[8];
    int32_t left_out; /* a class; -1: none */
} step_row;

static const step_row steps[] = {
    {8, {0, 1, 2, 1, 2, 0, 1, 2}, -1},
    {5, {2, 2, 1, 2, 0}, -1},
    {4, {0, 0, 2, 0}, 1}, // few rows of its own
    {3, {2, 1, 2}, 0},    // most of them
    {0, {0}, -1},
};

static const int64_t unbalanced[ROWS] = {0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1};

static jem_sampler *class_sampler(const jem_model *model, jem_sampler_config config)
{
    config.class_conditional = 1;
    return support_sampler(model, &config);
}

// Plain SGD on the term alone: the change of the parameters is its gradient.
static void step_once(jem_model *model, const step_row *row)
{
    jem_optimizer_config optimizer_config;
    MUST(jem_optimizer_config_init(&optimizer_config, sizeof optimizer_config));
    optimizer_config.kind = JEM_OPTIMIZER_SGD;
    optimizer_config.lr = 1.0f;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &optimizer_config));
    jem_sampler *sampler = class_sampler(model, support_sampler_config(3 * ROWS, 2));
    float *x = support_uniform(ROWS * FEATURES, 1), *samples = support_uniform(8 * FEATURES, 2);
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.w_px = config.w_pyx = config.energy_l2 = 0.0f;
    config.w_pxy = 1.0f;
    jem_train_batch batch = support_batch(ROWS, x, unbalanced);
    batch.n_samples = row->n_samples;
    batch.x_samples = row->n_samples > 0 ? samples : NULL;
    batch.y_samples = row->n_samples > 0 ? row->y_samples : NULL;
    MUST(jem_train_step(model, optimizer, sampler, &config, &batch, NULL));
    free(x);
    free(samples);
    jem_sampler_destroy(sampler);
    jem_optimizer_destroy(optimizer);
}

typedef struct head {
    float weight[CLASSES][HIDDEN], bias[CLASSES];
} head;

static head head_of(const jem_model *model)
{
    head h;
    MUST(jem_model_get_tensor(model, "head.weight", CLASSES * HIDDEN, h.weight[0]));
    MUST(jem_model_get_tensor(model, "head.bias", CLASSES, h.bias));
    return h;
}

START_TEST(test_biases_stay)
{
    const step_row *row = &steps[_i / support_n_backends];
    const jem_exec_config exec = support_exec(support_backends[_i % support_n_backends], 1);
    jem_model *model = support_model("mlp-8", FEATURES, CLASSES, &exec);
    const head before = head_of(model);
    step_once(model, row);
    const head after = head_of(model);
    for (int k = 0; k < CLASSES; k++) {
        const bool same = memcmp(after.weight[k], before.weight[k], sizeof after.weight[k]) == 0;
        ck_assert_msg(same == (k == row->left_out), "row %d: weights of class %d", _i, k);
        NEAR(after.bias[k], before.bias[k], 3e-7); // 28 floats of 1 and less, that sum to 0
    }
    jem_model_destroy(model);
}
END_TEST

// ---- training -----------------------------------------------------------------------------------

// Three blobs, nine tenths of the rows in the first, one twentieth in each of the others.
static void draw_blobs(int64_t n, float *rows, int64_t *labels, uint64_t *state)
{
    static const float centre[CLASSES][2] = {{-0.6f, -0.6f}, {0.6f, -0.6f}, {0.0f, 0.6f}};
    for (int64_t r = 0; r < n; r++) {
        const uint64_t lot = support_next(state) % 20;
        labels[r] = lot < 18 ? 0 : (int64_t)lot - 17;
        for (int i = 0; i < FEATURES; i++) {
            float sum = 0.0f; // of four uniforms in +-1/2: variance 1/3
            for (int k = 0; k < 4; k++)
                sum += (float)(support_next(state) >> 40) * 0x1p-24f - 0.5f;
            rows[r * FEATURES + i] = centre[labels[r]][i] + 0.26f * sum;
        }
    }
}

static void train(jem_model *model, int n_steps, uint64_t *state)
{
    enum { BATCH = 64 };
    jem_sampler_config chains = support_sampler_config(600, 10);
    chains.step_size = 0.05f;
    chains.noise_std = 0.05f;
    chains.grad_clamp = 1.0f;
    chains.x_low = -1.5f;
    chains.x_high = 1.5f;
    jem_sampler *sampler = class_sampler(model, chains);
    jem_optimizer *optimizer = support_optimizer(model, 3e-3f);
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.w_px = config.energy_l2 = 0.0f;
    config.w_pyx = config.w_pxy = 1.0f;
    float rows[BATCH * FEATURES];
    int64_t labels[BATCH];
    const jem_train_batch batch = support_batch(BATCH, rows, labels);
    for (int i = 0; i < n_steps; i++) {
        draw_blobs(BATCH, rows, labels, state);
        MUST(jem_train_step(model, optimizer, sampler, &config, &batch, NULL));
    }
    jem_sampler_destroy(sampler);
    jem_optimizer_destroy(optimizer);
}

START_TEST(test_unbalanced_labels)
{
    enum { TEST_ROWS = 600 };
    const jem_exec_config exec = support_exec(support_backends[_i], 1);
    jem_model *model = support_model("mlp-32-32", FEATURES, CLASSES, &exec);
    uint64_t state = 5;
    train(model, 300, &state);
    static float rows[TEST_ROWS * FEATURES], logits[TEST_ROWS * CLASSES];
    static int64_t labels[TEST_ROWS];
    draw_blobs(TEST_ROWS, rows, labels, &state);
    MUST(jem_logits(model, TEST_ROWS, rows, logits));
    jem_classification metrics = {.struct_size = sizeof metrics};
    MUST(jem_classification_metrics(TEST_ROWS, CLASSES, logits, labels, 1.0, 15, &metrics));
    double largest = 0.0;
    for (int i = 0; i < TEST_ROWS * CLASSES; i++)
        largest = fmax(largest, fabs(logits[i]));
    ck_assert_double_gt(metrics.accuracy, 0.98); // the first class alone would be 0.9
    ck_assert_double_lt(largest, 100.0);         // 17; with plain means over all classes 2000
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_balanced_weights_are_plain);
    tcase_add_test(tcase, test_unbalanced_weights);
    tcase_add_loop_test(tcase, test_biases_stay, 0, COUNT(steps) * support_n_backends);
    tcase_add_loop_test(tcase, test_unbalanced_labels, 0, support_n_backends);
}

int main(void)
{
    return support_main("joint term", add_tests);
}
