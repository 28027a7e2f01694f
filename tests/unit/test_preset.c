/*
 * Presets: each says what its paper says, can be trained with on a network that suits it, and is
 * refused on all others; structs of another size are filled right or not at all.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SIDE = 8, CLASSES = 3, ROWS = 6, PRESETS = JEM_PRESET_CLASSIFIER };

typedef struct preset {
    jem_sampler_config sampler;
    jem_optimizer_config optimizer;
    jem_train_config train;
    jem_preset_info info;
} preset;

static preset sized(void)
{
    return (preset){.sampler = {.struct_size = sizeof(jem_sampler_config)},
                    .optimizer = {.struct_size = sizeof(jem_optimizer_config)},
                    .train = {.struct_size = sizeof(jem_train_config)},
                    .info = {.struct_size = sizeof(jem_preset_info)}};
}

static preset get(const jem_model *model, int32_t number)
{
    preset p = sized();
    MUST(jem_preset(model, number, &p.sampler, &p.optimizer, &p.train, &p.info));
    return p;
}

// ---- what the papers say ------------------------------------------------------------------------

typedef struct paper {
    int32_t number;
    const char *name, *norm;
    int32_t n_data, n_labelled, epochs;
    int32_t chain_steps;
    double step, noise, clamp;
    int32_t x_clamped, start, per_class;
    int32_t kind;
    double lr, beta1, decay, sam, factor;
    int32_t decay_epochs[3];
    double input_noise;
    int32_t crop_data; /* of p(x) */
    double w_px, w_pyx, l2;
    int32_t guard;
} paper;

enum { ADAM = JEM_OPTIMIZER_ADAM, SGD = JEM_OPTIMIZER_SGD };
enum { UNIFORM = JEM_START_UNIFORM, GAUSSIAN = JEM_START_GAUSSIAN };

// Row by row from the publications; safe from the issue that asked for it. crop_data -1: no crop.
// clang-format off
static const paper papers[] = {
    {JEM_PRESET_SAFE, "safe", "", 0, 64, 150, 20, 1, 0.01, 1, 1, UNIFORM, 1,
     ADAM, 1e-4, 0.9, 0, 0, 0.3, {50, 100, 0}, 0.03, -1, 1, 1, 0.1, 1},
    {JEM_PRESET_JEM2020, "jem2020", "norm=none", 64, 64, 150, 20, 1, 0.01, INFINITY, 0, UNIFORM, 1,
     ADAM, 1e-4, 0.9, 0, 0, 0.3, {50, 100, 0}, 0.03, 1, 1, 1, 0, 0},
    {JEM_PRESET_JEMPP, "jempp", "norm=batch", 64, 64, 150, 10, 1, 0, 1, 1, GAUSSIAN, 1,
     SGD, 0.1, 0.9, 4e-4, 0, 0.2, {50, 100, 125}, 0.03, 1, 1, 1, 0, 0},
    {JEM_PRESET_SADA, "sada", "norm=batch", 64, 128, 200, 5, 1, 0, 1, 1, GAUSSIAN, 1,
     SGD, 0.1, 0.9, 5e-4, 2, 0.2, {60, 120, 180}, 0, 0, 1, 1, 0, 0},
    {JEM_PRESET_MJEM, "mjem", "norm=batch", 64, 128, 200, 5, 1, 0.001, 1, 1, GAUSSIAN, 0,
     SGD, 0.1, 0.9, 5e-4, 0, 0.2, {60, 120, 180}, 0, 0, 1, 1, 0.5, 0},
    {JEM_PRESET_IGEBM, "igebm", "norm=spectral", 128, 0, 0, 60, 10, 0.005, 0.01, 1, UNIFORM, 1,
     ADAM, 3e-4, 0, 0, 0, 0, {0, 0, 0}, 0.00112763, -1, 1, 0, 1, 0},
    {JEM_PRESET_CLASSIFIER, "classifier", "", 0, 64, 150, 20, 1, 0.01, INFINITY, 0, UNIFORM, 1,
     ADAM, 1e-4, 0.9, 0, 0, 0.3, {50, 100, 0}, 0.03, 0, 0, 1, 0, 0},
};
// clang-format on

#define SAME(value, expected)                                                                      \
    ck_assert_msg((float)(value) == (float)(expected), "%s: %s is %g, expected %g", row->name,     \
                  #value, (double)(value), (double)(expected))

static void check_chains(const paper *row, const preset *p)
{
    SAME(p->sampler.steps, row->chain_steps);
    SAME(p->sampler.step_size, row->step);
    SAME(p->sampler.noise_std, row->noise);
    SAME(p->sampler.grad_clamp, row->clamp);
    SAME(p->sampler.start, row->start);
    SAME(p->sampler.capacity, 10000);
    SAME(p->sampler.reinit_prob, 0.05);
    SAME(p->sampler.start_low, p->info.input_low);
    SAME(p->sampler.start_high, 1);
    SAME(p->sampler.x_low, row->x_clamped ? p->info.input_low : -INFINITY);
    SAME(p->sampler.x_high, row->x_clamped ? 1 : INFINITY);
    SAME(p->sampler.class_conditional, 0);
    SAME(p->sampler.matched_noise, 0);
    ck_assert_int_eq(p->sampler.start_rank > 0, row->start == GAUSSIAN);
}

static void check_optimizer(const paper *row, const preset *p)
{
    SAME(p->optimizer.kind, row->kind);
    SAME(p->optimizer.lr, row->lr);
    SAME(p->optimizer.beta1, row->beta1);
    SAME(p->optimizer.beta2, 0.999);
    SAME(p->optimizer.momentum, 0.9);
    SAME(p->optimizer.weight_decay, row->decay);
    SAME(p->optimizer.sam_rho, row->sam);
    SAME(p->optimizer.sam_adaptive, row->sam > 0);
    SAME(p->optimizer.warmup_steps, row->epochs > 0 ? 1000 : 0);
    SAME(p->optimizer.clip_norm, row->guard ? 5 : INFINITY);
    SAME(p->optimizer.total_steps, 0);
    SAME(p->optimizer.schedule, row->epochs > 0 ? JEM_SCHEDULE_STEP : JEM_SCHEDULE_CONSTANT);
    for (int i = 0; row->epochs > 0 && i < 3; i++)
        SAME(p->optimizer.milestones[i], (double)row->decay_epochs[i] / row->epochs);
    SAME(p->optimizer.milestones[3], 0);
    if (row->epochs > 0)
        SAME(p->optimizer.lr_factor, row->factor);
}

static void check_loss(const paper *row, const preset *p)
{
    SAME(p->train.w_px, row->w_px);
    SAME(p->train.w_pyx, row->w_pyx);
    SAME(p->train.w_pxy, 0);
    SAME(p->train.energy_l2, row->l2);
    SAME(p->train.guard, row->guard);
    NEAR((double)p->train.input_noise, row->input_noise, 1e-7);
    SAME(p->train.augment_crop, row->crop_data >= 0 ? 4 : 0);
    SAME(p->train.augment_flip, row->crop_data >= 0);
    SAME(p->train.augment_data, row->crop_data > 0);
}

START_TEST(test_papers)
{
    const paper *row = &papers[_i];
    const preset p = get(NULL, row->number);
    ck_assert_str_eq(p.info.name, row->name);
    ck_assert_str_eq(p.info.arch_options, row->norm);
    ck_assert_uint_gt(strlen(p.info.summary), 0);
    SAME(p.info.n_data, row->n_data);
    SAME(p.info.n_labelled, row->n_labelled);
    SAME(p.info.epochs, row->epochs);
    SAME(p.info.fit_labels, row->per_class);
    SAME(p.info.input_low, row->number == JEM_PRESET_IGEBM ? 0 : -1);
    SAME(p.info.input_high, 1);
    check_chains(row, &p);
    check_optimizer(row, &p);
    check_loss(row, &p);
}
END_TEST

// Of 150 epochs of 781 steps the rate falls in the first step of epoch 50, not one off.
START_TEST(test_decay_falls_at_its_epoch)
{
    jem_model *model = support_model("mlp-2:norm=batch", 2, 2, NULL);
    preset p = get(model, JEM_PRESET_JEMPP);
    const float x[8] = {1, 2, 3, 5, 8, 2, 1, 0};
    const int64_t y[4] = {0, 1, 0, 1};
    const jem_train_batch batch = support_batch(4, x, y);
    p.train.w_px = 0.0f;
    p.optimizer.warmup_steps = 0;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &p.optimizer));
    for (int before = 1; before >= 0; before--) {
        const double step = 50.0 * 781.0 - before;
        jem_train_stats stats = {.struct_size = sizeof stats};
        MUST(jem_optimizer_set_progress(optimizer, (float)(step / (150.0 * 781.0))));
        MUST(jem_train_step(model, optimizer, NULL, &p.train, &batch, &stats));
        NEAR((double)stats.lr, before ? 0.1 : 0.02, 1e-8);
    }
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
}
END_TEST

// ---- the model ----------------------------------------------------------------------------------

START_TEST(test_needed_options)
{
    static const char *const norms[] = {"norm=none",  "norm=batch",  "norm=spectral",
                                        "norm=layer", "norm=group2", "norm=instance"};
    for (int i = 0; i < COUNT(norms); i++) {
        char arch[64], has[96];
        snprintf(arch, sizeof arch, "cnn-4:%s,dropout=0.1", norms[i]);
        jem_model *model = support_image_model(arch, 1, SIDE, CLASSES, NULL);
        snprintf(has, sizeof has, "the model is %s%s", jem_model_arch(model),
                 i == 0 ? " with norm=none" : "");
        for (int32_t number = 1; number <= PRESETS; number++) {
            preset p = get(NULL, number);
            const char *needed = p.info.arch_options;
            char needs[96];
            snprintf(needs, sizeof needs, "preset %s needs %s; ", p.info.name, needed);
            if (needed[0] == '\0' || strcmp(needed, norms[i]) == 0) {
                get(model, number);
                continue;
            }
            REFUSED(JEM_EMISMATCH, needs, jem_preset(model, number, NULL, NULL, NULL, NULL));
            REFUSED(JEM_EMISMATCH, has, jem_preset(model, number, &p.sampler, NULL, NULL, NULL));
        }
        jem_model_destroy(model);
    }
}
END_TEST

static void train_two_steps(jem_model *model, preset *p)
{
    jem_model_info info = {.struct_size = sizeof info};
    MUST(jem_model_get_info(model, &info));
    float *x = support_uniform(ROWS * info.input_size, 3);
    const int64_t y[ROWS] = {0, 1, 2, 0, 1, 2};
    p->sampler.capacity = 20;
    jem_sampler *sampler = support_sampler(model, &p->sampler);
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &p->optimizer));
    if (p->sampler.start != JEM_START_UNIFORM)
        MUST(jem_sampler_fit(sampler, ROWS, x, p->info.fit_labels ? y : NULL, NULL, NULL));
    jem_train_batch batch = support_batch(p->info.n_labelled > 0 ? ROWS : 0, x, y);
    batch.n_data = p->info.n_data > 0 ? ROWS : 0;
    batch.x_data = x;
    for (int step = 1; step <= 2; step++) {
        jem_train_stats stats = {.struct_size = sizeof stats};
        MUST(jem_train_step(model, optimizer, sampler, &p->train, &batch, &stats));
        ck_assert_int_eq(stats.step, step);
        ck_assert_msg(isfinite(stats.loss) && stats.update_norm > 0.0, "%s", p->info.name);
    }
    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
    free(x);
}

START_TEST(test_two_steps)
{
    for (int image = 0; image < 2; image++) {
        char arch[64];
        const char *norm = get(NULL, _i).info.arch_options;
        snprintf(arch, sizeof arch, "%s%s%s", image ? "cnn-4" : "mlp-5", norm[0] ? ":" : "", norm);
        jem_model *model = image ? support_image_model(arch, 1, SIDE, CLASSES, NULL)
                                 : support_model(arch, 3, CLASSES, NULL);
        preset p = get(model, _i);
        train_two_steps(model, &p);
        jem_model_destroy(model);
    }
}
END_TEST

START_TEST(test_crop_follows_the_image)
{
    static const struct {
        int32_t side, crop;
    } rows[] = {{32, 4}, {28, 3}, {8, 1}, {5, 0}, {1024, 64}};
    for (int i = 0; i < COUNT(rows); i++) {
        jem_model *model = support_image_model("mlp-1:norm=none", 1, rows[i].side, 2, NULL);
        const preset p = get(model, JEM_PRESET_JEM2020);
        ck_assert_int_eq(p.train.augment_crop, rows[i].crop);
        ck_assert_int_eq(p.train.augment_flip, 1);
        jem_model_destroy(model);
    }
    jem_model *table = support_model("mlp-2", 7, 2, NULL);
    const preset p = get(table, JEM_PRESET_JEM2020);
    ck_assert_int_eq(p.train.augment_crop, 0);
    ck_assert_int_eq(p.train.augment_flip, 0);
    ck_assert_int_eq(p.train.augment_data, 0);
    jem_model_destroy(table);
}
END_TEST

static jem_model *model_of_range(float low, float high)
{
    jem_model_config config;
    MUST(jem_model_config_init(&config, sizeof config));
    config.arch = "mlp-3";
    config.channels = 2;
    config.height = config.width = 2;
    config.classes = 2;
    config.input_low = low;
    config.input_high = high;
    jem_model *model;
    MUST(jem_model_create(&model, &config, NULL));
    return model;
}

START_TEST(test_range_is_the_models)
{
    jem_model *model = model_of_range(-0.3f, 2.5f);
    preset p = get(model, JEM_PRESET_SAFE);
    ck_assert(p.sampler.x_low == -0.3f && p.sampler.x_high == 2.5f);
    ck_assert(p.sampler.start_low == -0.3f && p.sampler.start_high == 2.5f);
    p = get(model, JEM_PRESET_JEM2020); // has no clamp
    ck_assert(p.sampler.x_low == -INFINITY && p.sampler.x_high == INFINITY);
    ck_assert(p.sampler.start_low == -0.3f && p.sampler.start_high == 2.5f);
    const float mean[2] = {0.5f, 0.25f}, std[2] = {0.5f, 0.125f};
    MUST(jem_model_set_standardization(model, 2, mean, std));
    p = get(model, JEM_PRESET_SAFE); // the channels' ranges are -1..1 and -2..6
    ck_assert(p.sampler.x_low == -2.0f && p.sampler.x_high == 6.0f);
    jem_model_destroy(model);
}
END_TEST

// ---- arguments ----------------------------------------------------------------------------------

START_TEST(test_names)
{
    int32_t number;
    for (int32_t i = 1; i <= PRESETS; i++) {
        MUST(jem_preset_find(get(NULL, i).info.name, &number));
        ck_assert_int_eq(number, i);
    }
    REFUSED(JEM_ENOTFOUND,
            "\"sad\"; expected one of safe, jem2020, jempp, sada, mjem, igebm, class",
            jem_preset_find("sad", &number));
    REFUSED(JEM_EINVAL, "name", jem_preset_find(NULL, &number));
    REFUSED(JEM_EINVAL, "preset", jem_preset_find("safe", NULL));
    const int32_t bad[] = {-1, 0, PRESETS + 1, INT32_MAX};
    for (int i = 0; i < COUNT(bad); i++)
        REFUSED(JEM_EINVAL, "expected 1..7", jem_preset(NULL, bad[i], NULL, NULL, NULL, NULL));
}
END_TEST

START_TEST(test_each_struct_may_be_missing)
{
    const preset all = get(NULL, JEM_PRESET_SADA);
    preset p = sized();
    MUST(jem_preset(NULL, JEM_PRESET_SADA, NULL, NULL, NULL, NULL));
    MUST(jem_preset(NULL, JEM_PRESET_SADA, &p.sampler, NULL, NULL, NULL));
    MUST(jem_preset(NULL, JEM_PRESET_SADA, NULL, &p.optimizer, NULL, NULL));
    MUST(jem_preset(NULL, JEM_PRESET_SADA, NULL, NULL, &p.train, NULL));
    MUST(jem_preset(NULL, JEM_PRESET_SADA, NULL, NULL, NULL, &p.info));
    ck_assert(p.sampler.steps == 5 && p.optimizer.sam_rho == 2.0f && p.train.augment_flip == 1);
    ck_assert_str_eq(p.info.name, all.info.name);
}
END_TEST

// Nothing is written unless all can be.
START_TEST(test_sizes_are_checked_first)
{
    const size_t bad[] = {0, sizeof(size_t), SIZE_MAX};
    for (int i = 0; i < COUNT(bad); i++) {
        preset p = sized();
        p.info.struct_size = bad[i];
        REFUSED(JEM_EINVAL, "jem_preset_info",
                jem_preset(NULL, 1, &p.sampler, &p.optimizer, &p.train, &p.info));
        p = sized();
        p.train.struct_size = bad[i];
        REFUSED(JEM_EINVAL, "jem_train_config",
                jem_preset(NULL, 1, &p.sampler, &p.optimizer, &p.train, &p.info));
        const preset untouched = sized();
        support_same_bits(&p.sampler, &untouched.sampler, sizeof p.sampler, "sampler");
        support_same_bits(&p.optimizer, &untouched.optimizer, sizeof p.optimizer, "optimizer");
        ck_assert_ptr_null(p.info.name);
    }
}
END_TEST

// A program of an older header gets what it knows of, unless that would be another recipe.
START_TEST(test_older_structs)
{
    const size_t before_sam = offsetof(jem_optimizer_config, sam_rho);
    const size_t before_ema = offsetof(jem_optimizer_config, ema_decay);
    const preset all = get(NULL, JEM_PRESET_SADA);
    preset p = sized();
    memset(&p.optimizer, 0x5a, sizeof p.optimizer);
    p.optimizer.struct_size = before_sam;
    REFUSED(JEM_EUNSUPPORTED, "jem_optimizer_config",
            jem_preset(NULL, JEM_PRESET_SADA, NULL, &p.optimizer, NULL, NULL));
    MUST(jem_preset(NULL, JEM_PRESET_IGEBM, NULL, &p.optimizer, NULL, NULL)); // sets none of them
    ck_assert(p.optimizer.lr == 3e-4f && p.optimizer.struct_size == before_sam);
    p.optimizer.struct_size = before_ema;
    MUST(jem_preset(NULL, JEM_PRESET_SADA, NULL, &p.optimizer, NULL, NULL));
    support_same_bits(&p.optimizer.kind, &all.optimizer.kind, before_ema - sizeof(size_t), "head");
    unsigned char tail;
    memcpy(&tail, (const char *)&p.optimizer + before_ema, 1);
    ck_assert_uint_eq(tail, 0x5a);
}
END_TEST

START_TEST(test_newer_structs)
{
    struct {
        jem_train_config config;
        unsigned char more[16], beyond;
    } newer = {.config = {.struct_size = sizeof newer.config + sizeof newer.more}};
    memset(newer.more, 0x5a, sizeof newer.more);
    newer.beyond = 0x5a;
    MUST(jem_preset(NULL, JEM_PRESET_SAFE, NULL, NULL, &newer.config, NULL));
    ck_assert(newer.config.guard == 1 && newer.more[0] == 0 && newer.more[15] == 0);
    ck_assert_uint_eq(newer.beyond, 0x5a);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_papers, 0, COUNT(papers));
    tcase_add_test(tcase, test_decay_falls_at_its_epoch);
    tcase_add_test(tcase, test_needed_options);
    tcase_add_loop_test(tcase, test_two_steps, 1, PRESETS + 1);
    tcase_add_test(tcase, test_crop_follows_the_image);
    tcase_add_test(tcase, test_range_is_the_models);
    tcase_add_test(tcase, test_names);
    tcase_add_test(tcase, test_each_struct_may_be_missing);
    tcase_add_test(tcase, test_sizes_are_checked_first);
    tcase_add_test(tcase, test_older_structs);
    tcase_add_test(tcase, test_newer_structs);
}

int main(void)
{
    return support_main("presets", add_tests);
}
