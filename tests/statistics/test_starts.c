/*
 * Starts that come from data: low-rank Gaussians against the covariance they were fitted to, rows
 * themselves and contrastive divergence; and the noise that goes with T = 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebm/gaussians.h"
#include "support.h"

static uint64_t seed;

// ---- low-rank Gaussians -------------------------------------------------------------------------

enum { D = 40, N = 1500, SIGNALS = 5 };
static const double noise_variance = 0.003;

// Rows with SIGNALS strong directions, of lengths 1, 1/2, 1/3 .., and weak independent noise.
static float *make_rows(double scale)
{
    float *x = support_uniform((int64_t)N * D, 1), *directions = support_uniform(SIGNALS * D, 2);
    float *along = support_uniform((int64_t)N * SIGNALS, 3);
    for (int i = 0; i < N * D; i++) {
        double value = sqrt(3.0 * noise_variance) * x[i] + 0.1 * (i % D); // U(-1, 1): variance 1/3
        for (int k = 0; k < SIGNALS; k++)
            value += along[i / D * SIGNALS + k] * directions[k * D + i % D] / (k + 1);
        x[i] = (float)(scale * value);
    }
    free(directions);
    free(along);
    return x;
}

static double *covariance_of(const float *x)
{
    double *c = calloc(D * D, sizeof *c), mean[D] = {0};
    for (int i = 0; i < N * D; i++)
        mean[i % D] += x[i] / (double)N;
    for (int i = 0; i < N; i++)
        for (int a = 0; a < D; a++)
            for (int b = 0; b < D; b++)
                c[a * D + b] += (x[i * D + a] - mean[a]) * (x[i * D + b] - mean[b]) / N;
    return c;
}

// Of the fitted Gaussian.
static double fitted(const jemi_gaussians *g, int a, int b)
{
    double sum = a == b ? (double)g->rest[a] * g->rest[a] : 0.0;
    for (int k = 0; k < g->rank; k++)
        sum += (double)g->factors[k * D + a] * g->factors[k * D + b];
    return sum;
}

static jemi_gaussians fit(const float *x, int64_t n, int32_t rank)
{
    jemi_gaussians g;
    jemi_progress nobody = {0};
    const jemi_table table = {.n = n, .row_len = D, .x = x};
    MUST(jemi_gaussians_fit(&g, 1, rank, seed, &table, &nobody));
    return g;
}

static double largest_error(const jemi_gaussians *g, const double *c)
{
    double error = 0.0;
    for (int a = 0; a < D; a++)
        for (int b = 0; b < a; b++)
            error = fmax(error, fabs(fitted(g, a, b) - c[a * D + b]));
    return error;
}

// What the directions leave of all variances together.
static double variance_left(const jemi_gaussians *g)
{
    double sum = 0.0;
    for (int a = 0; a < D; a++)
        sum += (double)g->rest[a] * g->rest[a];
    return sum;
}

START_TEST(test_covariance_is_recovered)
{
    const double scales[] = {1.0, 1e-12, 1e12};
    const double scale = scales[_i], unit = scale * scale;
    float *x = make_rows(scale);
    double *c = covariance_of(x);
    double left_before = INFINITY, error = INFINITY;
    for (int32_t rank = 0; rank <= SIGNALS; rank++) {
        jemi_gaussians g = fit(x, N, rank);
        for (int a = 0; a < D; a++)
            NEAR(fitted(&g, a, a) / c[a * D + a], 1.0, 2e-6); // exact but for float
        const double left = variance_left(&g);
        ck_assert_double_lt(left, left_before); // each direction tells more
        left_before = left;
        error = largest_error(&g, c);
        jemi_gaussians_fini(&g);
    }
    ck_assert_double_lt(error, noise_variance * unit); // only noise is left
    ck_assert_double_lt(left_before, D * noise_variance * unit);
    jemi_gaussians whole = fit(x, N, D);
    ck_assert_double_lt(largest_error(&whole, c), 1e-6 * unit);
    jemi_gaussians_fini(&whole);
    free(c);
    free(x);
}
END_TEST

// More directions than elements, or than rows; no variance at all.
START_TEST(test_ranks_to_spare)
{
    float *x = make_rows(1.0);
    double *c = covariance_of(x);
    jemi_gaussians g = fit(x, N, JEMI_RANK_MAX);
    ck_assert_double_lt(largest_error(&g, c), 1e-6);
    jemi_gaussians_fini(&g);
    g = fit(x, 2, 7); // one direction holds it all
    for (int a = 0; a < D; a++) {
        const double half = (x[a] - x[D + a]) / 2.0;
        NEAR(fitted(&g, a, a), half * half, 1e-6);
        NEAR(fabs(fitted(&g, a, 0)), fabs(half * (x[0] - x[D]) / 2.0), 1e-6);
    }
    jemi_gaussians_fini(&g);
    g = fit(x, 1, 7);
    for (int a = 0; a < D; a++)
        for (int b = 0; b <= a; b++)
            ck_assert_double_eq(fitted(&g, a, b), 0.0);
    jemi_gaussians_fini(&g);
    free(c);
    free(x);
}
END_TEST

START_TEST(test_fit_depends_on_the_seed_alone)
{
    float *x = make_rows(1.0);
    const int threads[] = {1, 2, 3};
    float *first = malloc(4 * D * sizeof *first);
    for (int i = 0; i < COUNT(threads); i++) {
        support_threads(threads[i]);
        jemi_gaussians g = fit(x, N, 4);
        if (i == 0)
            memcpy(first, g.factors, 4 * D * sizeof *first);
        support_same_bits(first, g.factors, 4 * D * sizeof *first, "factors");
        jemi_gaussians_fini(&g);
    }
    free(first);
    free(x);
}
END_TEST

// ---- draws --------------------------------------------------------------------------------------

enum { FEATURES = 3, CLASSES = 3, ROWS = 60, STARTS = 9000 };

static jem_model *model;
static float *data;
static int64_t labels[ROWS];

// Class c lies around 10 c; its elements lean on each other.
static void set_up(void)
{
    seed = support_fresh_seed();
    fprintf(stderr, "JEM_TEST_SEED=%llu\n", (unsigned long long)seed); // shown when a test fails
    model = support_model("mlp-4", FEATURES, CLASSES, NULL);
    data = support_uniform(ROWS * FEATURES, 1);
    for (int r = 0; r < ROWS; r++) {
        float *row = data + r * FEATURES;
        labels[r] = r % CLASSES;
        row[1] += 0.8f * row[0];
        row[2] = 0.3f * row[2] - row[1] + 0.5f * row[0];
        for (int e = 0; e < FEATURES; e++)
            row[e] += 10.0f * (float)labels[r];
    }
}

static void tear_down(void)
{
    jem_model_destroy(model);
    free(data);
}

static jem_sampler_config config_of(int32_t capacity, int32_t start)
{
    jem_sampler_config config = support_sampler_config(capacity, 0);
    config.seed = seed;
    config.start = start;
    return config;
}

typedef struct triangle {
    double mean[FEATURES], l[FEATURES][FEATURES]; /* covariance = l l^T */
} triangle;

static triangle triangle_of(int64_t c)
{
    triangle t = {{0}, {{0}}};
    double n = 0.0, cov[FEATURES][FEATURES] = {{0}};
    for (int r = 0; r < ROWS; r++)
        for (int e = 0; labels[r] == c && e < FEATURES; e++)
            t.mean[e] += data[r * FEATURES + e], n += e == 0;
    for (int e = 0; e < FEATURES; e++)
        t.mean[e] /= n;
    for (int r = 0; r < ROWS; r++)
        for (int a = 0; labels[r] == c && a < FEATURES; a++)
            for (int b = 0; b < FEATURES; b++)
                cov[a][b] +=
                    (data[r * FEATURES + a] - t.mean[a]) * (data[r * FEATURES + b] - t.mean[b]) / n;
    for (int a = 0; a < FEATURES; a++)
        for (int b = 0; b <= a; b++) {
            double left = cov[a][b];
            for (int k = 0; k < b; k++)
                left -= t.l[a][k] * t.l[b][k];
            t.l[a][b] = a == b ? sqrt(left) : left / t.l[b][b];
        }
    return t;
}

// Whitened by the covariance of their class, starts are independent standard normals.
START_TEST(test_draws_have_the_covariance)
{
    jem_sampler_config config = config_of(4, JEM_START_GAUSSIAN);
    config.start_rank = FEATURES;
    jem_sampler *sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, ROWS, data, labels, NULL, NULL));
    float *x = malloc(STARTS * FEATURES * sizeof *x), *z[FEATURES];
    double *all = malloc(STARTS * FEATURES * sizeof *all);
    int64_t *wanted = malloc(STARTS * sizeof *wanted);
    for (int e = 0; e < FEATURES; e++)
        z[e] = malloc(STARTS * sizeof *z[e]);
    for (int64_t c = 0; c < CLASSES; c++) {
        const triangle t = triangle_of(c);
        for (int r = 0; r < STARTS; r++)
            wanted[r] = c;
        MUST(jem_sampler_start(sampler, STARTS, wanted, x));
        for (int r = 0; r < STARTS; r++)
            for (int e = 0; e < FEATURES; e++) {
                double left = x[r * FEATURES + e] - t.mean[e];
                for (int k = 0; k < e; k++)
                    left -= t.l[e][k] * z[k][r];
                z[e][r] = (float)(left / t.l[e][e]);
                all[r * FEATURES + e] = z[e][r];
            }
        for (int e = 0; e < FEATURES; e++)
            support_check_uncorrelated(z[e], z[(e + 1) % FEATURES], STARTS, "whitened starts");
        support_check_law(all, STARTS * FEATURES, support_normal_cdf, "whitened starts");
    }
    for (int e = 0; e < FEATURES; e++)
        free(z[e]);
    free(wanted);
    free(all);
    free(x);
    jem_sampler_destroy(sampler);
}
END_TEST

// ---- rows themselves ----------------------------------------------------------------------------

// Which row of the data this is; -1 = none.
static int row_of(const float *x)
{
    for (int r = 0; r < ROWS; r++)
        if (memcmp(x, data + r * FEATURES, FEATURES * sizeof *x) == 0)
            return r;
    return -1;
}

// Starts for a class are rows of classes first .. last, each as often as the others.
static void check_rows(jem_sampler *sampler, int64_t label, int64_t first, int64_t last)
{
    float *x = malloc(STARTS * FEATURES * sizeof *x);
    int64_t *wanted = malloc(STARTS * sizeof *wanted), times[ROWS] = {0}, n = 0;
    for (int i = 0; i < STARTS; i++)
        wanted[i] = label;
    MUST(jem_sampler_start(sampler, STARTS, label < 0 ? NULL : wanted, x));
    for (int i = 0; i < STARTS; i++) {
        const int r = row_of(x + i * FEATURES);
        ck_assert_int_ge(r, 0);
        times[r]++;
    }
    for (int r = 0; r < ROWS; r++)
        n += labels[r] >= first && labels[r] <= last;
    for (int r = 0; r < ROWS; r++) {
        const bool of_class = labels[r] >= first && labels[r] <= last;
        NEAR((double)times[r] / STARTS, of_class ? 1.0 / (double)n : 0.0,
             of_class ? support_mean_bound(STARTS) : 0.0);
    }
    free(wanted);
    free(x);
}

START_TEST(test_data_starts)
{
    const jem_sampler_config config = config_of(30, JEM_START_DATA);
    jem_sampler *sampler = support_sampler(model, &config);
    float x[FEATURES];
    REFUSED(JEM_EINVAL, "fit", jem_sampler_start(sampler, 1, NULL, x));
    REFUSED(JEM_EINVAL, "fit", jem_sampler_draw(model, sampler, 1, x, NULL, NULL, NULL));
    float *copy = malloc(ROWS * FEATURES * sizeof *copy);
    memcpy(copy, data, ROWS * FEATURES * sizeof *copy);
    MUST(jem_sampler_fit(sampler, ROWS, copy, labels, NULL, NULL));
    memset(copy, 0, ROWS * FEATURES * sizeof *copy); // the sampler has its own
    for (int64_t c = 0; c < CLASSES; c++)
        check_rows(sampler, c, c, c);
    check_rows(sampler, -1, 0, CLASSES);
    float chains[30 * FEATURES];
    MUST(jem_sampler_get_chains(sampler, 0, 30, chains, NULL, NULL));
    for (int s = 0; s < 30; s++)
        ck_assert_int_ge(row_of(chains + s * FEATURES), 0);
    // Without labels, and for a class without rows, any row will do.
    MUST(jem_sampler_fit(sampler, ROWS, data, NULL, NULL, NULL));
    check_rows(sampler, 1, 0, CLASSES);
    for (int r = 0; r < ROWS; r++)
        labels[r] %= 2;
    MUST(jem_sampler_fit(sampler, ROWS, data, labels, NULL, NULL));
    check_rows(sampler, 2, 0, CLASSES);
    check_rows(sampler, 1, 1, 1);
    free(copy);
    jem_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_data_starts_keep_to_class_and_range)
{
    jem_sampler_config config = config_of(ROWS, JEM_START_DATA);
    config.class_conditional = 1;
    jem_sampler *sampler = support_sampler(model, &config);
    float x[ROWS * FEATURES];
    int64_t classes[ROWS];
    MUST(jem_sampler_fit(sampler, ROWS, data, labels, NULL, NULL));
    MUST(jem_sampler_draw(model, sampler, ROWS, x, classes, NULL, NULL));
    for (int i = 0; i < ROWS; i++)
        ck_assert_int_eq(labels[row_of(x + i * FEATURES)], classes[i]);
    jem_sampler_destroy(sampler);
    config.x_low = 5.0f;
    config.x_high = 15.0f;
    sampler = support_sampler(model, &config);
    MUST(jem_sampler_fit(sampler, ROWS, data, labels, NULL, NULL));
    MUST(jem_sampler_start(sampler, ROWS, labels, x));
    for (int i = 0; i < ROWS * FEATURES; i++)
        ck_assert(labels[i / FEATURES] == 1 ? x[i] > 5.0f && x[i] < 15.0f
                                            : x[i] == 5.0f || x[i] == 15.0f);
    jem_sampler_destroy(sampler);
}
END_TEST

// ---- contrastive divergence ---------------------------------------------------------------------

enum { BATCH = 8, CHAINS = 11 };

typedef struct trainer {
    jem_model *model;
    jem_optimizer *optimizer;
    jem_sampler *sampler;
} trainer;

static trainer make_trainer(const jem_sampler_config *config)
{
    trainer t = {.model = support_model("mlp-4", FEATURES, CLASSES, NULL)};
    t.optimizer = support_optimizer(t.model, 0.01f);
    t.sampler = support_sampler(t.model, config);
    return t;
}

static void free_trainer(trainer *t)
{
    jem_sampler_destroy(t->sampler);
    jem_optimizer_destroy(t->optimizer);
    jem_model_destroy(t->model);
}

static void train(const trainer *t, const jem_train_batch *batch)
{
    jem_train_config config;
    MUST(jem_train_config_init(&config, sizeof config));
    config.input_noise = 0.0f;
    MUST(jem_train_step(t->model, t->optimizer, t->sampler, &config, batch, NULL));
}

static jem_sampler_config cd_config(float reinit_prob)
{
    jem_sampler_config config = config_of(2 * CHAINS, JEM_START_DATA);
    config.steps = 3;
    config.step_size = 0.3f;
    config.noise_std = 0.0f; // so that a chain can be followed by hand
    config.reinit_prob = reinit_prob;
    return config;
}

// CD-k: chain i starts at data row i, whether data come with labels or without. More chains than
// rows go round.
START_TEST(test_contrastive_divergence)
{
    const jem_sampler_config config = cd_config(1.0f);
    trainer t = make_trainer(&config), twin = make_trainer(&config);
    for (int step = 0; step < 6; step++) {
        const float *rows = data + step * BATCH * FEATURES;
        jem_train_batch batch = support_batch(BATCH, rows, labels), by_hand;
        if (step % 2 == 1) { // data of their own; the labelled ones are other rows
            batch.x_labelled = data;
            batch.n_data = BATCH;
            batch.x_data = rows;
        }
        batch.n_samples = CHAINS;
        float x[CHAINS * FEATURES];
        for (int i = 0; i < CHAINS; i++)
            memcpy(x + i * FEATURES, rows + i % BATCH * FEATURES, FEATURES * sizeof *x);
        MUST(jem_sampler_run(twin.model, twin.sampler, CHAINS, NULL, x, 3, NULL, NULL));
        by_hand = batch;
        by_hand.x_samples = x;
        train(&t, &batch);
        train(&twin, &by_hand);
        float *a = support_params(t.model), *b = support_params(twin.model);
        support_same_bits(a, b, (size_t)support_param_count(t.model) * sizeof *a, "parameters");
        free(a);
        free(b);
    }
    free_trainer(&t);
    free_trainer(&twin);
}
END_TEST

// Without restarts chains begin at the first step's data, or at what was fitted, and go on.
START_TEST(test_persistent_chains_begin_at_data)
{
    const bool fitted_before = _i == 1;
    jem_sampler_config config = cd_config(0.0f);
    config.steps = 0;
    trainer t = make_trainer(&config);
    if (fitted_before)
        MUST(jem_sampler_fit(t.sampler, ROWS / 2, data + ROWS / 2 * FEATURES, NULL, NULL, NULL));
    jem_train_batch batch = support_batch(BATCH, data, labels);
    train(&t, &batch);
    batch = support_batch(BATCH, data + BATCH * FEATURES, labels);
    train(&t, &batch);
    float x[2 * CHAINS * FEATURES];
    MUST(jem_sampler_get_chains(t.sampler, 0, 2 * CHAINS, x, NULL, NULL));
    for (int s = 0; s < 2 * CHAINS; s++) {
        const int r = row_of(x + s * FEATURES);
        ck_assert(fitted_before ? r >= ROWS / 2 : r == s % BATCH);
    }
    free_trainer(&t);
}
END_TEST

START_TEST(test_class_conditional_cd_wants_a_fit)
{
    jem_sampler_config config = cd_config(1.0f);
    config.class_conditional = 1;
    trainer t = make_trainer(&config);
    const jem_train_batch batch = support_batch(BATCH, data, labels);
    REFUSED(JEM_EINVAL, "fit", jem_train_step(t.model, t.optimizer, t.sampler, NULL, &batch, NULL));
    MUST(jem_sampler_fit(t.sampler, ROWS, data, labels, NULL, NULL));
    MUST(jem_train_step(t.model, t.optimizer, t.sampler, NULL, &batch, NULL));
    free_trainer(&t);
}
END_TEST

// ---- matched noise ------------------------------------------------------------------------------

// Where nothing pulls, a step is N(0, 2 step_size), whatever noise_std says.
START_TEST(test_matched_noise)
{
    jem_sampler_config config = config_of(4, JEM_START_UNIFORM);
    config.step_size = 0.18f;
    config.noise_std = 7.0f;
    config.matched_noise = 1;
    jem_sampler *sampler = support_sampler(model, &config);
    const int64_t count = support_param_count(model);
    float *params = calloc((size_t)count, sizeof *params);
    MUST(jem_model_set_params(model, count, params));
    float *x = calloc(STARTS * FEATURES, sizeof *x);
    double *z = malloc(STARTS * FEATURES * sizeof *z);
    MUST(jem_sgld_step(model, sampler, STARTS, NULL, x));
    for (int i = 0; i < STARTS * FEATURES; i++)
        z[i] = x[i] / 0.6; // sqrt(0.36)
    support_check_law(z, STARTS * FEATURES, support_normal_cdf, "a free step at T = 1");
    free(z);
    free(x);
    free(params);
    jem_sampler_destroy(sampler);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_covariance_is_recovered, 0, 3);
    tcase_add_test(tcase, test_ranks_to_spare);
    tcase_add_test(tcase, test_fit_depends_on_the_seed_alone);
    tcase_add_test(tcase, test_draws_have_the_covariance);
    tcase_add_test(tcase, test_data_starts);
    tcase_add_test(tcase, test_data_starts_keep_to_class_and_range);
    tcase_add_test(tcase, test_contrastive_divergence);
    tcase_add_loop_test(tcase, test_persistent_chains_begin_at_data, 0, 2);
    tcase_add_test(tcase, test_class_conditional_cd_wants_a_fit);
    tcase_add_test(tcase, test_matched_noise);
}

int main(void)
{
    return support_main("starts", add_tests);
}
