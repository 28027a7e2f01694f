/*
 * The numbers of a checkpoint: their table, what each may be, and what they demand of each other.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "train/checkpoint_contents.h"

// As many rollbacks as jem_train_config.guard_tries allows.
enum { TRIES_MAX = 1000 };

typedef enum number_use {
    SAME,  // the handles must have the same
    STATE, // they get it
    RATE,  // they get it; a float above 0
    PART   // they get it; a float, 0 .. 1
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
    {"optimizer.kept", offsetof(jemi_numbers, kept_params), STATE, 1, 4},
    {"optimizer.seed", offsetof(jemi_numbers, optimizer_seed), STATE, UINT64_MAX, 1},
    {"optimizer.epoch", offsetof(jemi_numbers, optimizer_epoch), STATE, UINT32_MAX, 1},
    {"optimizer.steps", offsetof(jemi_numbers, steps), STATE, JEMI_COUNT_MAX, 1},
    {"optimizer.lr", offsetof(jemi_numbers, lr), RATE, 0, 1},
    {"optimizer.progress", offsetof(jemi_numbers, progress), PART, 1, 1},
    {"guard", offsetof(jemi_numbers, guarded), STATE, 1, 1},
    {"guard.steps", offsetof(jemi_numbers, guard_means), STATE, JEMI_COUNT_MAX, 1},
    {"guard.good", offsetof(jemi_numbers, guard_good), STATE, JEMI_COUNT_MAX, 1},
    {"guard.tries", offsetof(jemi_numbers, guard_tries), STATE, TRIES_MAX, 1},
    {"guard.snapshots", offsetof(jemi_numbers, n_snapshots), STATE, JEMI_SNAPSHOTS, 2},
    {"guard.chainless", offsetof(jemi_numbers, chainless), STATE, 1, 3},
    {"guard.newer.steps", offsetof(jemi_numbers, snapshots[0].steps), STATE, JEMI_COUNT_MAX, 2},
    {"guard.newer.slot_steps", offsetof(jemi_numbers, snapshots[0].slot_steps), STATE,
     JEMI_COUNT_MAX, 2},
    {"guard.newer.draws", offsetof(jemi_numbers, snapshots[0].draws), STATE, JEMI_COUNT_MAX, 2},
    {"guard.newer.filled", offsetof(jemi_numbers, snapshots[0].filled), STATE, 1, 2},
    {"guard.older.steps", offsetof(jemi_numbers, snapshots[1].steps), STATE, JEMI_COUNT_MAX, 2},
    {"guard.older.slot_steps", offsetof(jemi_numbers, snapshots[1].slot_steps), STATE,
     JEMI_COUNT_MAX, 2},
    {"guard.older.draws", offsetof(jemi_numbers, snapshots[1].draws), STATE, JEMI_COUNT_MAX, 2},
    {"guard.older.filled", offsetof(jemi_numbers, snapshots[1].filled), STATE, 1, 2},
    {"sampler", offsetof(jemi_numbers, sampled), SAME, 1, 1},
    {"sampler.capacity", offsetof(jemi_numbers, capacity), SAME, INT32_MAX, 1},
    {"sampler.class_conditional", offsetof(jemi_numbers, conditional), SAME, 1, 1},
    {"sampler.start", offsetof(jemi_numbers, start), SAME, INT32_MAX, 1},
    {"sampler.start_rank", offsetof(jemi_numbers, start_rank), SAME, INT32_MAX, 1},
    {"sampler.seed", offsetof(jemi_numbers, sampler_seed), STATE, UINT64_MAX, 1},
    {"sampler.epoch", offsetof(jemi_numbers, sampler_epoch), STATE, UINT32_MAX, 1},
    {"sampler.row_steps", offsetof(jemi_numbers, row_steps), STATE, JEMI_COUNT_MAX, 1},
    {"sampler.slot_steps", offsetof(jemi_numbers, slot_steps), STATE, JEMI_COUNT_MAX, 1},
    {"sampler.row_starts", offsetof(jemi_numbers, row_starts), STATE, JEMI_COUNT_MAX, 1},
    {"sampler.draws", offsetof(jemi_numbers, draws), STATE, JEMI_COUNT_MAX, 1},
    {"sampler.filled", offsetof(jemi_numbers, filled), STATE, 1, 1},
    {"sampler.gaussians", offsetof(jemi_numbers, gaussians), STATE, INT32_MAX, 1},
    {"sampler.kept_classes", offsetof(jemi_numbers, kept_classes), STATE, INT32_MAX, 1},
    {"sampler.kept_rows", offsetof(jemi_numbers, kept_rows), STATE, INT32_MAX, 1},
};
_Static_assert(sizeof number_table / sizeof number_table[0] == JEMI_NUMBERS, "count them");

static bool is_float(int i)
{
    return number_table[i].use == RATE || number_table[i].use == PART;
}

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
                      .kept_params = optimizer->kept != NULL,
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
    if (is_float(i))
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

static bool parse(const char *text, int i, void *value)
{
    if (!is_float(i))
        return jemi_parse_uint64(text, value) && *(const uint64_t *)value <= number_table[i].max;
    if (!jemi_parse_float(text, value))
        return false;
    const float number = *(const float *)value;
    return number_table[i].use == RATE ? number > 0.0f : number >= 0.0f && number <= 1.0f;
}

static jem_status read_number(const jemi_safetensors *file, int i, jemi_numbers *n)
{
    const char *key = number_table[i].key, *text;
    if (number_table[i].since > n->format)
        return JEM_OK;
    JEMI_TRY(jemi_checkpoint_find(file, key, &text));
    if (parse(text, i, (char *)n + number_table[i].offset))
        return JEM_OK;
    if (number_table[i].use == RATE)
        return jemi_fail(JEM_EFORMAT, "the checkpoint's '%s' is '%.40s'; expected a number above 0",
                         key, text);
    return jemi_fail(JEM_EFORMAT,
                     "the checkpoint's '%s' is '%.40s'; expected a number from 0 to %" PRIu64, key,
                     text, number_table[i].max);
}

// ---- what they demand of each other ------------------------------------------------------------

static bool classes_fit(const jemi_numbers *n)
{
    return (n->gaussians <= 1 || n->gaussians == n->classes) &&
           (n->kept_classes <= 1 || n->kept_classes == n->classes);
}

static bool rows_have_classes(const jemi_numbers *n)
{
    return (n->kept_classes == 0) == (n->kept_rows == 0);
}

static bool fit_is_of_start(const jemi_numbers *n)
{
    return n->start == JEM_START_DATA ? n->gaussians == 0 : n->kept_rows == 0;
}

static bool sampler_exists(const jemi_numbers *n)
{
    const uint64_t moved = n->row_steps | n->slot_steps | n->row_starts | n->draws;
    return n->sampled || (n->filled | n->gaussians | n->kept_rows | n->chainless | moved) == 0;
}

static bool guard_exists(const jemi_numbers *n)
{
    return n->guarded ||
           (n->guard_means | n->guard_good | n->guard_tries | n->n_snapshots | n->chainless) == 0;
}

static bool good_steps_are_counted(const jemi_numbers *n)
{
    return n->guard_good <= n->guard_means;
}

static bool tries_changed_streams(const jemi_numbers *n)
{
    return n->guard_tries <= n->optimizer_epoch;
}

static bool snapshots_lie_behind(const jemi_numbers *n)
{
    uint64_t steps = n->steps, slot_steps = n->slot_steps, draws = n->draws;
    for (int i = 0; i < JEMI_SNAPSHOTS; i++) {
        if (n->snapshots[i].steps > steps || n->snapshots[i].slot_steps > slot_steps ||
            n->snapshots[i].draws > draws)
            return false;
        steps = n->snapshots[i].steps;
        slot_steps = n->snapshots[i].slot_steps;
        draws = n->snapshots[i].draws;
    }
    return true;
}

static bool snapshots_have_chains(const jemi_numbers *n)
{
    const bool with_chains = n->sampled && !n->chainless;
    for (int i = 0; i < JEMI_SNAPSHOTS; i++)
        if (n->snapshots[i].filled > with_chains)
            return false;
    return true;
}

static const struct {
    bool (*holds)(const jemi_numbers *n);
    const char *rule;
} relations[] = {
    {classes_fit, "starts are fitted to all rows or to each class"},
    {rows_have_classes, "kept rows and their classes are there or not"},
    {fit_is_of_start, "what was fitted is of the kind of the sampler's starts"},
    {sampler_exists, "there are no figures of a sampler without one"},
    {guard_exists, "there are no figures of a guard without one"},
    {good_steps_are_counted, "'guard.good' is at most 'guard.steps'"},
    {tries_changed_streams, "'guard.tries' is at most 'optimizer.epoch'"},
    {snapshots_lie_behind, "steps and draws of snapshots do not lie ahead of the run's"},
    {snapshots_have_chains, "snapshots hold chains only with a sampler"},
};

static jem_status check_relations(const jemi_numbers *n)
{
    for (size_t i = 0; i < sizeof relations / sizeof relations[0]; i++)
        if (!relations[i].holds(n))
            return jemi_fail(JEM_EFORMAT,
                             "the checkpoint's numbers contradict each other; expected that %s",
                             relations[i].rule);
    return JEM_OK;
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
    return check_relations(n);
}
