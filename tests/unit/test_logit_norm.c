/*
 * The cross entropy of normalised logits: its value from its definition, its gradient against
 * numeric differences, on logits and through a network of the reference; that it leaves lengths
 * alone; what it does not combine with.
 */
#include "train/logit_norm.h"
#include "train_run.h"

// By the definition, in a way of its own.
static double loss_of(double tau, const double *f, int n_classes, int64_t label)
{
    double squares = 0.0, sum = 0.0;
    for (int k = 0; k < n_classes; k++)
        squares += f[k] * f[k];
    const double s = tau * sqrt(squares) + tau * 1e-7;
    for (int k = 0; k < n_classes; k++)
        sum += exp(f[k] / s);
    return log(sum) - f[label] / s;
}

static const double taus[] = {0.04, 0.3, 1.0, 5.0};

START_TEST(test_normalised_gradient)
{
    enum { CASES = 30, N_CLASSES = 5 };
    const double tau = taus[_i], h = 1e-5;
    float *logits = support_uniform(CASES * N_CLASSES, 1);
    for (int i = 0; i < CASES; i++) {
        const float *row = logits + i * N_CLASSES;
        const int64_t label = i % N_CLASSES;
        const float before = 0.25f;
        float gradient[N_CLASSES];
        double f[N_CLASSES], scale = 0.0;
        for (int k = 0; k < N_CLASSES; k++) {
            f[k] = (double)row[k];
            gradient[k] = before;
        }
        NEAR(jemi_logit_norm_loss(tau, N_CLASSES, row, label), loss_of(tau, f, N_CLASSES, label),
             1e-12);
        jemi_logit_norm_gradient(tau, N_CLASSES, row, label, 2.0, gradient);
        for (int k = 0; k < N_CLASSES; k++)
            scale += fabs(gradient[k] - before);
        for (int k = 0; k < N_CLASSES; k++) {
            const double at = f[k];
            f[k] = at + h;
            const double above = loss_of(tau, f, N_CLASSES, label);
            f[k] = at - h;
            const double below = loss_of(tau, f, N_CLASSES, label);
            f[k] = at;
            NEAR(gradient[k] - before, 2.0 * (above - below) / (2.0 * h), 1e-5 + 1e-5 * scale);
        }
    }
    free(logits);
}
END_TEST

// Nothing is gained along f; and the gradient at 0 is that of the small number alone.
START_TEST(test_length_is_free)
{
    const float f[3] = {1.0f, -2.0f, 0.5f}, longer[3] = {8.0f, -16.0f, 4.0f}, none[3] = {0};
    float gradient[3] = {0};
    NEAR(jemi_logit_norm_loss(0.04, 3, longer, 2), jemi_logit_norm_loss(0.04, 3, f, 2), 1e-5);
    jemi_logit_norm_gradient(0.04, 3, f, 2, 1.0, gradient);
    double along = 0.0, size = 0.0;
    for (int k = 0; k < 3; k++) {
        along += (double)(gradient[k] * f[k]);
        size += fabs((double)gradient[k]);
    }
    ck_assert_double_gt(size, 1.0);
    NEAR(along, 0.0, 1e-5);
    NEAR(jemi_logit_norm_loss(0.04, 3, none, 2), log(3.0), 1e-12);
    memset(gradient, 0, sizeof gradient);
    jemi_logit_norm_gradient(1.0, 3, none, 2, 1e-7, gradient);
    NEAR(gradient[0], 1.0 / 3, 1e-6);
    NEAR(gradient[2], -2.0 / 3, 1e-6);
}
END_TEST

// ---- a step -------------------------------------------------------------------------------------

static trainer normalised_trainer(float lr, const char *arch)
{
    jem_optimizer_config config = optimizer_config(lr);
    config.kind = JEM_OPTIMIZER_SGD;
    config.momentum = 0.0f;
    trainer t = make_trainer(CLASSES, &config);
    jem_model_destroy(t.model);
    jem_optimizer_destroy(t.optimizer);
    t.model = support_model(arch, FEATURES, CLASSES, &exec);
    MUST(jem_optimizer_create(&t.optimizer, t.model, &config));
    t.config.w_px = t.config.energy_l2 = t.config.input_noise = 0.0f;
    t.config.w_pyx = 1.5f;
    t.config.logit_norm = 0.5f;
    return t;
}

// Of logits in double: those of the network are floats.
static double mean_loss(const jem_model *model)
{
    float logits[ROWS * CLASSES];
    double sum = 0.0;
    MUST(jem_logits(model, ROWS, x, logits));
    for (int i = 0; i < ROWS; i++) {
        double f[CLASSES];
        for (int k = 0; k < CLASSES; k++)
            f[k] = (double)logits[i * CLASSES + k];
        sum += loss_of(0.5, f, CLASSES, y[i]);
    }
    return sum / ROWS;
}

START_TEST(test_normalised_figures)
{
    exec = support_exec(support_backends[_i], 1);
    trainer t = normalised_trainer(0.1f, "mlp-8");
    const double expected = mean_loss(t.model);
    jem_train_stats stats;
    MUST(step(&t, &stats));
    NEAR(stats.loss_pyx, 1.5 * expected, 1e-5);
    NEAR(stats.loss, stats.loss_pyx, 1e-12);
    free_trainer(&t);
}
END_TEST

START_TEST(test_normalised_gradient_through_a_network)
{
    const float h = 0x1p-8f;
    exec = support_exec(JEM_BACKEND_REF, 1);
    trainer t = normalised_trainer(0.125f, "mlp-8:act=tanh");
    const int64_t count = support_param_count(t.model);
    float *params = support_params(t.model);
    MUST(step(&t, NULL));
    float *after = support_params(t.model);
    for (int64_t i = 0; i < count; i++) {
        const float at = params[i];
        params[i] = at + h;
        MUST(jem_model_set_params(t.model, count, params));
        const double above = mean_loss(t.model);
        params[i] = at - h;
        MUST(jem_model_set_params(t.model, count, params));
        const double below = mean_loss(t.model);
        params[i] = at;
        // Logits are floats, 1e-7 of each loss, and curved by their length of about 1.
        NEAR((at - after[i]) / 0.125f, 1.5 * (above - below) / (2.0 * (double)h), 1e-3);
    }
    free(params);
    free(after);
    free_trainer(&t);
}
END_TEST

// Beside the bound of energies, whose own gradient does move the length.
START_TEST(test_normalised_beside_outliers)
{
    exec = support_exec(support_backends[_i], 1);
    trainer t = normalised_trainer(0.01f, "mlp-8");
    t.config.w_outlier = 0.1f;
    t.batch.n_outliers = ROWS;
    t.batch.x_outliers = other;
    jem_train_stats first, last;
    MUST(step(&t, &first));
    for (int i = 0; i < 200; i++)
        MUST(step(&t, &last));
    ck_assert_double_lt(last.loss_pyx, first.loss_pyx);
    ck_assert_double_lt(last.loss_outlier, first.loss_outlier);
    free_trainer(&t);
}
END_TEST

START_TEST(test_normalised_refusals)
{
    exec = support_exec(0, 1);
    trainer t = normalised_trainer(0.1f, "mlp-8");
    float *terms[] = {&t.config.w_px, &t.config.w_pxy, &t.config.energy_l2};
    for (int i = 0; i < COUNT(terms); i++) {
        *terms[i] = 0.1f;
        REFUSED(JEM_EINVAL, "logit_norm is 0.5 beside terms of a density", step(&t, NULL));
        *terms[i] = 0.0f;
    }
    MUST(step(&t, NULL));
    t.config.w_pyx = 0.0f;
    REFUSED(JEM_EINVAL, "w_pyx is 0", step(&t, NULL));
    free_trainer(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_normalised_gradient, 0, COUNT(taus));
    tcase_add_test(tcase, test_length_is_free);
    tcase_add_loop_test(tcase, test_normalised_figures, 0, n);
    tcase_add_test(tcase, test_normalised_gradient_through_a_network);
    tcase_add_loop_test(tcase, test_normalised_beside_outliers, 0, n);
    tcase_add_test(tcase, test_normalised_refusals);
}

int main(void)
{
    return support_main("LogitNorm", add_tests);
}
