/*
 * jem_train_step: the size of updates, by warm-up, rate and clipping; SAM; the average of the
 * parameters.
 */
#include "train_run.h"

// ---- schedule -----------------------------------------------------------------------------------

// Plain SGD: the update is -lr * gradient, so lr and clipping show in the parameters.
static double update_norm(trainer *t, jem_train_stats *stats)
{
    float *before = support_params(t->model);
    MUST(step(t, stats));
    float *after = support_params(t->model);
    double sum = 0.0;
    for (int64_t i = 0; i < support_param_count(t->model); i++)
        sum += pow((double)after[i] - (double)before[i], 2);
    free(before);
    free(after);
    return sqrt(sum);
}

START_TEST(test_warm_up_and_rate)
{
    exec = support_exec(0, 1);
    jem_optimizer_config config = optimizer_config(0.04f);
    config.kind = JEM_OPTIMIZER_SGD;
    config.momentum = 0.0f;
    config.warmup_steps = 4;
    trainer t = make_trainer(CLASSES, &config);
    const float rates[] = {0.01f, 0.02f, 0.03f, 0.04f, 0.04f, 0.5f, 0.5f};
    jem_train_stats stats;
    for (int i = 0; i < COUNT(rates); i++) {
        if (i == 5)
            MUST(jem_optimizer_set_lr(t.optimizer, 0.5f));
        const double norm = update_norm(&t, &stats);
        ck_assert_int_eq(stats.step, i + 1);
        NEAR(stats.lr, rates[i], 1e-8);
        // Parameters are floats near 1/2: their differences carry 6e-8 of rounding each.
        NEAR(norm, rates[i] * stats.grad_norm, 1e-6);
    }
    float lr;
    int64_t steps;
    MUST(jem_optimizer_get(t.optimizer, &lr, &steps));
    ck_assert_float_eq(lr, 0.5f);
    ck_assert_int_eq(steps, COUNT(rates));
    MUST(jem_optimizer_get(t.optimizer, NULL, NULL));
    free_trainer(&t);
}
END_TEST

START_TEST(test_set_rate_within_warm_up)
{
    exec = support_exec(0, 1);
    jem_optimizer_config config = optimizer_config(1e-3f);
    config.warmup_steps = 10;
    trainer t = make_trainer(CLASSES, &config);
    jem_train_stats stats;
    MUST(jem_optimizer_set_lr(t.optimizer, 1e-2f));
    MUST(step(&t, &stats));
    NEAR(stats.lr, 1e-3f, 1e-9);
    free_trainer(&t);
}
END_TEST

START_TEST(test_clip_norm)
{
    exec = support_exec(0, 1);
    jem_optimizer_config config = optimizer_config(0.1f);
    config.kind = JEM_OPTIMIZER_SGD;
    config.momentum = 0.0f;
    jem_train_stats stats;
    trainer t = make_trainer(CLASSES, &config);
    const double norm = update_norm(&t, &stats) / 0.1;
    NEAR(norm, stats.grad_norm, 1e-5);
    free_trainer(&t);
    config.clip_norm = (float)(0.5 * norm);
    t = make_trainer(CLASSES, &config);
    NEAR(update_norm(&t, &stats) / 0.1, 0.5 * norm, 1e-5);
    NEAR(stats.grad_norm, norm, 1e-5); // as it was before clipping
    free_trainer(&t);
    config.clip_norm = (float)(2.0 * norm);
    t = make_trainer(CLASSES, &config);
    NEAR(update_norm(&t, &stats) / 0.1, norm, 1e-5);
    free_trainer(&t);
}
END_TEST

// ---- SAM and the average ------------------------------------------------------------------------

// The second gradient is of the same samples and noise: with a tiny radius it is the first.
START_TEST(test_sam_repeats_the_step)
{
    exec = support_exec(support_backends[_i], 1);
    jem_optimizer_config config = optimizer_config(0.01f);
    config.kind = JEM_OPTIMIZER_SGD;
    trainer plain = make_trainer(CLASSES, &config);
    config.sam_rho = 1e-6f;
    trainer sam = make_trainer(CLASSES, &config);
    config.sam_rho = 1.0f;
    trainer wide = make_trainer(CLASSES, &config);
    plain.config.input_noise = sam.config.input_noise = wide.config.input_noise = 1.0f;
    jem_train_stats of_plain, of_sam, of_wide;
    MUST(step(&plain, &of_plain));
    MUST(step(&sam, &of_sam));
    MUST(step(&wide, &of_wide));
    NEAR(of_sam.loss, of_plain.loss, 0.0); // of the parameters before, all three
    NEAR(of_wide.loss, of_plain.loss, 0.0);
    NEAR(of_sam.grad_norm, of_plain.grad_norm, 1e-4);
    ck_assert_double_gt(fabs(of_wide.grad_norm - of_plain.grad_norm), 1e-3);
    float *a = support_params(plain.model), *b = support_params(sam.model);
    for (int64_t i = 0; i < support_param_count(plain.model); i++)
        NEAR(a[i], b[i], 1e-6);
    free(a);
    free(b);
    free_trainer(&plain);
    free_trainer(&sam);
    free_trainer(&wide);
}
END_TEST

START_TEST(test_sam_beyond_all_bounds)
{
    exec = support_exec(support_backends[_i], 1);
    jem_optimizer_config config = optimizer_config(0.01f);
    config.sam_rho = 1e29f;
    trainer t = make_trainer(CLASSES, &config);
    const uint64_t before = params_hash(&t);
    float logits[2][ROWS * CLASSES];
    MUST(jem_logits(t.model, ROWS, x, logits[0]));
    REFUSED(JEM_EDIVERGED, "second", step(&t, NULL));
    MUST(jem_logits(t.model, ROWS, x, logits[1]));
    support_same_bits(logits[0], logits[1], sizeof logits[0], "logits after a failed step");
    ck_assert_uint_eq(params_hash(&t), before);
    free_trainer(&t);
}
END_TEST

// Equal classes of a network of zeros want no change: there is no direction to perturb along.
START_TEST(test_sam_without_a_gradient)
{
    exec = support_exec(support_backends[_i], 1);
    jem_optimizer_config config = optimizer_config(0.01f);
    config.sam_rho = 0.05f;
    trainer t = make_trainer(2, &config);
    const int64_t count = support_param_count(t.model), labels[] = {0, 1};
    float *zeros = calloc((size_t)count, sizeof *zeros);
    MUST(jem_model_set_params(t.model, count, zeros));
    const uint64_t before = params_hash(&t);
    t.config.w_px = t.config.energy_l2 = 0.0f;
    t.batch = support_batch(2, x, labels);
    jem_train_stats stats;
    MUST(step(&t, &stats));
    ck_assert_double_eq(stats.grad_norm, 0.0);
    ck_assert_uint_eq(params_hash(&t), before);
    free(zeros);
    free_trainer(&t);
}
END_TEST

START_TEST(test_average)
{
    exec = support_exec(0, 1);
    jem_optimizer_config config = optimizer_config(0.05f);
    config.ema_decay = 0.6f;
    trainer t = make_trainer(CLASSES, &config);
    const int64_t count = support_param_count(t.model);
    float *average = support_params(t.model), *got = malloc((size_t)count * sizeof *got);
    REFUSED(JEM_EINVAL, "no step", jem_optimizer_get_ema(t.optimizer, count, got));
    for (int i = 1; i <= 20; i++) {
        MUST(step(&t, NULL));
        float *now = support_params(t.model);
        const double decay = fmin(0.6, i / (9.0 + i));
        MUST(jem_optimizer_get_ema(t.optimizer, count, got));
        for (int64_t k = 0; k < count; k++) {
            average[k] = (float)(decay * average[k] + (1.0 - decay) * now[k]);
            NEAR(got[k], average[k], 1e-6);
        }
        free(now);
    }
    REFUSED(JEM_EINVAL, "count", jem_optimizer_get_ema(t.optimizer, count - 1, got));
    REFUSED(JEM_EINVAL, "params", jem_optimizer_get_ema(t.optimizer, count, NULL));
    REFUSED(JEM_EINVAL, "optimizer", jem_optimizer_get_ema(NULL, count, got));
    jem_optimizer *without = support_optimizer(t.model, 0.1f);
    REFUSED(JEM_EINVAL, "ema_decay", jem_optimizer_get_ema(without, count, got));
    jem_optimizer_destroy(without);
    free(average);
    free(got);
    free_trainer(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_warm_up_and_rate);
    tcase_add_test(tcase, test_set_rate_within_warm_up);
    tcase_add_test(tcase, test_clip_norm);
    tcase_add_loop_test(tcase, test_sam_repeats_the_step, 0, n);
    tcase_add_loop_test(tcase, test_sam_beyond_all_bounds, 0, n);
    tcase_add_loop_test(tcase, test_sam_without_a_gradient, 0, n);
    tcase_add_test(tcase, test_average);
}

int main(void)
{
    return support_main("training updates", add_tests);
}
