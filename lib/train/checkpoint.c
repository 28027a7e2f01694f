/*
 * Loading looks at everything first and changes the handles when nothing can fail any more.
 */
#include "train/checkpoint.h"

#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "train/checkpoint_contents.h"
#include "train/optimizer.h"

enum { PATH_SIZE = 4200 };

static const char format_key[] = "jem.checkpoint";
static const char *const formats[] = {"1", "2", "3", "4"}; // from 1 to JEMI_CHECKPOINT_FORMAT
static const char arch_key[] = "jem.arch", note_key[] = "note";

// What the run's chains and its parameter gradients are computed by.
enum { CHOICES = 2, CHOICE_SIZE = 128 };
static const char *const choice_keys[CHOICES] = {"computed.chains", "computed.training"};

static void choice_of(const jem_model *model, int i, char text[CHOICE_SIZE])
{
    const int32_t precision =
        i == 0 ? model->exec.precision_chains : model->exec.precision_training;
    model->program->backend->choice(model->program, precision, text, CHOICE_SIZE);
}

// ---- saving ------------------------------------------------------------------------------------

// `keeps`: what the path holds stays as the one before.
static jem_status write_file(const char *path, bool keeps, const jem_model *model,
                             const jem_optimizer *optimizer, const jemi_numbers *n,
                             const jemi_arrays *a)
{
    char texts[JEMI_NUMBERS][JEMI_NUMBER_SIZE], choices[CHOICES][CHOICE_SIZE];
    jemi_string_pair pairs[JEMI_NUMBERS + CHOICES + 3] = {
        {format_key, formats[JEMI_CHECKPOINT_FORMAT - 1]}, {arch_key, model->graph.arch}};
    size_t n_pairs = 2;
    for (int i = 0; i < JEMI_NUMBERS; i++)
        pairs[n_pairs++] = jemi_numbers_format(n, i, texts[i]);
    for (int i = 0; i < CHOICES; i++) {
        choice_of(model, i, choices[i]);
        pairs[n_pairs++] = (jemi_string_pair){choice_keys[i], choices[i]};
    }
    if (optimizer->note != NULL)
        pairs[n_pairs++] = (jemi_string_pair){note_key, optimizer->note};
    jemi_array list[JEMI_ARRAYS_MAX];
    jemi_safetensor tensors[JEMI_ARRAYS_MAX];
    const int count = jemi_arrays_list(n, a, list);
    for (int i = 0; i < count; i++)
        tensors[i] = (jemi_safetensor){.name = list[i].name,
                                       .dtype = jemi_array_dtype(&list[i]),
                                       .rank = 2,
                                       .shape = {(int64_t)list[i].rows, (int64_t)list[i].row_len},
                                       .data = list[i].data};
    return keeps ? jemi_safetensors_write_keeping(path, tensors, (size_t)count, pairs, n_pairs)
                 : jemi_safetensors_write(path, tensors, (size_t)count, pairs, n_pairs);
}

jem_status jemi_checkpoint_save(const char *path, const jem_model *model, jem_optimizer *optimizer,
                                jem_sampler *sampler)
{
    jemi_pin pin;
    const jemi_generation *now = jemi_generation_pin(model->generations, &pin);
    jemi_numbers n = jemi_numbers_of(model, optimizer, sampler);
    jemi_numbers_add_guard(&n, optimizer->guard, now->version, sampler);
    const jemi_arrays a = jemi_arrays_of(now->params, optimizer, optimizer->guard, sampler);
    // A damaged file would take the place of the one that could be loaded.
    const bool damaged = jemi_file_is(path, &optimizer->damaged);
    const jem_status status = write_file(path, !damaged, model, optimizer, &n, &a);
    jemi_generation_unpin(&pin);
    if (status == JEM_OK && damaged)
        optimizer->damaged.exists = false;
    return status;
}

// ---- loading -----------------------------------------------------------------------------------

// 0 = one that this version does not know.
static int format_of(const char *text)
{
    int format = JEMI_CHECKPOINT_FORMAT;
    while (format > 0 && strcmp(text, formats[format - 1]) != 0)
        format--;
    return format;
}

// The handles of a run.
typedef struct run {
    jem_model *model;
    jem_optimizer *optimizer;
    jem_sampler *sampler; /* NULL = none */
} run;

// A checkpoint that has been read. `fits` says whether it is one of this run.
typedef struct opened {
    jemi_safetensors file;
    jemi_numbers numbers;
    jem_status fits;
    jemi_failure misfit; /* if it is not */
} opened;

static jem_status check_format(const jemi_safetensors *file)
{
    const char *kind = jemi_safetensors_metadata(file, format_key);
    if (kind == NULL)
        return jemi_fail(JEM_EFORMAT, "this is no checkpoint of libjem");
    if (format_of(kind) == 0)
        return jemi_fail(JEM_EUNSUPPORTED, "this has format '%.40s'; this version reads up to '%s'",
                         kind, formats[JEMI_CHECKPOINT_FORMAT - 1]);
    return JEM_OK;
}

static jem_status check_arch(const jemi_safetensors *file, const jem_model *model)
{
    const char *arch;
    JEMI_TRY(jemi_checkpoint_find(file, arch_key, &arch));
    if (strcmp(arch, model->graph.arch) != 0)
        return jemi_fail(JEM_EMISMATCH, "the checkpoint is of a %.200s; this model is a %.200s",
                         arch, model->graph.arch);
    return JEM_OK;
}

// What the header alone tells.
static jem_status check_header(const jemi_safetensors *file, const run *r, jemi_numbers *n)
{
    const jemi_numbers own = jemi_numbers_of(r->model, r->optimizer, r->sampler);
    JEMI_TRY(check_arch(file, r->model));
    JEMI_TRY(
        jemi_numbers_read(file, format_of(jemi_safetensors_metadata(file, format_key)), &own, n));
    return jemi_arrays_find(file, n, r->optimizer);
}

// Reads no data of a checkpoint that is not one of this run, except for its digest. JEM_OK for
// every whole checkpoint; the message is that of `fits` then.
static jem_status read_contents(const run *r, opened *o)
{
    JEMI_TRY(check_format(&o->file));
    o->fits = check_header(&o->file, r, &o->numbers);
    const jem_status status = jemi_safetensors_load(&o->file, o->fits, "");
    if (!o->file.has_digest)
        return status != JEM_OK ? status : jemi_fail(JEM_EFORMAT, "the checkpoint has no digest");
    if (o->fits == JEM_OK)
        o->fits = jemi_arrays_check(&o->file, &o->numbers, &r->model->graph, r->optimizer);
    return JEM_OK;
}

static jem_status read_one(const char *path, const run *r, opened *o)
{
    *o = (opened){.fits = JEM_OK};
    jem_status status = jemi_safetensors_open(path, &o->file);
    if (status == JEM_OK)
        status = read_contents(r, o);
    if (status != JEM_OK) {
        jemi_safetensors_fini(&o->file);
        return jemi_fail_in_file(status, path);
    }
    if (o->fits != JEM_OK)
        o->misfit = jemi_failure_save(jemi_fail_in_file(o->fits, path));
    return JEM_OK;
}

// `reason`: why the checkpoint itself cannot be read.
static jem_status read_previous(const char *path, const jemi_failure *reason, const run *r,
                                opened *o)
{
    char previous[PATH_SIZE];
    if (jemi_file_previous(path, previous, sizeof previous) != JEM_OK ||
        !jemi_file_identify(previous).exists)
        return jemi_failure_restore(reason);
    if (read_one(previous, r, o) != JEM_OK) {
        const jemi_failure other = jemi_failure_save(reason->status);
        return jemi_fail(reason->status, "%.450s; nor can the one before it be used: %.450s",
                         reason->message, other.message);
    }
    jemi_log(JEM_LOG_WARNING, "%.450s; going on from the checkpoint before it, %.300s",
             reason->message, previous);
    return JEM_OK;
}

// The checkpoint, or the one before when it is missing or, which is told, damaged. One that only
// cannot be read now may be good: going on from the one before would lose it.
static jem_status read_file(const char *path, const run *r, opened *o, jemi_file_id *damaged)
{
    *damaged = (jemi_file_id){.exists = false};
    const jem_status status = read_one(path, r, o);
    const bool missing = status == JEM_EIO && !jemi_file_identify(path).exists;
    if (status != JEM_EFORMAT && !missing)
        return status;
    const jemi_failure reason = jemi_failure_save(status);
    *damaged = jemi_file_identify(path);
    return read_previous(path, &reason, r, o);
}

// Not an error: models move between machines, and so may their training.
static void compare_choices(const jemi_safetensors *file, const jem_model *model)
{
    for (int i = 0; i < CHOICES; i++) {
        char here[CHOICE_SIZE];
        choice_of(model, i, here);
        const char *there = jemi_safetensors_metadata(file, choice_keys[i]);
        if (there != NULL && strcmp(here, there) == 0)
            continue;
        jemi_log(
            JEM_LOG_WARNING,
            "the checkpoint was computed by '%.150s', this model by '%s': the run goes on, but "
            "not to the bits of one that never stopped",
            there != NULL ? there : "kernels that it does not name", here);
        return;
    }
}

static void free_starts(jemi_arrays *a)
{
    jemi_gaussians_fini(&a->gaussians);
    jemi_kept_rows_fini(&a->kept);
}

static void free_arrays(jemi_arrays *a)
{
    free_starts(a);
    jemi_free(a->kept_params);
}

static jem_status allocate_starts(const jemi_numbers *n, jemi_arrays *a)
{
    const int64_t len = (int64_t)(n->channels * n->height * n->width);
    bool complete = true;
    a->gaussians = (jemi_gaussians){0};
    a->kept = (jemi_kept_rows){.n_classes = (int64_t)n->kept_classes};
    if (n->gaussians > 0) {
        a->gaussians = (jemi_gaussians){
            .n_classes = (int64_t)n->gaussians, .row_len = len, .rank = (int32_t)n->start_rank};
        complete = jemi_gaussians_allocate(&a->gaussians);
    }
    if (n->kept_rows > 0)
        complete = jemi_kept_rows_allocate(&a->kept, (int64_t)n->kept_rows, len) && complete;
    if (complete)
        return JEM_OK;
    free_starts(a);
    return jemi_fail_memory("starts of a checkpoint");
}

static jem_status allocate_arrays(const jemi_numbers *n, jemi_arrays *a)
{
    a->kept_params = NULL;
    JEMI_TRY(allocate_starts(n, a));
    if (n->kept_params == 0)
        return JEM_OK;
    a->kept_params = jemi_alloc((size_t)n->size, sizeof *a->kept_params);
    if (a->kept_params != NULL)
        return JEM_OK;
    free_starts(a);
    return jemi_fail_memory("kept parameters of a checkpoint");
}

static void take_guard(const jemi_numbers *n, jemi_guard *guard, const jem_sampler *sampler,
                       uint64_t version)
{
    guard->n_means = (int64_t)n->guard_means;
    guard->good = (int64_t)n->guard_good;
    guard->tries = (int64_t)n->guard_tries;
    guard->version = version;
    guard->chains_version = sampler != NULL && !n->chainless ? sampler->version : 0;
    if (n->format == 1)
        for (int r = JEMI_RECENT + 1; r < JEMI_REFERENCES; r++)
            memcpy(guard->means[r], guard->means[JEMI_RECENT], sizeof guard->means[r]);
    for (uint64_t i = 0; i < n->n_snapshots; i++) {
        jemi_snapshot *snapshot = &guard->snapshots[i];
        snapshot->steps = (int64_t)n->snapshots[i].steps;
        snapshot->chains.slot_steps = n->snapshots[i].slot_steps;
        snapshot->chains.draws = n->snapshots[i].draws;
        snapshot->chains.filled = n->snapshots[i].filled != 0;
        snapshot->valid = true;
    }
}

static void take_optimizer(const jemi_numbers *n, jemi_guard *guard, jem_optimizer *optimizer)
{
    optimizer->config.seed = n->optimizer_seed;
    optimizer->config.lr = n->lr;
    optimizer->epoch = (uint32_t)n->optimizer_epoch;
    optimizer->steps = (int64_t)n->steps;
    optimizer->progress = n->progress;
    jemi_guard *old = optimizer->guard; // never a dangling pointer: another thread may fork
    optimizer->guard = guard;
    jemi_guard_destroy(old);
}

static void take_sampler(const jemi_numbers *n, const jemi_arrays *a, jem_sampler *sampler)
{
    jemi_starts_replace(&sampler->starts, &a->gaussians, &a->kept);
    sampler->config.seed = n->sampler_seed;
    sampler->epoch = (uint32_t)n->sampler_epoch;
    sampler->row_steps = n->row_steps;
    sampler->slot_steps = n->slot_steps;
    sampler->row_starts = n->row_starts;
    sampler->draws = n->draws;
    sampler->filled = n->filled != 0;
    jemi_sampler_renew(sampler);
}

static void read_array(const jemi_safetensors *file, const jemi_array *array)
{
    const jemi_safetensor *tensor = jemi_safetensors_find(file, array->name);
    const size_t element = array->kind == JEMI_COUNTS ? sizeof(int64_t) : sizeof(float);
    memcpy(array->data, tensor->data, (size_t)tensor->count * element);
}

static void read_arrays(const jemi_safetensors *file, const jemi_numbers *n, const jemi_arrays *a)
{
    jemi_array list[JEMI_ARRAYS_MAX];
    const int count = jemi_arrays_list(n, a, list);
    for (int i = 0; i < count; i++)
        read_array(file, &list[i]);
}

static jem_status make_guard(const jemi_numbers *n, const jem_optimizer *optimizer,
                             const jem_sampler *sampler, jemi_guard **guard)
{
    if (!n->guarded)
        return JEM_OK;
    JEMI_TRY(jemi_guard_create(guard, optimizer));
    return jemi_guard_reserve_chains(*guard, n->chainless ? NULL : sampler);
}

// Everything that can still fail, then the handles change.
static jem_status take_all(const opened *o, const run *r)
{
    const jemi_safetensors *file = &o->file;
    const jemi_numbers *n = &o->numbers;
    jem_optimizer *optimizer = r->optimizer;
    jem_sampler *sampler = r->sampler;
    jemi_guard *guard = NULL;
    jemi_generation *next;
    JEMI_TRY(jemi_generations_begin(r->model->generations, &next));
    jem_status status = make_guard(n, optimizer, sampler, &guard);
    jemi_arrays a = jemi_arrays_of(next->params, optimizer, guard, sampler);
    if (status == JEM_OK)
        status = allocate_arrays(n, &a);
    if (status == JEM_OK) {
        status = jemi_optimizer_set_note(optimizer, jemi_safetensors_metadata(file, note_key));
        if (status != JEM_OK)
            free_arrays(&a);
    }
    if (status != JEM_OK) {
        jemi_guard_destroy(guard);
        jemi_generations_abort(r->model->generations, next);
        return status;
    }
    read_arrays(file, n, &a);
    take_optimizer(n, guard, optimizer);
    jemi_optimizer_take_kept(optimizer, a.kept_params);
    if (sampler != NULL)
        take_sampler(n, &a, sampler);
    if (guard != NULL)
        take_guard(n, guard, sampler, next->version);
    jemi_generations_commit(r->model->generations, next);
    return JEM_OK;
}

jem_status jemi_checkpoint_load(const char *path, jem_model *model, jem_optimizer *optimizer,
                                jem_sampler *sampler)
{
    const run r = {model, optimizer, sampler};
    opened o;
    jemi_file_id damaged;
    JEMI_TRY(read_file(path, &r, &o, &damaged));
    const jem_status status = o.fits == JEM_OK ? take_all(&o, &r) : jemi_failure_restore(&o.misfit);
    if (status == JEM_OK) {
        optimizer->damaged = damaged;
        compare_choices(&o.file, model);
    }
    jemi_safetensors_fini(&o.file);
    return status;
}
