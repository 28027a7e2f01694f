/*
 * The laws of the chains: on a Gaussian target (the kernel with the gradient g = x) and, end to
 * end, on models whose energy is linear where the chains go, the law of x after k steps is known
 * exactly. Then what a step must not do: use noise twice, or overstep its clamps. Where chains
 * start and the replay buffer are test_replay.c's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/noise.h"
#include "support.h"

static uint64_t seed;

static void set_up(void)
{
    seed = support_fresh_seed();
    fprintf(stderr, "JEM_TEST_SEED=%llu\n", (unsigned long long)seed); // shown when a test fails
}

// ---- a Gaussian target --------------------------------------------------------------------------

typedef struct gaussian_row {
    const char *name;
    float step_size, noise_std, start;
    int steps;
} gaussian_row;

static const gaussian_row gaussians[] = {
    {"one step", 0.1f, 0.3f, 1.5f, 1},
    {"short of equilibrium", 0.1f, 0.3f, 1.5f, 7},
    {"equilibrium", 0.5f, 1.0f, -2.0f, 40},
    {"oversized steps", 1.5f, 0.5f, 1.0f, 5},
    {"the paper's temperature", 1.0f, 0.01f, 0.4f, 3},
};

// x <- x - a x + s z from x_0: mean (1 - a)^k x_0, variance s^2 sum_{j < k} (1 - a)^2j.
START_TEST(test_gaussian_target)
{
    enum { N = 4096, LEN = 100 }; // 409600 values: 0.0051 in the bound of the law
    const gaussian_row *row = &gaussians[_i];
    jemi_langevin_params p = {.step_size = row->step_size,
                              .noise_std = row->noise_std,
                              .grad_clamp = INFINITY,
                              .low = -INFINITY,
                              .high = INFINITY,
                              .key = jemi_random_key_make(seed, JEMI_RANDOM_CHAIN_ROW, 0)};
    float *x = malloc(N * LEN * sizeof *x), *grad = malloc(N * LEN * sizeof *grad);
    for (int i = 0; i < N * LEN; i++)
        x[i] = row->start;
    double mean = row->start, variance = 0.0;
    const double keep = 1.0 - row->step_size;
    for (int k = 0; k < row->steps; k++) {
        memcpy(grad, x, N * LEN * sizeof *x);
        p.step = (uint64_t)k;
        jemi_langevin(x, grad, N, LEN, &p, NULL);
        mean *= keep;
        variance = keep * keep * variance + (double)row->noise_std * row->noise_std;
    }
    double *z = malloc(N * LEN * sizeof *z);
    for (int i = 0; i < N * LEN; i++) {
        z[i] = (x[i] - mean) / sqrt(variance);
        x[i] = (float)z[i];
    }
    support_check_uncorrelated(x, x + 1, N * LEN - 1, "neighbouring elements");
    support_check_uncorrelated(x, x + LEN, (N - 1) * LEN, "neighbouring rows");
    double squares = 0.0;
    for (int i = 0; i < N * LEN; i++)
        squares += z[i] * z[i] / (N * LEN);
    NEAR(squares, 1.0, SUPPORT_Z * sqrt(2.0 / (N * LEN)));
    support_check_law(z, N * LEN, support_normal_cdf, row->name);
    free(z);
    free(grad);
    free(x);
}
END_TEST

// ---- a linear energy, end to end ----------------------------------------------------------------

enum { FEATURES = 6, HIDDEN = 5 };

// f(x)[c] = sum_h V[c][h] (W x + 1000)[h]: with leaky ReLU linear as long as |W x| < 1000.
typedef struct linear_model {
    jem_model *model;
    double slope[2][FEATURES]; /* df[c]/dx */
} linear_model;

static void set_tensor(jem_model *model, int32_t index, const float *values)
{
    jem_tensor_info info = {.struct_size = sizeof info};
    MUST(jem_model_tensor(model, index, &info));
    MUST(jem_model_set_tensor(model, info.name, info.count, values));
}

static linear_model make_linear(int32_t classes, const jem_exec_config *exec)
{
    linear_model linear = {.model = support_model("mlp-5", FEATURES, classes, exec)};
    float *w = support_uniform(HIDDEN * FEATURES, 1), *v = support_uniform(2 * HIDDEN, 2);
    const float b[HIDDEN] = {1000, 1000, 1000, 1000, 1000}, c[2] = {0, 0};
    set_tensor(linear.model, 0, w);
    set_tensor(linear.model, 1, b);
    set_tensor(linear.model, 2, v);
    set_tensor(linear.model, 3, c);
    for (int k = 0; k < classes; k++)
        for (int i = 0; i < FEATURES; i++)
            for (int h = 0; h < HIDDEN; h++)
                linear.slope[k][i] += (double)v[k * HIDDEN + h] * (double)w[h * FEATURES + i];
    free(w);
    free(v);
    return linear;
}

enum { CHAINS = 3000, STEPS = 9 }; // 18000 values: 0.024 in the bound of the law
static const float step_size = 0.3f, noise_std = 0.5f;

// x_k = x_0 + k a slope + s sqrt(k) N(0, I), slope by the row's label.
static void check_linear_law(const linear_model *linear, const float *x0, const float *x,
                             const int64_t *labels, const char *what)
{
    double *z = malloc(CHAINS * FEATURES * sizeof *z);
    float *standard = malloc(CHAINS * FEATURES * sizeof *standard);
    for (int r = 0; r < CHAINS; r++)
        for (int i = 0; i < FEATURES; i++) {
            const int at = r * FEATURES + i;
            const double drift = STEPS * step_size * linear->slope[labels[r]][i];
            z[at] = (x[at] - x0[at] - drift) / (noise_std * sqrt(STEPS));
            standard[at] = (float)z[at];
        }
    support_check_uncorrelated(standard, standard + 1, CHAINS * FEATURES - 1, "elements");
    for (int lag = 1; lag < CHAINS / 2; lag *= 2) // chunks are powers of two
        support_check_uncorrelated(standard, standard + lag * FEATURES, (CHAINS - lag) * FEATURES,
                                   "rows");
    support_check_law(z, CHAINS * FEATURES, support_normal_cdf, what);
    free(standard);
    free(z);
}

static jem_sampler *linear_sampler(const linear_model *linear, int32_t class_conditional)
{
    jem_sampler_config config = support_sampler_config(CHAINS, STEPS);
    config.seed = seed;
    config.step_size = step_size;
    config.noise_std = noise_std;
    config.reinit_prob = 0.0f;
    config.class_conditional = class_conditional;
    return support_sampler(linear->model, &config);
}

START_TEST(test_linear_energy)
{
    const jem_exec_config exec = support_exec(support_backends[_i % support_n_backends], 2);
    const int32_t classes = 1 + _i / support_n_backends;
    const linear_model linear = make_linear(classes, &exec);
    jem_sampler *sampler = linear_sampler(&linear, 0);
    float *x0 = support_uniform(CHAINS * FEATURES, 3), *x = support_uniform(CHAINS * FEATURES, 3);
    int64_t *labels = malloc(CHAINS * sizeof *labels);
    for (int r = 0; r < CHAINS; r++)
        labels[r] = r / 7 % classes;
    MUST(jem_sampler_run(linear.model, sampler, CHAINS, labels, x, STEPS, NULL, NULL));
    check_linear_law(&linear, x0, x, labels, "jem_sampler_run");
    for (int i = 0; i < CHAINS * FEATURES; i++)
        x[i] = x0[i];
    for (int k = 0; k < STEPS; k++)
        MUST(jem_sgld_step(linear.model, sampler, CHAINS, labels, x));
    check_linear_law(&linear, x0, x, labels, "jem_sgld_step");
    jem_sampler_destroy(sampler);
    jem_model_destroy(linear.model);
    free(labels);
    free(x0);
    free(x);
}
END_TEST

START_TEST(test_linear_energy_in_the_buffer)
{
    const jem_exec_config exec = support_exec(support_backends[_i % support_n_backends], 2);
    const int32_t classes = 1 + _i / support_n_backends;
    const linear_model linear = make_linear(classes, &exec);
    jem_sampler *sampler = linear_sampler(&linear, 1);
    float *x0 = support_uniform(CHAINS * FEATURES, 4), *x = malloc(CHAINS * FEATURES * sizeof *x);
    int64_t *labels = malloc(CHAINS * sizeof *labels);
    MUST(jem_sampler_set_chains(sampler, 0, CHAINS, x0));
    MUST(jem_sampler_draw(linear.model, sampler, CHAINS, x, NULL, NULL, NULL));
    MUST(jem_sampler_get_chains(sampler, 0, CHAINS, x, labels, NULL)); // in the order of x0
    check_linear_law(&linear, x0, x, labels, "jem_sampler_draw");
    jem_sampler_destroy(sampler);
    jem_model_destroy(linear.model);
    free(labels);
    free(x0);
    free(x);
}
END_TEST

// ---- noise is used once -------------------------------------------------------------------------

// What a call adds to rows of zeros, less its drift, standardised.
static void take_noise(const linear_model *linear, jem_sampler *sampler, float *z)
{
    memset(z, 0, CHAINS * FEATURES * sizeof *z);
    MUST(jem_sgld_step(linear->model, sampler, CHAINS, NULL, z));
    for (int i = 0; i < CHAINS * FEATURES; i++)
        z[i] = (z[i] - step_size * (float)linear->slope[0][i % FEATURES]) / noise_std;
}

static int32_t cancel_at_once(void *user, int64_t done, int64_t total)
{
    (void)user, (void)done, (void)total;
    return 1;
}

// The same of a draw from a buffer of zeros.
static void take_noise_of_draw(const linear_model *linear, jem_sampler *sampler, float *z)
{
    memset(z, 0, CHAINS * FEATURES * sizeof *z);
    MUST(jem_sampler_set_chains(sampler, 0, CHAINS, z));
    MUST(jem_sampler_draw(linear->model, sampler, CHAINS, z, NULL, NULL, NULL));
    MUST(jem_sampler_get_chains(sampler, 0, CHAINS, z, NULL, NULL));
    for (int i = 0; i < CHAINS * FEATURES; i++)
        z[i] = (z[i] - STEPS * step_size * (float)linear->slope[0][i % FEATURES]) /
               (noise_std * sqrtf(STEPS));
}

START_TEST(test_noise_is_used_once)
{
    enum { CALLS = 5 };
    const linear_model linear = make_linear(1, NULL);
    jem_sampler *sampler = linear_sampler(&linear, 0);
    float *z[CALLS], *x = calloc(CHAINS * FEATURES, sizeof *x);
    for (int i = 0; i < CALLS; i++)
        z[i] = malloc(CHAINS * FEATURES * sizeof(float));
    take_noise(&linear, sampler, z[0]);
    take_noise(&linear, sampler, z[1]);
    // A cancelled run has used its noise up; draws have streams of their own.
    REFUSED(JEM_ECANCELLED, "cancelled",
            jem_sampler_run(linear.model, sampler, CHAINS, NULL, x, 1, cancel_at_once, NULL));
    take_noise(&linear, sampler, z[2]);
    take_noise_of_draw(&linear, sampler, z[3]);
    take_noise_of_draw(&linear, sampler, z[4]);
    for (int i = 0; i < CALLS; i++)
        for (int j = 0; j < i; j++)
            support_check_uncorrelated(z[i], z[j], CHAINS * FEATURES, "noise of two calls");
    for (int i = 0; i < CALLS; i++)
        free(z[i]);
    free(x);
    jem_sampler_destroy(sampler);
    jem_model_destroy(linear.model);
}
END_TEST

START_TEST(test_steps_add_up)
{
    const linear_model linear = make_linear(2, NULL);
    jem_sampler *whole = linear_sampler(&linear, 0), *parts = linear_sampler(&linear, 0);
    float *a = support_uniform(50 * FEATURES, 3), *b = support_uniform(50 * FEATURES, 3);
    MUST(jem_sampler_run(linear.model, whole, 50, NULL, a, 5, NULL, NULL));
    MUST(jem_sgld_step(linear.model, parts, 50, NULL, b));
    MUST(jem_sampler_run(linear.model, parts, 50, NULL, b, 3, NULL, NULL));
    MUST(jem_sampler_run(linear.model, parts, 50, NULL, b, 0, NULL, NULL));
    MUST(jem_sgld_step(linear.model, parts, 50, NULL, b));
    support_same_bits(a, b, 50 * FEATURES * sizeof *a, "5 steps, and 1 + 3 + 0 + 1");
    free(a);
    free(b);
    jem_sampler_destroy(whole);
    jem_sampler_destroy(parts);
    jem_model_destroy(linear.model);
}
END_TEST

// ---- clamps -------------------------------------------------------------------------------------

// A clamp that some elements of the gradient exceed and others do not.
static float middle_slope(const linear_model *linear)
{
    double least = INFINITY, most = 0.0;
    for (int i = 0; i < FEATURES; i++) {
        least = fmin(least, fabs(linear->slope[0][i]));
        most = fmax(most, fabs(linear->slope[0][i]));
    }
    return (float)(0.5 * (least + most));
}

START_TEST(test_clamps)
{
    const linear_model linear = make_linear(1, NULL);
    jem_sampler_config config = support_sampler_config(4, 1);
    config.noise_std = 0.0f;
    config.step_size = 0.5f;
    config.grad_clamp = middle_slope(&linear);
    config.x_low = -0.8f;
    config.x_high = 0.9f;
    jem_sampler *sampler = support_sampler(linear.model, &config);
    float *x = support_uniform(40 * FEATURES, 3), *old = support_uniform(40 * FEATURES, 3);
    float grad[40 * FEATURES];
    int clamped = 0, low = 0, high = 0;
    MUST(jem_energy_grad(linear.model, 40, x, NULL, NULL, grad));
    MUST(jem_sgld_step(linear.model, sampler, 40, NULL, x));
    for (int i = 0; i < 40 * FEATURES; i++) {
        const float g = fmaxf(-config.grad_clamp, fminf(config.grad_clamp, grad[i]));
        const float moved = old[i] - 0.5f * g;
        ck_assert_float_eq(x[i], fmaxf(-0.8f, fminf(0.9f, moved)));
        clamped += g != grad[i];
        low += moved < -0.8f;
        high += moved > 0.9f;
    }
    ck_assert(clamped > 0 && clamped < 40 * FEATURES && low > 0 && high > 0); // each was seen
    free(x);
    free(old);
    jem_sampler_destroy(sampler);
    jem_model_destroy(linear.model);
}
END_TEST

START_TEST(test_divergence)
{
    const linear_model linear = make_linear(1, NULL);
    jem_sampler_config config = support_sampler_config(4, 1);
    config.step_size = 3e38f;
    jem_sampler *sampler = support_sampler(linear.model, &config);
    float x[3 * FEATURES] = {0};
    REFUSED(JEM_EDIVERGED, "became non-finite in Langevin step 1",
            jem_sampler_run(linear.model, sampler, 3, NULL, x, 9, NULL, NULL));
    config.grad_clamp = 2e-38f; // a clamp helps, as the message says
    jem_sampler *clamped = support_sampler(linear.model, &config);
    memset(x, 0, sizeof x);
    MUST(jem_sampler_run(linear.model, clamped, 3, NULL, x, 9, NULL, NULL));
    jem_sampler_destroy(sampler);
    jem_sampler_destroy(clamped);
    jem_model_destroy(linear.model);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_loop_test(tcase, test_gaussian_target, 0, COUNT(gaussians));
    tcase_add_loop_test(tcase, test_linear_energy, 0, 2 * support_n_backends);
    tcase_add_loop_test(tcase, test_linear_energy_in_the_buffer, 0, 2 * support_n_backends);
    tcase_add_test(tcase, test_noise_is_used_once);
    tcase_add_test(tcase, test_steps_add_up);
    tcase_add_test(tcase, test_clamps);
    tcase_add_test(tcase, test_divergence);
}

int main(void)
{
    return support_main("chains", add_tests);
}
