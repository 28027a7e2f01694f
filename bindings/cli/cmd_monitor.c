/*
 * jem monitor: one alarm when the rows of a stream are no longer what held-out rows were.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "layout.h"
#include "output.h"
#include "stop.h"
#include "watched.h"

typedef struct args_t {
    const char *model, *in, *snapshot;
    int32_t layout;
    bool raw, two_sided;
    int64_t batch, every;
    double alpha, tolerance;
    cli_exec_args exec;
} args_t;

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_WATCHED_MODEL_ROW(args_t, model),
    CLI_ROWS_ROW(args_t, in),
    CLI_ROW_FLAG("raw", args_t, raw, "the input is frames of C*H*W float32 without a header"),
    CLI_LAYOUT_ROW(args_t, layout),
    CLI_ROW_COUNT("every", args_t, every, 0, 1e15,
                  "a line about every so many rows; 0 = at the alarm and at the end only", 0),
    CLI_ROW_OUTPUT("snapshot", args_t, snapshot, "FILE",
                   "go on from this file, if it exists, and write it at the end", 0),
    CLI_ROW_COUNT("batch", args_t, batch, 1, 1e6, "rows computed at once, at most", 0),
    CLI_EXEC_ROWS(args_t, exec),

    CLI_ROW_HEADING("Promise"),
    CLI_ROW_NUMBER("alpha", args_t, alpha, 1e-9, 0.5, "the chance of a false alarm ever", 0),
    CLI_ROW_NUMBER("tolerance", args_t, tolerance, 0, 1,
                   "no alarm while at most this part more of the rows is above any score", 0),
    CLI_ROW_FLAG("two-sided", args_t, two_sided, "shifts to lower scores count, too"),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.batch = 64, .alpha = 0.01};
}

typedef struct work {
    const args_t *args;
    cli_watched on;
    jem_monitor *monitor;
    float *scores;      // (batch)
    int64_t seen, told; // rows in all, and at the last line
    bool alarmed;
} work;

// ---- the monitor -------------------------------------------------------------------------------

static cli_status create_monitor(work *w, cli_error *err)
{
    const args_t *args = w->args;
    jem_detector_info info = {.struct_size = sizeof info};
    jem_monitor_config config;
    float *scores;
    CLI_TRY(cli_jem(err, jem_detector_get_info(w->on.detector, &info)));
    CLI_TRY(cli_jem(err, jem_monitor_config_init(&config, sizeof config)));
    config.alpha = args->alpha;
    config.tolerance = args->tolerance;
    config.two_sided = args->two_sided;
    CLI_TRY(cli_alloc(&scores, info.n_calibrated, sizeof *scores, err));
    cli_status status =
        cli_jem(err, jem_detector_get_scores(w->on.detector, info.n_calibrated, scores));
    if (status == CLI_OK)
        status = cli_jem(err, jem_monitor_create(&w->monitor, &config, info.n_calibrated, scores));
    free(scores);
    return status;
}

static cli_status note_state(work *w, cli_error *err)
{
    jem_monitor_info info = {.struct_size = sizeof info};
    CLI_TRY(cli_jem(err, jem_monitor_get_info(w->monitor, &info)));
    w->seen = w->told = info.n_seen;
    w->alarmed = info.alarm != 0;
    return CLI_OK;
}

// All of a file that is read and written by the same option.
static cli_status read_snapshot(const char *path, uint8_t *bytes, size_t size, size_t *got,
                                cli_error *err)
{
    jemi_source source;
    CLI_TRY(cli_output_status(err, jemi_source_open(&source, path)));
    const jem_status status = jemi_source_read(&source, bytes, size, got);
    jemi_source_close(&source);
    return cli_output_status(err, status);
}

// A snapshot of another calibration or other settings would not be what was asked for.
static cli_status take_snapshot(work *w, cli_error *err)
{
    uint8_t bytes[JEM_MONITOR_SNAPSHOT_BYTES + 1];
    size_t size;
    jem_monitor *before = NULL;
    CLI_TRY(read_snapshot(w->args->snapshot, bytes, sizeof bytes, &size, err));
    jem_status status = jem_monitor_restore(&before, size, bytes);
    if (status == JEM_OK)
        status = jem_monitor_merge(w->monitor, 1, &before); // refused where they do not agree
    if (status != JEM_OK) {
        jem_monitor_destroy(before);
        return cli_fail(err, "%s: %s", w->args->snapshot, jem_last_error());
    }
    jem_monitor_destroy(w->monitor);
    w->monitor = before;
    return note_state(w, err);
}

static cli_status write_snapshot(const work *w, cli_error *err)
{
    uint8_t bytes[JEM_MONITOR_SNAPSHOT_BYTES];
    cli_output output;
    CLI_TRY(cli_jem(err, jem_monitor_snapshot(w->monitor, sizeof bytes, bytes)));
    CLI_TRY(cli_output_open(&output, w->args->snapshot, err));
    const cli_status status = cli_output_write(&output, bytes, sizeof bytes, err);
    if (status == CLI_OK)
        return cli_output_commit(&output, err);
    cli_output_discard(&output);
    return status;
}

static cli_status prepare(work *w, cli_error *err)
{
    const args_t *args = w->args;
    CLI_TRY(cli_watched_load(&w->on, args->model, &args->exec, err));
    CLI_TRY(create_monitor(w, err));
    if (args->snapshot != NULL && access(args->snapshot, F_OK) == 0)
        CLI_TRY(take_snapshot(w, err));
    if (args->snapshot != NULL)
        CLI_TRY(cli_output_check(args->snapshot, err));
    CLI_TRY(cli_alloc(&w->scores, args->batch, sizeof *w->scores, err));
    const cli_rows_args asked = {
        .path = args->in, .layout = args->layout, .raw = args->raw, .batch = args->batch};
    return cli_watched_open(&w->on, &asked, err);
}

// ---- rows --------------------------------------------------------------------------------------

static cli_status tell(work *w, const char *event, cli_error *err)
{
    jem_monitor_info info = {.struct_size = sizeof info};
    CLI_TRY(cli_jem(err, jem_monitor_get_info(w->monitor, &info)));
    printf("{\"event\": \"%s\", \"rows\": %lld, \"alarm\": %s, \"alarm_at\": ", event,
           (long long)info.n_seen, info.alarm ? "true" : "false");
    if (info.alarm)
        printf("%lld", (long long)info.alarm_at);
    else
        printf("null");
    printf(", \"log_evidence\": %.6g, \"log_threshold\": %.6g}\n", info.log_evidence,
           info.log_threshold);
    w->told = info.n_seen;
    w->alarmed = info.alarm != 0;
    return fflush(stdout) == 0 ? CLI_OK : cli_fail(err, "standard output could not be written");
}

// Rows that nothing can be said about score +infinity, as jem detect has it.
static cli_status update(work *w, int64_t n, cli_error *err)
{
    int32_t alarm;
    for (int64_t i = 0; i < n; i++)
        w->scores[i] = w->on.verdicts[i].score;
    CLI_TRY(cli_jem(err, jem_monitor_update(w->monitor, n, w->scores, &alarm)));
    if (alarm && !w->alarmed)
        return tell(w, "alarm", err);
    return CLI_OK;
}

static cli_status watch(work *w, cli_error *err)
{
    int64_t n = 1;
    while (n > 0 && cli_stop_signal() == 0) {
        CLI_TRY(cli_watched_next(&w->on, &n, err));
        CLI_TRY(update(w, n, err));
        w->seen += n;
        if (w->args->every > 0 && w->seen - w->told >= w->args->every)
            CLI_TRY(tell(w, "seen", err));
    }
    return tell(w, "end", err);
}

static cli_status run(const void *args, cli_error *err)
{
    work w = {.args = args};
    cli_status status = prepare(&w, err);
    if (status == CLI_OK) {
        cli_stop_catch(); // a stream is ended by a signal: what was seen counts
        status = watch(&w, err);
    }
    if (status == CLI_OK && w.args->snapshot != NULL)
        status = write_snapshot(&w, err);
    free(w.scores);
    jem_monitor_destroy(w.monitor);
    cli_watched_close(&w.on);
    return status == CLI_OK && w.alarmed ? CLI_FOUND : status;
}

const cli_command cli_monitor = {
    .name = "monitor",
    .summary = "one alarm when a stream of rows shifts",
    .usage = "--model FILE --in X.npy [--raw] [--alpha X] [options]",
    .description =
        "Watches the scores that the model's detector gives to a stream, and raises one alarm when "
        "they are no longer those of the held-out rows that calibrated it. While nothing shifts "
        "the chance of an alarm ever is at most alpha, however long the stream is.\n\n"
        "Writes lines of JSON: one at the alarm, one at the end, and with --every in between. The "
        "exit code is 3 when there was an alarm, 0 when there was none. A signal ends the stream.",
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
