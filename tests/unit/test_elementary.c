/*
 * Elementary functions against the C library's, which is as good as exact. That they have the same
 * bits everywhere is bits/same_bits.c's to show.
 */
#include <float.h>
#include <math.h>

#include "base/elementary.h"
#include "support.h"

// Four units in the last place.
static const double tolerance = 4 * DBL_EPSILON;

static void compare(const char *name, double x, double found, double expected)
{
    ck_assert_msg(fabs(found - expected) <= tolerance * fabs(expected), "%s(%a) = %a, not %a", name,
                  x, found, expected);
}

START_TEST(test_exp)
{
    for (int i = -70800; i <= 70900; i++)
        compare("exp", 0.01 * i, jemi_exp(0.01 * i), exp(0.01 * i));
    for (int k = 1; k < 60; k++)
        compare("exp", ldexp(-1.0, -k), jemi_exp(ldexp(-1.0, -k)), exp(ldexp(-1.0, -k)));
    ck_assert(jemi_exp(0.0) == 1.0);
    ck_assert(jemi_exp(-708.5) == 0.0 && jemi_exp(-DBL_MAX) == 0.0);
    ck_assert(jemi_exp(-(double)INFINITY) == 0.0);
    ck_assert(jemi_exp(710.0) == (double)INFINITY &&
              jemi_exp((double)INFINITY) == (double)INFINITY);
    ck_assert(isnan(jemi_exp((double)NAN)));
}
END_TEST

START_TEST(test_ln)
{
    for (int i = 1; i <= 100000; i++)
        compare("ln", 0.01 * i, jemi_ln(0.01 * i), log(0.01 * i));
    for (int e = -1022; e <= 1023; e++)
        compare("ln", ldexp(1.4, e), jemi_ln(ldexp(1.4, e)), log(ldexp(1.4, e)));
    for (int k = 1; k <= 52; k++)
        compare("ln", 1.0 + ldexp(1.0, -k), jemi_ln(1.0 + ldexp(1.0, -k)), log1p(ldexp(1.0, -k)));
    ck_assert(jemi_ln(1.0) == 0.0);
    ck_assert(jemi_ln((double)INFINITY) == (double)INFINITY && isnan(jemi_ln((double)NAN)));
}
END_TEST

START_TEST(test_power)
{
    ck_assert(jemi_power(0.0, 0) == 1.0 && jemi_power(0.0, 3) == 0.0 && jemi_power(0.9, 1) == 0.9);
    ck_assert(jemi_power(3.0, 20) == 3486784401.0 && jemi_power(0.5, 1000) == ldexp(1.0, -1000));
    for (int n = 0; n <= 3000; n++)
        NEAR(jemi_power(0.999, n), pow(0.999, n), n * DBL_EPSILON * pow(0.999, n));
    NEAR(jemi_power(0.999, INT64_MAX), 0.0, 0.0);
}
END_TEST

START_TEST(test_half_cosine)
{
    for (int i = 0; i <= 10000; i++)
        NEAR(jemi_half_cosine(1e-4 * i), 0.5 * (1.0 + cos(acos(-1.0) * 1e-4 * i)), tolerance);
    ck_assert(jemi_half_cosine(0.0) == 1.0 && jemi_half_cosine(1.0) == 0.0);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_exp);
    tcase_add_test(tcase, test_ln);
    tcase_add_test(tcase, test_power);
    tcase_add_test(tcase, test_half_cosine);
}

int main(void)
{
    return support_main("elementary functions", add_tests);
}
