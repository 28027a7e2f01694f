/*
 * The training log: one JSON object per line and step, with every field of jem_train_stats.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "train.h"

enum { LINE_SIZE_MAX = 4096 };

static const struct {
    const char *name;
    size_t offset;
} fields[] = {
    {"loss", offsetof(jem_train_stats, loss)},
    {"loss_px", offsetof(jem_train_stats, loss_px)},
    {"loss_pyx", offsetof(jem_train_stats, loss_pyx)},
    {"loss_pxy", offsetof(jem_train_stats, loss_pxy)},
    {"loss_l2", offsetof(jem_train_stats, loss_l2)},
    {"loss_outlier", offsetof(jem_train_stats, loss_outlier)},
    {"f_data", offsetof(jem_train_stats, f_data)},
    {"f_samples", offsetof(jem_train_stats, f_samples)},
    {"f_outliers", offsetof(jem_train_stats, f_outliers)},
    {"gap", offsetof(jem_train_stats, gap)},
    {"accuracy", offsetof(jem_train_stats, accuracy)},
    {"grad_norm", offsetof(jem_train_stats, grad_norm)},
    {"chain_grad_norm", offsetof(jem_train_stats, chain_grad_norm)},
    {"param_norm", offsetof(jem_train_stats, param_norm)},
    {"update_norm", offsetof(jem_train_stats, update_norm)},
    {"sample_max", offsetof(jem_train_stats, sample_max)},
    {"clamped", offsetof(jem_train_stats, clamped)},
    {"chain_age", offsetof(jem_train_stats, chain_age)},
    {"seconds_sampling", offsetof(jem_train_stats, seconds_sampling)},
    {"seconds_updating", offsetof(jem_train_stats, seconds_updating)},
};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static void set_number(json_t *line, const char *name, double value)
{
    json_object_set_new(line, name, isfinite(value) ? json_real(value) : json_null());
}

void cli_train_log(FILE *log, const jem_train_stats *stats, double seconds,
                   const cli_train_figures *figures)
{
    json_t *line = json_object();
    json_object_set_new(line, "step", json_integer(stats->step));
    json_object_set_new(line, "event", json_integer(stats->event));
    set_number(line, "seconds", seconds);
    set_number(line, "lr", (double)stats->lr);
    for (int i = 0; i < N_FIELDS; i++) {
        const void *value = (const char *)stats + fields[i].offset;
        set_number(line, fields[i].name, *(const double *)value);
    }
    if (figures != NULL) {
        set_number(line, "val_accuracy", figures->accuracy);
        set_number(line, "val_nll", figures->nll);
    }
    json_dumpf(line, log, JSON_COMPACT | JSON_REAL_PRECISION(7));
    fputc('\n', log);
    json_decref(line);
}

// ---- opening -----------------------------------------------------------------------------------

// Of what is no file of its own nothing is read, nor is anything taken away that others wrote.
static int open_log(const jemi_target *target, const char *path, bool reads)
{
    if (target->descriptor >= 0)
        return fcntl(target->descriptor, F_DUPFD_CLOEXEC, 3);
    const int flags = O_APPEND | O_CLOEXEC | O_NOCTTY;
    if (target->kind == JEMI_TARGET_STREAM)
        return open(path, O_WRONLY | flags);
    return open(path, (reads ? O_RDWR : O_WRONLY) | O_CREAT | flags, 0666);
}

cli_status cli_train_log_open(cli_train_run *run, cli_error *err)
{
    const cli_train_args *args = run->args;
    jemi_target target;
    if (args->log == NULL)
        return CLI_OK;
    CLI_TRY(cli_output_status(err, jemi_target_find(&target, args->log)));
    run->log_is_file = target.kind != JEMI_TARGET_STREAM;
    const bool reads = run->log_is_file && args->resume;
    const int fd = open_log(&target, args->log, reads);
    run->log = fd >= 0 ? fdopen(fd, reads ? "a+" : "a") : NULL;
    if (run->log == NULL) {
        const cli_status status =
            cli_fail(err, "%s cannot be written: %s", args->log, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    setvbuf(run->log, NULL, _IOLBF, 1 << 14);
    return CLI_OK;
}

// ---- going back --------------------------------------------------------------------------------

int64_t cli_train_log_size(const cli_train_run *run)
{
    if (!run->log_is_file || fseeko(run->log, 0, SEEK_END) != 0)
        return 0;
    const int64_t size = ftello(run->log);
    return size > 0 ? size : 0;
}

cli_status cli_train_log_empty(const cli_train_run *run, cli_error *err)
{
    if (cli_train_log_size(run) > 0 && ftruncate(fileno(run->log), 0) != 0)
        return cli_fail(err, "the log cannot be emptied: %s", strerror(errno));
    return CLI_OK;
}

// -1 of what is no line of a log.
static int64_t step_of(const char *text, size_t size)
{
    json_t *line = json_loadb(text, size, 0, NULL);
    const json_t *value = json_object_get(line, "step");
    const int64_t step = json_is_integer(value) ? json_integer_value(value) : -1;
    json_decref(line);
    return step;
}

// Does a line of that step end there?
static bool line_ends_at(FILE *log, int64_t place, int64_t step)
{
    char text[LINE_SIZE_MAX];
    if (place <= 0)
        return false;
    const int64_t first = place > LINE_SIZE_MAX ? place - LINE_SIZE_MAX : 0;
    const size_t size = (size_t)(place - first);
    if (fseeko(log, first, SEEK_SET) != 0 || fread(text, 1, size, log) != size)
        return false;
    if (text[size - 1] != '\n')
        return false;
    size_t begin = size - 1;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    return step_of(text + begin, size - 1 - begin) == step;
}

// Also what a full disk left of one.
static bool is_later(const char *text, size_t size, int64_t steps)
{
    static const char begin[] = "{\"step\":";
    const bool torn = text[size - 1] != '\n' && strncmp(text, begin, strlen(begin)) == 0;
    const int64_t step = step_of(text, size);
    return step > steps || (step < 0 && torn);
}

// Where the lines of later steps begin that the log of `size` bytes ends with.
static int64_t end_of_steps(FILE *log, int64_t size, int64_t steps)
{
    char *text = NULL;
    size_t capacity = 0;
    int64_t place = 0, end = 0;
    rewind(log);
    for (ssize_t n; (n = getline(&text, &capacity, log)) > 0;) {
        place += n;
        if (!is_later(text, (size_t)n, steps))
            end = place;
    }
    free(text);
    return place == size ? end : size; // what could not be read stays
}

cli_status cli_train_log_go_back(const cli_train_run *run, int64_t size, int64_t steps,
                                 cli_error *err)
{
    FILE *log = run->log;
    const int64_t now = cli_train_log_size(run);
    if (now == 0)
        return CLI_OK;
    const int64_t end = line_ends_at(log, size, steps) ? size : end_of_steps(log, now, steps);
    if (end < now && ftruncate(fileno(log), end) != 0)
        return cli_fail(err, "the log cannot be cut to the checkpoint: %s", strerror(errno));
    fseeko(log, 0, SEEK_END); // a stream that has read must move before it writes
    return CLI_OK;
}
