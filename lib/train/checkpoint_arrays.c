/*
 * The arrays of a checkpoint: which there are, and what their values may be.
 */
#include <inttypes.h>
#include <string.h>

#include "kernels/vector.h"
#include "train/checkpoint_contents.h"

jemi_arrays jemi_arrays_of(float *values, const jem_optimizer *optimizer, jemi_guard *guard,
                           const jem_sampler *sampler)
{
    jemi_arrays a = {.values = values, .kept_params = optimizer->kept};
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

// Adam's v and the like are sums of squares; before the first step all is as it was created, the
// average of nothing included.
static int append_optimizer(jemi_array *list, const jemi_numbers *n, const char *const names[3],
                            const jemi_vector state[JEMI_OPTIMIZER_VECTORS], uint64_t steps)
{
    const bool adam = n->kind == JEM_OPTIMIZER_ADAM, begun = steps > 0;
    const jemi_array all[] = {
        {names[0], begun ? JEMI_FLOATS : JEMI_ZEROS, 1, (uint64_t)state[0].count, state[0].values,
         0},
        {names[1], begun ? JEMI_SIZES : JEMI_ZEROS, adam, (uint64_t)state[1].count, state[1].values,
         0},
        {names[2], begun ? JEMI_VALUES : JEMI_FLOATS, n->averages, (uint64_t)state[2].count,
         state[2].values, 0},
    };
    return append(list, all, sizeof all / sizeof all[0]);
}

static int append_snapshot(jemi_array *list, const jemi_numbers *n, const jemi_arrays *a, int i)
{
    static const char *const names[JEMI_SNAPSHOTS][3] = {
        {"guard.newer.state1", "guard.newer.state2", "guard.newer.average"},
        {"guard.older.state1", "guard.older.state2", "guard.older.average"}};
    const jemi_snapshot *s = &a->snapshots[i];
    const uint64_t len = n->channels * n->height * n->width;
    const uint64_t filled = n->snapshots[i].filled ? n->capacity : 0;
    jemi_vector state[JEMI_OPTIMIZER_VECTORS];
    for (int k = 0; k < JEMI_OPTIMIZER_VECTORS; k++)
        state[k] = (jemi_vector){s->vectors[k], a->vectors[k].count};
    const jemi_array others[] = {
        {i == 0 ? "guard.newer.values" : "guard.older.values", JEMI_VALUES, 1, n->size, s->values,
         0},
        {i == 0 ? "guard.newer.chains" : "guard.older.chains", JEMI_FLOATS, filled, len,
         s->chains.chains, 0},
        {i == 0 ? "guard.newer.ages" : "guard.older.ages", JEMI_COUNTS, filled > 0, filled,
         s->chains.ages, n->snapshots[i].slot_steps},
    };
    const int count = append(list, others, sizeof others / sizeof others[0]);
    return count + append_optimizer(list + count, n, names[i], state, n->snapshots[i].steps);
}

int jemi_arrays_list(const jemi_numbers *n, const jemi_arrays *a, jemi_array list[JEMI_ARRAYS_MAX])
{
    static const char *const names[3] = {"optimizer.state1", "optimizer.state2",
                                         "optimizer.average"};
    const uint64_t len = n->channels * n->height * n->width;
    const uint64_t filled = n->filled ? n->capacity : 0;
    const uint64_t means = n->format == 1 ? 1 : JEMI_REFERENCES;
    const jemi_array others[] = {
        {"model.values", JEMI_VALUES, 1, n->size, a->values, 0},
        {"optimizer.kept", JEMI_FLOATS, n->kept_params, n->size, a->kept_params, 0},
        {"guard.means", JEMI_SIZES, n->guarded * means, JEMI_GAUGES, a->means, 0},
        {"sampler.chains", JEMI_FLOATS, filled, len, a->chains, 0},
        {"sampler.ages", JEMI_COUNTS, filled > 0, filled, a->ages, n->slot_steps},
        {"sampler.mean", JEMI_FLOATS, n->gaussians, len, a->gaussians.mean, 0},
        {"sampler.rest", JEMI_SIZES, n->gaussians, len, a->gaussians.rest, 0},
        {"sampler.factors", JEMI_FLOATS, n->gaussians * n->start_rank, len, a->gaussians.factors,
         0},
        {"sampler.rows", JEMI_FLOATS, n->kept_rows, len, a->kept.x, 0},
        {"sampler.first", JEMI_COUNTS, n->kept_rows > 0, n->kept_classes + 1, a->kept.first,
         n->kept_rows},
    };
    int n_arrays = append(list, others, sizeof others / sizeof others[0]);
    n_arrays += append_optimizer(list + n_arrays, n, names, a->vectors, n->steps);
    for (uint64_t i = 0; i < n->n_snapshots; i++)
        n_arrays += append_snapshot(list + n_arrays, n, a, (int)i);
    return n_arrays;
}

// ---- checks ------------------------------------------------------------------------------------

// The arrays without places to put them.
static int list_expected(const jemi_numbers *n, const jem_optimizer *optimizer,
                         jemi_array list[JEMI_ARRAYS_MAX])
{
    jemi_arrays nowhere = {.values = NULL};
    jemi_optimizer_vectors(optimizer, nowhere.vectors);
    return jemi_arrays_list(n, &nowhere, list);
}

static jem_status find_array(const jemi_safetensors *file, const jemi_array *expected)
{
    const jemi_safetensor *tensor = jemi_safetensors_find(file, expected->name);
    if (tensor == NULL || tensor->dtype != jemi_array_dtype(expected) || tensor->rank != 2 ||
        (uint64_t)tensor->shape[0] != expected->rows ||
        (uint64_t)tensor->shape[1] != expected->row_len)
        return jemi_fail(JEM_EFORMAT,
                         "the checkpoint's '%s' is missing, or not %s of %" PRIu64 " x %" PRIu64,
                         expected->name, jemi_dtype_name(jemi_array_dtype(expected)),
                         expected->rows, expected->row_len);
    return JEM_OK;
}

jem_status jemi_arrays_find(const jemi_safetensors *file, const jemi_numbers *n,
                            const jem_optimizer *optimizer)
{
    jemi_array list[JEMI_ARRAYS_MAX];
    const int count = list_expected(n, optimizer, list);
    for (int i = 0; i < count; i++)
        JEMI_TRY(find_array(file, &list[i]));
    if (file->n_tensors != (size_t)count)
        return jemi_fail(JEM_EFORMAT, "the checkpoint has %zu tensors; expected %d",
                         file->n_tensors, count);
    return JEM_OK;
}

static jem_status fail_value(const jemi_array *array, double value, int64_t place,
                             const char *expected)
{
    return jemi_fail(JEM_EFORMAT,
                     "the checkpoint's '%s' holds %.9g at element %" PRId64 "; expected %s",
                     array->name, value, place, expected);
}

static jem_status check_floats(const jemi_array *array, const float *values, int64_t count,
                               const jemi_graph *graph)
{
    int64_t place;
    if (!jemi_all_finite(values, count, &place))
        return fail_value(array, (double)values[place], place, "finite numbers");
    for (int64_t i = 0; array->kind == JEMI_SIZES && i < count; i++)
        if (values[i] < 0.0f)
            return fail_value(array, (double)values[i], i, "none below 0");
    for (int64_t i = 0; array->kind == JEMI_ZEROS && i < count; i++)
        if (values[i] != 0.0f)
            return fail_value(array, (double)values[i], i, "0 before the first step");
    if (array->kind != JEMI_VALUES)
        return JEM_OK;
    return jemi_graph_check_values(graph, values, JEM_EFORMAT);
}

// Counts may lie at any multiple of four.
static jem_status check_counts(const jemi_array *array, const char *counts, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t value;
        memcpy(&value, counts + (size_t)i * sizeof value, sizeof value);
        if (value < 0 || (uint64_t)value > array->most)
            return jemi_fail(JEM_EFORMAT,
                             "the checkpoint's '%s' holds %" PRId64 " at element %" PRId64
                             "; expected 0 to %" PRIu64,
                             array->name, value, i, array->most);
    }
    return JEM_OK;
}

// Rising from 0 to the number of rows: they are places in an array.
static jem_status check_first(const jemi_safetensors *file, const jemi_numbers *n)
{
    const jemi_safetensor *tensor = jemi_safetensors_find(file, "sampler.first");
    int64_t before = 0, now = 0;
    for (uint64_t c = 0; n->kept_rows > 0 && c <= n->kept_classes; c++, before = now) {
        memcpy(&now, (const char *)tensor->data + c * sizeof now, sizeof now);
        if (now < before || (c == 0 && now != 0))
            return jemi_fail(JEM_EFORMAT, "the checkpoint's 'sampler.first' does not rise from 0");
    }
    if (n->kept_rows > 0 && (uint64_t)now != n->kept_rows)
        return jemi_fail(JEM_EFORMAT, "the checkpoint's 'sampler.first' does not end at its rows");
    return JEM_OK;
}

jem_status jemi_arrays_check(const jemi_safetensors *file, const jemi_numbers *n,
                             const jemi_graph *graph, const jem_optimizer *optimizer)
{
    jemi_array list[JEMI_ARRAYS_MAX];
    const int count = list_expected(n, optimizer, list);
    for (int i = 0; i < count; i++) {
        const jemi_safetensor *tensor = jemi_safetensors_find(file, list[i].name);
        JEMI_TRY(list[i].kind == JEMI_COUNTS
                     ? check_counts(&list[i], tensor->data, tensor->count)
                     : check_floats(&list[i], tensor->data, tensor->count, graph));
    }
    return check_first(file, n);
}
