/*
 * Checkpoints of jem train. What libjem cannot know, the options and the place in the data, goes
 * into the note as JSON.
 */
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "output.h"
#include "train.h"

enum { VALUE_MAX = 1024 };

// ---- the note ----------------------------------------------------------------------------------

static uint32_t crc(uint32_t before, const void *data, size_t size)
{
    return data != NULL ? (uint32_t)crc32_z(before, data, size) : before;
}

// Of everything that training reads.
int64_t cli_train_digest(const cli_data *data)
{
    const size_t count = (size_t)(data->n * cli_data_row_size(data));
    uint32_t digest = crc(0, data->bytes, count);
    digest = crc(digest, data->floats, count * sizeof *data->floats);
    return crc(digest, data->labels, (size_t)data->n * sizeof *data->labels);
}

static bool of_the_run(const cli_option *row)
{
    return row->kind != CLI_HEADING && !(row->flags & CLI_SESSION);
}

static json_t *options_of(const cli_train_run *run)
{
    json_t *options = json_object();
    for (const cli_option *row = run->options; row->name != NULL; row++) {
        char value[VALUE_MAX];
        if (!of_the_run(row))
            continue;
        cli_option_text(row, run->args, value, sizeof value);
        json_object_set_new(options, row->name, json_string(value));
    }
    return options;
}

static json_t *figures_note(const cli_train_figures *figures)
{
    return json_pack("{s:I s:f s:f}", "step", (json_int_t)figures->step, "accuracy",
                     figures->accuracy, "nll", isfinite(figures->nll) ? figures->nll : DBL_MAX);
}

static json_t *validation_note(const cli_train_run *run)
{
    return json_pack("{s:I s:o s:o}", "rows", (json_int_t)run->validation.n, "latest",
                     figures_note(&run->latest), "best", figures_note(&run->best));
}

static cli_status set_note(const cli_train_run *run, cli_error *err)
{
    json_t *note = json_pack("{s:o s:I s:I s:f s:I}", "options", options_of(run), "data",
                             (json_int_t)run->data_digest, "batches", (json_int_t)run->batches,
                             "seconds", run->seconds, "log", (json_int_t)cli_train_log_size(run));
    if (run->outlier_rows.n > 0)
        json_object_set_new(note, "outliers", json_integer(cli_train_digest(&run->outliers)));
    if (run->validation.n > 0)
        json_object_set_new(note, "validation", validation_note(run));
    char *text = note != NULL ? json_dumps(note, JSON_COMPACT) : NULL;
    json_decref(note);
    if (text == NULL)
        return cli_fail(err, "the options cannot be kept with a checkpoint: they are not UTF-8");
    const jem_status status = jem_optimizer_set_note(run->optimizer, text);
    free(text);
    return cli_jem(err, status);
}

static cli_status get_note(const cli_train_run *run, json_t **note, cli_error *err)
{
    size_t length;
    char *text;
    CLI_TRY(cli_jem(err, jem_optimizer_get_note(run->optimizer, NULL, 0, &length)));
    CLI_TRY(cli_alloc(&text, (int64_t)length + 1, 1, err));
    const jem_status status = jem_optimizer_get_note(run->optimizer, text, length + 1, NULL);
    *note = json_loads(text, 0, NULL);
    free(text);
    CLI_TRY(cli_jem(err, status));
    return *note != NULL ? CLI_OK
                         : cli_fail(err, "%s was not made by jem train", run->args->checkpoint);
}

// ---- going on ----------------------------------------------------------------------------------

static const char *given(const char *value)
{
    return value[0] != '\0' ? value : "not given";
}

// A run can be made longer, or be cut as short as it is already.
static cli_status change_length(const cli_train_run *run, const cli_option *row, const char *before,
                                const char *now, int64_t steps, cli_error *err)
{
    const int64_t steps_max = cli_train_steps(run);
    const bool timed = steps_max == 0;
    const double done = timed ? run->seconds : (double)steps;
    const double whole = timed ? run->args->seconds : (double)steps_max;
    if (whole < done)
        return cli_usage(err,
                         "--%s is %s, but %s holds %lld steps already, %.0f %s; expected at least "
                         "as much",
                         row->name, now, run->args->checkpoint, (long long)steps, ceil(done),
                         timed ? "seconds" : "steps");
    fprintf(stderr,
            "the run goes on with --%s %s instead of %s: from here on the learning rate follows "
            "the schedule of that length, of which %.0f %% is over, so the model is not the one "
            "that such a length from the start would have made, unless --schedule is constant\n",
            row->name, now, before, 100.0 * done / whole);
    return CLI_OK;
}

static cli_status compare_options(const cli_train_run *run, const json_t *then, int64_t steps,
                                  cli_error *err)
{
    for (const cli_option *row = run->options; row->name != NULL; row++) {
        char now[VALUE_MAX];
        if (!of_the_run(row))
            continue;
        cli_option_text(row, run->args, now, sizeof now);
        const char *before = json_string_value(json_object_get(then, row->name));
        if (before == NULL && !run->args->given.rows[row - run->options])
            continue; // a checkpoint from before there was such an option
        if (before == NULL)
            before = "";
        if (strcmp(before, now) == 0)
            continue;
        if (!(row->flags & CLI_LENGTH) || *before == '\0' || *now == '\0')
            return cli_usage(err, "--%s is %s, but was %s when %s was made; expected the same",
                             row->name, given(now), given(before), run->args->checkpoint);
        CLI_TRY(change_length(run, row, before, now, steps, err));
    }
    return CLI_OK;
}

// Every step takes one, whether it stands or is undone; so many that no run can have taken them
// would be passed over for days.
static cli_status check_batches(const cli_train_run *run, int64_t steps, cli_error *err)
{
    const double steps_tried = (double)steps + (double)run->args->guard_every;
    const double most = (1 + CLI_TRAIN_GUARD_TRIES_MAX) * steps_tried;
    if (run->batches < steps || (double)run->batches > most)
        return cli_fail(err, "%s was not made by jem train: it tells of %lld batches in %lld steps",
                        run->args->checkpoint, (long long)run->batches, (long long)steps);
    return CLI_OK;
}

static cli_train_figures read_figures(const json_t *note)
{
    return (cli_train_figures){
        .step = json_integer_value(json_object_get(note, "step")),
        .accuracy = json_number_value(json_object_get(note, "accuracy")),
        .nll = json_number_value(json_object_get(note, "nll")),
    };
}

// `note` is NULL where none were held out.
static cli_status take_validation(cli_train_run *run, const json_t *note, cli_error *err)
{
    const json_int_t rows = json_integer_value(json_object_get(note, "rows"));
    if (rows != run->validation.n)
        return cli_usage(err,
                         "%s was made with %lld rows held out, now %lld are; expected the same, by "
                         "--validation",
                         run->args->checkpoint, (long long)rows, (long long)run->validation.n);
    run->latest = read_figures(json_object_get(note, "latest"));
    run->best = read_figures(json_object_get(note, "best"));
    return CLI_OK;
}

static cli_status take_note(cli_train_run *run, const json_t *note, int64_t steps, cli_error *err)
{
    run->seconds = json_number_value(json_object_get(note, "seconds"));
    CLI_TRY(compare_options(run, json_object_get(note, "options"), steps, err));
    if (json_integer_value(json_object_get(note, "data")) != run->data_digest)
        return cli_usage(err, "%s was made with other data than %s holds now",
                         run->args->checkpoint, run->args->data);
    const json_int_t outliers = run->outlier_rows.n > 0 ? cli_train_digest(&run->outliers) : 0;
    if (json_integer_value(json_object_get(note, "outliers")) != outliers)
        return cli_usage(err, "%s was made with other outliers than %s", run->args->checkpoint,
                         run->args->outliers != NULL ? run->args->outliers : "none");
    CLI_TRY(take_validation(run, json_object_get(note, "validation"), err));
    run->batches = json_integer_value(json_object_get(note, "batches"));
    return check_batches(run, steps, err);
}

static cli_status resume(cli_train_run *run, cli_error *err)
{
    json_t *note;
    int64_t steps;
    CLI_TRY(cli_jem(
        err, jem_checkpoint_load(run->args->checkpoint, run->model, run->optimizer, run->sampler)));
    CLI_TRY(cli_jem(err, jem_optimizer_get(run->optimizer, NULL, &steps)));
    CLI_TRY(get_note(run, &note, err));
    const int64_t log_size = json_integer_value(json_object_get(note, "log"));
    const cli_status status = take_note(run, note, steps, err);
    json_decref(note);
    return status == CLI_OK ? cli_train_log_go_back(run, log_size, steps, err) : status;
}

// Of two generations either may be gone on with, so neither may be of another run.
static cli_status check_new(const char *path, cli_error *err)
{
    char previous[CLI_TRAIN_PATH_SIZE];
    CLI_TRY(cli_output_status(err, jemi_file_previous(path, previous, sizeof previous)));
    const bool last = access(path, F_OK) == 0, before = access(previous, F_OK) == 0;
    if (last && before)
        return cli_usage(err,
                         "%s and %s exist; go on with them by --resume, or remove both to begin "
                         "anew",
                         path, previous);
    if (last || before)
        return cli_usage(err, "%s exists; go on with it by --resume, or remove it to begin anew",
                         last ? path : previous);
    return CLI_OK;
}

// What cannot be read again is no checkpoint.
static cli_status check_kind(const char *path, cli_error *err)
{
    jemi_target target;
    CLI_TRY(cli_output_status(err, jemi_target_find(&target, path)));
    if (target.kind == JEMI_TARGET_STREAM)
        return cli_usage(err, "--checkpoint %s is a device or pipe; expected the name of a file",
                         path);
    return CLI_OK;
}

// Both generations, whose names differ in length.
static cli_status check_writable(const char *path, cli_error *err)
{
    char previous[CLI_TRAIN_PATH_SIZE];
    CLI_TRY(cli_output_check(path, err));
    CLI_TRY(cli_output_status(err, jemi_file_previous(path, previous, sizeof previous)));
    return cli_output_check(previous, err);
}

cli_status cli_train_begin(cli_train_run *run, cli_error *err)
{
    const char *path = run->args->checkpoint;
    if (path == NULL)
        return CLI_OK;
    CLI_TRY(check_kind(path, err));
    if (run->args->resume)
        return resume(run, err);
    CLI_TRY(check_new(path, err));
    return check_writable(path, err);
}

cli_status cli_train_save_checkpoint(const cli_train_run *run, cli_error *err)
{
    CLI_TRY(set_note(run, err));
    return cli_jem(
        err, jem_checkpoint_save(run->args->checkpoint, run->model, run->optimizer, run->sampler));
}
