/*
 * jem detect: the verdict of the model's detector on each row, a line of JSON as soon as it is
 * known.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "layout.h"
#include "output.h"
#include "stop.h"
#include "verdict.h"
#include "watched.h"

typedef struct args_t {
    const char *model, *in, *out;
    int32_t layout;
    bool raw;
    int64_t batch;
    double fpr, confidence;
    cli_exec_args exec;
} args_t;

static const cli_option options[] = {
    CLI_ROW_HEADING("Options"),
    CLI_WATCHED_MODEL_ROW(args_t, model),
    CLI_ROWS_ROW(args_t, in),
    CLI_ROW_FLAG(
        "raw", args_t, raw,
        "the input is frames of C*H*W float32 without a header, each answered as it comes"),
    CLI_LAYOUT_ROW(args_t, layout),
    CLI_ROW_OUTPUT("out", args_t, out, "FILE", "the lines; otherwise on standard output", 0),
    CLI_ROW_COUNT("batch", args_t, batch, 1, 1e6, "rows computed at once, at most", 0),
    CLI_ROW_NUMBER("fpr", args_t, fpr, 1e-9, 1 - 1e-9,
                   "another false-positive rate than the stored one", 0),
    CLI_ROW_NUMBER("confidence", args_t, confidence, 0, 1 - 1e-9,
                   "and the confidence that is promised with it; 0 = on average", 0),
    CLI_EXEC_ROWS(args_t, exec),
    CLI_ROW_END,
};

static void set_defaults(void *out)
{
    *(args_t *)out = (args_t){.batch = 64, .fpr = NAN, .confidence = NAN};
}

typedef struct work {
    const args_t *args;
    cli_watched on;
    char **names;       // (classes), NULL where a class has none
    cli_output *output; // NULL = standard output
    int64_t flagged;
} work;

// ---- before ------------------------------------------------------------------------------------

static cli_status load_names(work *w, cli_error *err)
{
    CLI_TRY(cli_alloc(&w->names, w->on.info.classes, sizeof *w->names, err));
    for (int32_t label = 0; label < w->on.info.classes; label++) {
        size_t length;
        CLI_TRY(cli_jem(err, jem_model_get_class_name(w->on.model, label, NULL, 0, &length)));
        CLI_TRY(cli_alloc(&w->names[label], (int64_t)length + 1, 1, err));
        CLI_TRY(cli_jem(
            err, jem_model_get_class_name(w->on.model, label, w->names[label], length + 1, NULL)));
    }
    return CLI_OK;
}

static cli_status set_threshold(const work *w, cli_error *err)
{
    const args_t *args = w->args;
    if (isnan(args->fpr) && isnan(args->confidence))
        return CLI_OK;
    jem_detector_info info = {.struct_size = sizeof info};
    CLI_TRY(cli_jem(err, jem_detector_get_info(w->on.detector, &info)));
    return cli_jem(err, jem_detector_set_threshold(
                            w->on.detector, isnan(args->fpr) ? info.fpr : args->fpr,
                            isnan(args->confidence) ? info.confidence : args->confidence));
}

static cli_status prepare(work *w, cli_error *err)
{
    const args_t *args = w->args;
    CLI_TRY(cli_watched_load(&w->on, args->model, &args->exec, err));
    CLI_TRY(set_threshold(w, err));
    CLI_TRY(load_names(w, err));
    const cli_rows_args asked = {
        .path = args->in, .layout = args->layout, .raw = args->raw, .batch = args->batch};
    return cli_watched_open(&w->on, &asked, err);
}

// ---- rows --------------------------------------------------------------------------------------

static cli_status put_line(work *w, const char *line, int length, cli_error *err)
{
    if (w->output != NULL)
        return cli_output_write(w->output, line, (size_t)length, err);
    fwrite(line, 1, (size_t)length, stdout);
    return CLI_OK;
}

static cli_status put_verdicts(work *w, int64_t first, int64_t n, cli_error *err)
{
    char line[CLI_VERDICT_SIZE];
    for (int64_t i = 0; i < n; i++) {
        const jem_verdict *verdict = &w->on.verdicts[i];
        const char *name = verdict->label >= 0 ? w->names[verdict->label] : NULL;
        w->flagged += verdict->flag != JEM_FLAG_NONE;
        CLI_TRY(put_line(w, line, cli_verdict_line(first + i, verdict, name, line), err));
    }
    if (w->output == NULL && fflush(stdout) != 0)
        return cli_fail(err, "standard output could not be written");
    return CLI_OK;
}

static cli_status detect_all(work *w, cli_error *err)
{
    int64_t n = 1;
    for (int64_t first = 0; n > 0; first += n) {
        if (cli_stop_signal() != 0)
            return cli_stopped(err, cli_stop_signal(), "stopped by %s after %lld rows",
                               cli_stop_name(), (long long)first);
        CLI_TRY(cli_watched_next(&w->on, &n, err));
        CLI_TRY(put_verdicts(w, first, n, err));
    }
    return CLI_OK;
}

static cli_status write_all(work *w, cli_error *err)
{
    cli_output output;
    if (w->args->out == NULL)
        return detect_all(w, err);
    CLI_TRY(cli_output_open(&output, w->args->out, err));
    w->output = &output;
    const cli_status status = detect_all(w, err);
    if (status == CLI_OK)
        return cli_output_commit(&output, err);
    cli_output_discard(&output);
    return status;
}

static cli_status run(const void *args, cli_error *err)
{
    work w = {.args = args};
    cli_status status = prepare(&w, err);
    if (status == CLI_OK) {
        cli_stop_catch();
        status = write_all(&w, err);
    }
    for (int32_t label = 0; w.names != NULL && label < w.on.info.classes; label++)
        free(w.names[label]);
    free(w.names);
    cli_watched_close(&w.on);
    return status == CLI_OK && w.flagged > 0 ? CLI_FOUND : status;
}

const cli_command cli_detect = {
    .name = "detect",
    .summary = "which rows are unusual, by the model's detector",
    .usage = "--model FILE --in X.npy [--raw] [--out FILE] [options]",
    .description =
        "Writes a line of JSON for every row:\n\n"
        " {\"row\": 0, \"flag\": \"none\", \"label\": 3, \"class\": \"Dress\", \"probability\": "
        "0.98,\n"
        "  \"score\": 1.2, \"p_value\": 0.3, \"kind\": \"knn\"}\n\n"
        "flag is none, or why the row is unusual: score (above the threshold), range (outside of "
        "the model's input range), overflow or not-finite. kind is the score that objects most. "
        "An infinite score is null.\n\n"
        "The exit code is 3 when a row is flagged, 0 when none is. With --raw the lines of frames "
        "that have come are written before the next is waited for.",
    .options = options,
    .args_size = sizeof(args_t),
    .set_defaults = set_defaults,
    .run = run,
};
