/*
 * Out-of-distribution scores: a map of how unusual each place of the plane is.
 *
 *     ./02_train moons.safetensors && ./03_outliers moons.safetensors
 *
 * A threshold that 5 % of usual rows exceed is drawn as the border between '.' and '#'.
 */
#include "example.h"

enum { ROWS = 1000, WIDTH = 72, HEIGHT = 28 };

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float threshold(const jem_model *model)
{
    static float x[ROWS * 2], scores[ROWS];
    static int64_t y[ROWS];
    two_moons(ROWS, x, y);
    CHECK(jem_score(model, JEM_SCORE_ENERGY, NULL, ROWS, x, scores));
    qsort(scores, ROWS, sizeof *scores, compare_floats);
    return scores[ROWS * 95 / 100];
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL.safetensors (as 02_train writes it)\n", argv[0]);
        return 2;
    }
    jem_model *model;
    CHECK(jem_model_load(&model, argv[1], NULL));
    const float limit = threshold(model);

    static float x[HEIGHT * WIDTH * 2], scores[HEIGHT * WIDTH];
    for (int row = 0; row < HEIGHT; row++)
        for (int column = 0; column < WIDTH; column++) {
            float *point = x + 2 * (row * WIDTH + column);
            point[0] = -2.0f + 4.0f * (float)column / (WIDTH - 1);
            point[1] = 1.5f - 3.0f * (float)row / (HEIGHT - 1);
        }
    CHECK(jem_score(model, JEM_SCORE_ENERGY, NULL, HEIGHT * WIDTH, x, scores));
    for (int row = 0; row < HEIGHT; row++) {
        for (int column = 0; column < WIDTH; column++)
            putchar(scores[row * WIDTH + column] <= limit ? '#' : '.');
        putchar('\n');
    }
    jem_model_destroy(model);
    return 0;
}
