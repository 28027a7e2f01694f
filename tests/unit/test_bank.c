/*
 * Banks of unit vectors: what a search finds, against a walk over all of them.
 */
#include <math.h>
#include <stdlib.h>

#include "detect/bank.h"
#include "support.h"

enum { RANK = 20, STRIDE = 32, N_MAX = 6000 };

static float *x; // (N_MAX, STRIDE), of length 1 in their first RANK elements
static int64_t chosen[N_MAX];

// `clusters` directions with noise around them; 0: no direction is more frequent than others.
static void set_up(int clusters)
{
    float *values = support_uniform(N_MAX * STRIDE, 3), *centres = support_uniform(64 * RANK, 4);
    x = values;
    for (int64_t i = 0; i < N_MAX; i++) {
        float *row = x + i * STRIDE;
        double square = 0.0;
        for (int e = 0; e < RANK && clusters > 0; e++)
            row[e] = centres[i % clusters * RANK + e] + 0.3f * row[e];
        for (int e = 0; e < RANK; e++)
            square += (double)row[e] * (double)row[e];
        for (int e = 0; e < RANK; e++)
            row[e] = (float)((double)row[e] / sqrt(square));
        chosen[i] = i;
    }
    free(centres);
}

static jemi_bank build(int64_t n)
{
    jemi_bank bank = {0};
    MUST(jemi_bank_build(&bank, &(jemi_bank_rows){n, RANK, STRIDE, x, chosen}));
    ck_assert_int_eq(bank.n, n);
    return bank;
}

static int descending(const void *a, const void *b)
{
    const double p = *(const double *)a, q = *(const double *)b;
    return (p < q) - (p > q);
}

static double by_walking(int64_t n, const float *unit, int64_t k)
{
    double *all = malloc((size_t)n * sizeof *all);
    for (int64_t i = 0; i < n; i++) {
        all[i] = 0.0;
        for (int e = 0; e < RANK; e++)
            all[i] += (double)unit[e] * (double)x[i * STRIDE + e];
    }
    qsort(all, (size_t)n, sizeof *all, descending);
    const double found = all[(k < n ? k : n) - 1];
    free(all);
    return found;
}

// A bank of one cell is searched whole.
START_TEST(small_banks_are_exact)
{
    const int64_t counts[] = {1, 15, 16, 17, 128, 129, 1000, JEMI_BANK_WHOLE};
    set_up(0);
    for (int c = 0; c < COUNT(counts); c++) {
        jemi_bank bank = build(counts[c]);
        ck_assert_int_eq(bank.n_cells, 1);
        for (int64_t k = 1; k <= 20; k += 6)
            for (int64_t i = 5000; i < 5020; i++)
                NEAR(jemi_bank_similarity(&bank, x + i * STRIDE, k),
                     by_walking(counts[c], x + i * STRIDE, k), 1e-6);
        jemi_bank_fini(&bank);
    }
    free(x);
}
END_TEST

// Members find themselves; of others the nearest is mostly found, and nothing nearer than it.
START_TEST(large_banks_find_almost_the_nearest)
{
    const int64_t n = 5000, k = _i == 0 ? 1 : 10;
    double worst = 0.0, sum = 0.0;
    set_up(40);
    jemi_bank bank = build(n);
    ck_assert_int_gt(bank.n_cells, 30);
    for (int64_t i = 0; i < n; i += 7)
        NEAR(jemi_bank_similarity(&bank, x + i * STRIDE, 1), 1.0, 1e-6);
    for (int64_t i = n; i < N_MAX; i++) {
        const double lost = by_walking(n, x + i * STRIDE, k) -
                            (double)jemi_bank_similarity(&bank, x + i * STRIDE, k);
        ck_assert(lost > -1e-6);
        worst = lost > worst ? lost : worst;
        sum += lost;
    }
    ck_assert_msg(sum / (N_MAX - n) < 0.002 && worst < 0.05, "mean %g, worst %g", sum / (N_MAX - n),
                  worst);
    jemi_bank_fini(&bank);
    free(x);
}
END_TEST

// Also where the cells that are visited first hold fewer.
START_TEST(as_many_neighbours_as_asked_for)
{
    set_up(0);
    jemi_bank bank = build(5000);
    for (int64_t k = 1; k <= 1000; k += 111)
        ck_assert(jemi_bank_similarity(&bank, x + 5500 * STRIDE, k) <=
                  (float)by_walking(5000, x + 5500 * STRIDE, k) + 1e-6f);
    ck_assert(jemi_bank_similarity(&bank, x + 5500 * STRIDE, 1000) > 0.0f);
    jemi_bank_fini(&bank);
    free(x);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, small_banks_are_exact);
    tcase_add_loop_test(tcase, large_banks_find_almost_the_nearest, 0, 2);
    tcase_add_test(tcase, as_many_neighbours_as_asked_for);
}

int main(void)
{
    return support_main("bank", add_tests);
}
