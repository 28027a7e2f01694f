/*
 * Metrics against wrong arguments: each gives JEM_EINVAL and a fresh message that names the
 * argument. A row's name is the call itself. What the figures are is test_metrics.c's, and
 * test_python_metrics.py's.
 */
#include <math.h>

#include "support.h"

enum { N = 4, CLASSES = 3, WIDTH = 3 };
static const int64_t too_many = (int64_t)INT32_MAX + 1;

static const float x[N * CLASSES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const float with_nan[N * CLASSES] = {0, 1, 2, 3, 4, 5, 6, NAN, 8, 9, 10, 11};
static const float with_inf[N * CLASSES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, INFINITY, 10, 11};
static const float loss[N] = {0, 1, 0.5f, 0};
static const int64_t labels[N] = {0, 1, 2, 0}, past_end[N] = {0, 1, 2, 3}, negative[N] = {0, -1};

START_TEST(test_classification)
{
    jem_classification m = {.struct_size = sizeof m}, no_size = {0};
#define TRY(n, classes, logits, labels, t, bins, out)                                              \
    jem_classification_metrics(n, classes, logits, labels, t, bins, out)
    MUST(TRY(N, 3, x, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "n is 0", TRY(0, 3, x, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "n is -1", TRY(-1, 3, x, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "n is 2147483648", TRY(too_many, 3, x, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "classes is 0", TRY(N, 0, x, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "classes is 100001", TRY(N, 100001, x, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "logits is NULL", TRY(N, 3, NULL, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "logits is nan at row 2, element 1",
            TRY(N, 3, with_nan, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "logits is inf at row 3", TRY(N, 3, with_inf, labels, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "labels is NULL", TRY(N, 3, x, NULL, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "labels is 3 at row 3", TRY(N, 3, x, past_end, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "labels is -1 at row 1", TRY(N, 3, x, negative, 1.0, 15, &m));
    REFUSED(JEM_EINVAL, "temperature is 0", TRY(N, 3, x, labels, 0.0, 15, &m));
    REFUSED(JEM_EINVAL, "temperature is -1", TRY(N, 3, x, labels, -1.0, 15, &m));
    REFUSED(JEM_EINVAL, "temperature is inf", TRY(N, 3, x, labels, INFINITY, 15, &m));
    REFUSED(JEM_EINVAL, "temperature is nan", TRY(N, 3, x, labels, NAN, 15, &m));
    REFUSED(JEM_EINVAL, "bins is 0", TRY(N, 3, x, labels, 1.0, 0, &m));
    REFUSED(JEM_EINVAL, "bins is 10001", TRY(N, 3, x, labels, 1.0, 10001, &m));
    REFUSED(JEM_EINVAL, "metrics is NULL", TRY(N, 3, x, labels, 1.0, 15, NULL));
    REFUSED(JEM_EINVAL, "jem_classification", TRY(N, 3, x, labels, 1.0, 15, &no_size));
#undef TRY
}
END_TEST

START_TEST(test_classification_intervals)
{
    jem_classification m = {.struct_size = sizeof m}, no_size = {0};
    jem_bootstrap_config b;
    MUST(jem_bootstrap_config_init(&b, sizeof b));
#define TRY(n, bins, config, low, high)                                                            \
    jem_classification_intervals(n, 3, x, labels, 1.0, bins, config, low, high)
    MUST(TRY(N, 15, &b, &m, &m));
    REFUSED(JEM_EINVAL, "n is 0", TRY(0, 15, &b, &m, &m));
    REFUSED(JEM_EINVAL, "bins is 0", TRY(N, 0, &b, &m, &m));
    REFUSED(JEM_EINVAL, "low is NULL", TRY(N, 15, &b, NULL, &m));
    REFUSED(JEM_EINVAL, "high is NULL", TRY(N, 15, &b, &m, NULL));
    REFUSED(JEM_EINVAL, "jem_classification", TRY(N, 15, &b, &no_size, &m));
    REFUSED(JEM_EINVAL, "jem_classification", TRY(N, 15, &b, &m, &no_size));
    b.resamples = 0;
    REFUSED(JEM_EINVAL, "resamples is 0", TRY(N, 15, &b, &m, &m));
    MUST(TRY(N, 15, NULL, &m, &m));
#undef TRY
}
END_TEST

START_TEST(test_reliability)
{
    int64_t count[15];
    double a[15], c[15];
#define TRY(labels, kind, bins, count, confidence, accuracy)                                       \
    jem_reliability(N, 3, x, labels, 1.0, kind, bins, count, confidence, accuracy)
    MUST(TRY(labels, JEM_BINS_WIDTH, 15, count, c, a));
    REFUSED(JEM_EINVAL, "labels is 3", TRY(past_end, JEM_BINS_WIDTH, 15, count, c, a));
    REFUSED(JEM_EINVAL, "kind of bins is 0", TRY(labels, 0, 15, count, c, a));
    REFUSED(JEM_EINVAL, "kind of bins is 3", TRY(labels, 3, 15, count, c, a));
    REFUSED(JEM_EINVAL, "bins is -1", TRY(labels, JEM_BINS_MASS, -1, count, c, a));
    REFUSED(JEM_EINVAL, "count is NULL", TRY(labels, JEM_BINS_MASS, 15, NULL, c, a));
    REFUSED(JEM_EINVAL, "confidence is NULL", TRY(labels, JEM_BINS_MASS, 15, count, NULL, a));
    REFUSED(JEM_EINVAL, "accuracy is NULL", TRY(labels, JEM_BINS_MASS, 15, count, c, NULL));
#undef TRY
}
END_TEST

START_TEST(test_detection)
{
    jem_detection m = {.struct_size = sizeof m}, no_size = {0};
    double area;
#define TRY(n_in, in, n_out, out, tpr, metrics)                                                    \
    jem_detection_metrics(n_in, in, n_out, out, tpr, metrics)
    MUST(TRY(N, with_inf, 10, with_inf, 1.0, &m));
    REFUSED(JEM_EINVAL, "n_in is 0", TRY(0, x, N, x, 0.95, &m));
    REFUSED(JEM_EINVAL, "n_out is -1", TRY(N, x, -1, x, 0.95, &m));
    REFUSED(JEM_EINVAL, "n_out is 2147483648", TRY(N, x, too_many, x, 0.95, &m));
    REFUSED(JEM_EINVAL, "scores_in is NULL", TRY(N, NULL, N, x, 0.95, &m));
    REFUSED(JEM_EINVAL, "scores_out is NULL", TRY(N, x, N, NULL, 0.95, &m));
    REFUSED(JEM_EINVAL, "scores_in is nan at row 7", TRY(8, with_nan, N, x, 0.95, &m));
    REFUSED(JEM_EINVAL, "scores_out is nan at row 7", TRY(N, x, 8, with_nan, 0.95, &m));
    REFUSED(JEM_EINVAL, "tpr is 0", TRY(N, x, N, x, 0.0, &m));
    REFUSED(JEM_EINVAL, "tpr is 1.5", TRY(N, x, N, x, 1.5, &m));
    REFUSED(JEM_EINVAL, "tpr is nan", TRY(N, x, N, x, NAN, &m));
    REFUSED(JEM_EINVAL, "metrics is NULL", TRY(N, x, N, x, 0.95, NULL));
    REFUSED(JEM_EINVAL, "jem_detection", TRY(N, x, N, x, 0.95, &no_size));
    REFUSED(JEM_EINVAL, "n_in is 0", jem_auroc(0, x, 2, x, &area));
    REFUSED(JEM_EINVAL, "n_out is -1", jem_auroc(2, x, -1, x, &area));
    REFUSED(JEM_EINVAL, "scores_in is NULL", jem_auroc(2, NULL, 2, x, &area));
    REFUSED(JEM_EINVAL, "scores_out is nan", jem_auroc(2, x, 8, with_nan, &area));
    REFUSED(JEM_EINVAL, "auroc is NULL", jem_auroc(2, x, 2, x, NULL));
#undef TRY
}
END_TEST

START_TEST(test_detection_intervals)
{
    jem_detection m = {.struct_size = sizeof m}, no_size = {0};
#define TRY(n_in, scores_out, tpr, low, high)                                                      \
    jem_detection_intervals(n_in, x, 8, scores_out, tpr, NULL, low, high)
    MUST(TRY(N, x, 0.95, &m, &m));
    REFUSED(JEM_EINVAL, "n_in is 0", TRY(0, x, 0.95, &m, &m));
    REFUSED(JEM_EINVAL, "scores_out is nan", TRY(N, with_nan, 0.95, &m, &m));
    REFUSED(JEM_EINVAL, "tpr is -1", TRY(N, x, -1.0, &m, &m));
    REFUSED(JEM_EINVAL, "low is NULL", TRY(N, x, 0.95, NULL, &m));
    REFUSED(JEM_EINVAL, "high is NULL", TRY(N, x, 0.95, &m, NULL));
    REFUSED(JEM_EINVAL, "jem_detection", TRY(N, x, 0.95, &no_size, &m));
    REFUSED(JEM_EINVAL, "jem_detection", TRY(N, x, 0.95, &m, &no_size));
#undef TRY
}
END_TEST

START_TEST(test_selection)
{
    jem_selection m = {.struct_size = sizeof m}, no_size = {0};
    static const float above[N] = {0, 1, 1.5f, 0}, below[N] = {0, -0.5f}, bad[N] = {NAN};
    MUST(jem_selective_metrics(N, x, loss, &m));
    REFUSED(JEM_EINVAL, "n is 0", jem_selective_metrics(0, x, loss, &m));
    REFUSED(JEM_EINVAL, "uncertainty is NULL", jem_selective_metrics(N, NULL, loss, &m));
    REFUSED(JEM_EINVAL, "uncertainty is nan at row 3",
            jem_selective_metrics(N, with_nan + 4, loss, &m));
    REFUSED(JEM_EINVAL, "loss is NULL", jem_selective_metrics(N, x, NULL, &m));
    REFUSED(JEM_EINVAL, "loss is 1.5 at row 2", jem_selective_metrics(N, x, above, &m));
    REFUSED(JEM_EINVAL, "loss is -0.5 at row 1", jem_selective_metrics(N, x, below, &m));
    REFUSED(JEM_EINVAL, "loss is nan at row 0", jem_selective_metrics(N, x, bad, &m));
    REFUSED(JEM_EINVAL, "metrics is NULL", jem_selective_metrics(N, x, loss, NULL));
    REFUSED(JEM_EINVAL, "jem_selection", jem_selective_metrics(N, x, loss, &no_size));
}
END_TEST

START_TEST(test_curves)
{
    int64_t n = 0;
    double a[16], b[16];
    MUST(jem_roc_curve(N, x, N, x + 4, 0, &n, NULL, NULL));
    ck_assert_int_eq(n, 9);
    n = 0;
    REFUSED(JEM_EINVAL, "room is 8; expected at least 9 points",
            jem_roc_curve(N, x, N, x + 4, 8, &n, a, b));
    ck_assert_int_eq(n, 9);
    MUST(jem_roc_curve(N, x, N, x + 4, 9, &n, a, b));
    REFUSED(JEM_EINVAL, "room is -1", jem_roc_curve(N, x, N, x, -1, &n, a, b));
    REFUSED(JEM_EINVAL, "n_points is NULL", jem_roc_curve(N, x, N, x, 9, NULL, a, b));
    REFUSED(JEM_EINVAL, "fpr is NULL", jem_roc_curve(N, x, N, x, 9, &n, NULL, b));
    REFUSED(JEM_EINVAL, "tpr is NULL", jem_roc_curve(N, x, N, x, 9, &n, a, NULL));
    REFUSED(JEM_EINVAL, "n_in is 0", jem_roc_curve(0, x, N, x, 9, &n, a, b));
    MUST(jem_risk_coverage_curve(N, x, loss, 0, &n, NULL, NULL));
    ck_assert_int_eq(n, 4);
    n = 0;
    REFUSED(JEM_EINVAL, "room is 3", jem_risk_coverage_curve(N, x, loss, 3, &n, a, b));
    ck_assert_int_eq(n, 4);
    MUST(jem_risk_coverage_curve(N, x, loss, 4, &n, a, b));
    REFUSED(JEM_EINVAL, "room is -9", jem_risk_coverage_curve(N, x, loss, -9, &n, a, b));
    REFUSED(JEM_EINVAL, "n_points", jem_risk_coverage_curve(N, x, loss, 4, NULL, a, b));
    REFUSED(JEM_EINVAL, "coverage is NULL", jem_risk_coverage_curve(N, x, loss, 4, &n, NULL, b));
    REFUSED(JEM_EINVAL, "risk is NULL", jem_risk_coverage_curve(N, x, loss, 4, &n, a, NULL));
    REFUSED(JEM_EINVAL, "loss is 2", jem_risk_coverage_curve(N, x, x, 4, &n, a, b));
}
END_TEST

START_TEST(test_samples)
{
    double a, b;
    REFUSED(JEM_EINVAL, "n_a is 0", jem_frechet_distance(0, x, N, x, WIDTH, &a));
    REFUSED(JEM_EINVAL, "n_b is -1", jem_frechet_distance(N, x, -1, x, WIDTH, &a));
    REFUSED(JEM_EINVAL, "a is NULL", jem_frechet_distance(N, NULL, N, x, WIDTH, &a));
    REFUSED(JEM_EINVAL, "b is nan at row 2", jem_frechet_distance(N, x, N, with_nan, WIDTH, &a));
    REFUSED(JEM_EINVAL, "a is inf", jem_frechet_distance(N, with_inf, N, x, WIDTH, &a));
    REFUSED(JEM_EINVAL, "width is 0", jem_frechet_distance(N, x, N, x, 0, &a));
    REFUSED(JEM_EINVAL, "width is 16385", jem_frechet_distance(N, x, N, x, 16385, &a));
    REFUSED(JEM_EINVAL, "distance is NULL", jem_frechet_distance(N, x, N, x, WIDTH, NULL));
    REFUSED(JEM_EINVAL, "n is 0", jem_inception_score(0, 3, x, &a));
    REFUSED(JEM_EINVAL, "classes is 0", jem_inception_score(N, 0, x, &a));
    REFUSED(JEM_EINVAL, "logits is NULL", jem_inception_score(N, 3, NULL, &a));
    REFUSED(JEM_EINVAL, "logits is nan", jem_inception_score(N, 3, with_nan, &a));
    REFUSED(JEM_EINVAL, "score is NULL", jem_inception_score(N, 3, x, NULL));
    MUST(jem_precision_recall(N, x, 2, x, WIDTH, 1, &a, &b));
    REFUSED(JEM_EINVAL, "n_real is 1", jem_precision_recall(1, x, N, x, WIDTH, 1, &a, &b));
    REFUSED(JEM_EINVAL, "n_samples is 0", jem_precision_recall(N, x, 0, x, WIDTH, 1, &a, &b));
    REFUSED(JEM_EINVAL, "real is NULL", jem_precision_recall(N, NULL, N, x, WIDTH, 1, &a, &b));
    REFUSED(JEM_EINVAL, "samples is nan",
            jem_precision_recall(N, x, N, with_nan, WIDTH, 1, &a, &b));
    REFUSED(JEM_EINVAL, "width is -1", jem_precision_recall(N, x, N, x, -1, 1, &a, &b));
    REFUSED(JEM_EINVAL, "k is 0; expected 1..3", jem_precision_recall(N, x, N, x, 3, 0, &a, &b));
    REFUSED(JEM_EINVAL, "k is 2; expected 1..1", jem_precision_recall(N, x, 2, x, 3, 2, &a, &b));
    REFUSED(JEM_EINVAL, "precision is NULL", jem_precision_recall(N, x, N, x, 3, 1, NULL, &b));
    REFUSED(JEM_EINVAL, "recall is NULL", jem_precision_recall(N, x, N, x, 3, 1, &a, NULL));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_classification);
    tcase_add_test(tcase, test_classification_intervals);
    tcase_add_test(tcase, test_reliability);
    tcase_add_test(tcase, test_detection);
    tcase_add_test(tcase, test_detection_intervals);
    tcase_add_test(tcase, test_selection);
    tcase_add_test(tcase, test_curves);
    tcase_add_test(tcase, test_samples);
}

int main(void)
{
    return support_main("metrics' arguments", add_tests);
}
