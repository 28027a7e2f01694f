/*
 * What thresholds and p-values promise, over many draws of the calibration: the law of the realised
 * rate, not only its mean, with and without ties; ranks against binomial sums in exact arithmetic.
 */
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "detect/conformal.h"
#include "detect/largest.h"
#include "detect/sorted.h"
#include "detect/tail.h"
#include "support.h"

enum { DRAWS = 20000, N_MAX = 400 };

// At a false-alarm rate of 1e-9 a mean of `draws` numbers in 0..1 lies within this of its own mean
// (Hoeffding).
static double margin(double draws)
{
    return sqrt(log(2.0 / 1e-9) / (2.0 * draws));
}

static const struct rate_case {
    int64_t n;
    double fpr, confidence;
} rate_cases[] = {
    {99, 0.05, 0.0},  {100, 0.05, 0.0}, {400, 0.01, 0.0},  {50, 0.3, 0.0},
    {59, 0.05, 0.95}, {100, 0.1, 0.9},  {400, 0.05, 0.99}, {299, 0.01, 0.95},
};

enum { N_RATES = sizeof rate_cases / sizeof rate_cases[0] };

// Uniform scores; with levels > 0 rounded down to so many, which tie.
static void draw_scores(int64_t n, uint32_t draw, int levels, float *scores)
{
    const jemi_random_key key = jemi_random_key_make(7, JEMI_RANDOM_CALIBRATION, 0);
    for (int64_t i = 0; i < n; i++) {
        const float u = jemi_unit_from_u32(jemi_random_u32(key, (uint32_t)i, draw, 0));
        scores[i] = levels > 0 ? floorf(u * (float)levels) / (float)levels : u;
    }
    jemi_sort_floats(n, scores);
}

// Of new rows like those: the part above the threshold.
static double realised(float threshold, int levels)
{
    return 1.0 - (double)threshold - (levels > 0 ? 1.0 / levels : 0.0);
}

typedef struct outcome {
    double mean, kept; // of the rate; how often it is at most fpr
} outcome;

static outcome simulate(const struct rate_case *c, int levels)
{
    outcome out = {0.0, 0.0};
    float scores[N_MAX];
    const int64_t rank = jemi_conformal_rank(c->n, c->fpr, c->confidence);
    ck_assert_int_ge(rank, 1);
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        draw_scores(c->n, draw, levels, scores);
        const jemi_conformal calibration = {c->n, scores};
        const double rate = realised(jemi_conformal_threshold(&calibration, rank), levels);
        out.mean += rate / DRAWS;
        out.kept += (rate <= c->fpr) / (double)DRAWS;
    }
    return out;
}

// P(Binomial(n, p) >= k), summed from pmf ratios in long double.
static long double binomial_tail(int64_t n, long double p, int64_t k)
{
    long double pmf = powl(1.0L - p, (long double)n), below = 0.0L;
    for (int64_t i = 0; i < k; i++) {
        below += pmf;
        pmf *= (long double)(n - i) / (long double)(i + 1) * p / (1.0L - p);
    }
    return 1.0L - below;
}

START_TEST(the_realised_rate_follows_its_beta_law)
{
    const struct rate_case *c = &rate_cases[_i];
    const int64_t rank = jemi_conformal_rank(c->n, c->fpr, c->confidence);
    const outcome out = simulate(c, 0);
    NEAR(out.mean, (double)rank / (double)(c->n + 1), margin(DRAWS));
    NEAR(out.kept, (double)binomial_tail(c->n, (long double)c->fpr, rank), margin(DRAWS));
}
END_TEST

START_TEST(ties_only_lower_the_rate)
{
    const struct rate_case *c = &rate_cases[_i];
    for (int levels = 2; levels <= 50; levels += 16) {
        const outcome out = simulate(c, levels);
        ck_assert_double_le(out.mean, c->fpr + (c->confidence > 0.0 ? 0.0 : margin(DRAWS)));
        ck_assert_double_ge(out.kept, c->confidence - margin(DRAWS));
    }
}
END_TEST

START_TEST(the_rank_is_the_largest_that_keeps_the_promise)
{
    for (int64_t n = 1; n <= 300; n += 7)
        for (int f = 1; f <= 9; f++)
            for (int c = 1; c <= 9; c++) {
                const double fpr = 0.1 * f, confidence = 0.1 * c;
                const int64_t rank = jemi_conformal_rank(n, fpr, confidence);
                if (rank > 0)
                    ck_assert(binomial_tail(n, (long double)fpr, rank) >=
                              (long double)confidence - 1e-12L);
                if (rank < n)
                    ck_assert(binomial_tail(n, (long double)fpr, rank + 1) <
                              (long double)confidence + 1e-12L);
            }
}
END_TEST

// Sums of 10^6 terms whose first ones underflow.
START_TEST(ranks_of_many_rows)
{
    const int64_t n = 1000000;
    const double deviation = sqrt((double)n * 0.01 * 0.99);
    const double below = 10000.0 - (double)jemi_conformal_rank(n, 0.01, 0.975);
    NEAR(below / deviation, 1.96, 0.02); // the normal law, and the discreteness of ranks
}
END_TEST

START_TEST(the_least_number_of_rows)
{
    ck_assert_int_eq(jemi_conformal_least(0.05, 0.95), 59); // Wilks 1941
    ck_assert_int_eq(jemi_conformal_least(0.01, 0.95), 299);
    ck_assert_int_eq(jemi_conformal_least(0.05, 0.0), 19);
    ck_assert_int_eq(jemi_conformal_least(0.01, 0.0), 99);
    for (int f = 1; f < 50; f++)
        for (int c = 0; c < 10; c++) {
            const double fpr = 0.01 * f, confidence = 0.1 * c;
            const int64_t n = jemi_conformal_least(fpr, confidence);
            ck_assert_int_ge(jemi_conformal_rank(n, fpr, confidence), 1);
            ck_assert(n == 0 || jemi_conformal_rank(n - 1, fpr, confidence) < 1);
        }
}
END_TEST

START_TEST(p_values_are_valid)
{
    enum { N = 19 };
    float scores[N_MAX];
    double not_above[N + 2] = {0.0};
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        draw_scores(N, draw, _i, scores);
        float one[1];
        draw_scores(1, draw + DRAWS, _i, one);
        const jemi_conformal calibration = {N, scores};
        const double p = jemi_conformal_p_value(&calibration, one[0]);
        ck_assert(p >= 1.0 / (N + 1) && p <= 1.0);
        for (int k = 1; k <= N + 1; k++)
            not_above[k] += (p <= (k + 0.5) / (N + 1)) / (double)DRAWS;
    }
    for (int k = 1; k <= N + 1; k++) {
        ck_assert_double_le(not_above[k], (double)k / (N + 1) + margin(DRAWS));
        if (_i == 0) // exact without ties
            ck_assert_double_ge(not_above[k], (double)k / (N + 1) - margin(DRAWS));
    }
}
END_TEST

START_TEST(infinite_scores_are_scores)
{
    const float sorted[4] = {0.0f, 1.0f, INFINITY, INFINITY};
    const jemi_conformal calibration = {4, sorted};
    NEAR(jemi_conformal_p_value(&calibration, INFINITY), 3.0 / 5.0, 1e-12);
    NEAR(jemi_conformal_p_value(&calibration, 2.0f), 3.0 / 5.0, 1e-12);
    NEAR(jemi_conformal_p_value(&calibration, -1.0f), 1.0, 1e-12);
    ck_assert(jemi_conformal_threshold(&calibration, 3) == 1.0f);
}
END_TEST

// ---- tails -------------------------------------------------------------------------------------

START_TEST(surprise_counts_and_goes_on_beyond_the_sample)
{
    enum { N = 200 };
    float values[N];
    for (int i = 0; i < N; i++)
        values[i] = (float)((i * 37) % N); // 0 .. 199 in disorder
    jemi_tail tail = {0};
    MUST(jemi_tail_fit(&tail, N, values));
    NEAR(jemi_tail_surprise(&tail, 150.0f, false), log(201.0 / 51.0), 1e-12);
    NEAR(jemi_tail_surprise(&tail, -5.0f, false), 0.0, 1e-12);
    // The outer 10 values lie 4.5 + 1 on average above the one before them.
    NEAR(jemi_tail_surprise(&tail, 199.0f + 11.0f, false), log(201.0) + 2.0, 1e-6);
    NEAR(jemi_tail_surprise(&tail, -11.0f, true), log(201.0) + 2.0 - log(2.0), 1e-6);
    NEAR(jemi_tail_surprise(&tail, 100.0f, true), 0.0, 1e-12);
    ck_assert(isinf(jemi_tail_surprise(&tail, INFINITY, false)));
    jemi_tail_fini(&tail);
}
END_TEST

START_TEST(tails_without_variation)
{
    const float same[3] = {2.0f, 2.0f, 2.0f};
    jemi_tail tail = {0};
    MUST(jemi_tail_fit(&tail, 3, same));
    NEAR(jemi_tail_surprise(&tail, 2.0f, true), 0.0, 1e-12);
    const double beyond = jemi_tail_surprise(&tail, 2.1f, false);
    ck_assert(beyond > 1e4 && isfinite(beyond)); // and larger ones are more surprising
    ck_assert(jemi_tail_surprise(&tail, 2.2f, false) > beyond + 1e4);
    NEAR(jemi_tail_surprise(&tail, 1.9f, false), 0.0, 1e-12);
    jemi_tail_fini(&tail);
}
END_TEST

START_TEST(tails_of_infinite_values)
{
    const float values[3] = {0.0f, INFINITY, INFINITY};
    jemi_tail tail = {0};
    MUST(jemi_tail_fit(&tail, 3, values));
    ck_assert(isfinite(jemi_tail_surprise(&tail, INFINITY, true)));
    ck_assert(isfinite(jemi_tail_surprise(&tail, 1.0f, true)));
    jemi_tail_fini(&tail);
}
END_TEST

// ---- selection ---------------------------------------------------------------------------------

static int descending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

START_TEST(the_largest_of_many)
{
    float values[N_MAX], sorted[N_MAX];
    for (uint32_t draw = 0; draw < 50; draw++) {
        const int n = 1 + (int)draw * 7;
        const jemi_random_key key = jemi_random_key_make(draw, JEMI_RANDOM_CALIBRATION, 0);
        for (int i = 0; i < n; i++) // of both signs, with ties
            sorted[i] = values[i] =
                floorf(20.0f * jemi_unit_from_u32(jemi_random_u32(key, (uint32_t)i, 0, 0)) - 10.0f);
        qsort(sorted, (size_t)n, sizeof *sorted, descending);
        for (int k = 1; k <= n; k++) {
            jemi_largest heap = {.count = 0};
            jemi_largest_add(&heap, n, values, k);
            double sum = 0.0, expected = 0.0;
            for (int i = 0; i < k; i++) {
                sum += (double)heap.values[i];
                expected += (double)sorted[i];
            }
            ck_assert_int_eq(heap.count, k);
            ck_assert(heap.values[0] == sorted[k - 1] && sum == expected);
            ck_assert(jemi_kth_largest(n, values, k) == sorted[k - 1]);
        }
    }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, the_realised_rate_follows_its_beta_law, 0, N_RATES);
    tcase_add_loop_test(tcase, ties_only_lower_the_rate, 0, N_RATES);
    tcase_add_test(tcase, the_rank_is_the_largest_that_keeps_the_promise);
    tcase_add_test(tcase, ranks_of_many_rows);
    tcase_add_test(tcase, the_least_number_of_rows);
    tcase_add_loop_test(tcase, p_values_are_valid, 0, 4);
    tcase_add_test(tcase, infinite_scores_are_scores);
    tcase_add_test(tcase, surprise_counts_and_goes_on_beyond_the_sample);
    tcase_add_test(tcase, tails_without_variation);
    tcase_add_test(tcase, tails_of_infinite_values);
    tcase_add_test(tcase, the_largest_of_many);
}

int main(void)
{
    return support_main("conformal", add_tests);
}
