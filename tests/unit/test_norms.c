/*
 * Networks that normalise and drop out, through the public functions: which plans they take, where
 * masks are drawn, what a file of them holds, and that nothing of it depends on threads. Gradients
 * are test_ref_gradient's to prove, values the goldens', statistics test_batch_statistics.c's.
 */
#include "io/safetensors.h"
#include "norms_run.h"

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
