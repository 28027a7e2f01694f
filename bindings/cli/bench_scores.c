/*
 * The detector is fitted to so many rows that its bank is full, or as many as a slow network gives
 * in some seconds.
 */
#include "bench_scores.h"

#include <math.h>
#include <stdlib.h>

#include "groups.h"
#include "median.h"
#include "shuffle.h"

enum { ROWS_MAX = 8000, ROWS_MIN = 400, BATCH_MAX = 64 };

typedef struct bench {
    const cli_bench_score *asked;
    const jem_model *model;
    jem_model_info info;
    jem_detector *detector; // NULL: none is needed
    int64_t n;              // rows
    float *x, *y;           // inputs; logits and scores of a batch
    jem_verdict *verdicts;
    double *seconds, *logits_seconds; // of each run
} bench;

// ---- preparation -------------------------------------------------------------------------------

static bool needs_detector(const cli_bench_score *asked)
{
    jem_score_info info = {.struct_size = sizeof info};
    return asked->detects ||
           (jem_score_get_info(asked->kind, &info) == JEM_OK && info.source == JEM_SOURCE_FEATURES);
}

static int64_t largest_batch(const bench *b)
{
    return b->asked->batch > 0 ? b->asked->batch : BATCH_MAX;
}

static int64_t count_rows(const bench *b)
{
    const double affordable = 4e11 / (double)(b->info.macs > 0 ? b->info.macs : 1);
    const int64_t n = affordable < ROWS_MIN   ? ROWS_MIN
                      : affordable > ROWS_MAX ? ROWS_MAX
                                              : (int64_t)affordable;
    const int64_t batch = largest_batch(b);
    return needs_detector(b->asked) && n > batch ? n : batch;
}

static cli_status allocate(bench *b, cli_error *err)
{
    const int64_t batch = largest_batch(b);
    b->n = count_rows(b);
    CLI_TRY(cli_alloc(&b->x, b->n * b->info.input_size, sizeof *b->x, err));
    CLI_TRY(cli_alloc(&b->y, batch * (b->info.classes + 1), sizeof *b->y, err));
    CLI_TRY(cli_alloc(&b->verdicts, batch, sizeof *b->verdicts, err));
    CLI_TRY(cli_alloc(&b->seconds, b->asked->runs, sizeof *b->seconds, err));
    CLI_TRY(cli_alloc(&b->logits_seconds, b->asked->runs, sizeof *b->logits_seconds, err));
    cli_random random = {1};
    for (int64_t i = 0; i < b->n * b->info.input_size; i++)
        b->x[i] =
            b->info.input_low + cli_random_unit(&random) * (b->info.input_high - b->info.input_low);
    return CLI_OK;
}

// Nobody looks at what it says, so it may be calibrated by the rows that it was fitted to.
static cli_status make_detector(bench *b, cli_error *err)
{
    jem_detector_config config;
    if (!needs_detector(b->asked))
        return CLI_OK;
    CLI_TRY(cli_jem(err, jem_detector_config_init(&config, sizeof config)));
    config.fpr = 0.1;
    if (!b->asked->detects)
        config.kinds = (uint64_t)1 << b->asked->kind;
    CLI_TRY(cli_jem_usage(err, jem_detector_create(&b->detector, b->model, &config, NULL)));
    CLI_TRY(cli_jem(err, jem_detector_fit(b->detector, b->model, b->n, b->x, NULL, NULL, NULL)));
    const int64_t some = b->n < 1000 ? b->n : 1000;
    return cli_jem(err,
                   jem_detector_calibrate(b->detector, b->model, some, b->x, NULL, NULL, NULL));
}

// ---- measurement -------------------------------------------------------------------------------

static jem_status run_once(const bench *b, int64_t n)
{
    if (b->asked->detects)
        return jem_detect(b->detector, b->model, n, b->x, b->verdicts, sizeof *b->verdicts);
    if (b->detector != NULL)
        return jem_detector_score(b->detector, b->model, b->asked->kind, n, b->x, b->y);
    return jem_score(b->model, b->asked->kind, NULL, n, b->x, b->y);
}

static cli_status measure(bench *b, int64_t n, cli_error *err)
{
    for (int64_t i = -1; i < b->asked->runs; i++) { // the first is not counted
        const double begin = cli_seconds();
        CLI_TRY(cli_jem(err, jem_logits(b->model, n, b->x, b->y)));
        const double middle = cli_seconds();
        CLI_TRY(cli_jem(err, run_once(b, n)));
        if (i < 0)
            continue;
        b->logits_seconds[i] = middle - begin;
        b->seconds[i] = cli_seconds() - middle;
    }
    cli_sort(b->seconds, b->asked->runs);
    cli_sort(b->logits_seconds, b->asked->runs);
    return CLI_OK;
}

static cli_status add_row(bench *b, int64_t n, cli_table *table, cli_error *err)
{
    const int64_t runs = b->asked->runs;
    char name[32];
    CLI_TRY(measure(b, n, err));
    const double median = cli_median(b->seconds, runs);
    const double logits = cli_median(b->logits_seconds, runs);
    snprintf(name, sizeof name, "%lld", (long long)n);
    cli_table_row(table, name,
                  (const double[]){1e3 * median, 1e3 * b->seconds[(99 * runs + 99) / 100 - 1],
                                   (double)n / median, 1e3 * logits, median / logits},
                  3);
    return CLI_OK;
}

static cli_status run_all(bench *b, cli_report *report, cli_error *err)
{
    static const char *const columns[] = {"p50_ms", "p99_ms", "rows_per_s", "logits_ms", "ratio"};
    cli_table table;
    CLI_TRY(allocate(b, err));
    CLI_TRY(make_detector(b, err));
    cli_table_begin(&table, report, "batches", "rows", 5, columns);
    if (b->asked->batch > 0)
        return add_row(b, b->asked->batch, &table, err);
    CLI_TRY(add_row(b, 1, &table, err));
    return add_row(b, BATCH_MAX, &table, err);
}

cli_status cli_bench_scores(cli_report *report, const jem_model *model,
                            const cli_bench_score *asked, cli_error *err)
{
    bench b = {.asked = asked, .model = model};
    cli_status status = cli_model_info(model, &b.info, err);
    if (status == CLI_OK)
        status = run_all(&b, report, err);
    void *const blocks[] = {b.x, b.y, b.verdicts, b.seconds, b.logits_seconds};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        free(blocks[i]);
    jem_detector_destroy(b.detector);
    return status;
}
