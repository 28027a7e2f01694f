/*
 * jem bench: how long an operation takes, and which share of the machine's arithmetic it uses.
 * The count of floating-point operations is that of the direct algorithm, stated in the help.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_beside.h"
#include "bench_layers.h"
#include "bench_scores.h"
#include "bench_tune.h"
#include "commands.h"
#include "groups.h"
#include "median.h"
#include "peak.h"
#include "report.h"
#include "score_names.h"
#include "shuffle.h"

enum { OP_LOGITS = 1, OP_GRAD, OP_SGLD, OP_TRAIN, OP_SCORE, OP_DETECT };

typedef struct args_t {
    const char *arch, *shape, *isa;
    int32_t op;
    int64_t batch, classes, runs, sgld_steps, beside;
    bool layers, tune, json;
    cli_exec_args exec;
    const char *kernel, *kind;
} args_t;

static const cli_choice ops[] = {
    {"logits", OP_LOGITS}, {"grad", OP_GRAD},     {"sgld", OP_SGLD}, {"train", OP_TRAIN},
    {"score", OP_SCORE},   {"detect", OP_DETECT}, {NULL, 0}};

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_ROW_TEXT("arch", args_t, arch, "ARCH", "as for jem train", CLI_REQUIRED),
    CLI_ROW_TEXT("shape", args_t, shape, "CxHxW", "of one row, such as 3x32x32", CLI_REQUIRED),
    CLI_ROW_CHOICE("op", args_t, op, ops, "what is measured", CLI_REQUIRED),
    CLI_ROW_COUNT("batch", args_t, batch, 1, 1e6,
                  "rows; otherwise 64, of score and detect 1 and 64", 0),
    CLI_ROW_COUNT("classes", args_t, classes, 1, 100000, "of the model", 0),
    CLI_ROW_COUNT("runs", args_t, runs, 1, 1e6, "measured, after one that is not", 0),
    CLI_ROW_TEXT("kind", args_t, kind, "NAME", "which score, of --op score", 0),
    CLI_ROW_COUNT("sgld-steps", args_t, sgld_steps, 0, 1e6, "K of --op train", 0),
    CLI_ROW_TEXT("isa", args_t, isa, "NAME",
                 "no faster instruction set than this, such as avx2 or portable", 0),
    CLI_ROW_COUNT("beside", args_t, beside, 0, CLI_BESIDE_MAX,
                  "other processes that are kept busy meanwhile", 0),
    CLI_EXEC_TRAIN_ROWS(args_t, exec),
    CLI_ROW_TEXT(
        "kernel", args_t, kernel, "NAME",
        "onednn, winograd, direct, direct-bf16 or stem, for all layers that it can do; auto: "
        "chosen for each",
        0),
    CLI_ROW_FLAG("layers", args_t, layers, "a table of the steps, their kernels and times"),
    CLI_ROW_FLAG("tune", args_t, tune,
                 "a table of all kernels' times, and what another choice would gain"),
    CLI_ROW_FLAG("json", args_t, json, "report as JSON"),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out =
        (args_t){.classes = 10, .runs = 10, .sgld_steps = 20, .kernel = "auto", .kind = "energy"};
}

typedef struct bench {
    const args_t *args;  // with a batch
    int64_t asked_batch; // 0 = none
    jem_exec_config exec;
    jem_model *model;
    jem_model_info info;
    jem_sampler *sampler;
    jem_optimizer *optimizer;
    float *x; // two batches: labelled and data
    float *y; // logits or gradients
    int64_t *labels;
    double *seconds; // of each run
} bench;

// ---- preparation -------------------------------------------------------------------------------

static cli_status parse_shape(const char *text, jem_model_config *config, cli_error *err)
{
    int end = -1;
    if (sscanf(text, "%4dx%4dx%4d%n", &config->channels, &config->height, &config->width, &end) !=
            3 ||
        end < 0 || text[end] != '\0')
        return cli_usage(err,
                         "--shape is \"%s\"; expected channels x height x width, such as "
                         "3x32x32",
                         text);
    return CLI_OK;
}

static cli_status create_model(bench *b, cli_error *err)
{
    jem_model_config config;
    CLI_TRY(cli_jem(err, jem_model_config_init(&config, sizeof config)));
    CLI_TRY(cli_exec_config(&b->args->exec, &b->exec, err));
    b->exec.kernel = b->args->kernel;
    config.arch = b->args->arch;
    config.classes = (int32_t)b->args->classes;
    CLI_TRY(parse_shape(b->args->shape, &config, err));
    CLI_TRY(cli_jem_usage(err, jem_model_create(&b->model, &config, &b->exec)));
    return cli_model_info(b->model, &b->info, err);
}

static cli_status create_sampler(bench *b, cli_error *err)
{
    jem_sampler_config sampler;
    CLI_TRY(cli_jem(err, jem_sampler_config_init(&sampler, sizeof sampler)));
    sampler.steps = (int32_t)b->args->sgld_steps;
    sampler.grad_clamp = 1.0f;
    sampler.x_low = b->info.input_low;
    sampler.x_high = b->info.input_high;
    sampler.capacity = (int32_t)b->args->batch;
    return cli_jem_usage(err, jem_sampler_create(&b->sampler, b->model, &sampler));
}

static cli_status create_optimizer(bench *b, cli_error *err)
{
    jem_optimizer_config optimizer;
    CLI_TRY(cli_jem(err, jem_optimizer_config_init(&optimizer, sizeof optimizer)));
    return cli_jem(err, jem_optimizer_create(&b->optimizer, b->model, &optimizer));
}

// Only what the operation needs: the memory that is reported shall be its own.
static cli_status create_helpers(bench *b, cli_error *err)
{
    if (b->args->op == OP_SGLD || b->args->op == OP_TRAIN)
        CLI_TRY(create_sampler(b, err));
    return b->args->op == OP_TRAIN ? create_optimizer(b, err) : CLI_OK;
}

static cli_status create_rows(bench *b, cli_error *err)
{
    const int64_t n = b->args->batch, size = b->info.input_size;
    CLI_TRY(cli_alloc(&b->x, 2 * n * size, sizeof *b->x, err));
    CLI_TRY(cli_alloc(&b->y, n * (b->args->op == OP_LOGITS ? b->info.classes : size), sizeof *b->y,
                      err));
    CLI_TRY(cli_alloc(&b->labels, n, sizeof *b->labels, err));
    CLI_TRY(cli_alloc(&b->seconds, b->args->runs, sizeof *b->seconds, err));
    cli_random random = {1};
    for (int64_t i = 0; i < 2 * n * size; i++)
        b->x[i] =
            b->info.input_low + cli_random_unit(&random) * (b->info.input_high - b->info.input_low);
    for (int64_t i = 0; i < n; i++)
        b->labels[i] = i % b->info.classes;
    return CLI_OK;
}

// ---- measurement -------------------------------------------------------------------------------

static jem_status train_once(const bench *b)
{
    jem_train_batch batch;
    jem_train_batch_init(&batch, sizeof batch);
    batch.n_labelled = batch.n_data = b->args->batch;
    batch.x_labelled = b->x;
    batch.y_labelled = b->labels;
    batch.x_data = b->x + b->args->batch * b->info.input_size;
    return jem_train_step(b->model, b->optimizer, b->sampler, NULL, &batch, NULL);
}

static jem_status run_once(const bench *b)
{
    const int64_t n = b->args->batch;
    switch (b->args->op) {
    case OP_LOGITS:
        return jem_logits(b->model, n, b->x, b->y);
    case OP_GRAD:
        return jem_energy_grad(b->model, n, b->x, NULL, NULL, b->y);
    case OP_SGLD:
        return jem_sgld_step(b->model, b->sampler, n, NULL, b->x);
    default:
        return train_once(b);
    }
}

static cli_status run_all(bench *b, cli_error *err)
{
    CLI_TRY(cli_jem(err, run_once(b)));
    for (int64_t i = 0; i < b->args->runs; i++) {
        const double begin = cli_seconds();
        CLI_TRY(cli_jem(err, run_once(b)));
        b->seconds[i] = cli_seconds() - begin;
    }
    cli_sort(b->seconds, b->args->runs);
    return CLI_OK;
}

static cli_status measure(bench *b, cli_error *err)
{
    cli_beside beside = {.count = 0};
    cli_status status = cli_beside_start(&beside, b->args->beside, err);
    if (status == CLI_OK)
        status = run_all(b, err);
    cli_beside_stop(&beside);
    return status;
}

// The time that 99 of 100 runs keep within.
static double percentile99(const bench *b)
{
    return b->seconds[(99 * b->args->runs + 99) / 100 - 1];
}

// Forward passes per row, or what costs as much.
static double passes(const args_t *args)
{
    switch (args->op) {
    case OP_LOGITS:
        return 1.0;
    case OP_GRAD:
    case OP_SGLD:
        return 2.0;
    default:
        return 2.0 * (double)args->sgld_steps + 3.0 * 3.0;
    }
}

// The pass whose layers are shown; of a training step, the one with parameter gradients.
static int32_t pass_of(int32_t op)
{
    switch (op) {
    case OP_LOGITS:
        return JEM_PREPARE_LOGITS;
    case OP_TRAIN:
        return JEM_PREPARE_TRAIN;
    default:
        return JEM_PREPARE_GRAD;
    }
}

// What most of the operation is computed in; 0 = the default.
static int32_t precision_of(const args_t *args)
{
    const cli_exec_args *exec = &args->exec;
    const bool chains = args->op == OP_SGLD || args->op == OP_TRAIN;
    return chains && exec->precision_chains != 0 ? exec->precision_chains : exec->precision;
}

// Not getrusage(): its figure is at least that of the program which started this one.
static double peak_rss_mb(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL)
        return NAN;
    char line[256];
    long long kib = 0;
    while (kib == 0 && fgets(line, sizeof line, status) != NULL)
        sscanf(line, "VmHWM: %lld kB", &kib);
    fclose(status);
    return (double)kib / 1024.0;
}

// ---- report ------------------------------------------------------------------------------------

static cli_status report_all(const bench *b, double rss, cli_error *err)
{
    const args_t *args = b->args;
    const cli_peak peak = cli_peak_measure(b->info.threads, precision_of(args));
    const double gflop = 2e-9 * (double)b->info.macs * (double)args->batch * passes(args);
    const double median = cli_median(b->seconds, args->runs);
    const double gflops = gflop / median;
    cli_report r;
    CLI_TRY(cli_report_begin(&r, args->json, err));
    cli_report_text(&r, "arch", "arch", jem_model_arch(b->model));
    cli_report_text(&r, "shape", "shape", args->shape);
    cli_report_text(&r, "op", "operation", cli_choice_name(ops, args->op));
    cli_report_count(&r, "batch", "batch", args->batch);
    if (args->op == OP_TRAIN)
        cli_report_count(&r, "sgld_steps", "Langevin steps", args->sgld_steps);
    cli_report_text(&r, "backend", "backend", cli_choice_name(cli_backends, b->info.backend));
    cli_report_text(&r, "isa", "instruction set", jem_isa());
    cli_report_count(&r, "threads", "threads", b->info.threads);
    cli_report_count(&r, "runs", "runs", args->runs);
    if (args->beside > 0)
        cli_report_count(&r, "beside", "busy processes beside", args->beside);
    cli_report_number(&r, "median_ms", "median", 1e3 * median, 3, "ms");
    cli_report_number(&r, "p99_ms", "99th percentile", 1e3 * percentile99(b), 3, "ms");
    cli_report_number(&r, "min_ms", "minimum", 1e3 * b->seconds[0], 3, "ms");
    cli_report_number(&r, "gflop", "work", gflop, 4, "GFLOP");
    cli_report_number(&r, "gflops", "speed", gflops, 1, "GFLOP/s, of the direct algorithm");
    cli_report_number(&r, "peak_gflops", "peak", peak.gflops, 1, "GFLOP/s, multiply-adds");
    cli_report_text(&r, "peak_precision", "peak of", peak.precision);
    cli_report_text(&r, "peak_instructions", "peak measured by", peak.instructions);
    cli_report_number(&r, "ratio", "speed / peak", gflops / peak.gflops, 3, "");
    cli_report_number(&r, "peak_rss_mb", "peak memory", rss, 1, "MiB");
    if (args->layers)
        CLI_TRY(cli_bench_layers(&r, b->model, pass_of(args->op), args->batch, args->runs, err));
    if (args->tune)
        CLI_TRY(cli_bench_tune(&r, b->model, &b->exec, pass_of(args->op), args->batch, args->runs,
                               err));
    return cli_report_end(&r, err);
}

// Beside logits, not beside the machine's peak: what is added is of another kind.
static cli_status report_scores(const bench *b, cli_error *err)
{
    const args_t *args = b->args;
    cli_bench_score asked = {
        .detects = args->op == OP_DETECT, .batch = b->asked_batch, .runs = args->runs};
    cli_report r;
    CLI_TRY(cli_score_find_any(args->kind, "kind", &asked.kind, err));
    CLI_TRY(cli_report_begin(&r, args->json, err));
    cli_report_text(&r, "arch", "arch", jem_model_arch(b->model));
    cli_report_text(&r, "shape", "shape", args->shape);
    cli_report_text(&r, "op", "operation", cli_choice_name(ops, args->op));
    if (args->op == OP_SCORE)
        cli_report_text(&r, "kind", "score", args->kind);
    cli_report_text(&r, "backend", "backend", cli_choice_name(cli_backends, b->info.backend));
    cli_report_text(&r, "isa", "instruction set", jem_isa());
    cli_report_count(&r, "threads", "threads", b->info.threads);
    cli_report_count(&r, "runs", "runs", args->runs);
    CLI_TRY(cli_bench_scores(&r, b->model, &asked, err));
    return cli_report_end(&r, err);
}

// Before the first model.
static cli_status limit_isa(const char *isa, cli_error *err)
{
    if (isa == NULL || jem_limit_isa(isa) == JEM_OK)
        return CLI_OK;
    return cli_usage(err, "--isa: %s", jem_last_error());
}

static cli_status run_bench(bench *b, cli_error *err)
{
    CLI_TRY(limit_isa(b->args->isa, err));
    CLI_TRY(create_model(b, err));
    if (b->args->tune && b->info.backend == JEM_BACKEND_REF)
        return cli_usage(err, "--tune compares kernels, of which the reference backend has one; "
                              "leave out --backend ref");
    if (b->args->tune && precision_of(b->args) == JEM_PRECISION_F32_STRICT)
        return cli_usage(err, "--tune compares kernels that f32-strict does without; leave it out");
    if (b->args->op == OP_SCORE || b->args->op == OP_DETECT)
        return report_scores(b, err);
    CLI_TRY(create_helpers(b, err));
    CLI_TRY(create_rows(b, err));
    CLI_TRY(measure(b, err));
    return report_all(b, peak_rss_mb(), err);
}

static cli_status run(const void *asked, cli_error *err)
{
    args_t args = *(const args_t *)asked;
    bench b = {.args = &args, .asked_batch = args.batch};
    args.batch = args.batch > 0 ? args.batch : 64;
    const cli_status status = run_bench(&b, err);
    free(b.x);
    free(b.y);
    free(b.labels);
    free(b.seconds);
    jem_optimizer_destroy(b.optimizer);
    jem_sampler_destroy(b.sampler);
    jem_model_destroy(b.model);
    return status;
}

const cli_command cli_bench = {
    .name = "bench",
    .summary = "how fast an operation runs here",
    .usage = "--arch ARCH --shape CxHxW --op logits|grad|sgld|train|score|detect [options]",
    .description =
        "Times an operation on random rows and a random model, and compares it with the "
        "fastest multiply-adds that the machine does in the same run.\n\n"
        "Work is counted for the direct algorithm, in GFLOP, with B rows and M "
        "multiply-adds of a row's forward pass (jem info shows M):\n\n"
        "  logits   2 M B                   one forward pass\n"
        "  grad     2 M B * 2               forward, backward to the input\n"
        "  sgld     2 M B * 2               one Langevin step\n"
        "  train    2 M B * (2 K + 3 * 3)   K steps; data, samples and labelled rows\n"
        "                                   forward, backward to inputs, parameters\n"
        "\n"
        "score and detect show medians and 99th percentiles beside the time of the logits alone, "
        "in "
        "turns; ratio is that of the medians.\n\n"
        "A faster algorithm (Winograd) can exceed the peak, which is that of the "
        "same instruction set in f32, or with --precision bf16 that of bfloat16 factors where the "
        "processor has them.",
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
