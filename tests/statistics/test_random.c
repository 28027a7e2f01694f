/*
 * The random numbers: Philox by its published answers; rows of uniforms and normals as functions of
 * (key, row, step, element) and nothing else; the law of the normals; streams of different use that
 * know nothing of each other; and vector code that gives the bits of plain scalar code.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "kernels/noise.h"
#include "support.h"

// noise.c a second time, portable and without optimisation, under other names.
#include "kernels/simd/v16.h"
#undef JEMI_KERNEL
#define JEMI_KERNEL(name) scalar_##name
#if !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O0")
#endif
#include "../lib/kernels/noise.c"
#if !defined(__clang__)
#pragma GCC pop_options
#endif

static uint64_t seed;

static void set_up(void)
{
    seed = support_fresh_seed();
    fprintf(stderr, "JEM_TEST_SEED=%llu\n", (unsigned long long)seed); // shown when a test fails
}

static jemi_random_key key_of(jemi_purpose purpose)
{
    return jemi_random_key_make(seed, purpose, 0);
}

// ---- bits ---------------------------------------------------------------------------------------

// kat_vectors of Random123 (Salmon et al. 2011), philox4x32 with 10 rounds.
static const struct {
    uint32_t counter[4], key[2], expected[4];
} known_answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(test_known_answers)
{
    for (int i = 0; i < COUNT(known_answers); i++) {
        const uint32_t *c = known_answers[i].counter;
        const jemi_random_key key = {{known_answers[i].key[0], known_answers[i].key[1]}};
        const uint64_t step = (uint64_t)c[3] << 32 | c[2];
        uint32_t out[4];
        jemi_random_u32x4(key, c[0], c[1], step, out);
        support_same_bits(out, known_answers[i].expected, sizeof out, "philox4x32-10");
        ck_assert_uint_eq(jemi_random_u32(key, c[0], c[1], step), out[0]);
    }
}
END_TEST

START_TEST(test_small_maps)
{
    ck_assert_float_gt(jemi_unit_from_u32(0), 0.0f);
    ck_assert_float_lt(jemi_unit_from_u32(UINT32_MAX), 1.0f);
    const uint32_t bounds[] = {1, 2, 3, 10, 1000000, UINT32_MAX};
    for (int i = 0; i < COUNT(bounds); i++) {
        ck_assert_uint_eq(jemi_below_from_u32(0, bounds[i]), 0);
        ck_assert_uint_eq(jemi_below_from_u32(UINT32_MAX, bounds[i]), bounds[i] - 1);
    }
}
END_TEST

// Every argument of a key and of a counter matters, to its last bit.
START_TEST(test_keys_differ)
{
    enum { MOST = 400 };
    uint64_t seen[MOST];
    int n = 0;
    for (int purpose = 1; purpose <= 11; purpose++)
        for (uint32_t epoch = 0; epoch < 2; epoch++)
            for (int bit = -1; bit < 16; bit++) {
                const uint64_t other = bit < 0 ? seed : seed ^ (uint64_t)1 << (4 * bit);
                const jemi_random_key key =
                    jemi_random_key_make(other, (jemi_purpose)purpose, epoch);
                seen[n++] = (uint64_t)key.v[1] << 32 | key.v[0];
            }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            ck_assert_msg(seen[i] != seen[j], "keys %d and %d are the same", j, i);
}
END_TEST

// ---- rows ---------------------------------------------------------------------------------------

enum { LONGEST = 333 };

// Element i of a row from its own four words, by the C library in double.
static double normal_of(jemi_random_key key, uint32_t row, uint64_t step, int64_t i)
{
    uint32_t bits[4];
    jemi_random_u32x4(key, (uint32_t)(i / 4), row, step, bits);
    const uint32_t *pair = bits + (i % 4) / 2 * 2;
    const double radius = sqrt(-2.0 * log((double)jemi_unit_from_u32(pair[0])));
    const double angle = 2.0 * acos(-1.0) * (double)jemi_unit_from_u32(pair[1]);
    return radius * (i % 2 == 0 ? cos(angle) : sin(angle));
}

START_TEST(test_rows)
{
    const jemi_random_key key = key_of(JEMI_RANDOM_START);
    const uint64_t steps[] = {0, 1, (uint64_t)1 << 32, UINT64_MAX};
    float whole[LONGEST], part[LONGEST];
    for (int s = 0; s < COUNT(steps); s++) {
        const uint32_t row = s == 0 ? UINT32_MAX : (uint32_t)s;
        jemi_fill_normal(whole, LONGEST, key, row, steps[s]);
        for (int64_t i = 0; i < LONGEST; i++)
            // Polynomials to 1e-8 and a dozen roundings of float, times a radius of up to 5.8.
            NEAR(whole[i], normal_of(key, row, steps[s], i), 4e-6);
        for (int64_t len = 1; len < LONGEST; len += len < 140 ? 1 : 37) {
            jemi_fill_normal(part, len, key, row, steps[s]);
            support_same_bits(part, whole, (size_t)len * sizeof *part, "a shorter row of normals");
        }
        jemi_fill_uniform(whole, LONGEST, -1.0f, 3.0f, key, row, steps[s]);
        for (int64_t i = 0; i < LONGEST; i++) {
            uint32_t bits[4];
            jemi_random_u32x4(key, (uint32_t)(i / 4), row, steps[s], bits);
            ck_assert_float_eq(whole[i], -1.0f + 4.0f * jemi_unit_from_u32(bits[i % 4]));
        }
        for (int64_t len = 1; len < LONGEST; len += len < 140 ? 1 : 37) {
            jemi_fill_uniform(part, len, -1.0f, 3.0f, key, row, steps[s]);
            support_same_bits(part, whole, (size_t)len * sizeof *part, "a shorter row of uniforms");
        }
    }
}
END_TEST

START_TEST(test_add_noise)
{
    enum { N = 5, LEN = 70 };
    const jemi_random_key key = key_of(JEMI_RANDOM_NOISE_DATA);
    float *x = support_uniform(N * LEN, 1), *noisy = support_uniform(N * LEN, 1), z[LEN];
    jemi_add_noise(noisy, N, LEN, 0.25f, key, 100, 9);
    for (int r = 0; r < N; r++) {
        jemi_fill_normal(z, LEN, key, 100 + (uint32_t)r, 9);
        for (int i = 0; i < LEN; i++)
            ck_assert_float_eq(noisy[r * LEN + i], x[r * LEN + i] + 0.25f * z[i]);
    }
    memcpy(noisy, x, N * LEN * sizeof *x);
    jemi_add_noise(noisy, N, LEN, 0.0f, key, 0, 0);
    support_same_bits(noisy, x, N * LEN * sizeof *x, "rows with noise 0");
    free(x);
    free(noisy);
}
END_TEST

START_TEST(test_vector_code_is_scalar_code)
{
    enum { N = 20, LEN = 1001, ALL = N * LEN };
    const jemi_random_key key = key_of(JEMI_RANDOM_CHAIN_ROW);
    float *a = support_uniform(ALL, seed), *b = malloc(ALL * sizeof *b);
    float *grad = support_uniform(ALL, seed + 1), norms[2][N];
    memcpy(b, a, ALL * sizeof *b);
    const jemi_langevin_params p = {.step_size = 0.7f,
                                    .noise_std = 0.3f,
                                    .grad_clamp = 0.9f,
                                    .low = -1.1f,
                                    .high = 1.2f,
                                    .key = key,
                                    .first_row = 3,
                                    .step = seed};
    jemi_langevin(a, grad, N, LEN, &p, norms[0]);
    scalar_langevin(b, grad, N, LEN, &p, norms[1]);
    support_same_bits(a, b, ALL * sizeof *a, "Langevin steps");
    support_same_bits(norms[0], norms[1], sizeof norms[0], "gradient norms");
    jemi_add_noise(a, N, LEN, 2.0f, key, 7, 8);
    scalar_add_noise(b, N, LEN, 2.0f, key, 7, 8);
    support_same_bits(a, b, ALL * sizeof *a, "added noise");
    jemi_fill_normal(a, ALL, key, 1, 2);
    scalar_fill_normal(b, ALL, key, 1, 2);
    support_same_bits(a, b, ALL * sizeof *a, "normals");
    jemi_fill_uniform(a, ALL, -0.3f, 0.7f, key, 1, 2);
    scalar_fill_uniform(b, ALL, -0.3f, 0.7f, key, 1, 2);
    support_same_bits(a, b, ALL * sizeof *a, "uniforms");
    free(grad);
    free(a);
    free(b);
}
END_TEST

// ---- laws ---------------------------------------------------------------------------------------

enum { SAMPLES = 400000 };

START_TEST(test_normal_law)
{
    float *z = malloc(SAMPLES * sizeof *z);
    double *values = malloc(SAMPLES * sizeof *values);
    jemi_fill_normal(z, SAMPLES, key_of(JEMI_RANDOM_CHAIN_SLOT), 5, 6);
    double moments[5] = {0};
    for (int i = 0; i < SAMPLES; i++) {
        values[i] = z[i];
        for (int m = 1; m <= 4; m++)
            moments[m] += pow(z[i], m) / SAMPLES;
    }
    // Means of z, z^2, z^3, z^4 around 0, 1, 0, 3, whose variances are 1, 2, 15, 96 over n.
    const double expected[] = {0, 0, 1, 0, 3}, variance[] = {0, 1, 2, 15, 96};
    for (int m = 1; m <= 4; m++)
        NEAR(moments[m], expected[m], SUPPORT_Z * sqrt(variance[m] / SAMPLES));
    support_check_law(values, SAMPLES, support_normal_cdf, "normals");
    free(values);
    free(z);
}
END_TEST

START_TEST(test_uniform_law)
{
    float *u = malloc(SAMPLES * sizeof *u);
    double *values = malloc(SAMPLES * sizeof *values);
    jemi_fill_uniform(u, SAMPLES, 2.0f, 6.0f, key_of(JEMI_RANDOM_START), 5, 6);
    for (int i = 0; i < SAMPLES; i++)
        values[i] = (u[i] - 2.0) / 4.0;
    support_check_law(values, SAMPLES, support_uniform_cdf, "uniforms");
    free(values);
    free(u);
}
END_TEST

// Rows of one key, steps of one row, purposes and seeds: all independent of each other.
START_TEST(test_streams_are_uncorrelated)
{
    enum { STREAMS = 16, LEN = 20000 };
    float *z[STREAMS];
    int n = 0;
    for (int i = 0; i < STREAMS; i++)
        z[i] = malloc(LEN * sizeof(float));
    for (int purpose = 1; purpose <= 11; purpose++)
        jemi_fill_normal(z[n++], LEN, key_of((jemi_purpose)purpose), 0, 0);
    const jemi_random_key key = key_of(JEMI_RANDOM_CHAIN_ROW);
    jemi_fill_normal(z[n++], LEN, key, 1, 0);
    jemi_fill_normal(z[n++], LEN, key, 0, 1);
    jemi_fill_normal(z[n++], LEN, key, 0, (uint64_t)1 << 32);
    jemi_fill_normal(z[n++], LEN, jemi_random_key_make(seed, JEMI_RANDOM_CHAIN_ROW, 1), 0, 0);
    jemi_fill_normal(z[n++], LEN, jemi_random_key_make(seed + 1, JEMI_RANDOM_CHAIN_ROW, 0), 0, 0);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            char what[48];
            snprintf(what, sizeof what, "streams %d and %d", j, i);
            support_check_uncorrelated(z[i], z[j], LEN, what);
        }
        for (int lag = 1; lag <= 130; lag++) // words, blocks and tiles of one stream
            support_check_uncorrelated(z[i], z[i] + lag, LEN - lag, "neighbours of a stream");
    }
    for (int i = 0; i < STREAMS; i++)
        free(z[i]);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, test_known_answers);
    tcase_add_test(tcase, test_small_maps);
    tcase_add_test(tcase, test_keys_differ);
    tcase_add_test(tcase, test_rows);
    tcase_add_test(tcase, test_add_noise);
    tcase_add_test(tcase, test_vector_code_is_scalar_code);
    tcase_add_test(tcase, test_normal_law);
    tcase_add_test(tcase, test_uniform_law);
    tcase_add_test(tcase, test_streams_are_uncorrelated);
}

int main(void)
{
    return support_main("random numbers", add_tests);
}
