/*
 * Room is made beforehand, so that taking a snapshot and going back to one cannot fail.
 */
#include "train/snapshot.h"

#include <string.h>

#include "base/memory.h"

static size_t count_of(const jem_optimizer *optimizer)
{
    return (size_t)(optimizer->fingerprint.param_count + optimizer->fingerprint.state_count);
}

jem_status jemi_snapshot_allocate(jemi_snapshot *snapshot, const jem_optimizer *optimizer)
{
    jemi_vector vectors[JEMI_OPTIMIZER_VECTORS];
    jemi_optimizer_vectors(optimizer, vectors);
    snapshot->values = jemi_alloc(count_of(optimizer), sizeof *snapshot->values);
    bool complete = snapshot->values != NULL;
    for (int i = 0; i < JEMI_OPTIMIZER_VECTORS; i++) {
        if (vectors[i].values == NULL)
            continue;
        snapshot->vectors[i] = jemi_alloc((size_t)vectors[i].count, sizeof(float));
        complete = complete && snapshot->vectors[i] != NULL;
    }
    return complete ? JEM_OK : jemi_fail_memory("snapshot of a training run");
}

void jemi_snapshot_fini(jemi_snapshot *snapshot)
{
    for (int i = 0; i < JEMI_OPTIMIZER_VECTORS; i++)
        jemi_free(snapshot->vectors[i]);
    jemi_free(snapshot->values);
    jemi_kept_chains_fini(&snapshot->chains);
    *snapshot = (jemi_snapshot){0};
}

static void copy_vectors(const jemi_snapshot *snapshot, const jem_optimizer *optimizer, bool back)
{
    jemi_vector vectors[JEMI_OPTIMIZER_VECTORS];
    jemi_optimizer_vectors(optimizer, vectors);
    for (int i = 0; i < JEMI_OPTIMIZER_VECTORS; i++) {
        float *own = vectors[i].values, *kept = snapshot->vectors[i];
        if (own != NULL)
            memcpy(back ? own : kept, back ? kept : own, (size_t)vectors[i].count * sizeof *own);
    }
}

void jemi_snapshot_take(jemi_snapshot *snapshot, const jem_optimizer *optimizer,
                        const jem_sampler *sampler, const float *values)
{
    copy_vectors(snapshot, optimizer, false);
    memcpy(snapshot->values, values, count_of(optimizer) * sizeof *values);
    if (sampler != NULL)
        jemi_sampler_keep(sampler, &snapshot->chains);
    snapshot->steps = optimizer->steps;
    snapshot->valid = true;
}

void jemi_snapshot_return(const jemi_snapshot *snapshot, jem_optimizer *optimizer, float *values)
{
    copy_vectors(snapshot, optimizer, true);
    memcpy(values, snapshot->values, count_of(optimizer) * sizeof *values);
    optimizer->steps = snapshot->steps;
}
