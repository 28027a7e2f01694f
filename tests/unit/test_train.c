/*
 * jem_train_step: its figures against a recomputation from logits, its terms and batches, and the
 * steps that must leave everything as it was (divergence, cancellation). That a step is the right
 * step is the goldens' to prove, that steps lead somewhere test_toy.c's.
 */
#include "train_run.h"

// ---- figures ------------------------------------------------------------------------------------

typedef struct figures {
    double f, f_squared, cross_entropy, accuracy; /* means over rows */
    double label_logit[CLASSES];                  /* means over the rows of a class, */
    double share[CLASSES];                        /* which are this part of all */
} figures;

static figures figures_of(const jem_model *model, int64_t n, const float *rows,
                          const int64_t *labels, int classes)
{
    float logits[ROWS * CLASSES];
    figures sum = {0};
    MUST(jem_logits(model, n, rows, logits));
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * classes;
        double total = 0.0;
        int64_t best = 0;
        for (int k = 0; k < classes; k++) {
            total += exp(row[k]);
            best = row[k] > row[best] ? k : best;
        }
        const double f = log(total);
        sum.f += f / (double)n;
        sum.f_squared += f * f / (double)n;
        sum.cross_entropy += labels != NULL ? (f - row[labels[i]]) / (double)n : 0.0;
        sum.accuracy += labels != NULL && best == labels[i] ? 1.0 / (double)n : 0.0;
        if (labels == NULL)
            continue;
        sum.label_logit[labels[i]] += row[labels[i]] / (double)n;
        sum.share[labels[i]] += 1.0 / (double)n;
    }
    for (int k = 0; k < classes; k++)
        sum.label_logit[k] /= sum.share[k] > 0.0 ? sum.share[k] : 1.0;
    return sum;
}

// What w_pxy weighs: class by class, those that both have rows of.
static double joint_term(const figures *labelled, const figures *sampled)
{
    double sum = 0.0;
    for (int k = 0; k < CLASSES; k++)
        if (sampled->share[k] > 0.0)
            sum += labelled->share[k] * (sampled->label_logit[k] - labelled->label_logit[k]);
    return sum;
}

typedef struct objective_row {
    const char *name;
    float w_px, w_pyx, energy_l2, w_pxy;
    bool own_data; /* a data batch beside the labelled one */
    bool no_labels;
    int64_t n_samples;
    int32_t classes;
} objective_row;

static const objective_row objectives[] = {
    {"defaults", 1, 1, 0.1f, 0, false, false, ROWS, CLASSES},
    {"other weights", 0.5f, 2, 0.3f, 0, false, false, 5, CLASSES},
    {"data of its own", 1, 1, 0.1f, 0, true, false, 7, CLASSES},
    {"classifier", 0, 1, 0, 0, false, false, 0, CLASSES},
    {"energy penalty alone", 0, 0, 1, 0, false, true, 9, CLASSES},
    {"pure energy model", 1, 0, 0.1f, 0, false, true, ROWS, 1},
    {"unlabelled data alone", 1, 0, 0, 0, true, true, 3, CLASSES},
    {"joint term alone", 0, 0, 0, 1, false, false, 7, CLASSES},
    {"joint term, a class without samples", 0, 0, 0, 1, false, false, 2, CLASSES},
    {"all terms", 0.5f, 2, 0.3f, 0.7f, true, false, 7, CLASSES},
    {"joint term beside a classifier", 0, 1, 0, 0.5f, false, false, ROWS, CLASSES},
};

// Given samples and no input noise, every figure follows from the logits before the step.
START_TEST(test_figures)
{
    const objective_row *row = &objectives[_i / support_n_backends];
    exec = support_exec(support_backends[_i % support_n_backends], 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = make_trainer(row->classes, &config);
    float *samples = support_uniform(ROWS * FEATURES, 3);
    const int64_t n_data = row->own_data ? 11 : 0;
    t.config.w_px = row->w_px;
    t.config.w_pyx = row->w_pyx;
    t.config.w_pxy = row->w_pxy;
    t.config.energy_l2 = row->energy_l2;
    t.config.input_noise = 0.0f;
    t.batch.y_labelled = row->no_labels ? NULL : y;
    t.batch.n_labelled = row->own_data && row->no_labels ? 0 : ROWS;
    t.batch.n_data = n_data;
    t.batch.x_data = row->own_data ? other : NULL;
    t.batch.n_samples = row->n_samples;
    t.batch.x_samples = row->n_samples > 0 ? samples : NULL;
    t.batch.y_samples = row->w_pxy > 0 ? y : NULL;
    const bool density = row->w_px > 0 || row->energy_l2 > 0;
    const figures labelled = figures_of(t.model, ROWS, x, row->no_labels ? NULL : y, row->classes);
    const figures data =
        row->own_data ? figures_of(t.model, n_data, other, NULL, row->classes) : labelled;
    const figures sampled =
        figures_of(t.model, row->n_samples, samples, t.batch.y_samples, row->classes);
    jem_train_stats stats;
    MUST(step(&t, &stats));
    const double tolerance = 3e-6; // of sums of values near 1, logits in float
    const double gap = data.f - sampled.f;
    ck_assert_int_eq(stats.step, 1);
    ck_assert_int_eq(stats.event, JEM_EVENT_NONE);
    ck_assert_float_eq(stats.lr, 0.01f);
    NEAR(stats.loss, stats.loss_px + stats.loss_pyx + stats.loss_pxy + stats.loss_l2, 1e-12);
    NEAR(stats.f_data, density || !row->no_labels ? data.f : 0.0, tolerance);
    NEAR(stats.f_samples, sampled.f, tolerance);
    NEAR(stats.gap, row->n_samples > 0 ? gap : 0.0, tolerance);
    NEAR(stats.loss_px, density ? -row->w_px * gap : 0.0, tolerance);
    NEAR(stats.loss_pyx, row->w_pyx * labelled.cross_entropy, tolerance);
    NEAR(stats.loss_pxy, row->w_pxy > 0 ? row->w_pxy * joint_term(&labelled, &sampled) : 0.0,
         tolerance);
    NEAR(stats.loss_l2, row->energy_l2 * (data.f_squared + sampled.f_squared), tolerance);
    NEAR(stats.accuracy, labelled.accuracy, 1e-12);
    ck_assert(stats.grad_norm > 0.0 && stats.seconds_sampling >= 0.0);
    ck_assert(stats.seconds_updating > 0.0);
    free(samples);
    free_trainer(&t);
}
END_TEST

START_TEST(test_drawn_samples)
{
    exec = support_exec(support_backends[_i], 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = make_trainer(CLASSES, &config), twin = make_trainer(CLASSES, &config);
    t.config.input_noise = twin.config.input_noise = 0.0f;
    jem_train_stats stats;
    float *drawn = malloc(ROWS * FEATURES * sizeof *drawn);
    // The twin draws by itself and hands in what it got: the same step.
    MUST(jem_sampler_draw(twin.model, twin.sampler, ROWS, drawn, NULL, NULL, NULL));
    twin.batch.n_samples = ROWS;
    twin.batch.x_samples = drawn;
    MUST(step(&t, &stats));
    ck_assert_double_gt(stats.chain_grad_norm, 0.0);
    ck_assert_double_gt(stats.seconds_sampling, 0.0);
    MUST(step(&twin, &stats));
    ck_assert_double_eq(stats.chain_grad_norm, 0.0);
    ck_assert_uint_eq(params_hash(&t), params_hash(&twin));
    free(drawn);
    free_trainer(&t);
    free_trainer(&twin);
}
END_TEST

// Class-conditional chains serve w_px, w_pxy or both, with the classes of their slots.
START_TEST(test_class_conditional_samples)
{
    exec = support_exec(support_backends[_i / 3], 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = make_trainer(CLASSES, &config), twin = make_trainer(CLASSES, &config);
    jem_sampler_config conditional = support_sampler_config(2 * ROWS, 3);
    conditional.class_conditional = 1;
    jem_sampler_destroy(t.sampler);
    jem_sampler_destroy(twin.sampler);
    t.sampler = support_sampler(t.model, &conditional);
    twin.sampler = support_sampler(twin.model, &conditional);
    t.config.w_px = _i % 3 == 1 ? 0.0f : 1.0f;
    t.config.w_pxy = _i % 3 == 0 ? 0.0f : 0.6f;
    t.config.energy_l2 = 0.0f;
    twin.config = t.config;
    float drawn[ROWS * FEATURES];
    int64_t classes[ROWS], moved = 0;
    for (int i = 0; i < 3; i++) {
        MUST(jem_sampler_draw(twin.model, twin.sampler, ROWS, drawn, classes, NULL, NULL));
        twin.batch.n_samples = ROWS;
        twin.batch.x_samples = drawn;
        twin.batch.y_samples = classes;
        for (int r = 0; r < ROWS; r++)
            moved += classes[r] != r % CLASSES;
        MUST(step(&t, NULL));
        MUST(step(&twin, NULL));
        ck_assert_uint_eq(params_hash(&t), params_hash(&twin));
    }
    ck_assert_int_gt(moved, 0);
    free_trainer(&t);
    free_trainer(&twin);
}
END_TEST

START_TEST(test_joint_term_wants_classes)
{
    exec = support_exec(0, 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = make_trainer(CLASSES, &config);
    t.config.w_pxy = 0.5f;
    REFUSED(JEM_EINVAL, "class_conditional", step(&t, NULL));
    t.batch.n_samples = ROWS;
    t.batch.x_samples = other;
    REFUSED(JEM_EINVAL, "y_samples", step(&t, NULL));
    t.batch.y_samples = y;
    MUST(step(&t, NULL));
    t.batch.y_labelled = NULL;
    t.config.w_pyx = 0.0f;
    REFUSED(JEM_EINVAL, "w_pxy", step(&t, NULL));
    free_trainer(&t);
}
END_TEST

START_TEST(test_input_noise)
{
    exec = support_exec(0, 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    uint64_t hashes[3];
    for (int i = 0; i < 3; i++) { // none, some, some by another seed
        jem_optimizer_config own = config;
        own.seed = i == 2;
        trainer t = make_trainer(CLASSES, &own);
        t.config.input_noise = i == 0 ? 0.0f : 0.1f;
        float *before = support_uniform(ROWS * FEATURES, 1);
        MUST(step(&t, NULL));
        MUST(step(&t, NULL));
        hashes[i] = params_hash(&t);
        support_same_bits(x, before, ROWS * FEATURES * sizeof *x, "the caller's rows");
        free(before);
        free_trainer(&t);
    }
    ck_assert(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
}
END_TEST

// ---- nothing happened ---------------------------------------------------------------------------

static int32_t cancel(void *user, int64_t done, int64_t total)
{
    (void)done, (void)total;
    return ++*(int *)user >= 2;
}

static jem_status cancelled_step(trainer *t)
{
    int calls = 0;
    const jem_train_config config = t->config;
    t->config.progress = cancel;
    t->config.progress_user = &calls;
    const jem_status status = step(t, NULL);
    t->config = config;
    return status;
}

// Rows so large that squares of logits overflow a float; finite, so they pass the door.
static jem_status huge_rows(trainer *t)
{
    float *rows = malloc(ROWS * FEATURES * sizeof *rows);
    for (int i = 0; i < ROWS * FEATURES; i++)
        rows[i] = i % 2 == 0 ? 3e38f : -3e38f;
    t->batch.x_labelled = rows;
    const jem_status status = step(t, NULL);
    t->batch.x_labelled = x;
    free(rows);
    return status;
}

static jem_status huge_samples(trainer *t)
{
    float rows[2 * FEATURES] = {3e38f, 3e38f, -3e38f, 3e38f};
    t->batch.n_samples = 2;
    t->batch.x_samples = rows;
    const jem_status status = step(t, NULL);
    t->batch.n_samples = 0;
    t->batch.x_samples = NULL;
    return status;
}

static jem_status huge_rate(trainer *t)
{
    float lr;
    MUST(jem_optimizer_get(t->optimizer, &lr, NULL));
    MUST(jem_optimizer_set_lr(t->optimizer, 3e38f));
    t->config.w_pyx = 1e12f; // so that rate times gradient overflows for SGD too
    const jem_status status = step(t, NULL);
    t->config.w_pyx = 1.0f;
    MUST(jem_optimizer_set_lr(t->optimizer, lr));
    return status;
}

static jem_status huge_weight(trainer *t)
{
    t->config.energy_l2 = 1e29f;
    const jem_status status = step(t, NULL);
    t->config.energy_l2 = 0.1f;
    return status;
}

typedef struct failure_row {
    const char *name;
    jem_status (*provoke)(trainer *t);
    jem_status status;
} failure_row;

static const failure_row failures[] = {
    {"cancelled", cancelled_step, JEM_ECANCELLED}, {"huge rows", huge_rows, JEM_EDIVERGED},
    {"huge samples", huge_samples, JEM_EDIVERGED}, {"huge rate", huge_rate, JEM_EDIVERGED},
    {"huge weight", huge_weight, JEM_EDIVERGED},
};

static void check_twins(trainer *t, trainer *twin, const char *name)
{
    ck_assert_msg(params_hash(t) == params_hash(twin), "%s: other parameters", name);
    int64_t steps, twin_steps;
    MUST(jem_optimizer_get(t->optimizer, NULL, &steps));
    MUST(jem_optimizer_get(twin->optimizer, NULL, &twin_steps));
    ck_assert_int_eq(steps, twin_steps);
    const int64_t count = support_param_count(t->model);
    float *ema = malloc(2 * (size_t)count * sizeof *ema);
    MUST(jem_optimizer_get_ema(t->optimizer, count, ema));
    MUST(jem_optimizer_get_ema(twin->optimizer, count, ema + count));
    support_same_bits(ema, ema + count, (size_t)count * sizeof *ema, name);
    free(ema);
}

// The samples are handed in, as the replay buffer may have moved on.
static void sound_steps(trainer *t, int n)
{
    t->batch.n_samples = ROWS;
    t->batch.x_samples = other;
    for (int i = 0; i < n; i++)
        MUST(step(t, NULL));
    t->batch.n_samples = 0;
    t->batch.x_samples = NULL;
}

START_TEST(test_failed_steps_change_nothing)
{
    const failure_row *row = &failures[_i / 2 / support_n_backends];
    exec = support_exec(support_backends[_i / 2 % support_n_backends], 1);
    jem_optimizer_config config = optimizer_config(0.01f);
    config.kind = _i % 2 == 0 ? JEM_OPTIMIZER_ADAM : JEM_OPTIMIZER_SGD;
    config.ema_decay = 0.9f;
    config.sam_rho = _i % 2 == 0 ? 0.05f : 0.0f;
    trainer t = make_trainer(CLASSES, &config), twin = make_trainer(CLASSES, &config);
    sound_steps(&t, 3);
    sound_steps(&twin, 3);
    for (int i = 0; i < 3; i++) {
        REFUSED(row->status, "", row->provoke(&t));
        check_twins(&t, &twin, row->name);
    }
    sound_steps(&t, 3); // moments and step counts are untouched too
    sound_steps(&twin, 3);
    check_twins(&t, &twin, row->name);
    free_trainer(&t);
    free_trainer(&twin);
}
END_TEST

START_TEST(test_extreme_parameters)
{
    exec = support_exec(support_backends[_i], 1);
    const jem_optimizer_config config = optimizer_config(0.01f);
    trainer t = make_trainer(CLASSES, &config);
    const int64_t count = support_param_count(t.model);
    float *params = malloc((size_t)count * sizeof *params);
    for (int64_t i = 0; i < count; i++)
        params[i] = i % 3 == 0 ? 1e30f : 1e25f;
    MUST(jem_model_set_params(t.model, count, params));
    const uint64_t before = params_hash(&t);
    REFUSED(JEM_EDIVERGED, "", step(&t, NULL));
    ck_assert_uint_eq(params_hash(&t), before);
    free(params);
    free_trainer(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    const int n = support_n_backends;
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_figures, 0, COUNT(objectives) * n);
    tcase_add_loop_test(tcase, test_drawn_samples, 0, n);
    tcase_add_loop_test(tcase, test_class_conditional_samples, 0, 3 * n);
    tcase_add_test(tcase, test_joint_term_wants_classes);
    tcase_add_test(tcase, test_input_noise);
    tcase_add_loop_test(tcase, test_failed_steps_change_nothing, 0, COUNT(failures) * 2 * n);
    tcase_add_loop_test(tcase, test_extreme_parameters, 0, n);
}

int main(void)
{
    return support_main("training", add_tests);
}
