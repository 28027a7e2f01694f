/*
 * The metrics of a classifier against numbers that numpy has computed from the same logits; all
 * that use threads by any number of them. The other figures are test_python_metrics.py's.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/environment.h"
#include "detect/metrics.h"

#include "support.h"

enum { ROWS = 40, CLASSES = 3 };

// Confidences all over 0.35 .. 0.99, none nearer to the border of a bin than 0.0002.
// clang-format off
static const float logits[ROWS * CLASSES] = {
    -1.043f, -1.722f, -0.323f, 0.547f, 1.477f, 0.143f,
    -0.718f, -1.02f, 0.973f, 2.125f, 0.355f, -1.603f,
    -1.246f, 2.08f, 0.264f, -2.252f, -0.109f, -1.512f,
    -0.818f, -0.634f, -0.927f, 0.719f, -0.082f, -0.766f,
    0.533f, 1.079f, -2.136f, -0.334f, -1.275f, -0.225f,
    -1.676f, 0.027f, -0.049f, -0.396f, -1.362f, -0.515f,
    -1.419f, -1.762f, 0.292f, -1.442f, 1.521f, 0.932f,
    -2.597f, 0.354f, -1.432f, 0.043f, 0.057f, -2.585f,
    -0.303f, -0.333f, 1.251f, -1.536f, 0.959f, -1.429f,
    -0.431f, -1.093f, 1.883f, 0.739f, 3.161f, 0.834f,
    1.098f, 1.093f, -0.789f, -0.091f, 1.756f, -0.516f,
    0.245f, -0.028f, 0.792f, -0.474f, -0.198f, 0.315f,
    0.134f, -1.124f, 1.165f, -1.688f, -1.561f, -1.667f,
    1.257f, -0.469f, -1.262f, -1.477f, 0.547f, -1.371f,
    -1.654f, 0.798f, -1.556f, -0.419f, -0.009f, -0.579f,
    -0.07f, 1.74f, -0.672f, -1.637f, -2.388f, -0.266f,
    -0.458f, 0.345f, -0.604f, -0.622f, -0.938f, -0.676f,
    0.208f, -0.494f, 0.131f, 2.472f, 0.623f, -2.049f,
    2.254f, 0.452f, -1.224f, 1.179f, 0.023f, -0.8f,
    -0.824f, -1.291f, 0.063f, 1.389f, -0.423f, 0.547f,
};
static const int64_t labels[ROWS] = {
    2, 1, 2, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 2, 1, 2, 1,
    0, 1, 2, 2, 2, 2, 0, 1, 1, 2, 1, 2, 1, 0, 1, 0, 0, 0, 2, 2,
};
// clang-format on

/*
 * In numpy, with l and y as above:
 *
 *     p = exp(l); p /= p.sum(1, keepdims=True); c = p.max(1); hit = p.argmax(1) == y
 *     bin = digitize(c, linspace(0, 1, 16)[1:-1])
 *     ece = sum(abs((c[bin == k] - hit[bin == k]).sum()) for k in range(15)) / 40
 *
 * Bins shifted by half a bin would give 0.14574.
 */
START_TEST(test_figures)
{
    jem_classification metrics = {.struct_size = sizeof metrics};
    MUST(jem_classification_metrics(ROWS, CLASSES, logits, labels, 1.0, 15, &metrics));
    NEAR(metrics.accuracy, 0.775, 1e-12);
    NEAR(metrics.nll, 0.6418480727324062, 1e-6);
    NEAR(metrics.brier, 0.35078021524770625, 1e-6);
    NEAR(metrics.ece, 0.13842839027387918, 1e-6);
}
END_TEST

// Two rows at the lower and the upper end of each bin that two classes can have, one right, one wrong:
// their misses cancel in part only where both are counted into the same bin.
START_TEST(test_single_bins)
{
    for (int bin = 8; bin < 15; bin++) {
        const double low = ((double)bin + 0.05) / 15.0, high = ((double)bin + 0.95) / 15.0;
        const float rows[] = {0.0f, (float)log(low / (1.0 - low)), 0.0f,
                              (float)log(high / (1.0 - high))};
        const int64_t right_wrong[] = {1, 0};
        jem_classification metrics = {.struct_size = sizeof metrics};
        MUST(jem_classification_metrics(2, 2, rows, right_wrong, 1.0, 15, &metrics));
        NEAR(metrics.ece, fabs(low - 1.0 + high) / 2.0, 1e-6);
    }
}
END_TEST

enum {
    N = 400,
    WIDTH = 70,
    FIGURES = 2 * (sizeof(jem_classification) + sizeof(jem_detection)) + 24
};

// Everything that is shared among threads, as bytes.
static void compute_all(int threads, const float *x, unsigned char figures[FIGURES])
{
    int64_t classes[N];
    for (int i = 0; i < N; i++)
        classes[i] = i % WIDTH;
    const jemi_labelled_logits judged = {N, WIDTH, 9, x, classes, 1.0};
    const jemi_detection_scores scores = {N, 3 * N, x, x + N};
    const jemi_features a = {N, WIDTH, x}, b = {N / 2, WIDTH, x + N * WIDTH};
    jem_bootstrap_config config;
    MUST(jem_bootstrap_config_init(&config, sizeof config));
    config.resamples = 201;
    jem_classification c[2] = {{0}};
    jem_detection d[2] = {{0}};
    double samples[3];
    support_threads(threads);
    jemi_environment_enter();
    MUST(jemi_classification_intervals(&judged, &config, &c[0], &c[1]));
    MUST(jemi_detection_intervals(&scores, 0.95, &config, &d[0], &d[1]));
    MUST(jemi_frechet_distance(&a, &b, &samples[0]));
    MUST(jemi_precision_recall(&a, &b, 4, &samples[1], &samples[2]));
    jemi_environment_leave();
    memcpy(figures, c, sizeof c);
    memcpy(figures + sizeof c, d, sizeof d);
    memcpy(figures + sizeof c + sizeof d, samples, sizeof samples);
}

START_TEST(test_bits_at_any_thread_count)
{
    unsigned char by_one[FIGURES], by_more[FIGURES];
    float *x = support_uniform(2 * N * WIDTH, 5);
    for (int i = 0; i < 4 * N; i++)
        x[i] = roundf(8.0f * x[i]) / 8.0f; // ties
    compute_all(1, x, by_one);
    for (int threads = 2; threads <= 7; threads += 5) {
        compute_all(threads, x, by_more);
        support_same_bits(by_one, by_more, sizeof by_one, "figures");
    }
    free(x);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_figures);
    tcase_add_test(tcase, test_single_bins);
    tcase_add_test(tcase, test_bits_at_any_thread_count);
}

int main(void)
{
    return support_main("metrics", add_tests);
}
