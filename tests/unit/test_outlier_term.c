/*
 * The term of w_outlier: its gradient against numeric differences, on logits and through a network
 * of the reference, beside all other terms; which rows it looks at, and that they are changed as
 * usual rows are; that training meets the margins; that guard and checkpoints hold with it.
 */
#include "train/objective.h"
#include "train_run.h"

enum { OUTLIERS = 7 };

static float *outliers; /* (OUTLIERS, FEATURES) */

static void set_up_outliers(void)
{
    set_up();
    outliers = support_uniform(OUTLIERS * FEATURES, 4);
}

static void tear_down_outliers(void)
{
    tear_down();
    free(outliers);
}

static jem_optimizer_config plain_sgd(float lr)
{
    jem_optimizer_config config = optimizer_config(lr);
    config.kind = JEM_OPTIMIZER_SGD;
    config.momentum = 0.0f;
    return config;
}

// A plain classifier with the term, whose margins no row of a fresh network meets.
static trainer outlier_trainer(const jem_optimizer_config *optimizer)
{
    trainer t = make_trainer(CLASSES, optimizer);
    t.config.w_px = t.config.energy_l2 = t.config.input_noise = 0.0f;
    t.config.w_outlier = 0.7f;
    t.config.outlier_m_in = -2.5f;
    t.config.outlier_m_out = 0.5f;
    t.batch.n_outliers = OUTLIERS;
    t.batch.x_outliers = outliers;
    return t;
}

// ---- gradient -----------------------------------------------------------------------------------

static const double pxy[] = {-0.2, 0.1, 0.3};

typedef struct weights_row {
    const char *name;
    jemi_row_weights weights;
} weights_row;

// F of the rows below is -1 .. 4.
static const weights_row weighings[] = {
    {"usual rows", {.bound = {0.7, -2.0, 1.0}}},
    {"outliers", {.bound = {0.7, -1.0, -1.0}}},
    {"beside all terms",
     {.px = -0.5, .l2 = 0.3, .pyx = 2.0, .pxy = pxy, .bound = {1.3, -2.0, 1.0}}},
    {"all terms without a bound", {.px = -0.5, .l2 = 0.3, .pyx = 2.0, .pxy = pxy}},
};

static double loss_of_row(const jemi_row_weights *weights, const float *logits, int64_t label)
{
    jemi_objective_sums sums = {0};
    jemi_objective_add(1, CLASSES, logits, &label, weights, &sums);
    return sums.px + sums.l2 + sums.pyx + sums.pxy + sums.bound;
}

START_TEST(test_gradient_on_logits)
{
    enum { CASES = 40 };
    const double h = 0x1p-9;
    const weights_row *row = &weighings[_i];
    float *logits = support_uniform(CASES * CLASSES, 5);
    int n_beyond = 0, n_within = 0;
    for (int i = 0; i < CASES; i++) {
        float *f = logits + i * CLASSES, gradient[CLASSES];
        const int64_t label = i % CLASSES;
        for (int k = 0; k < CLASSES; k++)
            f[k] = 0x1p-10f * roundf(0x1p10f * (2.0f * f[k] + (float)(i % 4) - 1.0f));
        jemi_objective_gradient(1, CLASSES, f, &label, &row->weights, gradient);
        jemi_objective_sums sums = {0};
        jemi_objective_add(1, CLASSES, f, &label, &row->weights, &sums);
        n_beyond += sums.bound > 0.0;
        n_within += sums.bound == 0.0;
        for (int k = 0; k < CLASSES; k++) {
            const float at = f[k];
            f[k] = at + (float)h;
            const double above = loss_of_row(&row->weights, f, label);
            f[k] = at - (float)h;
            const double below = loss_of_row(&row->weights, f, label);
            f[k] = at;
            // Third derivatives of a few; a row at its margin has a jump in the second.
            NEAR(gradient[k], (above - below) / (2.0 * h), 1e-4);
        }
    }
    if (row->weights.bound.weight > 0.0)
        ck_assert_msg(n_beyond > 5 && n_within > 5, "%s: %d, %d", row->name, n_beyond, n_within);
    free(logits);
}
END_TEST

// All terms on given samples, through a network without kinks; every margin is missed by some rows
// and met by others.
static trainer trainer_of_all_terms(float lr)
{
    const jem_optimizer_config config = plain_sgd(lr);
    trainer t = outlier_trainer(&config);
    jem_model_destroy(t.model);
    jem_optimizer_destroy(t.optimizer);
    t.model = support_model("mlp-8:act=tanh", FEATURES, CLASSES, &exec);
    MUST(jem_optimizer_create(&t.optimizer, t.model, &config));
    t.config.w_px = 0.5f;
    t.config.w_pxy = 0.4f;
    t.config.energy_l2 = 0.2f;
    t.config.outlier_m_in = -1.2f;
    t.config.outlier_m_out = -1.0f;
    t.batch.n_samples = ROWS;
    t.batch.x_samples = other;
    t.batch.y_samples = y;
    return t;
}

static double loss_at(const float *params, int64_t count)
{
    trainer t = trainer_of_all_terms(1e-30f);
    jem_train_stats stats;
    MUST(jem_model_set_params(t.model, count, params));
    MUST(step(&t, &stats));
    free_trainer(&t);
    return stats.loss;
}

START_TEST(test_gradient_through_a_network)
{
    const float h = 0x1p-7f;
    exec = support_exec(JEM_BACKEND_REF, 1);
    trainer t = trainer_of_all_terms(1.0f);
    const int64_t count = support_param_count(t.model);
    float *params = support_params(t.model);
    jem_train_stats stats;
    MUST(step(&t, &stats));
    ck_assert_double_gt(stats.loss_outlier, 0.0);
    float *after = support_params(t.model);
    for (int64_t i = 0; i < count; i++) {
        const float at = params[i];
        params[i] = at + h;
        const double above = loss_at(params, count);
        params[i] = at - h;
        const double below = loss_at(params, count);
        params[i] = at;
        // Logits are floats, 1e-7 of each loss; third derivatives of some ones times h^2 / 6.
        NEAR(at - after[i], (above - below) / (2.0 * (double)h), 2e-4);
    }
    free(params);
    free(after);
    free_trainer(&t);
}
END_TEST

// ---- figures ------------------------------------------------------------------------------------

// Mean of max(0, side * (E - margin))^2, and of F.
static double miss(const jem_model *model, int64_t n, const float *rows, double side, double margin,
                   double *f)
{
    float energy[ROWS];
    double sum = 0.0;
    *f = 0.0;
    MUST(jem_energy(model, n, rows, NULL, energy));
    for (int64_t i = 0; i < n; i++) {
        const double beyond = fmax(0.0, side * ((double)energy[i] - margin));
        sum += beyond * beyond / (double)n;
        *f -= (double)energy[i] / (double)n;
    }
    return sum;
}

typedef struct usual_row {
    const char *name;
    float w_px, w_pyx, energy_l2;
    bool has_labelled, has_data, looks_at_data;
} usual_row;

static const usual_row usuals[] = {
    {"a classifier", 0, 1, 0, true, false, false},
    {"a classifier with data apart", 0, 1, 0, true, true, true},
    {"density of labelled rows", 1, 1, 0.1f, true, false, false},
    {"density of data apart", 1, 1, 0.1f, true, true, true},
    {"nothing but the term", 0, 0, 0, false, true, true},
    {"nothing but the term, on labelled rows", 0, 0, 0, true, false, false},
};

START_TEST(test_outlier_figures)
{
    const usual_row *row = &usuals[_i / support_n_backends];
    exec = support_exec(support_backends[_i % support_n_backends], 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = outlier_trainer(&config);
    t.config.w_px = row->w_px;
    t.config.w_pyx = row->w_pyx;
    t.config.energy_l2 = row->energy_l2;
    t.batch.n_labelled = row->has_labelled ? ROWS : 0;
    t.batch.n_data = row->has_data ? 11 : 0;
    t.batch.x_data = row->has_data ? other : NULL;
    double f_in, f_out;
    const double in = row->looks_at_data ? miss(t.model, 11, other, 1.0, -2.5, &f_in)
                                         : miss(t.model, ROWS, x, 1.0, -2.5, &f_in);
    const double out = miss(t.model, OUTLIERS, outliers, -1.0, 0.5, &f_out);
    jem_train_stats stats;
    MUST(step(&t, &stats));
    ck_assert_msg(in > 0.5 && out > 0.5, "%s: the margins are met already", row->name);
    NEAR(stats.loss_outlier, 0.7 * (in + out), 1e-5);
    NEAR(stats.f_data, f_in, 3e-6);
    NEAR(stats.f_outliers, f_out, 3e-6);
    NEAR(stats.loss,
         stats.loss_px + stats.loss_pyx + stats.loss_pxy + stats.loss_l2 + stats.loss_outlier,
         1e-12);
    free_trainer(&t);
}
END_TEST

START_TEST(test_without_weight_outliers_do_nothing)
{
    exec = support_exec(support_backends[_i], 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = make_trainer(CLASSES, &config), twin = make_trainer(CLASSES, &config);
    t.batch.n_outliers = OUTLIERS;
    t.batch.x_outliers = outliers;
    jem_train_stats stats;
    for (int i = 0; i < 3; i++) {
        MUST(step(&t, &stats));
        MUST(step(&twin, NULL));
    }
    ck_assert_double_eq(stats.loss_outlier, 0.0);
    ck_assert_double_eq(stats.f_outliers, 0.0);
    ck_assert_uint_eq(params_hash(&t), params_hash(&twin));
    free_trainer(&t);
    free_trainer(&twin);
}
END_TEST

// ---- rows ---------------------------------------------------------------------------------------

START_TEST(test_outliers_get_noise)
{
    exec = support_exec(0, 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    double f[2];
    float *before = support_uniform(OUTLIERS * FEATURES, 4);
    for (int i = 0; i < 2; i++) {
        trainer t = outlier_trainer(&config);
        t.config.input_noise = i == 0 ? 0.0f : 0.1f;
        jem_train_stats stats;
        MUST(step(&t, &stats));
        f[i] = stats.f_outliers;
        free_trainer(&t);
    }
    ck_assert_double_gt(fabs(f[1] - f[0]), 1e-5);
    support_same_bits(outliers, before, OUTLIERS * FEATURES * sizeof *before, "the caller's rows");
    free(before);
}
END_TEST

// mean F of the outliers of one step on images.
static double f_of_images(bool density, bool crop, bool augment_data)
{
    enum { SIDE = 6, PIXELS = SIDE * SIDE };
    jem_model *model = support_image_model("mlp-8", 1, SIDE, CLASSES, &exec);
    jem_optimizer *optimizer = support_optimizer(model, 0.01f);
    float *images = support_uniform(ROWS * PIXELS, 6), *outlying = support_uniform(3 * PIXELS, 7);
    jem_train_batch batch = support_batch(ROWS, images, y);
    batch.n_samples = 3;
    batch.x_samples = images;
    batch.n_outliers = 3;
    batch.x_outliers = outlying;
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.w_px = density ? 1.0f : 0.0f;
    config.energy_l2 = config.input_noise = 0.0f;
    config.w_outlier = 1.0f;
    config.augment_crop = crop ? 2 : 0;
    config.augment_data = augment_data;
    jem_train_stats stats = {.struct_size = sizeof stats};
    MUST(jem_train_step(model, optimizer, NULL, &config, &batch, &stats));
    free(images);
    free(outlying);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
    return stats.f_outliers;
}

START_TEST(test_outliers_are_augmented_as_usual_rows_are)
{
    exec = support_exec(0, 1);
    const double still = f_of_images(false, false, false);
    ck_assert_double_ne(f_of_images(false, true, false), still); // as the labelled rows
    ck_assert_double_eq(f_of_images(true, true, false), still);  // as the data rows
    ck_assert_double_ne(f_of_images(true, true, true), still);
}
END_TEST

START_TEST(test_outlier_refusals)
{
    exec = support_exec(0, 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = outlier_trainer(&config);
    const float bad[2 * FEATURES] = {0.0f, 1.0f, NAN, 0.0f};
    t.batch.n_outliers = 0;
    REFUSED(JEM_EINVAL, "w_outlier is 0.7, but the batch has no outliers", step(&t, NULL));
    t.batch.n_outliers = 2;
    t.batch.x_outliers = NULL;
    REFUSED(JEM_EINVAL, "x_outliers is NULL", step(&t, NULL));
    t.batch.x_outliers = bad;
    REFUSED(JEM_EINVAL, "x_outliers is nan", step(&t, NULL));
    t.batch.x_outliers = outliers;
    MUST(step(&t, NULL));
    t.config.w_pyx = 0.0f;
    t.batch.n_labelled = 0;
    REFUSED(JEM_EINVAL, "neither data nor labelled", step(&t, NULL));
    free_trainer(&t);
    jem_model *model = support_model("mlp-8:norm=batch", FEATURES, CLASSES, &exec);
    t = outlier_trainer(&config);
    jem_model_destroy(t.model);
    jem_optimizer_destroy(t.optimizer);
    t.model = model;
    t.optimizer = support_optimizer(model, 0.01f);
    t.batch.n_outliers = 1;
    REFUSED(JEM_EINVAL, "n_outliers is 1", step(&t, NULL));
    free_trainer(&t);
}
END_TEST

// ---- training -----------------------------------------------------------------------------------

// Usual rows in the middle, outliers in a ring around them.
START_TEST(test_margins_are_met)
{
    exec = support_exec(support_backends[_i], 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = outlier_trainer(&config);
    jem_model_destroy(t.model);
    jem_optimizer_destroy(t.optimizer);
    t.model = support_model("mlp-32", FEATURES, CLASSES, &exec);
    MUST(jem_optimizer_create(&t.optimizer, t.model, &config));
    for (int i = 0; i < ROWS * FEATURES; i++)
        x[i] *= 0.5f;
    for (int i = 0; i < OUTLIERS; i++) {
        outliers[FEATURES * i] = 1.5f * (float)cos(0.9 * i);
        outliers[FEATURES * i + 1] = 1.5f * (float)sin(0.9 * i);
    }
    t.config.guard = 1;
    jem_train_stats stats;
    for (int i = 0; i < 400; i++) {
        MUST(step(&t, &stats));
        ck_assert_int_eq(stats.event, JEM_EVENT_NONE);
    }
    float in[ROWS], out[OUTLIERS];
    MUST(jem_energy(t.model, ROWS, x, NULL, in));
    MUST(jem_energy(t.model, OUTLIERS, outliers, NULL, out));
    for (int i = 0; i < ROWS; i++)
        ck_assert_float_lt(in[i], -2.2f); // 0.3 within the margins: at first all are near -1.1
    for (int i = 0; i < OUTLIERS; i++)
        ck_assert_float_gt(out[i], 0.2f);
    free_trainer(&t);
}
END_TEST

// The term alone leaves what it was: a step is undone, and the run heals.
START_TEST(test_guard_watches_the_term)
{
    exec = support_exec(support_backends[_i], 1);
    const jem_optimizer_config config = optimizer_config(0.001f);
    trainer t = outlier_trainer(&config);
    t.config.guard = 1;
    for (int i = 0; i < 30; i++)
        MUST(step(&t, NULL));
    float *far = malloc(OUTLIERS * FEATURES * sizeof *far);
    for (int i = 0; i < OUTLIERS * FEATURES; i++)
        far[i] = 300.0f * outliers[i];
    jem_train_stats stats;
    t.batch.x_outliers = far;
    MUST(step(&t, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_ROLLBACK);
    ck_assert_msg(strstr(jem_last_error(), "the loss is") != NULL, "%s", jem_last_error());
    t.batch.x_outliers = outliers;
    MUST(step(&t, &stats));
    ck_assert_int_eq(stats.event, JEM_EVENT_NONE);
    free(far);
    free_trainer(&t);
}
END_TEST

// Noise and masks of the outliers depend on nothing that a checkpoint lacks.
START_TEST(test_resumed_with_outliers)
{
    exec = support_exec(support_backends[_i], 1);
    char folder[256], path[300];
    support_make_dir(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/c", folder);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer whole = outlier_trainer(&config), rest = outlier_trainer(&config);
    whole.config.input_noise = rest.config.input_noise = 0.1f;
    whole.config.guard = rest.config.guard = 1;
    for (int i = 0; i < 6; i++) {
        if (i == 3)
            MUST(jem_checkpoint_save(path, whole.model, whole.optimizer, NULL));
        MUST(step(&whole, NULL));
    }
    MUST(jem_checkpoint_load(path, rest.model, rest.optimizer, NULL));
    for (int i = 3; i < 6; i++)
        MUST(step(&rest, NULL));
    ck_assert_uint_eq(params_hash(&rest), params_hash(&whole));
    free_trainer(&whole);
    free_trainer(&rest);
    support_remove_dir(folder);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_checked_fixture(tcase, set_up_outliers, tear_down_outliers);
    tcase_add_loop_test(tcase, test_gradient_on_logits, 0, COUNT(weighings));
    tcase_add_test(tcase, test_gradient_through_a_network);
    tcase_add_loop_test(tcase, test_outlier_figures, 0, COUNT(usuals) * n);
    tcase_add_loop_test(tcase, test_without_weight_outliers_do_nothing, 0, n);
    tcase_add_test(tcase, test_outliers_get_noise);
    tcase_add_test(tcase, test_outliers_are_augmented_as_usual_rows_are);
    tcase_add_test(tcase, test_outlier_refusals);
    tcase_add_loop_test(tcase, test_margins_are_met, 0, n);
    tcase_add_loop_test(tcase, test_guard_watches_the_term, 0, n);
    tcase_add_loop_test(tcase, test_resumed_with_outliers, 0, n);
}

int main(void)
{
    return support_main("outlier term", add_tests);
}
