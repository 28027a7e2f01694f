/*
 * Where chains start, and the replay buffer: the laws of starts and their mixture, the Gaussians
 * fitted to data, distinct and evenly chosen slots, ages, restarts at their frequency, classes that
 * keep to themselves, and draws that fail and change nothing.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { FEATURES = 3, CLASSES = 3, DATA = 90, STARTS = 9000 };

static uint64_t seed;
static jem_model *model;
static float *data;
static int64_t data_labels[DATA];

// Class c lies around 10 c, with a spread of its own in each element.
static void set_up(void)
{
    seed = support_fresh_seed();
    fprintf(stderr, "JEM_TEST_SEED=%llu\n", (unsigned long long)seed); // shown when a test fails
    model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    data = support_uniform(DATA * FEATURES, 1);
    for (int r = 0; r < DATA; r++) {
        data_labels[r] = r % CLASSES;
        for (int i = 0; i < FEATURES; i++)
            data[r * FEATURES + i] =
                10.0f * (float)data_labels[r] + data[r * FEATURES + i] * (0.1f + (float)i);
    }
}

static void tear_down(void)
{
    jem_model_destroy(model);
    free(data);
}

static jem_sampler_config config_of(int32_t capacity, int32_t steps, int32_t start)
{
    jem_sampler_config config = support_sampler_config(capacity, steps);
    config.seed = seed;
    config.start = start;
    config.start_low = 50.0f; // far from all data
    config.start_high = 51.0f;
    return config;
}

static bool is_uniform_start(const float *row)
{
    return row[0] > 40.0f;
}

// ---- starts -------------------------------------------------------------------------------------

START_TEST(test_uniform_starts)
{
    const jem_sampler_config config = config_of(4, 1, JEM_START_UNIFORM);
    jem_sampler *sampler = support_sampler(model, &config);
    float *x = malloc(STARTS * FEATURES * sizeof *x);
    double *u = malloc(STARTS * FEATURES * sizeof *u);
    MUST(jem_sampler_start(sampler, STARTS, NULL, x));
    for (int i = 0; i < STARTS * FEATURES; i++) {
        ck_assert(x[i] >= 50.0f && x[i] <= 51.0f);
        u[i] = x[i] - 50.0;
    }
    support_check_law(u, STARTS * FEATURES, support_uniform_cdf, "uniform starts");
    float again[FEATURES];
    MUST(jem_sampler_start(sampler, 1, NULL, again));
    ck_assert_msg(memcmp(again, x, sizeof again) != 0, "the same start twice");
    free(u);
    free(x);
    jem_sampler_destroy(sampler);
}
END_TEST

typedef struct moments {
    double mean, std;
} moments;

// Of the rows whose label is c, or of all; std as of a population.
static moments data_moments(int64_t c, int element, bool all)
{
    double sum = 0.0, square = 0.0, n = 0.0;
    for (int r = 0; r < DATA; r++)
        if (all || data_labels[r] == c) {
            const double value = data[r * FEATURES + element];
            sum += value, square += value * value, n++;
        }
    return (moments){sum / n, sqrt(square / n - sum / n * (sum / n))};
}

static void check_gaussian_starts(jem_sampler *sampler, int64_t label, bool all, const char *what)
{
    float *x = malloc(STARTS * FEATURES * sizeof *x);
    double *z = malloc(STARTS * FEATURES * sizeof *z);
    int64_t *labels = malloc(STARTS * sizeof *labels);
    for (int r = 0; r < STARTS; r++)
        labels[r] = label;
    MUST(jem_sampler_start(sampler, STARTS, labels, x));
    for (int i = 0; i < STARTS * FEATURES; i++) {
        const moments m = data_moments(label, i % FEATURES, all);
        z[i] = (x[i] - m.mean) / m.std;
    }
    support_check_law(z, STARTS * FEATURES, support_normal_cdf, what);
    free(labels);
    free(z);
    free(x);
}

START_TEST(test_gaussian_starts)
{
    const jem_sampler_config config = config_of(4, 1, JEM_START_GAUSSIAN);
    jem_sampler *sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, DATA, data, data_labels, NULL, NULL));
    for (int64_t c = 0; c < CLASSES; c++)
        check_gaussian_starts(sampler, c, false, "Gaussian of a class");
    // Class 2 without rows gets the figures of all the data.
    for (int r = 0; r < DATA; r++)
        data_labels[r] %= 2;
    MUST(jem_sampler_fit(sampler, DATA, data, data_labels, NULL, NULL));
    check_gaussian_starts(sampler, 1, false, "Gaussian of a class after another fit");
    check_gaussian_starts(sampler, 2, true, "Gaussian of a class without rows");
    MUST(jem_sampler_fit(sampler, DATA, data, NULL, NULL, NULL));
    check_gaussian_starts(sampler, 1, true, "one Gaussian for all");
    jem_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_mixture)
{
    const float fractions[] = {0.0f, 0.3f, 0.9f, 1.0f};
    for (int f = 0; f < COUNT(fractions); f++) {
        jem_sampler_config config = config_of(STARTS, 1, JEM_START_MIXTURE);
        config.uniform_fraction = fractions[f];
        jem_sampler *sampler = support_sampler(model, &config);
        MUST(jem_sampler_fit(sampler, DATA, data, data_labels, NULL, NULL));
        float *x = malloc(2 * STARTS * FEATURES * sizeof *x);
        MUST(jem_sampler_start(sampler, STARTS, NULL, x));
        MUST(jem_sampler_get_chains(sampler, 0, STARTS, x + STARTS * FEATURES, NULL, NULL));
        int64_t uniform = 0, class_1 = 0, same = 0;
        for (int r = 0; r < 2 * STARTS; r++) {
            const float *row = x + r * FEATURES;
            uniform += is_uniform_start(row);
            class_1 += row[0] > 5.0f && row[0] < 15.0f; // 50 deviations from the others
            same +=
                r < STARTS && is_uniform_start(row) == is_uniform_start(row + STARTS * FEATURES);
        }
        const double bound = support_mean_bound(2 * STARTS), p = fractions[f];
        const bool certain = p == 0.0 || p == 1.0;
        NEAR((double)uniform / (2 * STARTS), p, certain ? 0.0 : bound);
        NEAR((double)class_1 / (2 * STARTS), (1.0 - p) / CLASSES, bound);
        // Rows of the caller and slots of the buffer choose independently.
        NEAR((double)same / STARTS, p * p + (1 - p) * (1 - p), support_mean_bound(STARTS));
        free(x);
        jem_sampler_destroy(sampler);
    }
}
END_TEST

// The rows base, base + step, .. are n, and of all starts each has its share. Seven standard deviations:
// of all 180 shares that are looked at, one is as far off by chance once in 10^8 runs.
static void check_row_shares(jem_sampler *sampler, int64_t label, int base, int step, int n)
{
    enum { DRAWS = 40000 };
    float *x = malloc((size_t)DRAWS * FEATURES * sizeof *x);
    int64_t *of = malloc(DRAWS * sizeof *of);
    int counts[DATA] = {0};
    for (int i = 0; i < DRAWS; i++)
        of[i] = label;
    MUST(jem_sampler_start(sampler, DRAWS, label >= 0 ? of : NULL, x));
    for (int i = 0; i < DRAWS; i++) {
        int row = 0;
        while (row < DATA && memcmp(x + i * FEATURES, data + row * FEATURES, FEATURES * sizeof *x))
            row++;
        ck_assert_msg(row < DATA && row >= base && (row - base) % step == 0, "start %d", i);
        counts[row]++;
    }
    const double p = 1.0 / n, deviation = sqrt(DRAWS * p * (1.0 - p));
    for (int row = base; row < base + n * step; row += step)
        ck_assert_msg(fabs(counts[row] - DRAWS * p) < 7.0 * deviation, "row %d came %d times", row,
                      counts[row]);
    free(of);
    free(x);
}

START_TEST(test_data_rows_are_drawn_evenly)
{
    const jem_sampler_config config = config_of(4, 1, JEM_START_DATA);
    jem_sampler *sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, DATA, data, NULL, NULL, NULL));
    check_row_shares(sampler, -1, 0, 1, DATA);
    for (int r = 0; r < DATA; r++)
        data_labels[r] = r % 3;
    MUST(jem_sampler_fit(sampler, DATA / 3 * 3, data, data_labels, NULL, NULL));
    for (int c = 0; c < 3; c++)
        check_row_shares(sampler, c, c, 3, DATA / 3);
    jem_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_starts_keep_to_the_range)
{
    jem_sampler_config config = config_of(50, 0, JEM_START_GAUSSIAN);
    config.x_low = -0.5f;
    config.x_high = 10.5f;
    jem_sampler *sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, DATA, data, data_labels, NULL, NULL));
    float x[50 * FEATURES];
    MUST(jem_sampler_get_chains(sampler, 0, 50, x, NULL, NULL));
    int at_edge = 0;
    for (int i = 0; i < 50 * FEATURES; i++) {
        ck_assert(x[i] >= -0.5f && x[i] <= 10.5f);
        at_edge += x[i] == -0.5f || x[i] == 10.5f;
    }
    ck_assert_int_gt(at_edge, 0);
    jem_sampler_destroy(sampler);
}
END_TEST

// ---- slots --------------------------------------------------------------------------------------

// A buffer in which chain s is all s, and that draws without moving anything.
static jem_sampler *numbered(int32_t capacity)
{
    jem_sampler_config config = config_of(capacity, 0, JEM_START_GAUSSIAN);
    config.reinit_prob = 0.0f;
    jem_sampler *sampler = support_sampler(model, &config);
    float *x = malloc((size_t)capacity * FEATURES * sizeof *x);
    for (int i = 0; i < capacity * FEATURES; i++)
        x[i] = (float)(i / FEATURES);
    MUST(jem_sampler_set_chains(sampler, 0, capacity, x)); // whole: nothing need be fitted
    free(x);
    return sampler;
}

START_TEST(test_slots)
{
    enum { CAPACITY = 20, N = 6, DRAWS = 6000 };
    jem_sampler *sampler = numbered(CAPACITY);
    MUST(jem_sampler_fit(sampler, DATA, data, NULL, NULL, NULL));
    int64_t times[CAPACITY] = {0}, first[CAPACITY] = {0};
    float x[CAPACITY * FEATURES];
    for (int d = 0; d < DRAWS; d++) {
        bool seen[CAPACITY] = {false};
        MUST(jem_sampler_draw(model, sampler, N, x, NULL, NULL, NULL));
        for (int r = 0; r < N; r++) {
            const int slot = (int)x[r * FEATURES];
            ck_assert(slot >= 0 && slot < CAPACITY && x[r * FEATURES + 2] == (float)slot);
            ck_assert_msg(!seen[slot], "slot %d twice in a draw", slot);
            seen[slot] = true;
            times[slot]++;
            first[slot] += r == 0;
        }
    }
    // 40 comparisons at 1e-9 each.
    for (int s = 0; s < CAPACITY; s++) {
        NEAR((double)times[s] / DRAWS, (double)N / CAPACITY, support_mean_bound(DRAWS));
        NEAR((double)first[s] / DRAWS, 1.0 / CAPACITY, support_mean_bound(DRAWS));
    }
    MUST(jem_sampler_draw(model, sampler, CAPACITY, x, NULL, NULL, NULL)); // all of them
    float sum = 0.0f;
    for (int r = 0; r < CAPACITY; r++)
        sum += x[r * FEATURES];
    ck_assert_float_eq(sum, CAPACITY * (CAPACITY - 1) / 2);
    jem_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_draws_come_back)
{
    enum { CAPACITY = 20, N = 7 };
    jem_sampler_config config = config_of(CAPACITY, 3, JEM_START_UNIFORM);
    jem_sampler *sampler = support_sampler(model, &config);
    float before[CAPACITY * FEATURES], after[CAPACITY * FEATURES], x[N * FEATURES];
    for (int d = 0; d < 20; d++) {
        int changed = 0, found = 0;
        MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, before, NULL, NULL));
        MUST(jem_sampler_draw(model, sampler, N, x, NULL, NULL, NULL));
        MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, after, NULL, NULL));
        for (int s = 0; s < CAPACITY; s++) {
            const float *chain = after + s * FEATURES;
            changed += memcmp(chain, before + s * FEATURES, FEATURES * sizeof *chain) != 0;
            for (int r = 0; r < N; r++)
                found += memcmp(chain, x + r * FEATURES, FEATURES * sizeof *chain) == 0;
        }
        ck_assert_int_eq(changed, N);
        ck_assert_int_eq(found, N);
    }
    jem_sampler_destroy(sampler);
}
END_TEST

// ---- ages and restarts --------------------------------------------------------------------------

START_TEST(test_ages_and_restarts)
{
    enum { CAPACITY = 500, DRAWS = 30, STEPS = 2 };
    const float probs[] = {0.0f, 0.05f, 0.5f, 1.0f};
    for (int p = 0; p < COUNT(probs); p++) {
        jem_sampler_config config = config_of(CAPACITY, STEPS, JEM_START_UNIFORM);
        config.reinit_prob = probs[p];
        jem_sampler *sampler = support_sampler(model, &config);
        float *x = malloc(CAPACITY * FEATURES * sizeof *x);
        int64_t before[CAPACITY], after[CAPACITY], restarts = 0, twice = 0; // of each two draws
        MUST(jem_sampler_draw(model, sampler, CAPACITY, x, NULL, NULL, NULL));
        for (int d = 0; d < DRAWS; d++) {
            MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, NULL, NULL, before));
            MUST(jem_sampler_draw(model, sampler, CAPACITY, x, NULL, NULL, NULL));
            MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, NULL, NULL, after));
            for (int s = 0; s < CAPACITY; s++) {
                ck_assert(after[s] == STEPS || after[s] == before[s] + STEPS);
                restarts += after[s] == STEPS;
                twice += d % 2 == 1 && before[s] == STEPS && after[s] == STEPS;
            }
        }
        const bool certain = probs[p] == 0.0f || probs[p] == 1.0f;
        NEAR((double)restarts / (CAPACITY * DRAWS), probs[p],
             certain ? 0.0 : support_mean_bound(CAPACITY * DRAWS));
        NEAR((double)twice / (CAPACITY * DRAWS / 2), probs[p] * probs[p],
             certain ? 0.0 : support_mean_bound(CAPACITY * DRAWS / 2));
        free(x);
        jem_sampler_destroy(sampler);
    }
}
END_TEST

START_TEST(test_reset_and_set)
{
    enum { CAPACITY = 12 };
    jem_sampler_config config = config_of(CAPACITY, 2, JEM_START_UNIFORM);
    config.reinit_prob = 0.0f;
    jem_sampler *sampler = support_sampler(model, &config);
    float first[CAPACITY * FEATURES], x[CAPACITY * FEATURES];
    int64_t ages[CAPACITY];
    MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, first, NULL, ages));
    for (int s = 0; s < CAPACITY; s++)
        ck_assert_int_eq(ages[s], 0);
    MUST(jem_sampler_draw(model, sampler, CAPACITY, x, NULL, NULL, NULL));
    MUST(jem_sampler_set_chains(sampler, 3, 2, data));
    MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, x, NULL, ages));
    for (int s = 0; s < CAPACITY; s++)
        ck_assert_int_eq(ages[s], s == 3 || s == 4 ? 0 : 2);
    support_same_bits(x + 3 * FEATURES, data, 2 * FEATURES * sizeof *x, "chains that were set");
    float part[FEATURES];
    MUST(jem_sampler_get_chains(sampler, 7, 1, part, NULL, NULL));
    support_same_bits(part, x + 7 * FEATURES, sizeof part, "one chain");
    MUST(jem_sampler_reset(sampler));
    MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, x, NULL, ages));
    for (int s = 0; s < CAPACITY; s++) {
        ck_assert_int_eq(ages[s], 0);
        ck_assert(is_uniform_start(x + s * FEATURES));
        ck_assert_msg(memcmp(x + s * FEATURES, first + s * FEATURES, sizeof part) != 0,
                      "chain %d starts where it did before the reset", s);
    }
    jem_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_whole_buffer_needs_no_fit)
{
    jem_sampler *sampler = numbered(4);
    float x[4 * FEATURES];
    REFUSED(JEM_EINVAL, "fit", jem_sampler_draw(model, sampler, 2, x, NULL, NULL, NULL));
    MUST(jem_sampler_fit(sampler, DATA, data, NULL, NULL, NULL));
    MUST(jem_sampler_get_chains(sampler, 0, 4, x, NULL, NULL));
    ck_assert_float_eq(x[3 * FEATURES], 3.0f);
    jem_sampler_destroy(sampler);
}
END_TEST

// ---- classes ------------------------------------------------------------------------------------

START_TEST(test_classes)
{
    enum { CAPACITY = 31, N = 10 };
    jem_sampler_config config = config_of(CAPACITY, 1, JEM_START_GAUSSIAN);
    config.class_conditional = 1;
    config.reinit_prob = 0.5f;
    config.step_size = 1e-3f; // stay near the class's start
    jem_sampler *sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, DATA, data, data_labels, NULL, NULL));
    int64_t labels[CAPACITY], drawn[N], per_class[CLASSES] = {0};
    float x[CAPACITY * FEATURES];
    for (int d = 0; d < 50; d++) {
        MUST(jem_sampler_draw(model, sampler, N, x, drawn, NULL, NULL));
        for (int r = 0; r < N; r++) // 10 c with a spread of 0.06: 50 deviations apart
            NEAR(x[r * FEATURES], 10.0f * (float)drawn[r], 4.0f);
    }
    MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, x, labels, NULL));
    for (int s = 0; s < CAPACITY; s++) {
        NEAR(x[s * FEATURES], 10.0f * (float)labels[s], 4.0f);
        per_class[labels[s]]++;
    }
    for (int c = 0; c < CLASSES; c++)
        ck_assert(per_class[c] == CAPACITY / CLASSES || per_class[c] == CAPACITY / CLASSES + 1);
    jem_sampler_destroy(sampler);
    config.class_conditional = 0;
    sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, DATA, data, data_labels, NULL, NULL));
    MUST(jem_sampler_draw(model, sampler, N, x, drawn, NULL, NULL));
    MUST(jem_sampler_get_chains(sampler, 0, CAPACITY, NULL, labels, NULL));
    for (int r = 0; r < N; r++)
        ck_assert(drawn[r] == -1 && labels[r] == -1);
    jem_sampler_destroy(sampler);
}
END_TEST

// ---- draws that fail, and seeds -----------------------------------------------------------------

static int32_t cancel_later(void *user, int64_t done, int64_t total)
{
    ck_assert_int_ge(done, 0);
    ck_assert_int_le(done, total);
    return ++*(int *)user >= 3;
}

static uint64_t hash_buffer(jem_sampler *sampler, int32_t capacity)
{
    float x[40 * FEATURES];
    int64_t ages[40];
    MUST(jem_sampler_get_chains(sampler, 0, capacity, x, NULL, ages));
    return support_hash(x, (size_t)capacity * FEATURES * sizeof *x) ^
           support_hash(ages, (size_t)capacity * sizeof *ages);
}

START_TEST(test_failed_draws)
{
    enum { CAPACITY = 30 };
    jem_sampler_config config = config_of(CAPACITY, 5, JEM_START_UNIFORM);
    config.reinit_prob = 0.5f;
    jem_sampler *sampler = support_sampler(model, &config), *twin = support_sampler(model, &config);
    float x[CAPACITY * FEATURES], y[CAPACITY * FEATURES];
    int calls = 0;
    MUST(jem_sampler_draw(model, sampler, CAPACITY, x, NULL, NULL, NULL));
    MUST(jem_sampler_draw(model, twin, CAPACITY, y, NULL, NULL, NULL));
    const uint64_t before = hash_buffer(sampler, CAPACITY);
    REFUSED(JEM_ECANCELLED, "cancelled",
            jem_sampler_draw(model, sampler, 20, x, NULL, cancel_later, &calls));
    ck_assert_msg(hash_buffer(sampler, CAPACITY) == before, "a cancelled draw changed the buffer");
    MUST(jem_sampler_draw(model, sampler, 20, x, NULL, NULL, NULL));
    MUST(jem_sampler_draw(model, twin, 20, y, NULL, NULL, NULL));
    ck_assert_msg(memcmp(x, y, 20 * FEATURES * sizeof *x) != 0, "noise of a cancelled draw again");
    jem_sampler_destroy(sampler);
    jem_sampler_destroy(twin);

    config.step_size = 3e38f;
    config.start_low = -1.0f;
    sampler = support_sampler(model, &config);
    const uint64_t started = hash_buffer(sampler, CAPACITY);
    REFUSED(JEM_EDIVERGED, "non-finite", jem_sampler_draw(model, sampler, 20, x, NULL, NULL, NULL));
    ck_assert_msg(hash_buffer(sampler, CAPACITY) == started, "a diverged draw changed the buffer");
    jem_sampler_destroy(sampler);
}
END_TEST

// What a seed gives: starts alone, or draws too.
static uint64_t hash_of_seed(uint64_t of_seed, bool draws)
{
    jem_sampler_config config = config_of(30, 3, JEM_START_MIXTURE);
    config.seed = of_seed;
    jem_sampler *sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, DATA, data, data_labels, NULL, NULL));
    float x[2][20 * FEATURES];
    MUST(jem_sampler_start(sampler, 20, NULL, x[0]));
    MUST(jem_sampler_get_chains(sampler, 0, 20, x[1], NULL, NULL));
    for (int d = 0; draws && d < 5; d++)
        MUST(jem_sampler_draw(model, sampler, 20, x[d % 2], NULL, NULL, NULL));
    jem_sampler_destroy(sampler);
    return support_hash(x, sizeof x);
}

START_TEST(test_seeds)
{
    for (int draws = 0; draws < 2; draws++) {
        const uint64_t hash = hash_of_seed(seed, draws);
        ck_assert_uint_eq(hash_of_seed(seed, draws), hash);
        ck_assert_uint_ne(hash_of_seed(seed + 1, draws), hash);
        ck_assert_uint_ne(hash_of_seed(seed ^ (uint64_t)1 << 63, draws), hash);
    }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_uniform_starts);
    tcase_add_test(tcase, test_gaussian_starts);
    tcase_add_test(tcase, test_mixture);
    tcase_add_test(tcase, test_data_rows_are_drawn_evenly);
    tcase_add_test(tcase, test_starts_keep_to_the_range);
    tcase_add_test(tcase, test_slots);
    tcase_add_test(tcase, test_draws_come_back);
    tcase_add_test(tcase, test_ages_and_restarts);
    tcase_add_test(tcase, test_reset_and_set);
    tcase_add_test(tcase, test_whole_buffer_needs_no_fit);
    tcase_add_test(tcase, test_classes);
    tcase_add_test(tcase, test_failed_draws);
    tcase_add_test(tcase, test_seeds);
}

int main(void)
{
    return support_main("replay buffer", add_tests);
}
