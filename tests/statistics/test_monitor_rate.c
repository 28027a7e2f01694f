/*
 * What a monitor promises of whole streams: false alarms ever, over many calibrations and streams of
 * more than 10^7 inputs in all, with few calibration scores, with ties, by two sides, within the
 * tolerance, of workers that are merged again and again; and in how many inputs it finds shifts, as
 * jem.h tells. The seeds are fixed: the same streams in every run.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

enum { PORTION = 250, N_MAX = 5000 };

// ---- laws of scores -----------------------------------------------------------------------------

static double uniform(uint64_t *random)
{
    return ((double)(support_next(random) >> 11) + 0.5) * 0x1p-53;
}

typedef float (*law)(uint64_t *random);

static float smooth(uint64_t *random)
{
    return (float)uniform(random);
}

static float ten_levels(uint64_t *random)
{
    return (float)floor(10.0 * uniform(random));
}

static float rarely_one(uint64_t *random)
{
    return (float)(uniform(random) < 0.03);
}

static float often_infinite(uint64_t *random)
{
    const double u = uniform(random);
    return u < 0.1 ? -INFINITY : u < 0.8 ? (float)u : INFINITY;
}

static float normal(uint64_t *random)
{
    const double radius = sqrt(-2.0 * log(uniform(random)));
    return (float)(radius * cos(2.0 * acos(-1.0) * uniform(random)));
}

// Of one deviation's 0.1 more, S grows by 0.04 at most.
static float within_tolerance(uint64_t *random)
{
    return normal(random) + 0.1f;
}

static void draw(uint64_t *random, law of, int64_t n, float *scores)
{
    for (int64_t i = 0; i < n; i++)
        scores[i] = of(random);
}

static jem_monitor *calibrated(uint64_t *random, law of, int64_t n,
                               const jem_monitor_config *config)
{
    static float scores[N_MAX];
    jem_monitor *monitor;
    draw(random, of, n, scores);
    MUST(jem_monitor_create(&monitor, config, n, scores));
    return monitor;
}

// ---- false alarms -------------------------------------------------------------------------------

static const struct rate_case {
    const char *name;
    law calibration, stream;
    double alpha, tolerance;
    int32_t two_sided;
    int n, streams, portions; /* calibration scores; streams of so many portions */
} rate_cases[] = {
    {"one score", smooth, smooth, 0.2, 0.0, 0, 1, 1000, 10},
    {"five scores", smooth, smooth, 0.2, 0.0, 0, 5, 1000, 10},
    {"twenty scores", smooth, smooth, 0.2, 0.0, 0, 20, 1000, 10},
    {"hundred scores", smooth, smooth, 0.2, 0.0, 0, 100, 1000, 10},
    {"hundred scores, two sides", smooth, smooth, 0.2, 0.0, 1, 100, 1000, 10},
    {"ten levels", ten_levels, ten_levels, 0.2, 0.0, 0, 50, 1000, 10},
    {"two levels", rarely_one, rarely_one, 0.2, 0.0, 0, 200, 1000, 10},
    {"infinities, two sides", often_infinite, often_infinite, 0.2, 0.0, 1, 60, 1000, 10},
    {"within the tolerance", normal, within_tolerance, 0.2, 0.04, 0, 1000, 500, 20},
    {"the defaults", normal, normal, 0.01, 0.0, 0, 1000, 100, 100},
    {"long streams", normal, normal, 0.05, 0.0, 0, 300, 10, 4000},
};

// Counts of independent events of probability p exceed this once in 10^9 tests (normal limit).
static double most_events(double p, int n)
{
    return p * n + SUPPORT_Z * sqrt(p * (1.0 - p) * n) + 1.0;
}

static int32_t watch(jem_monitor *monitor, uint64_t *random, law of, int portions)
{
    float scores[PORTION];
    int32_t alarm = 0;
    for (int p = 0; p < portions; p++) {
        draw(random, of, PORTION, scores);
        MUST(jem_monitor_update(monitor, PORTION, scores, &alarm));
    }
    return alarm;
}

START_TEST(false_alarms)
{
    const struct rate_case *c = &rate_cases[_i];
    uint64_t random = 100 + (uint64_t)_i;
    jem_monitor_config config;
    MUST(jem_monitor_config_init(&config, sizeof config));
    config.alpha = c->alpha;
    config.tolerance = c->tolerance;
    config.two_sided = c->two_sided;
    int alarms = 0;
    for (int s = 0; s < c->streams; s++) {
        jem_monitor *monitor = calibrated(&random, c->calibration, c->n, &config);
        alarms += watch(monitor, &random, c->stream, c->portions);
        jem_monitor_destroy(monitor);
    }
    const double most = most_events(c->alpha, c->streams);
    printf("%-26s n %4d: %3d of %4d streams of %7d inputs, alpha %.2f\n", c->name, c->n, alarms,
           c->streams, c->portions * PORTION, c->alpha);
    ck_assert_msg(alarms <= most, "%d false alarms, more than %g", alarms, most);
}
END_TEST

// A monitor that collects sixteen workers after every portion.
START_TEST(false_alarms_of_workers)
{
    enum { STREAMS = 300, WORKERS = 16, ROUNDS = 5 };
    uint64_t random = 7;
    jem_monitor_config config;
    MUST(jem_monitor_config_init(&config, sizeof config));
    config.alpha = 0.2;
    int alarms = 0;
    for (int s = 0; s < STREAMS; s++) {
        jem_monitor *all = calibrated(&random, smooth, 20, &config), *workers[WORKERS];
        uint8_t bytes[JEM_MONITOR_SNAPSHOT_BYTES];
        jem_monitor_info info = {.struct_size = sizeof info};
        MUST(jem_monitor_snapshot(all, sizeof bytes, bytes));
        for (int w = 0; w < WORKERS; w++)
            MUST(jem_monitor_restore(&workers[w], sizeof bytes, bytes));
        for (int round = 0; round < ROUNDS; round++) {
            for (int w = 0; w < WORKERS; w++)
                watch(workers[w], &random, smooth, 1);
            MUST(jem_monitor_merge(all, WORKERS, workers));
        }
        MUST(jem_monitor_get_info(all, &info));
        alarms += info.alarm;
        for (int w = 0; w < WORKERS; w++)
            jem_monitor_destroy(workers[w]);
        jem_monitor_destroy(all);
    }
    printf("%d of %d merged monitors, alpha 0.20\n", alarms, STREAMS);
    ck_assert(alarms <= most_events(config.alpha, STREAMS));
}
END_TEST

// ---- delays -------------------------------------------------------------------------------------

static float every_fifth_beyond(uint64_t *random)
{
    return uniform(random) < 0.2 ? 100.0f : normal(random);
}

static float every_twentieth_beyond(uint64_t *random)
{
    return uniform(random) < 0.05 ? 100.0f : normal(random);
}

static float two_deviations(uint64_t *random)
{
    return normal(random) + 2.0f;
}

static float one_deviation(uint64_t *random)
{
    return normal(random) + 1.0f;
}

static float half_a_deviation(uint64_t *random)
{
    return normal(random) + 0.5f;
}

enum { SHIFTED_STREAMS = 200, EARLY = 10000, LATE = 100000, N_FEW = 1000, N_MANY = 5000 };

// The table of jem.h, in its order.
static const struct shift {
    const char *name;
    law after;
    int told[4]; /* early with few and many calibration scores, late with few and many */
} shifts[] = {
    {"20 % beyond all scores", every_fifth_beyond, {45, 35, 50, 40}},
    {"5 % beyond all scores", every_twentieth_beyond, {350, 160, 420, 180}},
    {"mean + 2 deviations", two_deviations, {18, 17, 22, 20}},
    {"mean + 1 deviation", one_deviation, {75, 65, 90, 75}},
    {"mean + 1/2 deviation", half_a_deviation, {380, 280, 430, 320}},
};
enum { N_SHIFTS = COUNT(shifts) };

static int delays[4][N_SHIFTS][SHIFTED_STREAMS];

// Inputs from here to the alarm; -1 when it has been raised before. The monitor is left as it is.
static int delay(const jem_monitor *monitor, uint64_t random, law after)
{
    uint8_t bytes[JEM_MONITOR_SNAPSHOT_BYTES];
    jem_monitor *copy;
    jem_monitor_info info = {.struct_size = sizeof info};
    MUST(jem_monitor_get_info(monitor, &info));
    const int64_t seen = info.n_seen;
    if (info.alarm == 1)
        return -1;
    MUST(jem_monitor_snapshot(monitor, sizeof bytes, bytes));
    MUST(jem_monitor_restore(&copy, sizeof bytes, bytes));
    for (int p = 0; p < 400 && info.alarm == 0; p++) {
        watch(copy, &random, after, 1);
        MUST(jem_monitor_get_info(copy, &info));
    }
    jem_monitor_destroy(copy);
    return info.alarm == 1 ? (int)(info.alarm_at - seen) : INT32_MAX;
}

static void measure(int n, int column, int stream)
{
    uint64_t random = 1000 * (uint64_t)stream + (uint64_t)n;
    jem_monitor *monitor = calibrated(&random, normal, n, NULL);
    watch(monitor, &random, normal, EARLY / PORTION);
    for (int k = 0; k < N_SHIFTS; k++)
        delays[column][k][stream] = delay(monitor, random, shifts[k].after);
    watch(monitor, &random, normal, (LATE - EARLY) / PORTION);
    for (int k = 0; k < N_SHIFTS; k++)
        delays[column + 2][k][stream] = delay(monitor, random, shifts[k].after);
    jem_monitor_destroy(monitor);
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

START_TEST(delays_are_as_told)
{
    for (int stream = 0; stream < SHIFTED_STREAMS; stream++) {
        measure(N_FEW, 0, stream);
        measure(N_MANY, 1, stream);
    }
    for (int k = 0; k < N_SHIFTS; k++)
        for (int c = 0; c < 4; c++) {
            int *of = delays[c][k];
            qsort(of, SHIFTED_STREAMS, sizeof *of, compare_ints);
            const int median = of[SHIFTED_STREAMS / 2];
            printf("%-24s at %6d, n = %d: %5d inputs, %5d in one of ten streams\n", shifts[k].name,
                   c < 2 ? EARLY : LATE, c % 2 == 0 ? N_FEW : N_MANY, median,
                   of[SHIFTED_STREAMS * 9 / 10]);
            const int told = shifts[k].told[c];
            ck_assert_msg(median <= told && 10 * median >= 8 * told, "told %d", told);
        }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, false_alarms, 0, COUNT(rate_cases));
    tcase_add_test(tcase, false_alarms_of_workers);
    tcase_add_test(tcase, delays_are_as_told);
}

int main(void)
{
    return support_main("monitor_rate", add);
}
