/*
 * Augmented images: each is one of the possible moves of its source, by a formula of its own here;
 * every move comes as often as it should; and a training step sees what the moves give.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "train/augment.h"

enum { C = 2, H = 5, W = 7, LEN = C * H * W, ROWS = 6000 };

static const jemi_shape shape = {C, H, W};

static jemi_random_key key_of(uint64_t seed)
{
    return jemi_random_key_make(seed, JEMI_RANDOM_AUGMENT_LABELLED, 0);
}

// Pad by reflection, cut out at (down, right) of the padded image, mirror: step by step.
static void move_by_hand(const float *x, int crop, int down, int right, bool flip, float *out)
{
    for (int c = 0; c < C; c++)
        for (int i = 0; i < H; i++)
            for (int j = 0; j < W; j++) {
                int y = i + down - crop, z = (flip ? W - 1 - j : j) + right - crop;
                y = y < 0 ? -y : y >= H ? 2 * H - 2 - y : y;
                z = z < 0 ? -z : z >= W ? 2 * W - 2 - z : z;
                out[(c * H + i) * W + j] = x[(c * H + y) * W + z];
            }
}

typedef struct augment_row {
    int crop, flip;
} augment_row;

static const augment_row rows[] = {{0, 1}, {1, 0}, {2, 1}, {4, 0}, {4, 1}};

START_TEST(test_moves)
{
    const augment_row *row = &rows[_i];
    const int places = 2 * row->crop + 1, flips = row->flip ? 2 : 1,
              moves = places * places * flips;
    const jemi_augmentation augmentation = {row->crop, row->flip};
    float *x = support_uniform((int64_t)ROWS * LEN, 1), *out = malloc(ROWS * LEN * sizeof *out);
    int64_t *times = calloc((size_t)moves, sizeof *times);
    for (int r = 1; r < ROWS; r++)
        memcpy(x + r * LEN, x, LEN * sizeof *x); // one image, so that its moves are made once
    const uint64_t seed = support_fresh_seed();
    fprintf(stderr, "JEM_TEST_SEED=%llu\n", (unsigned long long)seed);
    jemi_augment_rows(&augmentation, shape, ROWS, x, out, key_of(seed), 0, 3);
    float *known = malloc((size_t)moves * LEN * sizeof *known);
    for (int m = 0; m < moves; m++)
        move_by_hand(x, row->crop, m / flips / places, m / flips % places, m % flips,
                     known + m * LEN);
    for (int r = 0; r < ROWS; r++) {
        int m = 0;
        while (m < moves && memcmp(out + r * LEN, known + m * LEN, LEN * sizeof *out) != 0)
            m++;
        ck_assert_msg(m < moves, "row %d is no move of its source", r);
        times[m]++;
    }
    for (int m = 0; m < moves; m++)
        NEAR((double)times[m] / ROWS, 1.0 / moves, support_mean_bound(ROWS));
    free(known);
    free(times);
    free(out);
    free(x);
}
END_TEST

// A row's move depends on seed, row and step alone.
START_TEST(test_streams)
{
    enum { N = 200 };
    const jemi_augmentation augmentation = {4, 1};
    float *x = support_uniform(N * LEN, 1), *out[5];
    for (int i = 0; i < COUNT(out); i++)
        out[i] = calloc(N * LEN, sizeof **out);
    const jemi_random_key key = key_of(5);
    jemi_augment_rows(&augmentation, shape, N, x, out[0], key, 0, 7);
    for (int r = 0; r < N; r++) // row by row, as chunks would be
        jemi_augment_rows(&augmentation, shape, 1, x + r * LEN, out[1] + r * LEN, key, (uint32_t)r,
                          7);
    support_same_bits(out[0], out[1], N * LEN * sizeof **out, "rows alone and together");
    jemi_augment_rows(&augmentation, shape, N, x, out[2], key, 0, 8);
    jemi_augment_rows(&augmentation, shape, N, x, out[3], key_of(6), 0, 7);
    jemi_augment_rows(&augmentation, shape, N, x, out[4], key, 1, 7);
    for (int i = 2; i < COUNT(out); i++) {
        int same = 0; // of 162 moves, each other one
        for (int r = 0; r < N; r++)
            same += memcmp(out[0] + r * LEN, out[i] + r * LEN, LEN * sizeof **out) == 0;
        ck_assert_int_lt(same, N / 10);
    }
    for (int i = 0; i < COUNT(out); i++)
        free(out[i]);
    free(x);
}
END_TEST

// ---- in training --------------------------------------------------------------------------------

enum { SIDE = 6, PIXELS = SIDE * SIDE, BATCH = 8 };
static const jemi_shape square = {1, SIDE, SIDE};

// One SGD step from the same model: the hash of the parameters after it.
static uint64_t step(const jem_train_config *config, const jem_train_batch *batch)
{
    jem_model *model = support_image_model("cnn-3", 1, SIDE, 2, NULL);
    jem_optimizer_config settings;
    MUST(jem_optimizer_config_init(&settings, sizeof settings));
    settings.lr = 0.1f;
    settings.seed = 11;
    jem_optimizer *optimizer;
    MUST(jem_optimizer_create(&optimizer, model, &settings));
    MUST(jem_train_step(model, optimizer, NULL, config, batch, NULL));
    float *params = support_params(model);
    const uint64_t hash = support_hash(params, (size_t)support_param_count(model) * sizeof *params);
    free(params);
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(model);
    return hash;
}

static float *augmented(const float *x, jemi_purpose purpose)
{
    const jemi_augmentation augmentation = {2, 1};
    float *out = malloc(BATCH * PIXELS * sizeof *out);
    jemi_augment_rows(&augmentation, square, BATCH, x, out, jemi_random_key_make(11, purpose, 0), 0,
                      0);
    return out;
}

static jem_train_config config_of(float w_px, float w_pyx, bool augments)
{
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.w_px = w_px;
    config.w_pyx = w_pyx;
    config.energy_l2 = w_px;
    config.input_noise = 0.0f;
    config.augment_crop = augments ? 2 : 0;
    config.augment_flip = augments;
    return config;
}

START_TEST(test_steps)
{
    float *x = support_uniform(BATCH * PIXELS, 1), *data = support_uniform(BATCH * PIXELS, 2);
    float *samples = support_uniform(BATCH * PIXELS, 3),
          *before = support_uniform(BATCH * PIXELS, 1);
    const int64_t y[BATCH] = {0, 1, 1, 0, 1, 0, 0, 1};
    float *x_moved = augmented(x, JEMI_RANDOM_AUGMENT_LABELLED);
    float *data_moved = augmented(data, JEMI_RANDOM_AUGMENT_DATA);

    // A classifier: what the step sees are the moved rows.
    jem_train_batch batch = support_batch(BATCH, x, y), by_hand = support_batch(BATCH, x_moved, y);
    jem_train_config config = config_of(0, 1, true), plain = config_of(0, 1, false);
    ck_assert_uint_eq(step(&config, &batch), step(&plain, &by_hand));
    ck_assert_uint_ne(step(&config, &batch), step(&plain, &batch));
    support_same_bits(x, before, BATCH * PIXELS * sizeof *x, "the caller's rows");

    // Data of their own stay as they are, unless asked for.
    batch.n_samples = by_hand.n_samples = BATCH;
    batch.x_samples = by_hand.x_samples = samples;
    batch.n_data = by_hand.n_data = BATCH;
    batch.x_data = by_hand.x_data = data;
    config = config_of(1, 1, true), plain = config_of(1, 1, false);
    ck_assert_uint_eq(step(&config, &batch), step(&plain, &by_hand));
    config.augment_data = 1;
    by_hand.x_data = data_moved;
    ck_assert_uint_eq(step(&config, &batch), step(&plain, &by_hand));

    // Labelled rows that are the data too: moved for the labels, as they are for the density.
    batch.n_data = 0;
    batch.x_data = NULL;
    by_hand.x_data = x;
    config.augment_data = 0;
    ck_assert_uint_eq(step(&config, &batch), step(&plain, &by_hand));
    by_hand.n_data = 0;
    by_hand.x_data = NULL;
    config.augment_data = 1; // moved once, for both
    ck_assert_uint_eq(step(&config, &batch), step(&plain, &by_hand));
    // Without labels' terms there is nothing to move.
    config = config_of(1, 0, true), plain = config_of(1, 0, false);
    ck_assert_uint_eq(step(&config, &batch), step(&plain, &batch));
    free(x);
    free(data);
    free(samples);
    free(before);
    free(x_moved);
    free(data_moved);
}
END_TEST

START_TEST(test_refusals)
{
    float x[16] = {0};
    const int64_t y[4] = {0, 1, 0, 1};
    const jem_train_batch batch = support_batch(4, x, y);
    jem_model *table = support_model("mlp-4", 4, 2, NULL);
    jem_optimizer *optimizer = support_optimizer(table, 0.1f);
    jem_train_config config = config_of(0, 1, true);
    config.augment_crop = 1;
    REFUSED(JEM_EINVAL, "shorter side",
            jem_train_step(table, optimizer, NULL, &config, &batch, NULL));
    config.augment_crop = 0; // mirrored left-right, a table is the same
    MUST(jem_train_step(table, optimizer, NULL, &config, &batch, NULL));
    jem_optimizer_destroy(optimizer);
    jem_model_destroy(table);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_moves, 0, COUNT(rows));
    tcase_add_test(tcase, test_streams);
    tcase_add_test(tcase, test_steps);
    tcase_add_test(tcase, test_refusals);
}

int main(void)
{
    return support_main("augmentation", add_tests);
}
