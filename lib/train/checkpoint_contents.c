/*
 * The two tables, and the way of their entries into a file and back.
 */
#include "train/checkpoint_contents.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "kernels/vector.h"

// Of steps: as many again can be added before a count overflows.
#define COUNT_MAX (INT64_MAX / 2)

// ---- numbers -----------------------------------------------------------------------------------

typedef enum number_use {
    SAME,  // the handles must have the same
    STATE, // they get it
    REAL   // they get it; a float
} number_use;

static const struct {
    const char *key;
    size_t offset;
    number_use use;
    uint64_t max;
    int since; // the format that brought it; older files stand for 0
} number_table[] = {
    {"model.channels", offsetof(jemi_numbers, channels), SAME, INT32_MAX, 1},
    {"model.height", offsetof(jemi_numbers, height), SAME, INT32_MAX, 1},
    {"model.width", offsetof(jemi_numbers, width), SAME, INT32_MAX, 1},
    {"model.classes", offsetof(jemi_numbers, classes), SAME, INT32_MAX, 1},
    {"model.size", offsetof(jemi_numbers, size), SAME, INT64_MAX, 1},
    {"optimizer.kind", offsetof(jemi_numbers, kind), SAME, INT32_MAX, 1},
    {"optimizer.averages", offsetof(jemi_numbers, averages), SAME, 1, 1},
    {"optimizer.seed", offsetof(jemi_numbers, optimizer_seed), STATE, UINT64_MAX, 1},
    {"optimizer.epoch", offsetof(jemi_numbers, optimizer_epoch), STATE, UINT32_MAX, 1},
    {"optimizer.steps", offsetof(jemi_numbers, steps), STATE, COUNT_MAX, 1},
    {"optimizer.lr", offsetof(jemi_numbers, lr), REAL, 0, 1},
    {"optimizer.progress", offsetof(jemi_numbers, progress), REAL, 0, 1},
    {"guard", offsetof(jemi_numbers, guarded), STATE, 1, 1},
    {"guard.steps", offsetof(jemi_numbers, guard_means), STATE, COUNT_MAX, 1},
    {"guard.good", offsetof(jemi_numbers, guard_good), STATE, COUNT_MAX, 1},
    {"guard.tries", offsetof(jemi_numbers, guard_tries), STATE, INT32_MAX, 1},
    {"guard.snapshots", offsetof(jemi_numbers, n_snapshots), STATE, JEMI_SNAPSHOTS, 2},
    {"guard.chainless", offsetof(jemi_numbers, chainless), STATE, 1, 3},
    {"guard.newer.steps", offsetof(jemi_numbers, snapshots[0].steps), STATE, COUNT_MAX, 2},
    {"guard.newer.slot_steps", offsetof(jemi_numbers, snapshots[0].slot_steps), STATE, UINT64_MAX,
     2},
    {"guard.newer.draws", offsetof(jemi_numbers, snapshots[0].draws), STATE, UINT64_MAX, 2},
    {"guard.newer.filled", offsetof(jemi_numbers, snapshots[0].filled), STATE, 1, 2},
    {"guard.older.steps", offsetof(jemi_numbers, snapshots[1].steps), STATE, COUNT_MAX, 2},
    {"guard.older.slot_steps", offsetof(jemi_numbers, snapshots[1].slot_steps), STATE, UINT64_MAX,
     2},
    {"guard.older.draws", offsetof(jemi_numbers, snapshots[1].draws), STATE, UINT64_MAX, 2},
    {"guard.older.filled", offsetof(jemi_numbers, snapshots[1].filled), STATE, 1, 2},
    {"sampler", offsetof(jemi_numbers, sampled), SAME, 1, 1},
    {"sampler.capacity", offsetof(jemi_numbers, capacity), SAME, INT32_MAX, 1},
    {"sampler.class_conditional", offsetof(jemi_numbers, conditional), SAME, 1, 1},
    {"sampler.start", offsetof(jemi_numbers, start), SAME, INT32_MAX, 1},
    {"sampler.start_rank", offsetof(jemi_numbers, start_rank), SAME, INT32_MAX, 1},
    {"sampler.seed", offsetof(jemi_numbers, sampler_seed), STATE, UINT64_MAX, 1},
    {"sampler.epoch", offsetof(jemi_numbers, sampler_epoch), STATE, UINT32_MAX, 1},
    {"sampler.row_steps", offsetof(jemi_numbers, row_steps), STATE, UINT64_MAX, 1},
    {"sampler.slot_steps", offsetof(jemi_numbers, slot_steps), STATE, UINT64_MAX, 1},
    {"sampler.row_starts", offsetof(jemi_numbers, row_starts), STATE, UINT64_MAX, 1},
    {"sampler.draws", offsetof(jemi_numbers, draws), STATE, UINT64_MAX, 1},
    {"sampler.filled", offsetof(jemi_numbers, filled), STATE, 1, 1},
    {"sampler.gaussians", offsetof(jemi_numbers, gaussians), STATE, INT32_MAX, 1},
    {"sampler.kept_classes", offsetof(jemi_numbers, kept_classes), STATE, INT32_MAX, 1},
    {"sampler.kept_rows", offsetof(jemi_numbers, kept_rows), STATE, INT32_MAX, 1},
};
_Static_assert(sizeof number_table / sizeof number_table[0] == JEMI_NUMBERS, "count them");

static void add_sampler(const jem_sampler *sampler, jemi_numbers *n)
{
    const jemi_kept_rows *kept = &sampler->starts.kept;
    n->sampled = 1;
    n->capacity = (uint64_t)sampler->config.capacity;
    n->conditional = (uint64_t)sampler->config.class_conditional;
    n->start = (uint64_t)sampler->config.start;
    n->start_rank = (uint64_t)sampler->config.start_rank;
    n->sampler_seed = sampler->config.seed;
    n->sampler_epoch = sampler->epoch;
    n->row_steps = sampler->row_steps;
    n->slot_steps = sampler->slot_steps;
    n->row_starts = sampler->row_starts;
    n->draws = sampler->draws;
    n->filled = sampler->filled;
    n->gaussians = (uint64_t)sampler->starts.gaussians.n_classes;
    n->kept_classes = (uint64_t)kept->n_classes;
    n->kept_rows = kept->x != NULL ? (uint64_t)kept->first[kept->n_classes] : 0;
}

static void add_snapshots(const jemi_guard *guard, bool with_chains, jemi_numbers *n)
{
    n->n_snapshots = (uint64_t)jemi_guard_count_snapshots(guard);
    for (uint64_t i = 0; i < n->n_snapshots; i++) {
        const jemi_snapshot *snapshot = &guard->snapshots[i];
        n->snapshots[i].steps = (uint64_t)snapshot->steps;
        if (!with_chains)
            continue;
        n->snapshots[i].slot_steps = snapshot->chains.slot_steps;
        n->snapshots[i].draws = snapshot->chains.draws;
        n->snapshots[i].filled = snapshot->chains.filled;
    }
}

void jemi_numbers_add_guard(jemi_numbers *n, const jemi_guard *guard, uint64_t version,
                            const jem_sampler *sampler)
{
    n->guarded = guard != NULL;
    if (guard == NULL || guard->version != version)
        return;
    n->guard_means = (uint64_t)guard->n_means;
    n->guard_good = (uint64_t)guard->good;
    n->guard_tries = (uint64_t)guard->tries;
    n->chainless = sampler != NULL && guard->chains_version == 0;
    if (sampler == NULL || n->chainless)
        add_snapshots(guard, false, n);
    else if (guard->chains_version == sampler->version)
        add_snapshots(guard, true, n);
}

jemi_numbers jemi_numbers_of(const jem_model *model, const jem_optimizer *optimizer,
                             const jem_sampler *sampler)
{
    const jemi_shape input = jemi_model_input(model);
    jemi_numbers n = {.format = JEMI_CHECKPOINT_FORMAT,
                      .channels = (uint64_t)input.c,
                      .height = (uint64_t)input.h,
                      .width = (uint64_t)input.w,
                      .classes = (uint64_t)jemi_model_classes(model),
                      .size = (uint64_t)jemi_model_size(model),
                      .kind = (uint64_t)optimizer->config.kind,
                      .averages = optimizer->ema != NULL,
                      .optimizer_seed = optimizer->config.seed,
                      .optimizer_epoch = optimizer->epoch,
                      .steps = (uint64_t)optimizer->steps,
                      .lr = optimizer->config.lr,
                      .progress = optimizer->progress};
    if (sampler != NULL)
        add_sampler(sampler, &n);
    return n;
}

jemi_string_pair jemi_numbers_format(const jemi_numbers *n, int i, char text[JEMI_NUMBER_SIZE])
{
    const void *value = (const char *)n + number_table[i].offset;
    if (number_table[i].use == REAL)
        jemi_format(text, JEMI_NUMBER_SIZE, "%.9g", (double)*(const float *)value);
    else
        jemi_format(text, JEMI_NUMBER_SIZE, "%" PRIu64, *(const uint64_t *)value);
    return (jemi_string_pair){number_table[i].key, text};
}

jem_status jemi_checkpoint_find(const jemi_safetensors *file, const char *key, const char **text)
{
    *text = jemi_safetensors_metadata(file, key);
    if (*text == NULL)
        return jemi_fail(JEM_EFORMAT, "the checkpoint has no metadata '%s'", key);
    return JEM_OK;
}

static jem_status read_number(const jemi_safetensors *file, int i, jemi_numbers *n)
{
    const char *key = number_table[i].key, *text;
    void *value = (char *)n + number_table[i].offset;
    if (number_table[i].since > n->format)
        return JEM_OK;
    JEMI_TRY(jemi_checkpoint_find(file, key, &text));
    const bool good =
        number_table[i].use == REAL
            ? jemi_parse_float(text, value)
            : jemi_parse_uint64(text, value) && *(const uint64_t *)value <= number_table[i].max;
    if (!good)
        return jemi_fail(JEM_EFORMAT,
                         "the checkpoint's '%s' is '%.40s'; expected a number up to "
                         "%" PRIu64,
                         key, text, number_table[i].max);
    return JEM_OK;
}

static bool guard_fits(const jemi_numbers *n)
{
    const bool with_chains = n->sampled && !n->chainless;
    uint64_t newest = n->steps;
    for (int i = 0; i < JEMI_SNAPSHOTS; newest = n->snapshots[i++].steps)
        if (n->snapshots[i].steps > newest || n->snapshots[i].filled > with_chains)
            return false;
    return (n->n_snapshots == 0 || n->guarded) && n->chainless <= n->sampled;
}

jem_status jemi_numbers_read(const jemi_safetensors *file, int format, const jemi_numbers *own,
                             jemi_numbers *n)
{
    *n = (jemi_numbers){.format = format};
    for (int i = 0; i < JEMI_NUMBERS; i++) {
        JEMI_TRY(read_number(file, i, n));
        char theirs[JEMI_NUMBER_SIZE], ours[JEMI_NUMBER_SIZE];
        jemi_numbers_format(n, i, theirs);
        jemi_numbers_format(own, i, ours);
        if (number_table[i].use == SAME && strcmp(theirs, ours) != 0)
            return jemi_fail(JEM_EMISMATCH, "the checkpoint was made with %s = %s; this run has %s",
                             number_table[i].key, theirs, ours);
    }
    const bool classes_fit = (n->gaussians <= 1 || n->gaussians == n->classes) &&
                             (n->kept_classes <= 1 || n->kept_classes == n->classes);
    const bool kept_fit = (n->kept_classes == 0) == (n->kept_rows == 0);
    const bool sampler_fits = n->sampled || n->filled + n->gaussians + n->kept_rows == 0;
    if (!classes_fit || !kept_fit || !sampler_fits || !guard_fits(n) || !(n->lr > 0.0f) ||
        !(n->progress >= 0.0f))
        return jemi_fail(JEM_EFORMAT, "the checkpoint's numbers contradict each other");
    return JEM_OK;
}

// ---- arrays ------------------------------------------------------------------------------------

jemi_arrays jemi_arrays_of(float *values, const jem_optimizer *optimizer, jemi_guard *guard,
                           const jem_sampler *sampler)
{
    jemi_arrays a = {.values = values};
    jemi_optimizer_vectors(optimizer, a.vectors);
    if (guard != NULL) {
        a.means = &guard->means[0][0];
        memcpy(a.snapshots, guard->snapshots, sizeof a.snapshots);
    }
    if (sampler != NULL) {
        a.chains = sampler->chains;
        a.ages = sampler->ages;
        a.gaussians = sampler->starts.gaussians;
        a.kept = sampler->starts.kept;
    }
    return a;
}

static int append(jemi_array *list, const jemi_array *more, size_t n_more)
{
    int n = 0;
    for (size_t i = 0; i < n_more; i++)
        if (more[i].rows > 0)
            list[n++] = more[i];
    return n;
}

static int append_snapshot(jemi_array *list, const jemi_numbers *n, const jemi_arrays *a, int i)
{
    static const char *const names[JEMI_SNAPSHOTS][6] = {
        {"guard.newer.values", "guard.newer.state1", "guard.newer.state2", "guard.newer.average",
         "guard.newer.chains", "guard.newer.ages"},
        {"guard.older.values", "guard.older.state1", "guard.older.state2", "guard.older.average",
         "guard.older.chains", "guard.older.ages"}};
    const jemi_snapshot *s = &a->snapshots[i];
    const jemi_vector *state = a->vectors;
    const uint64_t len = n->channels * n->height * n->width;
    const uint64_t filled = n->snapshots[i].filled ? n->capacity : 0;
    const bool adam = n->kind == JEM_OPTIMIZER_ADAM;
    const jemi_array all[] = {
        {names[i][0], JEMI_VALUES, 1, n->size, s->values},
        {names[i][1], JEMI_FLOATS, 1, (uint64_t)state[0].count, s->vectors[0]},
        {names[i][2], JEMI_FLOATS, adam, (uint64_t)state[1].count, s->vectors[1]},
        {names[i][3], JEMI_FLOATS, n->averages, (uint64_t)state[2].count, s->vectors[2]},
        {names[i][4], JEMI_FLOATS, filled, len, s->chains.chains},
        {names[i][5], JEMI_COUNTS, filled > 0, filled, s->chains.ages},
    };
    return append(list, all, sizeof all / sizeof all[0]);
}

int jemi_arrays_list(const jemi_numbers *n, const jemi_arrays *a, jemi_array list[JEMI_ARRAYS_MAX])
{
    const uint64_t len = n->channels * n->height * n->width;
    const jemi_vector *state = a->vectors;
    const uint64_t filled = n->filled ? n->capacity : 0;
    const bool adam = n->kind == JEM_OPTIMIZER_ADAM;
    const uint64_t means = n->format == 1 ? 1 : JEMI_REFERENCES;
    const jemi_array all[] = {
        {"model.values", JEMI_VALUES, 1, n->size, a->values},
        {"optimizer.state1", JEMI_FLOATS, 1, (uint64_t)state[0].count, state[0].values},
        {"optimizer.state2", JEMI_FLOATS, adam, (uint64_t)state[1].count, state[1].values},
        {"optimizer.average", JEMI_FLOATS, n->averages, (uint64_t)state[2].count, state[2].values},
        {"guard.means", JEMI_FLOATS, n->guarded * means, JEMI_GAUGES, a->means},
        {"sampler.chains", JEMI_FLOATS, filled, len, a->chains},
        {"sampler.ages", JEMI_COUNTS, filled > 0, filled, a->ages},
        {"sampler.mean", JEMI_FLOATS, n->gaussians, len, a->gaussians.mean},
        {"sampler.rest", JEMI_FLOATS, n->gaussians, len, a->gaussians.rest},
        {"sampler.factors", JEMI_FLOATS, n->gaussians * n->start_rank, len, a->gaussians.factors},
        {"sampler.rows", JEMI_FLOATS, n->kept_rows, len, a->kept.x},
        {"sampler.first", JEMI_COUNTS, n->kept_rows > 0, n->kept_classes + 1, a->kept.first},
    };
    int n_arrays = append(list, all, sizeof all / sizeof all[0]);
    for (uint64_t i = 0; i < n->n_snapshots; i++)
        n_arrays += append_snapshot(list + n_arrays, n, a, (int)i);
    return n_arrays;
}

// The values may lie at any address, so they are looked at in pieces.
static bool all_finite(const jemi_safetensor *tensor)
{
    enum { PIECE = 1024 };
    float piece[PIECE];
    for (int64_t first = 0; first < tensor->count; first += PIECE) {
        const int64_t left = tensor->count - first;
        const size_t here = (size_t)(left < PIECE ? left : PIECE);
        memcpy(piece, (const char *)tensor->data + (size_t)first * sizeof *piece,
               here * sizeof *piece);
        if (!jemi_all_finite(piece, (int64_t)here, NULL))
            return false;
    }
    return true;
}

static bool all_counts(const jemi_safetensor *tensor)
{
    for (int64_t i = 0; i < tensor->count; i++) {
        int64_t value;
        memcpy(&value, (const char *)tensor->data + (size_t)i * sizeof value, sizeof value);
        if (value < 0 || value > COUNT_MAX)
            return false;
    }
    return true;
}

static jem_status check_array(const jemi_safetensors *file, const jemi_array *expected)
{
    const jemi_safetensor *tensor = jemi_safetensors_find(file, expected->name);
    if (tensor == NULL || tensor->dtype != jemi_array_dtype(expected) || tensor->rank != 2 ||
        (uint64_t)tensor->shape[0] != expected->rows ||
        (uint64_t)tensor->shape[1] != expected->row_len)
        return jemi_fail(JEM_EFORMAT,
                         "the checkpoint's '%s' is missing, or not %s of %" PRIu64 " x %" PRIu64,
                         expected->name, expected->kind == JEMI_COUNTS ? "I64" : "F32",
                         expected->rows, expected->row_len);
    if (tensor->dtype == JEMI_F32 && !all_finite(tensor))
        return jemi_fail(JEM_EFORMAT, "the checkpoint's '%s' is not finite", expected->name);
    if (tensor->dtype == JEMI_I64 && !all_counts(tensor))
        return jemi_fail(JEM_EFORMAT, "the checkpoint's '%s' holds numbers that are no counts",
                         expected->name);
    return JEM_OK;
}

// Rising from 0 to the number of rows: they are places in an array.
static jem_status check_first(const jemi_safetensors *file, const jemi_numbers *n)
{
    const jemi_safetensor *tensor = jemi_safetensors_find(file, "sampler.first");
    int64_t before = 0, now = 0;
    for (uint64_t c = 0; n->kept_rows > 0 && c <= n->kept_classes; c++, before = now) {
        memcpy(&now, (const char *)tensor->data + c * sizeof now, sizeof now);
        if (now < before || (c == 0 && now != 0) || (uint64_t)now > n->kept_rows)
            return jemi_fail(JEM_EFORMAT, "the checkpoint's 'sampler.first' does not rise");
    }
    if (n->kept_rows > 0 && (uint64_t)now != n->kept_rows)
        return jemi_fail(JEM_EFORMAT, "the checkpoint's 'sampler.first' does not end at its rows");
    return JEM_OK;
}

jem_status jemi_arrays_check(const jemi_safetensors *file, const jemi_numbers *n,
                             const jem_optimizer *optimizer)
{
    jemi_array list[JEMI_ARRAYS_MAX];
    jemi_arrays a = {.values = NULL};
    jemi_optimizer_vectors(optimizer, a.vectors);
    const int count = jemi_arrays_list(n, &a, list);
    for (int i = 0; i < count; i++)
        JEMI_TRY(check_array(file, &list[i]));
    if (file->n_tensors != (size_t)count)
        return jemi_fail(JEM_EFORMAT, "the checkpoint has %zu tensors; expected %d",
                         file->n_tensors, count);
    return check_first(file, n);
}
