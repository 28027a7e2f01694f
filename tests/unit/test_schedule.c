/*
 * The learning rate against closed forms, as a pure function and as jem_train_step uses it.
 */
#include <math.h>
#include <stdlib.h>

#include "support.h"
#include "train/schedule.h"

static jem_optimizer_config config_of(int32_t schedule, int64_t total_steps)
{
    jem_optimizer_config config;
    MUST(jem_optimizer_config_init(&config, sizeof config));
    config.lr = 0.5f;
    config.schedule = schedule;
    config.total_steps = total_steps;
    return config;
}

START_TEST(test_constant)
{
    const jem_optimizer_config config = config_of(JEM_SCHEDULE_CONSTANT, 10);
    for (int64_t t = 0; t < 20; t++)
        ck_assert_float_eq(jemi_schedule_rate(&config, t, 0.9f), 0.5f);
}
END_TEST

START_TEST(test_step)
{
    jem_optimizer_config config = config_of(JEM_SCHEDULE_STEP, 150);
    config.lr_factor = 0.3f;
    config.milestones[0] = 50.0f / 150.0f; // the paper's: 50 and 100 of 150 epochs
    config.milestones[1] = 100.0f / 150.0f;
    for (int64_t t = 0; t < 200; t++) {
        const double expected = 0.5 * (t < 50 ? 1.0 : t < 100 ? 0.3 : 0.09);
        NEAR(jemi_schedule_rate(&config, t, 0.0f), expected, 1e-7);
    }
    // Tenths are no floats, yet a tenth of the run begins with its own step.
    for (int tenth = 1; tenth < 10; tenth++) {
        config = config_of(JEM_SCHEDULE_STEP, 70);
        config.milestones[0] = (float)tenth / 10.0f;
        config.lr_factor = 0.0f;
        ck_assert_float_eq(jemi_schedule_rate(&config, 7 * tenth - 1, 0.0f), 0.5f);
        ck_assert_float_eq(jemi_schedule_rate(&config, 7 * tenth, 0.0f), 0.0f);
    }
}
END_TEST

START_TEST(test_all_milestones)
{
    jem_optimizer_config config = config_of(JEM_SCHEDULE_STEP, 90);
    config.lr_factor = 0.5f;
    for (int i = 0; i < COUNT(config.milestones); i++)
        config.milestones[i] = (float)(i + 1) / 9.0f;
    for (int64_t t = 0; t < 90; t++)
        NEAR(jemi_schedule_rate(&config, t, 0.0f), 0.5 * pow(0.5, (double)(t / 10)), 1e-9);
}
END_TEST

START_TEST(test_cosine)
{
    const float floors[] = {0.0f, 0.1f, 1.0f};
    for (int f = 0; f < COUNT(floors); f++) {
        jem_optimizer_config config = config_of(JEM_SCHEDULE_COSINE, 40);
        config.lr_floor = floors[f];
        for (int64_t t = 0; t <= 60; t++) {
            const double angle = 3.14159265358979 * (double)(t < 40 ? t : 40) / 40.0;
            const double decay = floors[f] + (1.0 - floors[f]) * (1.0 + cos(angle)) / 2.0;
            NEAR(jemi_schedule_rate(&config, t, 0.0f), 0.5 * decay, 1e-7);
        }
    }
}
END_TEST

// It multiplies, and never begins at 0.
START_TEST(test_warm_up)
{
    jem_optimizer_config config = config_of(JEM_SCHEDULE_COSINE, 40);
    for (int64_t t = 0; t < 40; t++) {
        config.warmup_steps = 0;
        const double decayed = jemi_schedule_rate(&config, t, 0.0f);
        config.warmup_steps = 10;
        const double factor = t < 10 ? (double)(t + 1) / 10.0 : 1.0;
        NEAR(jemi_schedule_rate(&config, t, 0.0f), decayed * factor, 1e-7);
    }
}
END_TEST

// Without total_steps the caller says where the run is; with it he may not.
START_TEST(test_progress)
{
    jem_optimizer_config config = config_of(JEM_SCHEDULE_STEP, 0);
    config.milestones[0] = 0.6f;
    ck_assert_float_eq(jemi_schedule_rate(&config, 1000, 0.59f), 0.5f);
    NEAR(jemi_schedule_rate(&config, 0, 0.6f), 0.15, 1e-7);
    config = config_of(JEM_SCHEDULE_COSINE, 0);
    NEAR(jemi_schedule_rate(&config, 0, 0.5f), 0.25, 1e-7);
}
END_TEST

START_TEST(test_in_training)
{
    enum { ROWS = 6, FEATURES = 2 };
    jem_model *model = support_model("mlp-4", FEATURES, 2, NULL);
    float *x = support_uniform(ROWS * FEATURES, 1);
    const int64_t y[ROWS] = {0, 1, 0, 1, 0, 1};
    const jem_train_batch batch = support_batch(ROWS, x, y);
    jem_train_config plain;
    MUST(jem_train_config_init(&plain, sizeof plain));
    plain.w_px = plain.energy_l2 = 0.0f;
    for (int by_steps = 0; by_steps < 2; by_steps++) {
        jem_optimizer_config config = config_of(JEM_SCHEDULE_COSINE, by_steps ? 8 : 0);
        config.warmup_steps = 3;
        jem_optimizer *optimizer;
        MUST(jem_optimizer_create(&optimizer, model, &config));
        config.total_steps = 8;
        for (int64_t t = 0; t < 10; t++) {
            const float s = t < 8 ? (float)t / 8.0f : 1.0f;
            if (by_steps)
                REFUSED(JEM_EINVAL, "total_steps", jem_optimizer_set_progress(optimizer, s));
            else
                MUST(jem_optimizer_set_progress(optimizer, s));
            if (t == 5) {
                MUST(jem_optimizer_set_lr(optimizer, 0.01f));
                config.lr = 0.01f;
            }
            jem_train_stats stats = {.struct_size = sizeof stats};
            MUST(jem_train_step(model, optimizer, NULL, &plain, &batch, &stats));
            ck_assert_float_eq(stats.lr, jemi_schedule_rate(&config, t, 0.0f));
        }
        jem_optimizer_destroy(optimizer);
    }
    free(x);
    jem_model_destroy(model);
}
END_TEST

START_TEST(test_refusals)
{
    jem_model *model = support_model("mlp-4", 2, 2, NULL);
    jem_optimizer_config config = config_of(JEM_SCHEDULE_STEP, 0);
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &config));
    REFUSED(JEM_EINVAL, "NULL", jem_optimizer_set_progress(NULL, 0.5f));
    REFUSED(JEM_EINVAL, "s is", jem_optimizer_set_progress(optimizer, 1.5f));
    REFUSED(JEM_EINVAL, "s is", jem_optimizer_set_progress(optimizer, -0.1f));
    REFUSED(JEM_EINVAL, "s is", jem_optimizer_set_progress(optimizer, NAN));
    jem_optimizer_destroy(optimizer);
    const float bad[][3] = {{0.5f, 0.5f}, {0.5f, 0.4f}, {1.0f}, {-0.1f}, {NAN}, {0.2f, INFINITY}};
    for (int i = 0; i < COUNT(bad); i++) {
        for (int k = 0; k < 3; k++)
            config.milestones[k] = bad[i][k];
        REFUSED(JEM_EINVAL, "milestones", jem_optimizer_create(&optimizer, model, &config));
    }
    jem_model_destroy(model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_constant);
    tcase_add_test(tcase, test_step);
    tcase_add_test(tcase, test_all_milestones);
    tcase_add_test(tcase, test_cosine);
    tcase_add_test(tcase, test_warm_up);
    tcase_add_test(tcase, test_progress);
    tcase_add_test(tcase, test_in_training);
    tcase_add_test(tcase, test_refusals);
}

int main(void)
{
    return support_main("schedule", add_tests);
}
