/*
 * The training log: one JSON object per line and step, with every field of jem_train_stats.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    {"f_data", offsetof(jem_train_stats, f_data)},
    {"f_samples", offsetof(jem_train_stats, f_samples)},
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

void cli_train_log(FILE *log, const jem_train_stats *stats, double seconds)
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
    json_dumpf(line, log, JSON_COMPACT | JSON_REAL_PRECISION(7));
    fputc('\n', log);
    json_decref(line);
}

// ---- going back --------------------------------------------------------------------------------

int64_t cli_train_log_size(FILE *log)
{
    if (log == NULL || fseeko(log, 0, SEEK_END) != 0)
        return 0;
    const int64_t size = ftello(log);
    return size > 0 ? size : 0;
}

cli_status cli_train_log_empty(FILE *log, cli_error *err)
{
    if (cli_train_log_size(log) > 0 && ftruncate(fileno(log), 0) != 0)
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

cli_status cli_train_log_go_back(FILE *log, int64_t size, int64_t steps, cli_error *err)
{
    const int64_t now = cli_train_log_size(log);
    if (now == 0)
        return CLI_OK;
    const int64_t end = line_ends_at(log, size, steps) ? size : end_of_steps(log, now, steps);
    if (end < now && ftruncate(fileno(log), end) != 0)
        return cli_fail(err, "the log cannot be cut to the checkpoint: %s", strerror(errno));
    fseeko(log, 0, SEEK_END); // a stream that has read must move before it writes
    return CLI_OK;
}
