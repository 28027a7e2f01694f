/*
 * Networks that normalise and drop out, through the public functions: whose statistics are used
 * where, what moves the running ones and what never does, which networks refuse single rows, and
 * that nothing of it depends on threads. Gradients are test_ref_gradient's to prove, values the
 * goldens'.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "support.h"

enum { FEATURES = 4, HIDDEN = 5, CLASSES = 3, ROWS = 24, MANY = 301 };

static jem_exec_config exec;
static float *x, *other; /* (MANY, FEATURES) each */
static int64_t y[MANY];

// For test number i of a loop over the backends: they alternate.
static void use_backend(int i)
{
    exec = support_exec(support_backends[i % support_n_backends], 1);
}

static void set_up(void)
{
    use_backend(0);
    x = support_uniform(MANY * FEATURES, 1);
    other = support_uniform(MANY * FEATURES, 2);
    for (int r = 0; r < MANY; r++)
        y[r] = r % CLASSES;
}

static void tear_down(void)
{
    free(x);
    free(other);
}

static const char batch_arch[] = "mlp-5:act=silu,norm=batch";

static float *tensor(const jem_model *model, const char *name, int64_t count)
{
    float *values = malloc((size_t)count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    MUST(jem_model_get_tensor(model, name, count, values));
    return values;
}

static uint64_t model_hash(const jem_model *model)
{
    float *params = support_params(model);
    const uint64_t hash = support_hash(params, (size_t)support_param_count(model) * sizeof *params);
    free(params);
    return hash;
}

// One step; labelled rows are x, data rows, if any, are other.
typedef struct step_row {
    int64_t n_labelled, n_data, n_samples;
    bool drawn; /* samples are drawn, not handed in */
} step_row;

static jem_status train(jem_model *model, jem_optimizer *optimizer, jem_sampler *sampler,
                        const step_row *row)
{
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.input_noise = 0.0f;
    jem_train_batch batch = support_batch(row->n_labelled, x, y);
    batch.n_data = row->n_data;
    batch.x_data = row->n_data > 0 ? other : NULL;
    batch.n_samples = row->n_samples;
    batch.x_samples = row->drawn ? NULL : other + FEATURES;
    return jem_train_step(model, optimizer, sampler, &config, &batch, NULL);
}

static void train_some(jem_model *model, int steps)
{
    jem_optimizer *optimizer = support_optimizer(model, 0.01f);
    const step_row row = {ROWS, 0, ROWS, false};
    for (int i = 0; i < steps; i++)
        MUST(train(model, optimizer, NULL, &row));
    jem_optimizer_destroy(optimizer);
}

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

// ---- plans --------------------------------------------------------------------------------------

static int n_compiled[2 * ROWS]; /* plans for a batch of so many rows */

static void count_plans(void *user, int32_t level, const char *line)
{
    (void)user, (void)level;
    const char *batch = strstr(line, "plan: batch ");
    if (batch != NULL)
        n_compiled[atoi(batch + strlen("plan: batch "))]++;
}

// Rows that share statistics are neither padded nor split; others are, 5 rows into 4 and 1.
START_TEST(test_plans_of_the_batch)
{
    use_backend(_i);
    const char *const names[] = {batch_arch, "mlp-5:norm=layer"};
    for (int i = 0; i < 2; i++) {
        jem_model *model = support_model(names[i], FEATURES, CLASSES, &exec);
        const jem_sampler_config config = support_sampler_config(8, 1);
        jem_sampler *sampler = support_sampler(model, &config);
        memset(n_compiled, 0, sizeof n_compiled);
        MUST(jem_set_log(count_plans, NULL));
        MUST(jem_sampler_run(model, sampler, 5, NULL, x, 2, NULL, NULL));
        MUST(jem_set_log(NULL, NULL));
        ck_assert_int_eq(n_compiled[5], i == 0);
        ck_assert_int_eq(n_compiled[4], i == 1);
        ck_assert_int_eq(n_compiled[1], i == 1);
        jem_sampler_destroy(sampler);
        jem_model_destroy(model);
    }
}
END_TEST

// However many sizes there are, the last twelve plans are kept.
START_TEST(test_plans_do_not_pile_up)
{
    use_backend(_i);
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec);
        const jem_sampler_config config = support_sampler_config(8, 1);
        jem_sampler *sampler = support_sampler(model, &config);
        for (int n = i == 0 ? 40 : 2; n <= 51; n++)
            MUST(jem_sampler_run(model, sampler, n, NULL, x, 1, NULL, NULL));
        bytes[i] = jem_model_bytes(model);
        jem_sampler_destroy(sampler);
        jem_model_destroy(model);
    }
    ck_assert_uint_eq(bytes[0], bytes[1]);
}
END_TEST

// ---- dropout ------------------------------------------------------------------------------------

START_TEST(test_dropout_is_for_training_alone)
{
    use_backend(_i);
    jem_model *plain = support_model("mlp-5", FEATURES, CLASSES, &exec);
    jem_model *dropping = support_model("mlp-5:dropout=0.5", FEATURES, CLASSES, &exec);
    ck_assert_uint_eq(model_hash(plain), model_hash(dropping));
    float a[ROWS * CLASSES], b[ROWS * CLASSES];
    MUST(jem_logits(plain, ROWS, x, a));
    MUST(jem_logits(dropping, ROWS, x, b));
    support_same_bits(a, b, sizeof a, "logits");
    const jem_sampler_config config = support_sampler_config(2 * ROWS, 3);
    jem_sampler *sampler = support_sampler(plain, &config), *twin = support_sampler(plain, &config);
    float drawn[ROWS * FEATURES], again[ROWS * FEATURES];
    MUST(jem_sampler_draw(plain, sampler, ROWS, drawn, NULL, NULL, NULL));
    MUST(jem_sampler_draw(dropping, twin, ROWS, again, NULL, NULL, NULL));
    support_same_bits(drawn, again, sizeof drawn, "chains");
    train_some(plain, 1);
    train_some(dropping, 1);
    ck_assert(model_hash(plain) != model_hash(dropping));
    jem_sampler_destroy(sampler);
    jem_sampler_destroy(twin);
    jem_model_destroy(plain);
    jem_model_destroy(dropping);
}
END_TEST

// The gradient of one step, by plain SGD at rate 1: what the masks were shows in it.
static float *sgd_gradient(jem_model *model, uint64_t seed, int skip, const step_row *row)
{
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.kind = JEM_OPTIMIZER_SGD;
    config.momentum = 0.0f;
    config.seed = seed;
    config.lr = 1e-30f;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &config));
    for (int i = 0; i < skip; i++)
        MUST(train(model, optimizer, NULL, row));
    MUST(jem_optimizer_set_lr(optimizer, 1.0f));
    float *before = support_params(model);
    MUST(train(model, optimizer, NULL, row));
    float *after = support_params(model);
    for (int64_t i = 0; i < support_param_count(model); i++)
        after[i] -= before[i];
    MUST(jem_model_set_params(model, support_param_count(model), before));
    free(before);
    jem_optimizer_destroy(optimizer);
    return after;
}

// Masks depend on seed, step, batch and row.
START_TEST(test_masks)
{
    use_backend(_i);
    jem_model *model = support_model("mlp-5:dropout=0.5", FEATURES, CLASSES, &exec);
    memcpy(other, x, MANY * FEATURES * sizeof *x); // data rows are the labelled rows again
    const step_row rows[] = {{ROWS, 0, 8, false}, {ROWS, ROWS, 8, false}};
    float *base = sgd_gradient(model, 1, 0, &rows[0]), *same = sgd_gradient(model, 1, 0, &rows[0]);
    float *seed = sgd_gradient(model, 2, 0, &rows[0]), *step = sgd_gradient(model, 1, 1, &rows[0]);
    float *group = sgd_gradient(model, 1, 0, &rows[1]);
    const size_t size = (size_t)support_param_count(model) * sizeof *base;
    support_same_bits(base, same, size, "the same step");
    ck_assert(memcmp(base, seed, size) != 0);
    ck_assert(memcmp(base, step, size) != 0);
    ck_assert(memcmp(base, group, size) != 0);
    free(base);
    free(same);
    free(seed);
    free(step);
    free(group);
    jem_model_destroy(model);
}
END_TEST

// ---- all of them --------------------------------------------------------------------------------

static const char *const archs[] = {
    "mlp-5-4:norm=batch,dropout=0.3",
    "mlp-8:norm=group2,dropout=0.1",
    "mlp-8:norm=layer",
    "mlp-6:norm=spectral",
    "mlp-6:norm=spectral,dropout=0.2",
};

START_TEST(test_threads_change_no_bit)
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        exec = support_exec(JEM_BACKEND_REF, 1 + 2 * i);
        jem_model *model = support_model(archs[_i], FEATURES, CLASSES, &exec);
        jem_optimizer *optimizer = support_optimizer(model, 0.01f);
        const jem_sampler_config config = support_sampler_config(2 * ROWS, 3);
        jem_sampler *sampler = support_sampler(model, &config);
        const step_row row = {ROWS, 17, ROWS, true};
        for (int step = 0; step < 4; step++)
            MUST(train(model, optimizer, sampler, &row));
        hashes[i] = model_hash(model);
        jem_sampler_destroy(sampler);
        jem_optimizer_destroy(optimizer);
        jem_model_destroy(model);
    }
    ck_assert_uint_eq(hashes[0], hashes[1]);
}
END_TEST

START_TEST(test_round_trip)
{
    const char *arch = archs[_i / support_n_backends];
    use_backend(_i);
    char dir[200], path[256];
    support_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    jem_model *model = support_model(arch, FEATURES, CLASSES, &exec), *loaded, *clone;
    train_some(model, 3);
    MUST(jem_model_save(model, path));
    MUST(jem_model_load(&loaded, path, &exec));
    MUST(jem_model_clone(&clone, model, &exec));
    ck_assert_str_eq(jem_model_arch(loaded), jem_model_arch(model));
    ck_assert_uint_eq(model_hash(loaded), model_hash(model));
    ck_assert_uint_eq(model_hash(clone), model_hash(model));
    float logits[ROWS * CLASSES], again[ROWS * CLASSES];
    MUST(jem_logits(model, ROWS, x, logits));
    MUST(jem_logits(loaded, ROWS, x, again));
    support_same_bits(logits, again, sizeof logits, "logits of the file");
    MUST(jem_logits(clone, ROWS, x, again));
    support_same_bits(logits, again, sizeof logits, "logits of the clone");
    jem_model_destroy(model);
    jem_model_destroy(loaded);
    jem_model_destroy(clone);
    support_remove_dir(dir);
}
END_TEST

START_TEST(test_state_is_the_last_of_the_vector)
{
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec);
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    const int64_t trained = FEATURES * HIDDEN + HIDDEN + 2 * HIDDEN + HIDDEN * CLASSES + CLASSES;
    ck_assert_int_eq(info.state_count, 2 * HIDDEN);
    ck_assert_int_eq(info.param_count, trained + 2 * HIDDEN);
    ck_assert_int_eq(info.tensor_count, 8);
    const char *const names[] = {"norm.0.running_mean", "norm.0.running_var"};
    for (int i = 0; i < 2; i++) {
        jem_tensor_info tensor_info = {.struct_size = sizeof tensor_info};
        MUST(jem_model_tensor(model, 6 + i, &tensor_info));
        ck_assert_str_eq(tensor_info.name, names[i]);
        ck_assert_int_eq(tensor_info.offset, trained + i * HIDDEN);
    }
    const float negative[HIDDEN] = {1, 1, -0.5f, 1, 1};
    const uint64_t before = model_hash(model);
    REFUSED(JEM_EINVAL, "'norm.0.running_var' holds -0.5 at element 2",
            jem_model_set_tensor(model, "norm.0.running_var", HIDDEN, negative));
    ck_assert_uint_eq(model_hash(model), before);
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_file_with_negative_variance)
{
    char dir[200], path[256];
    support_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/foreign.safetensors", dir);
    const float var[HIDDEN] = {1, 2, 3, -1e-3f, 4};
    const jemi_safetensor foreign = {
        .name = "norm.0.running_var", .dtype = JEMI_F32, .rank = 1, .shape = {HIDDEN}, .data = var};
    MUST(jemi_safetensors_write(path, &foreign, 1, NULL, 0));
    jem_model *model = support_model(batch_arch, FEATURES, CLASSES, &exec);
    const uint64_t before = model_hash(model);
    REFUSED(JEM_EFORMAT, "holds -0.001 at element 3", jem_model_load_matching(model, path, NULL));
    ck_assert_uint_eq(model_hash(model), before);
    jem_model_destroy(model);
    support_remove_dir(dir);
}
END_TEST

// An optimizer has room for the statistics of the model it was made for.
START_TEST(test_optimizer_of_another_norm)
{
    jem_model *layer = support_model("mlp-5:norm=layer", FEATURES, CLASSES, &exec);
    jem_model *batch = support_model("mlp-5:norm=batch", FEATURES, CLASSES, &exec);
    jem_optimizer *optimizer = support_optimizer(layer, 0.01f);
    const step_row row = {ROWS, 0, ROWS, false};
    REFUSED(JEM_EMISMATCH, "10", train(batch, optimizer, NULL, &row));
    MUST(train(layer, optimizer, NULL, &row));
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(layer);
    jem_model_destroy(batch);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_running_statistics, 0,
                        COUNT(running_rows) * support_n_backends);
    tcase_add_loop_test(tcase, test_statistics_of_chunks, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_chains_move_nothing, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_failed_steps_move_nothing, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_evaluation_is_by_row, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_chains_use_the_batch, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_single_rows, 0, COUNT(singles) * support_n_backends);
    tcase_add_loop_test(tcase, test_plans_of_the_batch, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_plans_do_not_pile_up, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_dropout_is_for_training_alone, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_masks, 0, support_n_backends);
    tcase_add_loop_test(tcase, test_threads_change_no_bit, 0, COUNT(archs));
    tcase_add_loop_test(tcase, test_round_trip, 0, COUNT(archs) * support_n_backends);
    tcase_add_test(tcase, test_state_is_the_last_of_the_vector);
    tcase_add_test(tcase, test_file_with_negative_variance);
    tcase_add_test(tcase, test_optimizer_of_another_norm);
}

int main(void)
{
    return support_main("norms", add_tests);
}
