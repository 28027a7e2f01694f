/*
 * The table of packed orders and the copies made after it.
 *
 * Both grow in chunks that double and never move, so a reader needs no lock: a chunk pointer is
 * published once, and a copy is published by its `fresh` flag. Packing itself happens under the
 * weights' mutex; nothing is computed under it. A slot whose order is the flat vector's own has no
 * copy: its memory object points into the vector.
 */
#include "backend/onednn/packed.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "backend/onednn/engine.h"
#include "base/memory.h"
#include "base/status.h"
#include "kernels/direct.h"
#include "kernels/stem.h"
#include "kernels/winograd.h"

enum { FIRST_CHUNK = 32, N_CHUNKS = 24 };

typedef struct slot {
    jemi_packing how;
    int32_t param;
    jemi_md plain, packed;
    dnnl_primitive_t reorder; // NULL: the orders are the same
    size_t scratchpad_bytes;
    jemi_md scratchpad;
} slot;

typedef struct program {
    jemi_program base;
    dnnl_engine_t engine;
    pthread_mutex_t mutex;
    bool has_mutex;
    int32_t n_slots;        // under the mutex
    slot *chunks[N_CHUNKS]; // under the mutex; the slots themselves are immutable
} program;

typedef struct copy {
    atomic_bool fresh;
    dnnl_memory_t memory; // what plans read
    float *data;
    dnnl_memory_t source; // of the reorder: the flat vector
    dnnl_memory_t scratchpad;
    float *scratchpad_data;
} copy;

typedef struct weights {
    jemi_weights base;
    const float *params;
    dnnl_stream_t stream; // for packing
    pthread_mutex_t mutex;
    bool has_mutex;
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

// ---- program -----------------------------------------------------------------------------------

static void slot_fini(slot *s)
{
    if (s->reorder != NULL)
        dnnl_primitive_destroy(s->reorder);
    jemi_md_fini(&s->plain);
    jemi_md_fini(&s->packed);
    jemi_md_fini(&s->scratchpad);
    memset(s, 0, sizeof *s);
}

static slot *slot_at(program *p, int32_t index)
{
    const int chunk = chunk_of(&index);
    return &p->chunks[chunk][index];
}

jem_status jemi_dnnl_program_create(jemi_program **out, const jemi_graph *graph)
{
    *out = NULL;
    program *p = jemi_calloc(1, sizeof *p);
    if (p == NULL)
        return jemi_fail_memory("program");
    p->base.graph = graph;
    jem_status status = jemi_dnnl_engine(&p->engine);
    if (status != JEM_OK)
        goto fail;
    p->has_mutex = pthread_mutex_init(&p->mutex, NULL) == 0;
    if (!p->has_mutex) {
        status = jemi_fail_memory("program's mutex");
        goto fail;
    }
    *out = &p->base;
    return JEM_OK;
fail:
    jemi_dnnl_program_destroy(&p->base);
    return status;
}

void jemi_dnnl_program_destroy(jemi_program *base)
{
    if (base == NULL)
        return;
    program *p = (program *)base;
    for (int32_t i = 0; i < p->n_slots; i++)
        slot_fini(slot_at(p, i));
    for (int i = 0; i < N_CHUNKS; i++)
        jemi_free(p->chunks[i]);
    if (p->has_mutex)
        pthread_mutex_destroy(&p->mutex);
    jemi_free(p);
}

static dnnl_status_t make_reorder(slot *s, dnnl_engine_t engine)
{
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = jemi_dnnl_reorder_create(&pd, &s->plain, &s->packed, engine);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_create(&s->reorder, pd);
    if (status == dnnl_success)
        status = jemi_pd_query(pd, JEMI_PD_SCRATCHPAD, &s->scratchpad);
    if (status == dnnl_success)
        s->scratchpad_bytes = jemi_md_bytes(&s->scratchpad);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

static dnnl_status_t slot_init(slot *s, dnnl_engine_t engine, int32_t param, const jemi_md *plain,
                               const jemi_md *packed)
{
    s->param = param;
    dnnl_status_t status = jemi_md_copy(&s->plain, plain);
    if (status == dnnl_success)
        status = jemi_md_copy(&s->packed, packed);
    if (status == dnnl_success && s->how == JEMI_PACK_REORDER && !jemi_md_equal(plain, packed))
        status = make_reorder(s, engine);
    return status;
}

static jem_status add_slot(program *p, jemi_packing how, int32_t param, const jemi_md *plain,
                           const jemi_md *packed)
{
    int32_t place = p->n_slots;
    const int chunk = chunk_of(&place);
    if (chunk >= N_CHUNKS)
        return jemi_fail(JEM_EBACKEND, "too many packed weight orders");
    if (p->chunks[chunk] == NULL)
        p->chunks[chunk] = jemi_calloc((size_t)FIRST_CHUNK << chunk, sizeof(slot));
    if (p->chunks[chunk] == NULL)
        return jemi_fail_memory("table of packed weights");
    slot *s = &p->chunks[chunk][place];
    s->how = how;
    const dnnl_status_t status = slot_init(s, p->engine, param, plain, packed);
    if (status != dnnl_success) {
        slot_fini(s);
        return jemi_dnnl_check(status, "reorder of weights");
    }
    p->n_slots++;
    return JEM_OK;
}

static int32_t find_slot(program *p, jemi_packing how, int32_t param, const jemi_md *packed)
{
    for (int32_t i = 0; i < p->n_slots; i++) {
        const slot *s = slot_at(p, i);
        if (s->how == how && s->param == param && jemi_md_equal(&s->packed, packed))
            return i;
    }
    return -1;
}

static jem_status find_or_add(jemi_program *base, jemi_packing how, int32_t param,
                              const jemi_md *plain, const jemi_md *packed, int32_t *index)
{
    program *p = (program *)base;
    jem_status status = JEM_OK;
    pthread_mutex_lock(&p->mutex);
    *index = find_slot(p, how, param, packed);
    if (*index < 0) {
        status = add_slot(p, how, param, plain, packed);
        *index = p->n_slots - 1;
    }
    pthread_mutex_unlock(&p->mutex);
    return status;
}

jem_status jemi_dnnl_program_slot(jemi_program *base, int32_t param, const jemi_md *plain,
                                  const jemi_md *packed, int32_t *index)
{
    return find_or_add(base, JEMI_PACK_REORDER, param, plain, packed, index);
}

// A weight as a convolution's (out, in, kernel, kernel); a linear layer's kernel is 1.
typedef struct dims {
    int64_t out, in, kernel;
} dims;

static dims dims_of(const jemi_param *param)
{
    return (dims){param->shape[0], param->shape[1], param->rank == 4 ? param->shape[2] : 1};
}

// 0 for a way of packing that is not Winograd's.
static int64_t winograd_stride(jemi_packing how)
{
    switch (how) {
    case JEMI_PACK_WINOGRAD:
    case JEMI_PACK_WINOGRAD_BACKWARD:
        return 1;
    case JEMI_PACK_WINOGRAD_STRIDE2:
    case JEMI_PACK_WINOGRAD_STRIDE2_BACKWARD:
        return 2;
    default:
        return 0;
    }
}

static bool is_bf16(jemi_packing how)
{
    return how == JEMI_PACK_DIRECT_BF16 || how == JEMI_PACK_DIRECT_BF16_BACKWARD;
}

static bool is_backward(jemi_packing how)
{
    return how == JEMI_PACK_WINOGRAD_BACKWARD || how == JEMI_PACK_WINOGRAD_STRIDE2_BACKWARD ||
           how == JEMI_PACK_DIRECT_BACKWARD || how == JEMI_PACK_DIRECT_BF16_BACKWARD;
}

// In floats; two values of bf16 are one.
static int64_t own_count(jemi_packing how, const dims *d)
{
    if (how == JEMI_PACK_STEM)
        return jemi_stem_weights_count(d->out, d->in, d->kernel);
    const int64_t stride = winograd_stride(how);
    const int64_t count = stride > 0 ? jemi_winograd_weights_count(d->in, d->out, stride)
                                     : jemi_direct_weights_count(d->in, d->out, d->kernel);
    return is_bf16(how) ? count / 2 : count;
}

static void pack_own(jemi_packing how, const dims *d, void *packed, const float *plain)
{
    const int64_t stride = winograd_stride(how);
    const bool backward = is_backward(how);
    if (how == JEMI_PACK_STEM)
        jemi_stem_pack(packed, plain, d->out, d->in, d->kernel);
    else if (stride > 0)
        jemi_winograd_pack(packed, plain, d->out, d->in, stride, backward);
    else if (is_bf16(how))
        jemi_direct_pack_bf16(packed, plain, d->out, d->in, d->kernel, backward);
    else
        jemi_direct_pack(packed, plain, d->out, d->in, d->kernel, backward);
}

jem_status jemi_dnnl_program_own_slot(jemi_program *base, jemi_packing how, int32_t param,
                                      int32_t *index)
{
    const dims d = dims_of(&base->graph->params[param]);
    const int64_t packed_count = own_count(how, &d);
    jemi_md plain = {0}, packed = {0};
    dnnl_status_t made = jemi_md_init(&plain, 1, &base->graph->params[param].count, JEMI_MD_PLAIN);
    if (made == dnnl_success)
        made = jemi_md_init(&packed, 1, &packed_count, JEMI_MD_PLAIN);
    jem_status status = jemi_dnnl_check(made, "packed weights");
    if (status == JEM_OK)
        status = find_or_add(base, how, param, &plain, &packed, index);
    jemi_md_fini(&plain);
    jemi_md_fini(&packed);
    return status;
}

// ---- weights -----------------------------------------------------------------------------------

static bool has_copy(const slot *s)
{
    return s->how != JEMI_PACK_REORDER || s->reorder != NULL;
}

static void copy_fini(copy *c)
{
    if (c->memory != NULL)
        dnnl_memory_destroy(c->memory);
    if (c->source != NULL)
        dnnl_memory_destroy(c->source);
    if (c->scratchpad != NULL)
        dnnl_memory_destroy(c->scratchpad);
    jemi_free(c->data);
    jemi_free(c->scratchpad_data);
}

jem_status jemi_dnnl_weights_create(jemi_weights **out, jemi_program *base)
{
    *out = NULL;
    weights *w = jemi_calloc(1, sizeof *w);
    if (w == NULL)
        return jemi_fail_memory("weights");
    w->base.program = base;
    jem_status status = jemi_dnnl_check(
        dnnl_stream_create(&w->stream, ((program *)base)->engine, dnnl_stream_default_flags),
        "stream");
    if (status != JEM_OK)
        goto fail;
    w->has_mutex = pthread_mutex_init(&w->mutex, NULL) == 0;
    if (!w->has_mutex) {
        status = jemi_fail_memory("weights' mutex");
        goto fail;
    }
    *out = &w->base;
    return JEM_OK;
fail:
    jemi_dnnl_weights_destroy(&w->base);
    return status;
}

void jemi_dnnl_weights_destroy(jemi_weights *base)
{
    if (base == NULL)
        return;
    weights *w = (weights *)base;
    for (int chunk = 0; chunk < N_CHUNKS; chunk++) {
        copy *copies = atomic_load(&w->chunks[chunk]);
        for (int32_t i = 0; copies != NULL && i < FIRST_CHUNK << chunk; i++)
            copy_fini(&copies[i]);
        jemi_free(copies);
    }
    if (w->stream != NULL)
        dnnl_stream_destroy(w->stream);
    if (w->has_mutex)
        pthread_mutex_destroy(&w->mutex);
    jemi_free(w);
}

void jemi_dnnl_weights_set(jemi_weights *base, const float *params)
{
    weights *w = (weights *)base;
    w->params = params;
    for (int chunk = 0; chunk < N_CHUNKS; chunk++) {
        copy *copies = atomic_load(&w->chunks[chunk]);
        for (int32_t i = 0; copies != NULL && i < FIRST_CHUNK << chunk; i++)
            atomic_store(&copies[i].fresh, false);
    }
}

const float *jemi_dnnl_weights_params(const jemi_weights *base)
{
    return ((const weights *)base)->params;
}

size_t jemi_dnnl_weights_bytes(const jemi_weights *base)
{
    weights *w = (weights *)base;
    pthread_mutex_lock(&w->mutex);
    const size_t bytes = sizeof *w + w->bytes;
    pthread_mutex_unlock(&w->mutex);
    return bytes;
}

static jem_status copy_init(weights *w, copy *c, const slot *s)
{
    const dnnl_engine_t engine = ((program *)w->base.program)->engine;
    const size_t bytes = jemi_md_bytes(&s->packed);
    dnnl_status_t status = dnnl_success;
    if (has_copy(s)) {
        if (c->data == NULL)
            c->data = jemi_calloc(bytes, 1);
        if (c->scratchpad_data == NULL && s->scratchpad_bytes > 0)
            c->scratchpad_data = jemi_alloc(s->scratchpad_bytes, 1);
        if (c->data == NULL || (c->scratchpad_data == NULL && s->scratchpad_bytes > 0))
            return jemi_fail_memory("packed weights");
        if (c->source == NULL && s->reorder != NULL)
            status = jemi_memory_create(&c->source, &s->plain, engine, NULL);
        if (status == dnnl_success && c->scratchpad == NULL && s->reorder != NULL)
            status = jemi_memory_create(&c->scratchpad, &s->scratchpad, engine, c->scratchpad_data);
    }
    // Last: `memory` tells that the copy is complete.
    if (status == dnnl_success)
        status = jemi_memory_create(&c->memory, &s->packed, engine, c->data);
    if (status == dnnl_success && has_copy(s))
        w->bytes += bytes + s->scratchpad_bytes;
    return jemi_dnnl_check(status, "packed weights");
}

static dnnl_status_t pack(const weights *w, const copy *c, const slot *s)
{
    const jemi_param *param = &w->base.program->graph->params[s->param];
    float *plain = (float *)w->params + param->offset;
    if (s->how != JEMI_PACK_REORDER) {
        const dims d = dims_of(param);
        pack_own(s->how, &d, c->data, plain);
        return dnnl_success;
    }
    if (s->reorder == NULL)
        return dnnl_memory_set_data_handle(c->memory, plain);
    dnnl_status_t status = dnnl_memory_set_data_handle(c->source, plain);
    if (status != dnnl_success)
        return status;
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_FROM, c->source}, {DNNL_ARG_TO, c->memory}, {DNNL_ARG_SCRATCHPAD, c->scratchpad}};
    status = dnnl_primitive_execute(s->reorder, w->stream, 3, args);
    return status == dnnl_success ? dnnl_stream_wait(w->stream) : status;
}

static const slot *find_in_program(program *p, int32_t index)
{
    pthread_mutex_lock(&p->mutex);
    const slot *s = slot_at(p, index);
    pthread_mutex_unlock(&p->mutex);
    return s;
}

// Under the weights' mutex.
static jem_status refresh(weights *w, copy *c, int32_t index)
{
    if (atomic_load(&c->fresh))
        return JEM_OK;
    const slot *s = find_in_program((program *)w->base.program, index);
    if (c->memory == NULL)
        JEMI_TRY(copy_init(w, c, s));
    JEMI_TRY(jemi_dnnl_check(pack(w, c, s), "packing of weights"));
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

jem_status jemi_dnnl_weights_get(jemi_weights *base, int32_t index, dnnl_memory_t *memory)
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
    *memory = copies[place].memory;
    return JEM_OK;
}
