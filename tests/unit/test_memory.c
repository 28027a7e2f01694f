/*
 * Running out of memory: the k-th allocation fails, for every k, once or from then on, in scripts
 * that use the whole API. Each time the call says JEM_ENOMEM, no block is lost, the same call made
 * again succeeds, and the script ends with the very bits of the undisturbed one. oneDNN's own
 * blocks do not pass through the allocator and are not failed here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "support.h"

enum { ROWS = 9, FEATURES = 4, CLASSES = 3, CAPACITY = 16 };

static const char *arch = "cnn-3"; /* of all models */

// ---- an allocator that fails on demand ----------------------------------------------------------

static struct {
    int64_t asked;
    int64_t fail_at; /* 0 = never */
    bool for_good;
    int64_t failed;
    int64_t live;
} memory;

static bool fails_now(void)
{
    memory.asked++;
    const bool fails = memory.fail_at > 0 && (memory.for_good ? memory.asked >= memory.fail_at
                                                              : memory.asked == memory.fail_at);
    memory.failed += fails;
    return fails;
}

static void *allocate(void *user, size_t alignment, size_t size)
{
    ck_assert_ptr_eq(user, &memory);
    const bool absurd = size > PTRDIFF_MAX; // sanitizers end a program that asks for so much
    void *block = fails_now() || absurd ? NULL : aligned_alloc(alignment, size);
    memory.live += block != NULL;
    if (block != NULL)
        memset(block, 0xa5, size); // nothing may rely on what a block held before
    return block;
}

static void release(void *user, void *block)
{
    ck_assert_ptr_eq(user, &memory);
    memory.live -= block != NULL;
    free(block);
}

// A call that may run out of memory once; then memory is there again, and it must succeed.
#define STEP(call)                                                                                 \
    do {                                                                                           \
        if (!step_succeeded((call), #call))                                                        \
            MUST(call);                                                                            \
    } while (0)

static bool step_succeeded(jem_status status, const char *call)
{
    const bool starved = memory.failed > 0 && memory.fail_at > 0;
    if (status == JEM_OK)
        return true;
    ck_assert_msg(starved && status == JEM_ENOMEM, "%s: %s: %s, allocation %d", call,
                  jem_status_string(status), jem_last_error(), (int)memory.fail_at);
    ck_assert_msg(strstr(jem_last_error(), "memory") != NULL, "%s: %s", call, jem_last_error());
    memory.fail_at = 0;
    return false;
}

// As STEP, for calls whose first argument must be NULL after the failure.
#define CREATE(handle, call)                                                                       \
    do {                                                                                           \
        handle = (void *)&memory;                                                                  \
        if (!step_succeeded((call), #call)) {                                                      \
            ck_assert_ptr_null(handle);                                                            \
            MUST(call);                                                                            \
        }                                                                                          \
    } while (0)

// ---- scripts ------------------------------------------------------------------------------------

static jem_exec_config exec;
static float *x;
static const int64_t labels[ROWS] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
static char path[256];

static jem_model *create_model(void)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = arch;
    config.channels = 1;
    config.height = config.width = 2;
    config.classes = CLASSES;
    jem_model *model;
    CREATE(model, jem_model_create(&model, &config, &exec));
    return model;
}

static uint64_t script_compute(void)
{
    jem_model *model = create_model();
    float out[5][ROWS * FEATURES] = {{0}};
    STEP(jem_logits(model, ROWS, x, out[0]));
    STEP(jem_energy_grad(model, ROWS, x, labels, NULL, out[1]));
    STEP(jem_score(model, JEM_SCORE_GRADIENT_NORM, NULL, ROWS, x, out[2]));
    STEP(jem_energy(model, 1, x, NULL, out[3]));
    STEP(jem_model_prepare(model, JEM_PREPARE_GRAD | JEM_PREPARE_TRAIN, 5));
    double area;
    STEP(jem_auroc(ROWS, out[2], ROWS, x, &area));
    out[4][0] = (float)area;
    jem_model_destroy(model);
    return support_hash(out, sizeof out);
}

static uint64_t script_metrics(void)
{
    jem_classification c[3];
    jem_detection d[3];
    jem_selection s = {.struct_size = sizeof s};
    for (int i = 0; i < COUNT(c); i++) {
        c[i] = (jem_classification){.struct_size = sizeof c[i]};
        d[i] = (jem_detection){.struct_size = sizeof d[i]};
    }
    double points[2 * FEATURES][2 * ROWS + 1] = {{0}}, figures[4];
    float loss[ROWS] = {0, 1, 0.5f};
    int64_t count[3];
    STEP(jem_classification_metrics(ROWS, CLASSES, x, labels, 1.0, 3, &c[0]));
    STEP(jem_classification_intervals(ROWS, CLASSES, x, labels, 1.0, 3, NULL, &c[1], &c[2]));
    STEP(jem_reliability(ROWS, CLASSES, x, labels, 1.0, 1, 3, count, points[0], points[1]));
    STEP(jem_detection_metrics(ROWS, x, ROWS, x + ROWS, 0.95, &d[0]));
    STEP(jem_detection_intervals(ROWS, x, ROWS, x + ROWS, 0.95, NULL, &d[1], &d[2]));
    STEP(jem_roc_curve(ROWS, x, ROWS, x + ROWS, 2 * ROWS + 1, count, points[2], points[3]));
    STEP(jem_selective_metrics(ROWS, x, loss, &s));
    STEP(jem_risk_coverage_curve(ROWS, x, loss, ROWS, count, points[4], points[5]));
    STEP(jem_frechet_distance(ROWS, x, 2, x, FEATURES, &figures[0]));
    STEP(jem_inception_score(ROWS, CLASSES, x, &figures[1]));
    STEP(jem_precision_recall(ROWS, x, 3, x, FEATURES, 2, &figures[2], &figures[3]));
    return support_hash(c, sizeof c) ^ 3 * support_hash(d, sizeof d) ^
           5 * support_hash(&s, sizeof s) ^ 7 * support_hash(points, sizeof points) ^
           9 * support_hash(figures, sizeof figures) ^ 11 * support_hash(count, sizeof count);
}

static uint64_t script_sampler(void)
{
    jem_model *model = create_model();
    jem_sampler_config config = support_sampler_config(CAPACITY, 3);
    config.start = JEM_START_MIXTURE;
    config.start_rank = 2;
    config.class_conditional = 1;
    config.reinit_prob = 0.4f;
    jem_sampler *sampler;
    CREATE(sampler, jem_sampler_create(&sampler, model, &config));
    float out[5][ROWS * FEATURES];
    memcpy(out[0], x, sizeof out[0]);
    STEP(jem_sampler_fit(sampler, ROWS, x, labels, NULL, NULL));
    STEP(jem_sampler_fit(sampler, ROWS, x, NULL, NULL, NULL)); // the failed one leaves the first
    STEP(jem_sgld_step(model, sampler, ROWS, labels, out[0]));
    STEP(jem_sampler_draw(model, sampler, ROWS, out[1], NULL, NULL, NULL));
    STEP(jem_sampler_draw(model, sampler, 3, out[2], NULL, NULL, NULL));
    STEP(jem_sampler_start(sampler, ROWS, labels, out[3]));
    STEP(jem_sampler_get_chains(sampler, 0, ROWS, out[4], NULL, NULL));
    memset(out[2] + 3 * FEATURES, 0, sizeof out[2] - 3 * FEATURES * sizeof(float));
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    return support_hash(out, sizeof out);
}

static uint64_t script_train(void)
{
    jem_model *model = create_model();
    jem_sampler_config sampler_config = support_sampler_config(CAPACITY, 2);
    sampler_config.start = JEM_START_DATA;
    sampler_config.reinit_prob = 0.5f;
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.lr = 0.01f;
    config.sam_rho = 0.1f;
    config.ema_decay = 0.9f;
    jem_train_config train_config;
    MUST(jem_train_config_init(&train_config, sizeof train_config));
    train_config.augment_flip = 1;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    CREATE(sampler, jem_sampler_create(&sampler, model, &sampler_config));
    CREATE(optimizer, jem_optimizer_create(&optimizer, model, &config));
    jem_train_batch batch = support_batch(ROWS, x, labels);
    STEP(jem_train_step(model, optimizer, sampler, &train_config, &batch, NULL));
    STEP(jem_sampler_fit(sampler, ROWS, x, labels, NULL, NULL));
    STEP(jem_sampler_fit(sampler, ROWS, x, NULL, NULL, NULL)); // the failed one leaves the first
    batch.n_data = 5;
    batch.x_data = x;
    batch.n_samples = 12;
    STEP(jem_train_step(model, optimizer, sampler, &train_config, &batch, NULL));
    float out[2][ROWS * FEATURES] = {{0}};
    STEP(jem_logits(model, ROWS, x, out[0]));
    STEP(jem_sampler_get_chains(sampler, 0, ROWS, out[1], NULL, NULL));
    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    return support_hash(out, sizeof out);
}

// A guarded run, kept and put into other handles, which have a past of their own.
static uint64_t script_checkpoint(void)
{
    jem_model *model = create_model();
    jem_sampler_config sampler_config = support_sampler_config(CAPACITY, 2);
    sampler_config.start = JEM_START_GAUSSIAN;
    sampler_config.start_rank = 1;
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.lr = 0.01f;
    config.ema_decay = 0.9f;
    jem_train_config train_config;
    MUST(jem_train_config_init(&train_config, sizeof train_config));
    train_config.guard = 1;
    train_config.guard_every = 1;
    jem_train_batch batch = support_batch(ROWS, x, labels);
    float out[2][ROWS * CLASSES];
    for (int i = 0; i < 2; i++) {
        jem_sampler *sampler;
        jem_optimizer *optimizer;
        CREATE(sampler, jem_sampler_create(&sampler, model, &sampler_config));
        CREATE(optimizer, jem_optimizer_create(&optimizer, model, &config));
        STEP(jem_sampler_fit(sampler, ROWS, x, labels, NULL, NULL));
        for (int step = 0; step < 3; step++) // two snapshots of the guard
            STEP(jem_train_step(model, optimizer, sampler, &train_config, &batch, NULL));
        STEP(jem_optimizer_set_note(optimizer, "a note"));
        if (i == 0)
            STEP(jem_checkpoint_save(path, model, optimizer, sampler));
        else
            STEP(jem_checkpoint_load(path, model, optimizer, sampler));
        STEP(jem_train_step(model, optimizer, sampler, &train_config, &batch, NULL));
        STEP(jem_logits(model, ROWS, x, out[i]));
        jem_optimizer_destroy(optimizer);
        jem_sampler_destroy(sampler);
    }
    support_same_bits(out[0], out[1], sizeof out[0], "what followed the checkpoint");
    jem_model_destroy(model);
    return support_hash(out, sizeof out);
}

static void decorate(jem_model *model)
{
    const float mean[] = {0.25f}, std[] = {0.5f};
    STEP(jem_model_set_standardization(model, 1, mean, std));
    STEP(jem_model_set_class_name(model, 0, "cat"));
    STEP(jem_model_set_class_name(model, 0, "dog"));
    for (char key[] = "a"; key[0] <= 'k'; key[0]++) // beyond the first room for pairs
        STEP(jem_model_set_metadata(model, key, "some value"));
    STEP(jem_model_set_metadata(model, "a", "another value"));
    STEP(jem_model_set_metadata(model, "b", NULL));
}

static uint64_t hash_text(const jem_model *model, uint64_t hash)
{
    char text[3][32] = {{0}};
    MUST(jem_model_get_class_name(model, 0, text[0], 32, NULL));
    MUST(jem_model_get_metadata(model, "a", text[1], 32, NULL));
    MUST(jem_model_get_metadata(model, "k", text[2], 32, NULL));
    const uint8_t image[FEATURES] = {1, 2, 3, 200};
    float input[FEATURES];
    STEP(jem_input_from_u8(model, 1, image, JEM_LAYOUT_NHWC, input));
    return hash ^ support_hash(text, sizeof text) ^ support_hash(input, sizeof input);
}

static uint64_t script_copies(void)
{
    jem_model *model = create_model(), *clone;
    decorate(model);
    CREATE(clone, jem_model_clone(&clone, model, &exec));
    float *params = support_params(clone);
    params[1] = 7.0f;
    STEP(jem_model_set_params(clone, support_param_count(clone), params));
    params[1] = 8.0f;
    STEP(jem_model_set_params(clone, support_param_count(clone), params));
    float out[ROWS * CLASSES];
    STEP(jem_logits(clone, ROWS, x, out));
    const uint64_t hash = hash_text(clone, support_hash(out, sizeof out));
    free(params);
    jem_model_destroy(clone);
    jem_model_destroy(model);
    return hash;
}

static float first_param_of_file(void)
{
    const int64_t fail_at = memory.fail_at; // this look must not fail
    memory.fail_at = 0;
    jem_model *model;
    MUST(jem_model_load(&model, path, &exec));
    float *params = support_params(model);
    const float first = params[0];
    free(params);
    jem_model_destroy(model);
    memory.fail_at = fail_at;
    return first;
}

static void save_again(jem_model *model)
{
    const float old = first_param_of_file();
    float *params = support_params(model);
    params[0] = 1.0f + params[0];
    STEP(jem_model_set_params(model, support_param_count(model), params));
    if (!step_succeeded(jem_model_save(model, path), "save")) {
        ck_assert_float_eq(first_param_of_file(), old); // the old file stands
        MUST(jem_model_save(model, path));
    }
    ck_assert_float_eq(first_param_of_file(), params[0]);
    free(params);
}

static uint64_t script_files(void)
{
    jem_model *model = create_model(), *loaded;
    decorate(model);
    STEP(jem_model_save(model, path));
    save_again(model);
    CREATE(loaded, jem_model_load(&loaded, path, &exec));
    float out[ROWS * CLASSES];
    STEP(jem_logits(loaded, ROWS, x, out));
    const uint64_t hash = hash_text(loaded, support_hash(out, sizeof out));
    int32_t matched = 0;
    STEP(jem_model_load_matching(model, path, &matched));
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    ck_assert_int_eq(matched, info.tensor_count);
    STEP(jem_logits(model, ROWS, x, out));
    jem_model_destroy(loaded);
    jem_model_destroy(model);
    return hash ^ support_hash(out, sizeof out) << 1;
}

static uint64_t script_attack(void)
{
    jem_model *model = create_model();
    jem_attack_config config;
    MUST(jem_attack_config_init(&config, sizeof config));
    config.kind = JEM_ATTACK_APGD;
    config.steps = 3;
    config.refine_steps = 1;
    float out[ROWS * FEATURES];
    STEP(jem_attack(model, &config, ROWS, x, labels, out, NULL, NULL, NULL, NULL));
    jem_model_destroy(model);
    return support_hash(out, sizeof out);
}

typedef struct script_row {
    const char *name;
    uint64_t (*run)(void);
} script_row;

static const script_row scripts[] = {
    {"compute", script_compute}, {"sampler", script_sampler}, {"train", script_train},
    {"copies", script_copies},   {"files", script_files},     {"checkpoint", script_checkpoint},
    {"metrics", script_metrics}, {"attack", script_attack},
};

// Runs a script from a clean slate; returns its hash and whether an allocation failed.
static uint64_t run(const script_row *script, int64_t fail_at, bool for_good, bool *failed)
{
    memset(&memory, 0, sizeof memory);
    memory.fail_at = fail_at;
    memory.for_good = for_good;
    const uint64_t hash = script->run();
    *failed = memory.failed > 0;
    ck_assert_msg(memory.live == 0, "%s, allocation %d: %d blocks lost", script->name, (int)fail_at,
                  (int)memory.live);
    return hash;
}

// Beside the plain network on each backend.
static const char *const normalized[] = {"cnn-3:norm=batch,dropout=0.2", "cnn-3:norm=spectral"};

START_TEST(test_every_allocation_fails)
{
    const script_row *script = &scripts[_i % COUNT(scripts)];
    const int variant = _i / COUNT(scripts), n = support_n_backends;
    arch = variant < n ? "cnn-3" : normalized[variant - n];
    exec = support_exec(variant < n ? support_backends[variant] : JEM_BACKEND_REF, 1);
    char dir[200];
    support_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/model", dir);
    x = support_uniform(ROWS * FEATURES, 1);
    MUST(jem_set_allocator(&(jem_allocator){allocate, release, &memory}));
    bool failed;
    const uint64_t expected = run(script, 0, false, &failed);
    for (int mode = 0; mode < 2; mode++) {
        int64_t k = 0;
        do {
            const uint64_t hash = run(script, ++k, mode == 1, &failed);
            ck_assert_msg(hash == expected, "%s, allocation %d, mode %d: other bits", script->name,
                          (int)k, mode);
        } while (failed);
        ck_assert_msg(k > 10, "%s: only %d allocations", script->name, (int)k);
    }
    MUST(jem_set_allocator(NULL));
    free(x);
    support_remove_dir(dir);
}
END_TEST

START_TEST(test_allocator_belongs_to_handles)
{
    memset(&memory, 0, sizeof memory);
    const jem_allocator own = {allocate, release, &memory};
    MUST(jem_set_allocator(&own));
    exec = support_exec(0, 1);
    jem_model *model = create_model();
    ck_assert_int_gt(memory.live, 0);
    REFUSED(JEM_EBUSY, "handles", jem_set_allocator(NULL));
    jem_model_destroy(model);
    ck_assert_int_eq(memory.live, 0);
    MUST(jem_set_allocator(NULL));
    const int64_t asked = memory.asked;
    model = create_model();
    jem_model_destroy(model);
    ck_assert_int_eq(memory.asked, asked);
}
END_TEST

// ---- sizes that no machine has -----------------------------------------------------------------

// A block is rounded up to whole cache lines, which must not come round to a small one.
START_TEST(test_sizes_that_wrap)
{
    memset(&memory, 0, sizeof memory);
    MUST(jem_set_allocator(&(jem_allocator){allocate, release, &memory}));
    for (size_t k = 0; k < 63; k++) { // SIZE_MAX - 63 needs no rounding
        const size_t size = SIZE_MAX - k;
        ck_assert_ptr_null(jemi_alloc(size, 1));
        ck_assert_ptr_null(jemi_alloc(1, size));
        ck_assert_ptr_null(jemi_calloc(size, 1));
    }
    ck_assert_ptr_null(jemi_alloc(SIZE_MAX / 2, 2));
    ck_assert_ptr_null(jemi_alloc(SIZE_MAX / 2 + 1, 2)); // 0, were it not for the carry
    ck_assert_ptr_null(jemi_alloc((size_t)1 << 33, (size_t)1 << 33));
    ck_assert_int_eq(memory.asked, 0);
    ck_assert_ptr_null(jemi_alloc(SIZE_MAX - 63, 1));
    ck_assert_int_eq(memory.asked, 1); // the allocator's to refuse
    MUST(jem_set_allocator(NULL));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_every_allocation_fails, 0,
                        COUNT(scripts) * (support_n_backends + COUNT(normalized)));
    tcase_add_test(tcase, test_allocator_belongs_to_handles);
    tcase_add_test(tcase, test_sizes_that_wrap);
}

int main(void)
{
    return support_main("memory", add_tests);
}
