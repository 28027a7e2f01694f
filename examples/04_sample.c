/*
 * Generation: Langevin chains from noise to the data.
 *
 *     ./02_train moons.safetensors && ./04_sample moons.safetensors
 *
 * Prints where 400 chains are before and after 500 steps.
 */
#include <string.h>

#include "example.h"

enum { CHAINS = 400, STEPS = 500, WIDTH = 72, HEIGHT = 28 };

static void plot(const float *x)
{
    char map[HEIGHT][WIDTH + 1];
    memset(map, '.', sizeof map);
    for (int i = 0; i < CHAINS; i++) {
        const int column = (int)((x[2 * i] + 2.0f) / 4.0f * (WIDTH - 1) + 0.5f);
        const int row = (int)((1.5f - x[2 * i + 1]) / 3.0f * (HEIGHT - 1) + 0.5f);
        if (column >= 0 && column < WIDTH && row >= 0 && row < HEIGHT)
            map[row][column] = 'o';
    }
    for (int row = 0; row < HEIGHT; row++)
        printf("%.*s\n", WIDTH, map[row]);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL.safetensors (as 02_train writes it)\n", argv[0]);
        return 2;
    }
    jem_model *model;
    CHECK(jem_model_load(&model, argv[1], NULL));
    jem_sampler_config config;
    CHECK(jem_sampler_config_init(&config, sizeof config));
    config.capacity = 1; /* the buffer is not used here */
    config.step_size = 0.00125f;
    config.noise_std = 0.05f;
    config.start_low = -2.0f;
    config.start_high = 2.0f;
    jem_sampler *sampler;
    CHECK(jem_sampler_create(&sampler, model, &config));

    static float x[CHAINS * 2];
    CHECK(jem_sampler_start(sampler, CHAINS, NULL, x));
    printf("starts:\n");
    plot(x);
    CHECK(jem_sampler_run(model, sampler, CHAINS, NULL, x, STEPS, NULL, NULL));
    printf("after %d Langevin steps:\n", STEPS);
    plot(x);

    jem_sampler_destroy(sampler);
    jem_model_destroy(model);
    return 0;
}
