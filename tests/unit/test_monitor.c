/*
 * The monitor: its limits against binomial sums, bets that gain nothing under the worst law that the
 * limits allow, streams cut into any calls, snapshots, workers, and what is refused. What it promises
 * of whole streams is in tests/statistics/test_monitor_rate.c; test_python_monitor.py has its formula.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/claim.h"
#include "detect/binomial.h"
#include "detect/monitor.h"
#include "io/digest.h"
#include "support.h"

enum { N = 200, STREAM = 500, SIZE = JEM_MONITOR_SNAPSHOT_BYTES };

static float *calibration, *stream;
static jem_monitor *monitor;

static jem_monitor *make(double alpha, int32_t two_sided)
{
    jem_monitor_config config;
    jem_monitor *made;
    MUST(jem_monitor_config_init(&config, sizeof config));
    config.alpha = alpha;
    config.two_sided = two_sided;
    MUST(jem_monitor_create(&made, &config, N, calibration));
    return made;
}

static void set_up(void)
{
    calibration = support_uniform(N, 1);
    stream = support_uniform(STREAM, 2);
    monitor = make(0.01, 0);
}

static void tear_down(void)
{
    jem_monitor_destroy(monitor);
    free(stream);
    free(calibration);
}

static jem_monitor_info info_of(const jem_monitor *of)
{
    jem_monitor_info info = {.struct_size = sizeof info};
    MUST(jem_monitor_get_info(of, &info));
    return info;
}

static void expect_equal(const jem_monitor *a, const jem_monitor *b, const char *what)
{
    uint8_t bytes[2][SIZE];
    MUST(jem_monitor_snapshot(a, SIZE, bytes[0]));
    MUST(jem_monitor_snapshot(b, SIZE, bytes[1]));
    support_same_bits(bytes[0], bytes[1], SIZE, what);
}

static bool feed_all(jem_monitor *to, int64_t n, float score)
{
    int32_t alarm = 0;
    for (int64_t i = 0; i < n; i++)
        MUST(jem_monitor_update(to, 1, &score, &alarm));
    return alarm == 1;
}

// ---- limits and bets ----------------------------------------------------------------------------

// P(Binomial(n, p) <= k), summed from pmf ratios in long double.
static long double binomial_cdf(int64_t n, long double p, int64_t k)
{
    long double pmf = powl(1.0L - p, (long double)n), sum = pmf;
    for (int64_t i = 0; i < k; i++) {
        pmf *= (long double)(n - i) / (long double)(i + 1) * p / (1.0L - p);
        sum += pmf;
    }
    return sum;
}

START_TEST(test_limits)
{
    static const int64_t sizes[] = {1, 2, 15, 16, 17, 100, 999, 5000};
    static const double levels[] = {0.5, 0.1, 1e-3, 1e-8};
    for (int s = 0; s < COUNT(sizes); s++)
        for (int l = 0; l < COUNT(levels); l++)
            for (int64_t k = 0; k < sizes[s]; k = 2 * k + 1) {
                const double p = jemi_binomial_limit(sizes[s], k, levels[l]);
                const double at = (double)binomial_cdf(sizes[s], p, k) / levels[l];
                const double before = (double)binomial_cdf(sizes[s], p - 4e-15, k) / levels[l];
                ck_assert_msg(at < 1.0 + 1e-10 && before > 1.0 - 1e-10, "n %d k %d: %.12g %.12g",
                              (int)sizes[s], (int)k, at, before);
            }
}
END_TEST

// The level of each edge, where it lies, and that the largest n is not too much for it.
START_TEST(test_law)
{
    const jemi_monitor_side *side = &monitor->law.sides[0];
    static const int64_t ranks[] = {1, 3, 6, 12, 25, 50, 100};
    ck_assert_int_eq(side->n, COUNT(ranks));
    for (int j = 0; j < COUNT(ranks); j++) {
        int64_t not_below = 0;
        for (int64_t i = 0; i < N; i++)
            not_below += (double)calibration[i] >= side->edges[j];
        ck_assert_int_eq(not_below, ranks[j]);
        NEAR(side->bounds[j], jemi_binomial_limit(N, ranks[j] - 1, 0.005 / COUNT(ranks)), 1e-12);
    }
    NEAR(jemi_binomial_limit(INT32_MAX, INT32_MAX / 2, 0.001), 0.5 + 3.0902 * 0.5 / 46341, 1e-8);
}
END_TEST

// After a stream: the mean evidence of a next score whose law is at the limits is the evidence now
// but for what the weights leave, which is negative and known.
START_TEST(test_worst_law_gains_nothing)
{
    MUST(jem_monitor_update(monitor, STREAM, stream, NULL));
    const jemi_monitor_side *side = &monitor->law.sides[0];
    const double t = STREAM + 1, u = 1.0 / log(M_E + t), w = u * u / (M_E + t);
    const double now = exp(info_of(monitor).log_evidence) - 1.0 / log(M_E + STREAM);
    double mean = 0.0;
    uint8_t bytes[SIZE];
    MUST(jem_monitor_snapshot(monitor, SIZE, bytes));
    for (int64_t j = 0; j <= side->n; j++) {
        jem_monitor *next;
        const double part =
            (j < side->n ? side->bounds[j] : 1.0) - (j > 0 ? side->bounds[j - 1] : 0.0);
        const float score =
            j > 0 ? (float)side->edges[j - 1] : INFINITY; // an edge is not above itself
        MUST(jem_monitor_restore(&next, SIZE, bytes));
        MUST(jem_monitor_update(next, 1, &score, NULL));
        mean += part * exp(info_of(next).log_evidence);
        jem_monitor_destroy(next);
    }
    NEAR(mean, now + w + u, 1e-12);
    ck_assert(w + u < 1.0 / log(M_E + STREAM));
}
END_TEST

// Edges that tie are one, with the limit of the highest.
START_TEST(test_ties)
{
    jem_monitor *tied;
    for (int i = 0; i < N; i++)
        calibration[i] = (float)(i % 4 == 0);
    MUST(jem_monitor_create(&tied, NULL, N, calibration));
    const jemi_monitor_side *side = &tied->law.sides[0];
    ck_assert_int_eq(side->n, 2);
    ck_assert(side->edges[0] == 1.0 && side->edges[1] == 0.0);
    NEAR(side->bounds[0], jemi_binomial_limit(N, 0, 0.005 / 7), 1e-12);
    NEAR(side->bounds[1], jemi_binomial_limit(N, 99, 0.005 / 7), 1e-12);
    jem_monitor_destroy(tied);
}
END_TEST

START_TEST(test_infinite_scores)
{
    jem_monitor *both;
    for (int i = 0; i < N; i++)
        calibration[i] = i % 3 == 0 ? INFINITY : i % 3 == 1 ? -INFINITY : 0.0f;
    MUST(jem_monitor_create(&both, NULL, N, calibration));
    ck_assert(!feed_all(both, 1000, INFINITY) || info_of(both).alarm_at > 10);
    jem_monitor_destroy(both);
    ck_assert(feed_all(monitor, 20, INFINITY));
    feed_all(monitor, 100000, INFINITY);
    ck_assert(isfinite(info_of(monitor).log_evidence) && info_of(monitor).log_evidence > 500.0);
}
END_TEST

START_TEST(test_two_sides)
{
    jem_monitor *two = make(0.01, 1);
    ck_assert_int_eq(info_of(two).two_sided, 1);
    ck_assert(!feed_all(monitor, 200, -2.0f));
    ck_assert(feed_all(two, 30, -2.0f));
    MUST(jem_monitor_reset(two));
    ck_assert(feed_all(two, 30, 2.0f));
    jem_monitor_destroy(two);
}
END_TEST

// ---- streams ------------------------------------------------------------------------------------

START_TEST(test_any_calls)
{
    jem_monitor *twin = make(0.01, 0);
    MUST(jem_monitor_update(monitor, STREAM, stream, NULL));
    for (int64_t at = 0, n; at < STREAM; at += n) {
        n = 1 + at % 7 < STREAM - at ? 1 + at % 7 : STREAM - at;
        MUST(jem_monitor_update(twin, n, stream + at, NULL));
        MUST(jem_monitor_update(twin, 0, NULL, NULL));
    }
    expect_equal(monitor, twin, "a stream in portions");
    ck_assert_int_eq(info_of(twin).n_seen, STREAM);
    MUST(jem_monitor_reset(twin));
    jem_monitor *fresh = make(0.01, 0);
    expect_equal(fresh, twin, "after a reset");
    jem_monitor_destroy(fresh);
    jem_monitor_destroy(twin);
}
END_TEST

typedef struct received {
    int count;
    jem_monitor *monitor;
    jem_monitor_info info;
    uint8_t bytes[SIZE];
} received;

static void receive(void *user, const jem_monitor_info *info)
{
    received *to = user;
    to->count++;
    to->info = *info;
    MUST(jem_monitor_snapshot(to->monitor, SIZE, to->bytes));
}

START_TEST(test_alarm_once)
{
    received to = {.monitor = monitor};
    MUST(jem_monitor_set_alarm(monitor, receive, &to));
    ck_assert(feed_all(monitor, 50, 2.0f));
    ck_assert_int_eq(to.count, 1);
    const jem_monitor_info info = info_of(monitor);
    ck_assert_int_eq(to.info.n_seen, to.info.alarm_at);
    ck_assert_int_eq(info.alarm_at, to.info.alarm_at);
    ck_assert(to.info.log_evidence >= info.log_threshold);
    NEAR(info.log_threshold, log(200.0), 1e-14);
    // Back to what is usual: the evidence falls, the alarm stays.
    ck_assert(feed_all(monitor, 1000, -1.0f));
    ck_assert(info_of(monitor).log_evidence < 0.0 && info_of(monitor).log_evidence_max > 5.0);
    jem_monitor *restored;
    MUST(jem_monitor_restore(&restored, SIZE, to.bytes));
    MUST(jem_monitor_set_alarm(restored, receive, &to));
    ck_assert(feed_all(restored, 5, 2.0f));
    ck_assert_int_eq(to.count, 1);
    MUST(jem_monitor_reset(restored));
    to.monitor = restored;
    ck_assert(feed_all(restored, 50, 2.0f));
    ck_assert_int_eq(to.count, 2);
    jem_monitor_destroy(restored);
}
END_TEST

// ---- snapshots ----------------------------------------------------------------------------------

START_TEST(test_snapshot_goes_on)
{
    uint8_t bytes[SIZE];
    jem_monitor *restored, *original = make(0.05, 1);
    MUST(jem_monitor_update(original, STREAM / 2, stream, NULL));
    MUST(jem_monitor_snapshot(original, SIZE, bytes));
    MUST(jem_monitor_restore(&restored, SIZE, bytes));
    expect_equal(original, restored, "a restored monitor");
    MUST(jem_monitor_update(original, STREAM / 2, stream + STREAM / 2, NULL));
    MUST(jem_monitor_update(restored, STREAM / 2, stream + STREAM / 2, NULL));
    expect_equal(original, restored, "a restored monitor that went on");
    jem_monitor_destroy(restored);
    jem_monitor_destroy(original);
}
END_TEST

static void expect_bad(uint8_t *bytes, size_t size, const char *word)
{
    jem_monitor *out = monitor;
    REFUSED(JEM_EFORMAT, word, jem_monitor_restore(&out, size, bytes));
    ck_assert_ptr_null(out);
}

// Writes a word and the digest that goes with it.
static void forge(uint8_t *bytes, size_t word, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        bytes[8 * word + (size_t)i] = (uint8_t)(value >> 8 * i);
    const uint64_t digest = jemi_digest(0, bytes, SIZE - 8);
    for (int i = 0; i < 8; i++)
        bytes[SIZE - 8 + i] = (uint8_t)(digest >> 8 * i);
}

START_TEST(test_bad_snapshots)
{
    uint8_t good[SIZE], bytes[SIZE];
    MUST(jem_monitor_update(monitor, STREAM, stream, NULL));
    MUST(jem_monitor_snapshot(monitor, SIZE, good));
    for (size_t i = 0; i < SIZE; i++) {
        memcpy(bytes, good, SIZE);
        bytes[i] ^= (uint8_t)(1 << i % 8);
        expect_bad(bytes, SIZE, i < 8 ? "no snapshot" : "digest");
    }
    memcpy(bytes, good, SIZE);
    expect_bad(bytes, SIZE - 1, "2047");
    expect_bad(bytes, 0, "0; expected");
    forge(bytes, 1, 2);
    expect_bad(bytes, SIZE, "format 2; expected 1");
}
END_TEST

// With a digest that fits: no number that could lead out of an array or spoil the arithmetic.
START_TEST(test_forged_snapshots)
{
    static const uint64_t values[] = {0x7ff8000000000000,
                                      0x7ff0000000000000,
                                      0xfff0000000000000,
                                      UINT64_MAX,
                                      (uint64_t)INT64_MAX,
                                      1,
                                      0,
                                      0xbff0000000000000};
    uint8_t good[SIZE], bytes[SIZE];
    jem_monitor *two = make(0.01, 1);
    MUST(jem_monitor_snapshot(two, SIZE, good));
    jem_monitor_destroy(two);
    int refused = 0;
    for (size_t word = 2; word < SIZE / 8 - 1; word++)
        for (int v = 0; v < COUNT(values); v++) {
            jem_monitor *out;
            memcpy(bytes, good, SIZE);
            forge(bytes, word, values[v]);
            const jem_status status = jem_monitor_restore(&out, SIZE, bytes);
            ck_assert(status == JEM_OK || status == JEM_EFORMAT);
            if (status == JEM_OK) {
                MUST(jem_monitor_update(out, STREAM, stream, NULL));
                ck_assert(isfinite(info_of(out).log_evidence));
            }
            refused += status != JEM_OK;
            jem_monitor_destroy(out);
        }
    ck_assert_int_gt(refused, 800);
}
END_TEST

// ---- workers ------------------------------------------------------------------------------------

START_TEST(test_merge_is_the_mean)
{
    jem_monitor *workers[3] = {make(0.01, 0), make(0.01, 0), make(0.01, 0)};
    double mean = 0.0;
    for (int i = 0; i < 3; i++) {
        const int64_t n = 100 * (i + 1);
        MUST(jem_monitor_update(workers[i], n, stream + i, NULL));
        feed_all(workers[i], 2, 2.0f);
        mean += (exp(info_of(workers[i]).log_evidence) - 1.0 / log(M_E + (double)n + 2.0)) / 3.0;
    }
    MUST(jem_monitor_merge(monitor, 3, workers));
    NEAR(exp(info_of(monitor).log_evidence), mean + 1.0 / log(M_E + 606.0), 1e-12);
    ck_assert_int_eq(info_of(monitor).n_seen, 606);
    ck_assert_int_eq(info_of(monitor).alarm, 0);
    jem_monitor *one = make(0.01, 0);
    MUST(jem_monitor_merge(one, 1, &workers[1]));
    MUST(jem_monitor_merge(workers[1], 1, &workers[1]));
    ck_assert(info_of(one).log_evidence == info_of(workers[1]).log_evidence);
    MUST(jem_monitor_merge(one, 0, NULL));
    ck_assert_int_eq(info_of(one).n_seen, 202);
    jem_monitor_destroy(one);
    for (int i = 0; i < 3; i++)
        jem_monitor_destroy(workers[i]);
}
END_TEST

// The alarm of one of two is not yet theirs; what the collecting monitor has seen stays seen.
START_TEST(test_merge_alarm)
{
    jem_monitor *workers[2] = {make(0.01, 0), make(0.01, 0)};
    received to = {.monitor = monitor};
    MUST(jem_monitor_set_alarm(monitor, receive, &to));
    while (info_of(workers[0]).alarm == 0)
        feed_all(workers[0], 1, 2.0f);
    MUST(jem_monitor_merge(monitor, 2, workers));
    ck_assert_int_eq(info_of(monitor).alarm, 0);
    feed_all(workers[0], 3, 2.0f);
    MUST(jem_monitor_merge(monitor, 2, workers));
    ck_assert_int_eq(to.count, 1);
    ck_assert_int_eq(to.info.alarm_at, info_of(workers[0]).n_seen);
    const double largest = info_of(monitor).log_evidence_max;
    MUST(jem_monitor_reset(workers[0]));
    MUST(jem_monitor_merge(monitor, 2, workers));
    ck_assert(info_of(monitor).alarm == 1 && info_of(monitor).log_evidence_max == largest);
    ck_assert_int_eq(to.count, 1);
    jem_monitor_destroy(workers[0]);
    jem_monitor_destroy(workers[1]);
}
END_TEST

START_TEST(test_merge_refuses_others)
{
    jem_monitor *before = make(0.01, 0), *other_alpha = make(0.02, 0);
    calibration[3] = 0.999999f;
    jem_monitor *other_rows = make(0.01, 0);
    feed_all(before, 1, 2.0f);
    feed_all(monitor, 1, 2.0f);
    REFUSED(JEM_EMISMATCH, "calibration",
            jem_monitor_merge(monitor, 2, (jem_monitor *[]){before, other_alpha}));
    REFUSED(JEM_EMISMATCH, "calibration",
            jem_monitor_merge(monitor, 2, (jem_monitor *[]){before, other_rows}));
    REFUSED(JEM_EINVAL, "worker", jem_monitor_merge(monitor, 2, (jem_monitor *[]){before, NULL}));
    expect_equal(monitor, before, "a monitor that could not merge");
    jem_monitor_destroy(other_rows);
    jem_monitor_destroy(other_alpha);
    jem_monitor_destroy(before);
}
END_TEST

// ---- refusals -----------------------------------------------------------------------------------

START_TEST(test_arguments)
{
    jem_monitor *out = monitor;
    uint8_t bytes[SIZE];
    jem_monitor_info info = {.struct_size = sizeof info};
    REFUSED(JEM_EINVAL, "out", jem_monitor_create(NULL, NULL, N, calibration));
    REFUSED(JEM_EINVAL, "n is 0", jem_monitor_create(&out, NULL, 0, calibration));
    ck_assert_ptr_null(out);
    REFUSED(JEM_EINVAL, "calibration_scores", jem_monitor_create(&out, NULL, N, NULL));
    REFUSED(JEM_EINVAL, "monitor", jem_monitor_update(NULL, N, stream, NULL));
    REFUSED(JEM_EINVAL, "n is -1", jem_monitor_update(monitor, -1, stream, NULL));
    REFUSED(JEM_EINVAL, "scores", jem_monitor_update(monitor, N, NULL, NULL));
    REFUSED(JEM_EINVAL, "monitor", jem_monitor_get_info(NULL, &info));
    REFUSED(JEM_EINVAL, "info", jem_monitor_get_info(monitor, NULL));
    REFUSED(JEM_EINVAL, "size is 5", jem_monitor_snapshot(monitor, 5, bytes));
    REFUSED(JEM_EINVAL, "bytes", jem_monitor_snapshot(monitor, SIZE, NULL));
    REFUSED(JEM_EINVAL, "bytes", jem_monitor_restore(&out, SIZE, NULL));
    REFUSED(JEM_EINVAL, "workers", jem_monitor_merge(monitor, 1, NULL));
    REFUSED(JEM_EINVAL, "monitor", jem_monitor_merge(NULL, 0, NULL));
    REFUSED(JEM_EINVAL, "monitor", jem_monitor_reset(NULL));
    REFUSED(JEM_EINVAL, "monitor", jem_monitor_set_alarm(NULL, NULL, NULL));
    jem_monitor_destroy(NULL);
}
END_TEST

START_TEST(test_nan_takes_nothing)
{
    jem_monitor *twin = make(0.01, 0), *out;
    stream[STREAM - 1] = NAN;
    REFUSED(JEM_EINVAL, "scores[499] is NaN", jem_monitor_update(monitor, STREAM, stream, NULL));
    expect_equal(monitor, twin, "a monitor that was given a NaN");
    jem_monitor_destroy(twin);
    calibration[7] = NAN;
    REFUSED(JEM_EINVAL, "calibration_scores[7]", jem_monitor_create(&out, NULL, N, calibration));
}
END_TEST

typedef struct holder {
    jemi_claim *claim;
    pthread_barrier_t taken, done;
} holder;

static void *hold(void *user)
{
    holder *h = user;
    MUST(jemi_claim_take(h->claim, "monitor"));
    pthread_barrier_wait(&h->taken);
    pthread_barrier_wait(&h->done);
    jemi_claim_release(h->claim);
    return NULL;
}

START_TEST(test_busy)
{
    holder h = {.claim = &monitor->claim};
    jem_monitor_info info = {.struct_size = sizeof info};
    jem_monitor *twin = make(0.01, 0);
    uint8_t bytes[SIZE];
    pthread_t thread;
    pthread_barrier_init(&h.taken, NULL, 2);
    pthread_barrier_init(&h.done, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, hold, &h), 0);
    pthread_barrier_wait(&h.taken);
    REFUSED(JEM_EBUSY, "monitor", jem_monitor_update(monitor, STREAM, stream, NULL));
    REFUSED(JEM_EBUSY, "monitor", jem_monitor_get_info(monitor, &info));
    REFUSED(JEM_EBUSY, "monitor", jem_monitor_snapshot(monitor, SIZE, bytes));
    REFUSED(JEM_EBUSY, "monitor", jem_monitor_reset(monitor));
    REFUSED(JEM_EBUSY, "monitor", jem_monitor_set_alarm(monitor, NULL, NULL));
    REFUSED(JEM_EBUSY, "monitor", jem_monitor_merge(monitor, 1, &twin));
    REFUSED(JEM_EBUSY, "monitor", jem_monitor_merge(twin, 1, &monitor));
    pthread_barrier_wait(&h.done);
    pthread_join(thread, NULL);
    expect_equal(monitor, twin, "a monitor that was busy");
    jem_monitor_destroy(twin);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_limits);
    tcase_add_test(tcase, test_law);
    tcase_add_test(tcase, test_worst_law_gains_nothing);
    tcase_add_test(tcase, test_ties);
    tcase_add_test(tcase, test_infinite_scores);
    tcase_add_test(tcase, test_two_sides);
    tcase_add_test(tcase, test_any_calls);
    tcase_add_test(tcase, test_alarm_once);
    tcase_add_test(tcase, test_snapshot_goes_on);
    tcase_add_test(tcase, test_bad_snapshots);
    tcase_add_test(tcase, test_forged_snapshots);
    tcase_add_test(tcase, test_merge_is_the_mean);
    tcase_add_test(tcase, test_merge_alarm);
    tcase_add_test(tcase, test_merge_refuses_others);
    tcase_add_test(tcase, test_arguments);
    tcase_add_test(tcase, test_nan_takes_nothing);
    tcase_add_test(tcase, test_busy);
}

int main(void)
{
    return support_main("monitor", add);
}
