/*
 * The table of packings and the copies made after it.
 *
 * Both grow in chunks that double and never move, so a reader needs no lock: a chunk pointer is
 * published once, and a copy is published by its `fresh` flag. Packing itself happens under the
 * weights' lock, but no memory is asked for under it (lock.h says why): a block is made first, and
 * given back if another thread's was there before.
 */
#include "backend/cpu/weight_cache.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/memory.h"
#include "base/status.h"

enum { FIRST_CHUNK = 32, N_CHUNKS = 24 };

struct jemi_slots {
    jemi_lock lock;
    int32_t count;                  // under the lock
    jemi_packing *chunks[N_CHUNKS]; // under the lock; the packings themselves are immutable
};

typedef struct copy {
    atomic_bool fresh;
    void *_Atomic data;
} copy;

typedef struct weights {
    jemi_weights base;
    jemi_slots *slots; // the program's
    const float *params;
    jemi_lock lock;
    size_t bytes; // of the copies, under the lock
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
    if (jemi_lock_init(&(*out)->lock, JEMI_RANK_PROGRAM, NULL, NULL))
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
    jemi_lock_fini(&slots->lock);
    jemi_free(slots);
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

// Under the lock. The chunk that the next slot needs, or N_CHUNKS after that slot was added.
static int add_slot(jemi_slots *slots, const jemi_packing *packing, int32_t *slot)
{
    int32_t place = slots->count;
    const int chunk = chunk_of(&place);
    assert(chunk < N_CHUNKS); // half a billion of them
    if (slots->chunks[chunk] == NULL)
        return chunk;
    slots->chunks[chunk][place] = *packing;
    *slot = slots->count++;
    return N_CHUNKS;
}

// Finds or adds; else says which chunk is missing.
static bool find_or_add(jemi_slots *slots, const jemi_packing *packing, int32_t *slot, int *missing)
{
    jemi_lock_enter(&slots->lock);
    *slot = find_slot(slots, packing);
    const bool found = *slot >= 0;
    *missing = found ? N_CHUNKS : add_slot(slots, packing, slot);
    jemi_lock_leave(&slots->lock);
    return found;
}

static jem_status make_slots(jemi_slots *slots, int chunk)
{
    jemi_packing *made = jemi_calloc((size_t)FIRST_CHUNK << chunk, sizeof *made);
    if (made == NULL)
        return jemi_fail_memory("table of packed weights");
    jemi_lock_enter(&slots->lock);
    jemi_packing *spare = slots->chunks[chunk];
    if (spare == NULL)
        slots->chunks[chunk] = made;
    jemi_lock_leave(&slots->lock);
    jemi_free(spare == NULL ? NULL : made);
    return JEM_OK;
}

jem_status jemi_slots_find(jemi_slots *slots, const jemi_packing *packing, int32_t *slot)
{
    int missing;
    jem_status status = JEM_OK;
    bool found = find_or_add(slots, packing, slot, &missing);
    while (status == JEM_OK && missing < N_CHUNKS) {
        status = make_slots(slots, missing);
        if (status == JEM_OK)
            found = find_or_add(slots, packing, slot, &missing);
    }
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
    if (!jemi_lock_init(&w->lock, JEMI_RANK_WEIGHTS, NULL, NULL)) {
        jemi_free(w);
        return jemi_fail_memory("weights' lock");
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
    jemi_lock_fini(&w->lock);
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
    jemi_lock_enter(&w->lock);
    const size_t bytes = sizeof *w + w->bytes;
    jemi_lock_leave(&w->lock);
    return bytes;
}

static jemi_packing packing_at(jemi_slots *slots, int32_t index)
{
    jemi_lock_enter(&slots->lock);
    const jemi_packing packing = *slot_at(slots, index);
    jemi_lock_leave(&slots->lock);
    return packing;
}

static jem_status make_chunk(weights *w, int chunk)
{
    copy *none = NULL, *made = jemi_calloc((size_t)FIRST_CHUNK << chunk, sizeof *made);
    if (made == NULL)
        return jemi_fail_memory("packed weights");
    if (!atomic_compare_exchange_strong(&w->chunks[chunk], &none, made))
        jemi_free(made);
    return JEM_OK;
}

static jem_status make_copy(weights *w, copy *c, size_t bytes)
{
    void *none = NULL, *made = jemi_calloc(bytes, 1);
    if (made == NULL)
        return jemi_fail_memory("packed weights");
    if (!atomic_compare_exchange_strong(&c->data, &none, made)) {
        jemi_free(made);
        return JEM_OK;
    }
    jemi_lock_enter(&w->lock);
    w->bytes += bytes;
    jemi_lock_leave(&w->lock);
    return JEM_OK;
}

static jem_status refresh(weights *w, copy *c, int32_t index)
{
    const jemi_packing packing = packing_at(w->slots, index);
    const jemi_param *param = &w->base.program->graph->params[packing.param];
    if (atomic_load(&c->data) == NULL)
        JEMI_TRY(make_copy(w, c, packing.type->bytes(&packing, param)));
    jemi_lock_enter(&w->lock);
    if (!atomic_load(&c->fresh)) {
        packing.type->pack(&packing, param, c->data, w->params + param->offset);
        atomic_store_explicit(&c->fresh, true, memory_order_release);
    }
    jemi_lock_leave(&w->lock);
    return JEM_OK;
}

jem_status jemi_cpu_weights_get(jemi_weights *base, int32_t index, const void **packed)
{
    weights *w = (weights *)base;
    assert(w->params != NULL);
    int32_t place = index;
    const int chunk = chunk_of(&place);
    if (atomic_load_explicit(&w->chunks[chunk], memory_order_acquire) == NULL)
        JEMI_TRY(make_chunk(w, chunk));
    copy *c = &atomic_load_explicit(&w->chunks[chunk], memory_order_acquire)[place];
    if (!atomic_load_explicit(&c->fresh, memory_order_acquire))
        JEMI_TRY(refresh(w, c, index));
    *packed = c->data;
    return JEM_OK;
}
