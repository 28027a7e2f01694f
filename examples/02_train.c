/*
 * Training: one loop around jem_train_step.
 *
 *     ./02_train OUT.safetensors
 *
 * Learns two moons in the plane as a joint energy model, in a few seconds.
 */
#include "example.h"

enum { ROWS = 1000, BATCH = 100, STEPS = 1500 };

static jem_model *make_model(void)
{
    jem_model_config config;
    CHECK(jem_model_config_init(&config, sizeof config));
    config.arch = "mlp-128-128-128";
    config.channels = 2; /* features of a table are channels of 1x1 images */
    config.classes = 2;
    config.input_low = -2.0f; /* where points lie */
    config.input_high = 2.0f;
    jem_model *model;
    CHECK(jem_model_create(&model, &config, NULL));
    return model;
}

/* Matched step and noise: noise_std^2 = 2 * step_size samples p(x) itself, at temperature 1. */
static jem_sampler *make_sampler(const jem_model *model)
{
    jem_sampler_config config;
    CHECK(jem_sampler_config_init(&config, sizeof config));
    config.capacity = 1000; /* few chains, so that each is drawn often and gets far */
    config.steps = 20;
    config.step_size = 0.00125f;
    config.noise_std = 0.05f;
    config.start_low = -2.0f;
    config.start_high = 2.0f;
    config.x_low = -2.0f;
    config.x_high = 2.0f;
    jem_sampler *sampler;
    CHECK(jem_sampler_create(&sampler, model, &config));
    return sampler;
}

static jem_optimizer *make_optimizer(const jem_model *model)
{
    jem_optimizer_config config;
    CHECK(jem_optimizer_config_init(&config, sizeof config));
    config.lr = 1e-3f;
    jem_optimizer *optimizer;
    CHECK(jem_optimizer_create(&optimizer, model, &config));
    return optimizer;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s OUT.safetensors\n", argv[0]);
        return 2;
    }
    jem_model *model = make_model();
    jem_sampler *sampler = make_sampler(model);
    jem_optimizer *optimizer = make_optimizer(model);
    static float x[ROWS * 2];
    static int64_t y[ROWS];
    two_moons(ROWS, x, y);

    for (int step = 0; step < STEPS; step++) {
        const int64_t first = (step * BATCH) % ROWS;
        jem_train_batch batch;
        CHECK(jem_train_batch_init(&batch, sizeof batch));
        batch.n_labelled = BATCH;
        batch.x_labelled = x + 2 * first;
        batch.y_labelled = y + first;
        jem_train_stats stats = {.struct_size = sizeof stats};
        CHECK(jem_train_step(model, optimizer, sampler, NULL, &batch, &stats));
        if ((step + 1) % 250 == 0)
            printf("step %4d  loss %7.3f  accuracy %.2f  F(data) %6.2f  F(samples) %6.2f\n",
                   step + 1, stats.loss, stats.accuracy, stats.f_data, stats.f_samples);
    }
    CHECK(jem_model_save(model, argv[1]));
    printf("saved %s; try 03_outliers and 04_sample on it\n", argv[1]);

    jem_optimizer_destroy(optimizer);
    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    return 0;
}
