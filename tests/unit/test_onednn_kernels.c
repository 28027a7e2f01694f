/*
 * oneDNN's convolutions wherever it has some, also where our own kernels are faster: values and
 * gradients are those of the reference backend, and those of the parameters of the moment.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { ROWS = 5, SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 4, STEPS = 3 };

// Leaky ReLUs and sums that oneDNN fuses, strides, layers of one pixel.
static const char *const nets[] = {"cnn-8-20:act=lrelu", "wrn-10-1", "wrn-10-1:norm=batch",
                                   "mlp-40"};

static jem_model *make(const char *arch, int32_t backend)
{
    jem_exec_config exec = support_exec(backend, 1);
    exec.kernel = backend == JEM_BACKEND_ONEDNN ? "onednn" : "auto";
    return support_image_model(arch, 1, SIDE, CLASSES, &exec);
}

typedef struct results {
    float logits[ROWS * CLASSES], grad[ROWS * PIXELS];
} results;

static void compute(const jem_model *model, const float *x, results *r)
{
    MUST(jem_logits(model, ROWS, x, r->logits));
    MUST(jem_energy_grad(model, ROWS, x, NULL, NULL, r->grad));
}

// Sums of some hundred products in another order, relative to the largest value.
static void check_near(const float *found, const float *expected, int n, const char *what)
{
    float most = 0.0f;
    for (int i = 0; i < n; i++)
        most = fmaxf(most, fabsf(expected[i]));
    for (int i = 0; i < n; i++)
        support_near((double)found[i], (double)expected[i], 1e-4 * (double)most, what, __FILE__,
                     __LINE__);
}

static void train(jem_model *model, const float *x)
{
    const int64_t labels[ROWS] = {0, 1, 2, 3, 0};
    jem_optimizer *optimizer = support_optimizer(model, 0.01f);
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.w_px = config.energy_l2 = 0.0f;
    const jem_train_batch batch = support_batch(ROWS, x, labels);
    MUST(jem_train_step(model, optimizer, NULL, &config, &batch, NULL));
    jem_optimizer_destroy(optimizer);
}

START_TEST(test_values_after_every_update)
{
    static results found, expected;
    float *x = support_uniform(ROWS * PIXELS, 1);
    jem_model *model = make(nets[_i], JEM_BACKEND_ONEDNN), *ref = make(nets[_i], JEM_BACKEND_REF);
    for (int step = 0; step < STEPS; step++) {
        compute(model, x, &found);
        compute(ref, x, &expected);
        check_near(found.logits, expected.logits, ROWS * CLASSES, "logits");
        check_near(found.grad, expected.grad, ROWS * PIXELS, "gradient");
        train(model, x);
        float *params = support_params(model);
        MUST(jem_model_set_params(ref, support_param_count(model), params));
        free(params);
    }
    jem_model_destroy(ref);
    jem_model_destroy(model);
    free(x);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_values_after_every_update, 0, COUNT(nets));
}

int main(void)
{
    return support_main("onednn_kernels", add_tests);
}
