/*
 * The training log: one JSON object per line and step, with every field of jem_train_stats.
 */
#include <jansson.h>
#include <math.h>

#include "train.h"

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
