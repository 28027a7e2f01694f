/*
 * Checkpoints of jem train. What libjem cannot know, the options and the place in the data, goes
 * into the note as JSON.
 */
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "output.h"
#include "train.h"

enum { VALUE_MAX = 1024, PATH_SIZE = 4200 };

// ---- the note ----------------------------------------------------------------------------------

static uint32_t crc(uint32_t before, const void *data, size_t size)
{
    return data != NULL ? (uint32_t)crc32_z(before, data, size) : before;
}

// Of everything that training reads.
static json_int_t data_digest(const cli_data *data)
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

static cli_status set_note(const cli_train_run *run, cli_error *err)
{
    json_t *note =
        json_pack("{s:o s:I s:I s:f s:I}", "options", options_of(run), "data",
                  data_digest(&run->data), "batches", (json_int_t)run->batches, "seconds",
                  run->seconds, "log", (json_int_t)cli_train_log_size(run->log));
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

static cli_status compare_options(const cli_train_run *run, const json_t *then, cli_error *err)
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
        if (strcmp(before, now) != 0)
            return cli_usage(err, "--%s is %s, but was %s when %s was made; expected the same",
                             row->name, given(now), given(before), run->args->checkpoint);
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

static cli_status take_note(cli_train_run *run, const json_t *note, int64_t steps, cli_error *err)
{
    CLI_TRY(compare_options(run, json_object_get(note, "options"), err));
    if (json_integer_value(json_object_get(note, "data")) != data_digest(&run->data))
        return cli_usage(err, "%s was made with other data than %s holds now",
                         run->args->checkpoint, run->args->data);
    run->batches = json_integer_value(json_object_get(note, "batches"));
    CLI_TRY(check_batches(run, steps, err));
    run->seconds = json_number_value(json_object_get(note, "seconds"));
    return CLI_OK;
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
    return status == CLI_OK ? cli_train_log_go_back(run->log, log_size, steps, err) : status;
}

// As libjem names it: beside the file itself where `path` is a symbolic link to it.
static void name_previous(const char *path, char previous[PATH_SIZE])
{
    struct stat info;
    char real[PATH_MAX];
    const bool link = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    const bool follows = link && realpath(path, real) != NULL;
    snprintf(previous, PATH_SIZE, "%s.prev", follows ? real : path);
}

// Of two generations either may be gone on with, so neither may be of another run.
static cli_status check_new(const char *path, cli_error *err)
{
    char previous[PATH_SIZE];
    name_previous(path, previous);
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

cli_status cli_train_begin(cli_train_run *run, cli_error *err)
{
    const char *path = run->args->checkpoint;
    if (path == NULL)
        return CLI_OK;
    if (run->args->resume)
        return resume(run, err);
    CLI_TRY(check_new(path, err));
    return cli_output_check(path, err);
}

cli_status cli_train_save_checkpoint(const cli_train_run *run, cli_error *err)
{
    CLI_TRY(set_note(run, err));
    return cli_jem(
        err, jem_checkpoint_save(run->args->checkpoint, run->model, run->optimizer, run->sampler));
}
