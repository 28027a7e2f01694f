/*
 * The table of packings and the copies made after it.
 *
 * Both grow in chunks that double and never move, so a reader needs no lock: a chunk pointer is
 * published once, and a copy is published by its `fresh` flag. Packing itself happens under the
 * weights' mutex; nothing is computed under it.
 */
#include "backend/cpu/weight_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "base/status.h"

enum { FIRST_CHUNK = 32, N_CHUNKS = 24 };

struct jemi_slots {
    pthread_mutex_t mutex;
    int32_t count;                  // under the mutex
    jemi_packing *chunks[N_CHUNKS]; // under the mutex; the packings themselves are immutable
};

typedef struct copy {
    atomic_bool fresh;
    void *data;
} copy;

typedef struct weights {
    jemi_weights base;
    jemi_slots *slots; // the program's
    const float *params;
    pthread_mutex_t mutex;
    size_t bytes; // of the copies, under the mutex
    _Atomic(copy *) chunks[N_CHUNKS];
} weights;

// Chunk k holds FIRST_CHUNK << k entries; `*index` becomes the place in it.
static int chunk_of(int32_t *index)
{
    int chunk = 0;
    for (int32_t size = FIRST_CHUNK; *index >= size; size *= 2, chunk++)
        *index -= size;
    return chunk;
}

// ---- slots -------------------------------------------------------------------------------------

static jemi_packing *slot_at(jemi_slots *slots, int32_t index)
{
    const int chunk = chunk_of(&index);
    return &slots->chunks[chunk][index];
}

static void packing_fini(const jemi_packing *packing)
{
    if (packing->type->destroy != NULL)
        packing->type->destroy(packing->key);
}

jem_status jemi_slots_create(jemi_slots **out)
{
    *out = jemi_calloc(1, sizeof **out);
    if (*out == NULL)
        return jemi_fail_memory("table of packed weights");
    if (pthread_mutex_init(&(*out)->mutex, NULL) == 0)
        return JEM_OK;
    jemi_free(*out);
    *out = NULL;
    return jemi_fail_memory("lock of packed weights");
}

void jemi_slots_destroy(jemi_slots *slots)
{
    if (slots == NULL)
        return;
    for (int32_t i = 0; i < slots->count; i++)
        packing_fini(slot_at(slots, i));
    for (int i = 0; i < N_CHUNKS; i++)
        jemi_free(slots->chunks[i]);
    pthread_mutex_destroy(&slots->mutex);
    jemi_free(slots);
}

static jem_status add_slot(jemi_slots *slots, const jemi_packing *packing)
{
    int32_t place = slots->count;
    const int chunk = chunk_of(&place);
    if (chunk >= N_CHUNKS)
        return jemi_fail(JEM_EBACKEND, "too many orders of packed weights");
    if (slots->chunks[chunk] == NULL)
        slots->chunks[chunk] = jemi_calloc((size_t)FIRST_CHUNK << chunk, sizeof(jemi_packing));
    if (slots->chunks[chunk] == NULL)
        return jemi_fail_memory("table of packed weights");
    slots->chunks[chunk][place] = *packing;
    slots->count++;
    return JEM_OK;
}

static bool same_packing(const jemi_packing *a, const jemi_packing *b)
{
    return a->type == b->type && a->param == b->param && a->variant == b->variant &&
           (a->type->same == NULL || a->type->same(a->key, b->key));
}

static int32_t find_slot(jemi_slots *slots, const jemi_packing *packing)
{
    for (int32_t i = 0; i < slots->count; i++)
        if (same_packing(slot_at(slots, i), packing))
            return i;
    return -1;
}

jem_status jemi_slots_find(jemi_slots *slots, const jemi_packing *packing, int32_t *slot)
{
    jem_status status = JEM_OK;
    pthread_mutex_lock(&slots->mutex);
    *slot = find_slot(slots, packing);
    const bool found = *slot >= 0;
    if (!found) {
        status = add_slot(slots, packing);
        *slot = slots->count - 1;
    }
    pthread_mutex_unlock(&slots->mutex);
    if (found || status != JEM_OK)
        packing_fini(packing);
    return status;
}

// ---- weights -----------------------------------------------------------------------------------

jem_status jemi_cpu_weights_create(jemi_weights **out, jemi_program *program, jemi_slots *slots)
{
    *out = NULL;
    weights *w = jemi_calloc(1, sizeof *w);
    if (w == NULL)
        return jemi_fail_memory("weights");
    w->base.program = program;
    w->slots = slots;
    if (pthread_mutex_init(&w->mutex, NULL) != 0) {
        jemi_free(w);
        return jemi_fail_memory("weights' mutex");
    }
    *out = &w->base;
    return JEM_OK;
}

void jemi_cpu_weights_destroy(jemi_weights *base)
{
    if (base == NULL)
        return;
    weights *w = (weights *)base;
    for (int chunk = 0; chunk < N_CHUNKS; chunk++) {
        copy *copies = atomic_load(&w->chunks[chunk]);
        for (int32_t i = 0; copies != NULL && i < FIRST_CHUNK << chunk; i++)
            jemi_free(copies[i].data);
        jemi_free(copies);
    }
    pthread_mutex_destroy(&w->mutex);
    jemi_free(w);
}

void jemi_cpu_weights_set(jemi_weights *base, const float *params)
{
    weights *w = (weights *)base;
    w->params = params;
    for (int chunk = 0; chunk < N_CHUNKS; chunk++) {
        copy *copies = atomic_load(&w->chunks[chunk]);
        for (int32_t i = 0; copies != NULL && i < FIRST_CHUNK << chunk; i++)
            atomic_store(&copies[i].fresh, false);
    }
}

const float *jemi_cpu_weights_params(const jemi_weights *base)
{
    return ((const weights *)base)->params;
}

size_t jemi_cpu_weights_bytes(const jemi_weights *base)
{
    weights *w = (weights *)base;
    pthread_mutex_lock(&w->mutex);
    const size_t bytes = sizeof *w + w->bytes;
    pthread_mutex_unlock(&w->mutex);
    return bytes;
}

static jemi_packing packing_at(jemi_slots *slots, int32_t index)
{
    pthread_mutex_lock(&slots->mutex);
    const jemi_packing packing = *slot_at(slots, index);
    pthread_mutex_unlock(&slots->mutex);
    return packing;
}

// Under the weights' mutex.
static jem_status refresh(weights *w, copy *c, int32_t index)
{
    if (atomic_load(&c->fresh))
        return JEM_OK;
    const jemi_packing packing = packing_at(w->slots, index);
    const jemi_param *param = &w->base.program->graph->params[packing.param];
    if (c->data == NULL) {
        const size_t bytes = packing.type->bytes(&packing, param);
        c->data = jemi_calloc(bytes, 1);
        if (c->data == NULL)
            return jemi_fail_memory("packed weights");
        w->bytes += bytes;
    }
    JEMI_TRY(packing.type->pack(&packing, param, c->data, w->params + param->offset));
    atomic_store_explicit(&c->fresh, true, memory_order_release);
    return JEM_OK;
}

// Under the weights' mutex.
static jem_status make_chunk(weights *w, int chunk)
{
    if (atomic_load(&w->chunks[chunk]) != NULL)
        return JEM_OK;
    copy *copies = jemi_calloc((size_t)FIRST_CHUNK << chunk, sizeof(copy));
    if (copies == NULL)
        return jemi_fail_memory("packed weights");
    atomic_store_explicit(&w->chunks[chunk], copies, memory_order_release);
    return JEM_OK;
}

static jem_status refresh_locked(weights *w, int chunk, int32_t place, int32_t index)
{
    pthread_mutex_lock(&w->mutex);
    jem_status status = make_chunk(w, chunk);
    if (status == JEM_OK)
        status = refresh(w, &atomic_load(&w->chunks[chunk])[place], index);
    pthread_mutex_unlock(&w->mutex);
    return status;
}

jem_status jemi_cpu_weights_get(jemi_weights *base, int32_t index, const void **packed)
{
    weights *w = (weights *)base;
    assert(w->params != NULL);
    int32_t place = index;
    const int chunk = chunk_of(&place);
    copy *copies = atomic_load_explicit(&w->chunks[chunk], memory_order_acquire);
    if (copies == NULL || !atomic_load_explicit(&copies[place].fresh, memory_order_acquire)) {
        JEMI_TRY(refresh_locked(w, chunk, place, index));
        copies = atomic_load_explicit(&w->chunks[chunk], memory_order_acquire);
    }
    *packed = copies[place].data;
    return JEM_OK;
}
