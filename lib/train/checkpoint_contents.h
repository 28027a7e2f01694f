/*
 * What a checkpoint holds: a table of numbers and a list of arrays, the same for saving and
 * loading.
 */
#ifndef JEMI_TRAIN_CHECKPOINT_CONTENTS_H
#define JEMI_TRAIN_CHECKPOINT_CONTENTS_H

#include "train/guard.h"

/** Of the files that are written. Format 1 has no snapshots and only the recent means; in format 2
 *  the snapshots of a run with a sampler always hold its chains; up to 3 there are no kept
 *  parameters. */
enum { JEMI_CHECKPOINT_FORMAT = 4 };

/** Of steps: as many again can be added before a count overflows. */
#define JEMI_COUNT_MAX (INT64_MAX / 2)

/** In the file they are metadata: JSON numbers could not hold 64 bits. */
typedef struct jemi_numbers {
    int format; /* of the file */
    uint64_t channels, height, width, classes, size;
    uint64_t kind, averages, kept_params, optimizer_seed, optimizer_epoch, steps;
    uint64_t guarded, guard_means, guard_good, guard_tries, n_snapshots;
    uint64_t chainless; /* the snapshots hold no chains, though there is a sampler */
    struct {
        uint64_t steps, slot_steps, draws, filled;
    } snapshots[JEMI_SNAPSHOTS];
    uint64_t sampled, capacity, conditional, start, start_rank;
    uint64_t sampler_seed, sampler_epoch, row_steps, slot_steps, row_starts, draws, filled;
    uint64_t gaussians, kept_classes, kept_rows;
    float lr, progress;
} jemi_numbers;

enum { JEMI_NUMBER_SIZE = 24, JEMI_NUMBERS = 42 };

/** All but the guard's. */
jemi_numbers jemi_numbers_of(const jem_model *model, const jem_optimizer *optimizer,
                             const jem_sampler *sampler);

/**
 * The guard's, without what has no meaning any more because somebody else has written.
 *
 * @param guard    NULL = none.
 * @param version  Of the current parameters.
 */
void jemi_numbers_add_guard(jemi_numbers *n, const jemi_guard *guard, uint64_t version,
                            const jem_sampler *sampler);

/** Number i < JEMI_NUMBERS as a pair of strings, the second in `text`. */
jemi_string_pair jemi_numbers_format(const jemi_numbers *n, int i, char text[JEMI_NUMBER_SIZE]);

/** Of a file of this format. JEM_EMISMATCH: those differ from `own` that must not; JEM_EFORMAT: one
 *  is out of its range, or they contradict each other. */
jem_status jemi_numbers_read(const jemi_safetensors *file, int format, const jemi_numbers *own,
                             jemi_numbers *n);

/** A metadata string; JEM_EFORMAT when there is none. */
jem_status jemi_checkpoint_find(const jemi_safetensors *file, const char *key, const char **text);

/** Where the arrays of a checkpoint are, or go to; NULL while only their sizes are asked for. */
typedef struct jemi_arrays {
    float *values; /* of the model */
    float *kept_params;
    jemi_vector vectors[JEMI_OPTIMIZER_VECTORS];
    float *means; /* of the guard */
    jemi_snapshot snapshots[JEMI_SNAPSHOTS];
    float *chains;
    int64_t *ages;
    jemi_gaussians gaussians;
    jemi_kept_rows kept;
} jemi_arrays;

/** @param guard  NULL = none. */
jemi_arrays jemi_arrays_of(float *values, const jem_optimizer *optimizer, jemi_guard *guard,
                           const jem_sampler *sampler);

/** What the values of an array may be. All but the last are F32. */
typedef enum jemi_array_kind {
    JEMI_FLOATS, /* any finite numbers */
    JEMI_SIZES,  /* at least 0 */
    JEMI_ZEROS,
    JEMI_VALUES, /* parameters and state, which the graph has to accept */
    JEMI_COUNTS  /* I64, 0 .. most */
} jemi_array_kind;

typedef struct jemi_array {
    const char *name;
    jemi_array_kind kind;
    uint64_t rows, row_len;
    void *data;    /* NULL while only sizes are asked for */
    uint64_t most; /* of counts */
} jemi_array;

static inline jemi_dtype jemi_array_dtype(const jemi_array *array)
{
    return array->kind == JEMI_COUNTS ? JEMI_I64 : JEMI_F32;
}

enum { JEMI_ARRAYS_MAX = 25 };

/** Those that a checkpoint of these numbers has, all of rank 2; returns how many. */
int jemi_arrays_list(const jemi_numbers *n, const jemi_arrays *a, jemi_array list[JEMI_ARRAYS_MAX]);

/** JEM_EFORMAT unless the file's header lists these and no others. */
jem_status jemi_arrays_find(const jemi_safetensors *file, const jemi_numbers *n,
                            const jem_optimizer *optimizer);

/** JEM_EFORMAT unless the data, which has been read, holds values that a run can have. */
jem_status jemi_arrays_check(const jemi_safetensors *file, const jemi_numbers *n,
                             const jemi_graph *graph, const jem_optimizer *optimizer);

#endif
