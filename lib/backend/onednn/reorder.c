/*
 * Weights in the orders that oneDNN's convolutions want, packed by its reorders.
 */
#include "backend/cpu/cpu_program.h"
#include "backend/onednn/engine.h"
#include "backend/onednn/primitive.h"
#include "base/memory.h"
#include "base/status.h"

typedef struct key {
    jemi_md plain, packed, scratchpad;
    dnnl_primitive_t reorder;
} key;

static void destroy(void *opaque)
{
    key *k = opaque;
    if (k == NULL)
        return;
    if (k->reorder != NULL)
        dnnl_primitive_destroy(k->reorder);
    jemi_md_fini(&k->plain);
    jemi_md_fini(&k->packed);
    jemi_md_fini(&k->scratchpad);
    jemi_free(k);
}

static bool same(const void *a, const void *b)
{
    return jemi_md_equal(&((const key *)a)->packed, &((const key *)b)->packed);
}

static size_t packed_bytes(const jemi_packing *packing, const jemi_param *param)
{
    (void)param;
    return jemi_md_bytes(&((const key *)packing->key)->packed);
}

// ---- packing -----------------------------------------------------------------------------------

// What one reorder needs; memory objects belong to one thread, the key to all.
typedef struct run {
    dnnl_stream_t stream;
    dnnl_memory_t from, to, scratchpad;
    void *scratch;
} run;

static void run_fini(run *r)
{
    dnnl_memory_t memories[] = {r->from, r->to, r->scratchpad};
    for (int i = 0; i < 3; i++)
        if (memories[i] != NULL)
            dnnl_memory_destroy(memories[i]);
    if (r->stream != NULL)
        dnnl_stream_destroy(r->stream);
    jemi_free(r->scratch);
}

static dnnl_status_t run_init(run *r, const key *k, dnnl_engine_t engine, void *packed,
                              const float *plain)
{
    dnnl_status_t status = dnnl_stream_create(&r->stream, engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = jemi_memory_create(&r->from, &k->plain, engine, (void *)plain);
    if (status == dnnl_success)
        status = jemi_memory_create(&r->to, &k->packed, engine, packed);
    if (status == dnnl_success)
        status = jemi_memory_create(&r->scratchpad, &k->scratchpad, engine, r->scratch);
    return status;
}

static dnnl_status_t execute(const run *r, const key *k)
{
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_FROM, r->from}, {DNNL_ARG_TO, r->to}, {DNNL_ARG_SCRATCHPAD, r->scratchpad}};
    const dnnl_status_t status = dnnl_primitive_execute(k->reorder, r->stream, 3, args);
    return status == dnnl_success ? dnnl_stream_wait(r->stream) : status;
}

static jem_status pack(const jemi_packing *packing, const jemi_param *param, void *packed,
                       const float *plain)
{
    (void)param;
    const key *k = packing->key;
    dnnl_engine_t engine;
    JEMI_TRY(jemi_dnnl_engine(&engine));
    run r = {.scratch = jemi_alloc(jemi_md_bytes(&k->scratchpad), 1)};
    if (r.scratch == NULL)
        return jemi_fail_memory("packing of weights");
    dnnl_status_t status = run_init(&r, k, engine, packed, plain);
    if (status == dnnl_success)
        status = execute(&r, k);
    run_fini(&r);
    return jemi_dnnl_check(status, "packing of weights");
}

static const jemi_packing_type type = {
    .bytes = packed_bytes, .pack = pack, .same = same, .destroy = destroy};

// ---- slots -------------------------------------------------------------------------------------

static dnnl_status_t make_reorder(key *k, dnnl_engine_t engine)
{
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = jemi_dnnl_reorder_create(&pd, &k->plain, &k->packed, engine);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_create(&k->reorder, pd);
    if (status == dnnl_success)
        status = jemi_pd_query(pd, JEMI_PD_SCRATCHPAD, &k->scratchpad);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

static jem_status make_key(const jemi_md *plain, const jemi_md *packed, key **out)
{
    dnnl_engine_t engine;
    JEMI_TRY(jemi_dnnl_engine(&engine));
    key *k = jemi_calloc(1, sizeof *k);
    if (k == NULL)
        return jemi_fail_memory("order of packed weights");
    dnnl_status_t status = jemi_md_copy(&k->plain, plain);
    if (status == dnnl_success)
        status = jemi_md_copy(&k->packed, packed);
    if (status == dnnl_success)
        status = make_reorder(k, engine);
    if (status != dnnl_success) {
        destroy(k);
        return jemi_dnnl_check(status, "reorder of weights");
    }
    *out = k;
    return JEM_OK;
}

jem_status jemi_dnnl_reorder_slot(jemi_program *program, int32_t param, const jemi_md *plain,
                                  const jemi_md *packed, int32_t *slot)
{
    key *k = NULL;
    JEMI_TRY(make_key(plain, packed, &k));
    const jemi_packing packing = {.type = &type, .param = param, .key = k};
    return jemi_cpu_program_slot(program, &packing, slot);
}
