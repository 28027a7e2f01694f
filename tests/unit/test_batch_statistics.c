/*
 * Batch normalisation through the public functions: whose statistics are used where, what moves the
 * running ones and what never does, and which networks refuse single rows. Values are the goldens'
 * to prove.
 */
#include "norms_run.h"

// ---- running statistics -------------------------------------------------------------------------

typedef struct moments {
    double mean[HIDDEN], var[HIDDEN]; /* unbiased */
} moments;

// What enters norm.0 of the mlp for n rows: the first layer by hand.
static moments hidden_moments(const jem_model *model, int64_t n, const float *rows)
{
    float *w = tensor(model, "hidden.0.weight", HIDDEN * FEATURES);
    float *b = tensor(model, "hidden.0.bias", HIDDEN);
    moments m = {{0}, {0}};
    for (int h = 0; h < HIDDEN; h++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t r = 0; r < n; r++) {
            double value = (double)b[h];
            for (int i = 0; i < FEATURES; i++)
                value += (double)w[h * FEATURES + i] * (double)rows[r * FEATURES + i];
            sum += value;
            squares += value * value;
        }
        m.mean[h] = sum / (double)n;
        m.var[h] = (squares - sum * sum / (double)n) / (double)(n - 1);
    }
    free(w);
    free(b);
    return m;
}

static void move(float *mean, float *var, const moments *m)
{
    for (int h = 0; h < HIDDEN; h++) {
        mean[h] = (float)(0.9 * (double)mean[h] + 0.1 * m->mean[h]);
        var[h] = (float)(0.9 * (double)var[h] + 0.1 * m->var[h]);
    }
}

static const step_row running_rows[] = {
    {ROWS, 0, ROWS, false}, {ROWS, 17, 9, false}, {ROWS, 0, ROWS, true}, {ROWS, 17, 30, true}};

// Labelled rows move them, then data rows do; samples and the chains that made them do not.
START_TEST(test_running_statistics)
{
    const step_row *row = &running_rows[_i / support_n_backends];
    use_backend(_i);
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec);
    jem_optimizer *optimizer = support_optimizer(model, 0.1f);
    const jem_sampler_config config = support_sampler_config(2 * ROWS, 3);
    jem_sampler *sampler = support_sampler(model, &config);
    float *mean = tensor(model, "norm.0.running_mean", HIDDEN);
    float *var = tensor(model, "norm.0.running_var", HIDDEN);
    for (int h = 0; h < HIDDEN; h++)
        ck_assert(mean[h] == 0.0f && var[h] == 1.0f);
    for (int step = 0; step < 3; step++) {
        const moments labelled = hidden_moments(model, row->n_labelled, x);
        move(mean, var, &labelled);
        if (row->n_data > 0) {
            const moments data = hidden_moments(model, row->n_data, other);
            move(mean, var, &data);
        }
        MUST(train(model, optimizer, sampler, row));
        float *now_mean = tensor(model, "norm.0.running_mean", HIDDEN);
        float *now_var = tensor(model, "norm.0.running_var", HIDDEN);
        for (int h = 0; h < HIDDEN; h++) {
            NEAR(now_mean[h], mean[h], 1e-6); // floats near 1, a few roundings
            NEAR(now_var[h], var[h], 1e-6);
        }
        free(now_mean);
        free(now_var);
    }
    free(mean);
    free(var);
    jem_sampler_destroy(sampler);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}
END_TEST

// The average is one of parameters; beside them stand the statistics of the moment.
START_TEST(test_average_has_the_statistics)
{
    const char *const names[] = {"norm.0.running_mean", "norm.0.running_var"};
    const step_row row = {ROWS, 0, ROWS, false};
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec), *averaged;
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.ema_decay = 0.9f;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &config));
    MUST(jem_model_clone(&averaged, model, NULL));
    const int64_t count = support_param_count(model);
    float *params = malloc((size_t)count * sizeof *params);
    for (int step = 0; step < 3; step++)
        MUST(train(model, optimizer, NULL, &row));
    MUST(jem_optimizer_get_ema(optimizer, count, params));
    MUST(jem_model_set_params(averaged, count, params));
    for (int i = 0; i < COUNT(names); i++) {
        float *now = tensor(model, names[i], HIDDEN), *got = tensor(averaged, names[i], HIDDEN);
        support_same_bits(got, now, HIDDEN * sizeof *now, names[i]);
        free(now);
        free(got);
    }
    free(params);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(averaged);
    jem_model_destroy(model);
}
END_TEST

// More than 256 rows go in equal parts, whose statistics are averaged by their rows.
START_TEST(test_statistics_of_chunks)
{
    use_backend(_i);
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec);
    jem_optimizer *optimizer = support_optimizer(model, 0.1f);
    const moments first = hidden_moments(model, 151, x);
    const moments second = hidden_moments(model, 150, x + 151 * FEATURES);
    const step_row row = {MANY, 0, 4, false};
    MUST(train(model, optimizer, NULL, &row));
    float *mean = tensor(model, "norm.0.running_mean", HIDDEN);
    float *var = tensor(model, "norm.0.running_var", HIDDEN);
    for (int h = 0; h < HIDDEN; h++) {
        NEAR(mean[h], 0.1 * (151 * first.mean[h] + 150 * second.mean[h]) / MANY, 1e-6);
        NEAR(var[h], 0.9 + 0.1 * (151 * first.var[h] + 150 * second.var[h]) / MANY, 1e-6);
    }
    free(mean);
    free(var);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_chains_move_nothing)
{
    use_backend(_i);
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec);
    train_some(model, 2);
    const uint64_t before = model_hash(model);
    const jem_sampler_config config = support_sampler_config(2 * ROWS, 3);
    jem_sampler *sampler = support_sampler(model, &config);
    float *chains = support_uniform(ROWS * FEATURES, 3);
    MUST(jem_sampler_draw(model, sampler, ROWS, chains, NULL, NULL, NULL));
    MUST(jem_sgld_step(model, sampler, ROWS, NULL, chains));
    MUST(jem_sampler_run(model, sampler, ROWS, y, chains, 4, NULL, NULL));
    MUST(jem_model_prepare(model, JEM_PREPARE_GRAD | JEM_PREPARE_TRAIN, ROWS));
    ck_assert_uint_eq(model_hash(model), before);
    free(chains);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
}
END_TEST

// A failed step leaves the statistics of the rows that it had already passed behind.
START_TEST(test_failed_steps_move_nothing)
{
    use_backend(_i);
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec);
    train_some(model, 2);
    const uint64_t before = model_hash(model);
    const step_row row = {ROWS, 0, ROWS, false};
    // The update overflows, after all passes.
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.kind = JEM_OPTIMIZER_SGD;
    config.lr = 3e38f;
    config.weight_decay = 1e29f;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &config));
    REFUSED(JEM_EDIVERGED, "update", train(model, optimizer, NULL, &row));
    ck_assert_uint_eq(model_hash(model), before);
    // Rows whose variance no float holds: the network would still give finite logits.
    for (int i = 0; i < ROWS * FEATURES; i++)
        x[i] *= 1e30f;
    REFUSED(JEM_EDIVERGED, "running_var", train(model, optimizer, NULL, &row));
    ck_assert_uint_eq(model_hash(model), before);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}
END_TEST

// ---- whose statistics are used where ------------------------------------------------------------

START_TEST(test_evaluation_is_by_row)
{
    use_backend(_i);
    exec.threads = 2; // in lanes
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec);
    train_some(model, 5);
    float all[ROWS * CLASSES], grads[ROWS * FEATURES], one[CLASSES], grad[FEATURES];
    MUST(jem_logits(model, ROWS, x, all));
    MUST(jem_energy_grad(model, ROWS, x, NULL, NULL, grads));
    for (int r = 0; r < ROWS; r++) {
        MUST(jem_logits(model, 1, x + r * FEATURES, one));
        MUST(jem_energy_grad(model, 1, x + r * FEATURES, NULL, NULL, grad));
        support_same_bits(one, all + r * CLASSES, sizeof one, "logits");
        support_same_bits(grad, grads + r * FEATURES, sizeof grad, "gradient");
    }
    jem_model_destroy(model);
}
END_TEST

// The running statistics decide what scoring sees, and nothing of what chains do.
START_TEST(test_chains_use_the_batch)
{
    use_backend(_i);
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec), *twin;
    train_some(model, 2);
    MUST(jem_model_clone(&twin, model, &exec));
    const float mean[HIDDEN] = {3, -2, 1, 0.5f, 4}, var[HIDDEN] = {0.1f, 2, 3, 9, 0};
    MUST(jem_model_set_tensor(twin, "norm.0.running_mean", HIDDEN, mean));
    MUST(jem_model_set_tensor(twin, "norm.0.running_var", HIDDEN, var));
    float a[CLASSES], b[CLASSES];
    MUST(jem_logits(model, 1, x, a));
    MUST(jem_logits(twin, 1, x, b));
    ck_assert(memcmp(a, b, sizeof a) != 0);

    const jem_sampler_config config = support_sampler_config(2 * ROWS, 3);
    jem_sampler *sampler = support_sampler(model, &config),
                *second = support_sampler(model, &config);
    float *chains = support_uniform(ROWS * FEATURES, 3),
          *again = support_uniform(ROWS * FEATURES, 3);
    MUST(jem_sgld_step(model, sampler, ROWS, NULL, chains));
    MUST(jem_sgld_step(twin, second, ROWS, NULL, again));
    support_same_bits(chains, again, ROWS * FEATURES * sizeof *chains, "chains");
    // And its neighbours move a chain.
    float *part = support_uniform(ROWS * FEATURES, 3);
    MUST(jem_sampler_run(model, sampler, 0, NULL, part, 1, NULL, NULL));
    jem_sampler *third = support_sampler(model, &config);
    MUST(jem_sgld_step(model, third, ROWS / 2, NULL, part));
    ck_assert(memcmp(part, chains, FEATURES * sizeof *part) != 0);
    free(chains);
    free(again);
    free(part);
    jem_sampler_destroy(sampler);
    jem_sampler_destroy(second);
    jem_sampler_destroy(third);
    jem_model_destroy(model);
    jem_model_destroy(twin);
}
END_TEST

typedef struct single_row {
    const char *arch;
    jem_status status;
} single_row;

static const single_row singles[] = {
    {"mlp-5:norm=batch", JEM_EINVAL},    {"cnn-3:norm=batch", JEM_OK}, // 4x4 pixels have a variance
    {"wrn-10-1:norm=batch", JEM_EINVAL},                               // 1x1 at its end
    {"mlp-5:norm=layer", JEM_OK},        {"mlp-5:norm=spectral", JEM_OK},
};

START_TEST(test_single_rows)
{
    const single_row *row = &singles[_i / support_n_backends];
    use_backend(_i);
    enum { SIDE = 4, SIZE = SIDE * SIDE };
    jem_model *model = support_image_model(row->arch, 1, SIDE, CLASSES, &exec);
    jem_optimizer *optimizer = support_optimizer(model, 0.01f);
    const jem_sampler_config config = support_sampler_config(8, 1);
    jem_sampler *sampler = support_sampler(model, &config);
    float rows[SIZE], logits[CLASSES];
    memcpy(rows, x, sizeof rows);
    jem_train_batch batch = support_batch(1, rows, y);
    const jem_status statuses[] = {
        jem_sgld_step(model, sampler, 1, NULL, rows),
        jem_sampler_draw(model, sampler, 1, rows, NULL, NULL, NULL),
        jem_train_step(model, optimizer, sampler, NULL, &batch, NULL),
    };
    for (int i = 0; i < COUNT(statuses); i++)
        ck_assert_msg(statuses[i] == row->status, "%s, call %d: %s", row->arch, i,
                      jem_last_error());
    if (row->status != JEM_OK)
        ck_assert_msg(strstr(jem_last_error(), "at least 2 rows") != NULL, "%s", jem_last_error());
    MUST(jem_logits(model, 1, rows, logits));
    MUST(jem_sampler_draw(model, sampler, 0, rows, NULL, NULL, NULL));
    batch = support_batch(2, x, y);
    MUST(jem_train_step(model, optimizer, sampler, NULL, &batch, NULL));
    jem_sampler_destroy(sampler);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_running_statistics, 0,
                        COUNT(running_rows) * support_n_backends);
    tcase_add_test(tcase, test_average_has_the_statistics);
    tcase_add_loop_test(tcase, test_statistics_of_chunks, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_chains_move_nothing, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_failed_steps_move_nothing, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_evaluation_is_by_row, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_chains_use_the_batch, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_single_rows, 0, COUNT(singles) * support_n_backends);
}

int main(void)
{
    return support_main("batch statistics", add_tests);
}
