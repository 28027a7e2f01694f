/*
 * Distances to the nearest of several means under a covariance that they share.
 */
#include <math.h>

#include "detect/tied_gaussian.h"
#include "support.h"

enum { RANK = 2, STRIDE = 16, ROWS = 6, CLASSES = 3 };

// Two classes with rows around (0, 0) and (10, 0), a third without.
static jemi_tied_gaussian fit(float scale)
{
    static const float at[ROWS][RANK] = {{-1, 1}, {1, 1}, {0, -2}, {9, -1}, {11, -1}, {10, 2}};
    static const int64_t labels[ROWS] = {0, 0, 0, 1, 1, 1};
    float x[ROWS * STRIDE] = {0};
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < RANK; k++)
            x[i * STRIDE + k] = scale * at[i][k];
    jemi_tied_gaussian gaussian = {0};
    MUST(jemi_tied_gaussian_fit(&gaussian, CLASSES,
                                &(jemi_labelled_rows){ROWS, RANK, STRIDE, x, labels}));
    return gaussian;
}

static double distance_to(const jemi_tied_gaussian *gaussian, float a, float b)
{
    const float x[STRIDE] = {a, b};
    float mapped[STRIDE];
    jemi_linear_map_run(&gaussian->map, 1, x, mapped);
    return jemi_tied_gaussian_distance(gaussian, mapped);
}

START_TEST(the_nearest_mean_counts)
{
    jemi_tied_gaussian gaussian = fit(1.0f);
    NEAR(distance_to(&gaussian, 0.0f, 0.0f), 0.0, 1e-5);
    NEAR(distance_to(&gaussian, 10.0f, 0.0f), 0.0, 1e-4);
    const double beside = distance_to(&gaussian, 1.0f, 0.0f);
    ck_assert(beside > 0.3 && beside < 3.0); // the variances are 2/3 and 2, before they are shrunk
    NEAR(distance_to(&gaussian, 11.0f, 0.0f), beside, 1e-4);
    jemi_tied_gaussian_fini(&gaussian);
}
END_TEST

// Whatever overflows on the way is infinitely far, not 0.
START_TEST(far_points_are_far)
{
    jemi_tied_gaussian gaussian = fit(1e-12f);
    for (float x = 1.0f; x < 1e38f; x *= 10.0f) {
        ck_assert(distance_to(&gaussian, x, 0.0f) > 1e20);
        ck_assert(distance_to(&gaussian, -x, x) > 1e20);
    }
    jemi_tied_gaussian_fini(&gaussian);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, the_nearest_mean_counts);
    tcase_add_test(tcase, far_points_are_far);
}

int main(void)
{
    return support_main("tied_gaussian", add_tests);
}
