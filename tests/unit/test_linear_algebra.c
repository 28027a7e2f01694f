/*
 * Products, Cholesky factors and eigenvalues against their definitions: A = L L^T, L y = x,
 * A v = lambda v, orthonormal v; known spectra; the same bits at any thread count.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/environment.h"
#include "base/linear_algebra.h"
#include "base/threads.h"
#include "support.h"

static double *filled(int64_t count, uint64_t seed)
{
    float *values = support_uniform(count, seed);
    double *wide = malloc((size_t)count * sizeof *wide);
    for (int64_t i = 0; i < count; i++)
        wide[i] = values[i];
    free(values);
    return wide;
}

// X^T X / n of n rows: of rank min(n, d).
static double *gram(int64_t n, int64_t d, uint64_t seed)
{
    double *x = filled(n * d, seed), *a = malloc((size_t)(d * d) * sizeof *a);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++) {
            double sum = 0.0;
            for (int64_t r = 0; r < n; r++)
                sum += x[r * d + i] * x[r * d + j];
            a[i * d + j] = sum / (double)n;
        }
    free(x);
    return a;
}

static double *copied(const double *a, int64_t count)
{
    double *copy = malloc((size_t)count * sizeof *copy);
    memcpy(copy, a, (size_t)count * sizeof *copy);
    return copy;
}

// ---- products and factors -----------------------------------------------------------------------

START_TEST(test_dot)
{
    for (int64_t n = 0; n < 40; n++) {
        double *a = filled(n + 1, 1), *b = filled(n + 1, 2), sum = 0.0;
        for (int64_t k = 0; k < n; k++)
            sum += a[k] * b[k];
        NEAR(jemi_dot(n, a, b), sum, 1e-14);
        free(a);
        free(b);
    }
}
END_TEST

static void check_product(int64_t rows, int64_t inner, int64_t columns, bool transposed, bool lower)
{
    double *a = filled(rows * inner, 3), *b = filled(inner * columns, 4);
    double *c = filled(rows * columns, 5), *before = copied(c, rows * columns);
    const int64_t a_row = transposed ? 1 : inner, a_inner = transposed ? rows : 1;
    jemi_product_add(&(jemi_product){rows, inner, columns, a, a_row, a_inner, b, c, lower});
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            double sum = before[i * columns + j];
            for (int64_t k = 0; k < inner && (!lower || j <= i); k++)
                sum += a[i * a_row + k * a_inner] * b[k * columns + j];
            NEAR(c[i * columns + j], sum, 1e-13);
        }
    free(a);
    free(b);
    free(c);
    free(before);
}

START_TEST(test_products)
{
    for (int form = 0; form < 4; form++) {
        check_product(5, 7, 5, form & 1, form & 2);
        check_product(1, 1, 1, form & 1, form & 2);
        check_product(70, 135, 70, form & 1, form & 2);
    }
    check_product(3, 66, 200, false, false);
}
END_TEST

START_TEST(test_cholesky)
{
    static const int64_t sizes[] = {1, 2, 3, 9, 40, 300};
    for (int s = 0; s < COUNT(sizes); s++) {
        const int64_t n = sizes[s];
        double *a = gram(2 * n + 5, n, 7), *l = copied(a, n * n), *x = filled(n, 8);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i + 1; j < n; j++)
                l[i * n + j] = NAN; // nobody looks there
        ck_assert(jemi_cholesky(n, l));
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++)
                NEAR(jemi_dot(j + 1, l + i * n, l + j * n), a[i * n + j], 1e-14);
        double *y = copied(x, n);
        jemi_solve_lower(n, l, y);
        for (int64_t i = 0; i < n; i++)
            NEAR(jemi_dot(i + 1, l + i * n, y), x[i], 1e-12);
        free(a);
        free(l);
        free(x);
        free(y);
    }
}
END_TEST

START_TEST(test_not_positive_definite)
{
    double indefinite[] = {1.0, 2.0, 2.0, 1.0}, zero[] = {0.0}, with_nan[] = {NAN};
    double negative[] = {-1.0}, infinite[] = {INFINITY};
    ck_assert(!jemi_cholesky(2, indefinite));
    ck_assert(!jemi_cholesky(1, zero) && !jemi_cholesky(1, negative));
    ck_assert(!jemi_cholesky(1, with_nan) && !jemi_cholesky(1, infinite));
    ck_assert(jemi_cholesky(0, NULL));
}
END_TEST

// ---- eigenvalues --------------------------------------------------------------------------------

static double largest(const double *values, int64_t n)
{
    return fmax(fmax(fabs(values[0]), fabs(values[n - 1])), DBL_MIN);
}

// A v = lambda v and orthonormal v, to some n units in the last place of the largest value.
static void check_eigen(int64_t n, const double *a, const char *name)
{
    double *values = malloc((size_t)n * sizeof *values), *alone = malloc((size_t)n * sizeof *alone);
    double *vectors = malloc((size_t)(n * n) * sizeof *vectors);
    double *used = copied(a, n * n), *again = copied(a, n * n);
    MUST(jemi_symmetric_eigen(n, used, values, vectors));
    MUST(jemi_symmetric_eigen(n, again, alone, NULL));
    support_same_bits(values, alone, (size_t)n * sizeof *values, name);
    const double tolerance = 10.0 * (double)(n + 3) * DBL_EPSILON;
    for (int64_t k = 0; k < n; k++) {
        const double *v = vectors + k * n;
        ck_assert_msg(k == 0 || values[k] >= values[k - 1], "%s: not ascending", name);
        for (int64_t i = 0; i < n; i++)
            NEAR((jemi_dot(n, a + i * n, v) - values[k] * v[i]) / largest(values, n), 0.0,
                 tolerance);
        for (int64_t j = 0; j <= k; j++)
            NEAR(jemi_dot(n, v, vectors + j * n), j == k, tolerance);
    }
    free(values);
    free(alone);
    free(vectors);
    free(used);
    free(again);
}

START_TEST(test_eigen_random)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 17, 60, 150};
    for (int s = 0; s < COUNT(sizes); s++) {
        const int64_t n = sizes[s];
        double *full = gram(2 * n, n, 11), *singular = gram(n / 3 + 1, n, 12);
        double *indefinite = filled(n * n, 13);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < i; j++)
                indefinite[i * n + j] = indefinite[j * n + i];
        check_eigen(n, full, "positive definite");
        check_eigen(n, singular, "singular");
        check_eigen(n, indefinite, "indefinite");
        free(full);
        free(singular);
        free(indefinite);
    }
}
END_TEST

// Matrices on which a solver may divide by 0, underflow or never end.
START_TEST(test_eigen_special)
{
    enum { N = 12 };
    static const struct {
        const char *name;
        double diagonal, first, beside, scale; // element (0, 0) is `first`
    } rows[] = {
        {"zero", 0, 0, 0, 1},
        {"one", 1, 1, 0, 1},
        {"equal elements", 1, 1, 1, 1},
        {"only off the diagonal", 0, 0, 1, 1},
        {"nearly diagonal", 1, 2, 1e-9, 1},
        {"one large", 1, 1e200, 1e-3, 1},
        {"tiny", 2, 3, 1, 1e-300},
        {"huge", 2, 3, 1, 1e306},
        {"near the largest", 1e308, 1.5e308, 0, 1},
        {"negative", -2, -5, -1, 1},
        {"below the square root of the least", 1e-170, 1, 1e-170, 1},
    };
    for (int r = 0; r < COUNT(rows); r++) {
        double a[N * N];
        for (int i = 0; i < N * N; i++)
            a[i] = rows[r].scale * (i % (N + 1) == 0 ? rows[r].diagonal : rows[r].beside);
        a[0] = rows[r].scale * rows[r].first;
        check_eigen(N, a, rows[r].name);
    }
}
END_TEST

// The second difference has the eigenvalues 2 - 2 cos(pi k / (n + 1)).
START_TEST(test_eigen_known)
{
    enum { N = 100 };
    static double a[N * N], values[N];
    for (int i = 0; i < N; i++) {
        a[i * N + i] = 2.0;
        if (i > 0)
            a[i * N + i - 1] = a[(i - 1) * N + i] = -1.0;
    }
    MUST(jemi_symmetric_eigen(N, a, values, NULL));
    for (int k = 1; k <= N; k++)
        NEAR(values[k - 1], 2.0 - 2.0 * cos(acos(-1.0) * k / (N + 1.0)), 1e-14);
    double diagonal[] = {3.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 2.0}, vectors[9];
    MUST(jemi_symmetric_eigen(3, diagonal, values, vectors));
    ck_assert(values[0] == -1.0 && values[1] == 2.0 && values[2] == 3.0); // exactly
    ck_assert(fabs(vectors[1]) == 1.0 && fabs(vectors[5]) == 1.0 && fabs(vectors[6]) == 1.0);
    MUST(jemi_symmetric_eigen(0, NULL, values, NULL));
}
END_TEST

static uint64_t bits_of(int64_t n, int threads)
{
    support_threads(threads);
    jemi_environment_enter();
    double *a = gram(n + 20, n, 21), *vectors = malloc((size_t)(n * n) * sizeof *vectors);
    double *values = malloc((size_t)n * sizeof *values), *l = copied(a, n * n);
    double *c = copied(a, n * n);
    jemi_product_add(&(jemi_product){n, n, n, a, n, 1, l, c, false});
    ck_assert(jemi_cholesky(n, l));
    MUST(jemi_symmetric_eigen(n, a, values, vectors));
    const uint64_t hash = support_hash(vectors, (size_t)(n * n) * sizeof *vectors) ^
                          3 * support_hash(values, (size_t)n * sizeof *values) ^
                          5 * support_hash(l, (size_t)(n * n) * sizeof *l) ^
                          7 * support_hash(c, (size_t)(n * n) * sizeof *c);
    jemi_environment_leave();
    free(a);
    free(vectors);
    free(values);
    free(l);
    free(c);
    return hash;
}

START_TEST(test_bits_at_any_thread_count)
{
    const uint64_t one = bits_of(600, 1);
    ck_assert_uint_eq(bits_of(600, 2), one);
    ck_assert_uint_eq(bits_of(600, 5), one);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_dot);
    tcase_add_test(tcase, test_products);
    tcase_add_test(tcase, test_cholesky);
    tcase_add_test(tcase, test_not_positive_definite);
    tcase_add_test(tcase, test_eigen_random);
    tcase_add_test(tcase, test_eigen_special);
    tcase_add_test(tcase, test_eigen_known);
    tcase_add_test(tcase, test_bits_at_any_thread_count);
}

int main(void)
{
    return support_main("linear algebra", add_tests);
}
