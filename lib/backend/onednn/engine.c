/*
 * oneDNN itself: what it is here, and its engine, made once. A failure is remembered with its
 * status, so that every caller reports it.
 */
#include "backend/onednn/engine.h"

#include <pthread.h>
#include <string.h>

#include "backend/cpu/choose.h"
#include "backend/cpu/cpu_program.h"
#include "backend/onednn/creation.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/isa.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t cpu;
static dnnl_status_t outcome;

static void create(void)
{
    jemi_dnnl_creation_begin();
    jemi_dnnl_silence();
    outcome = dnnl_engine_create(&cpu, dnnl_cpu, 0);
    jemi_dnnl_creation_end();
}

jem_status jemi_dnnl_engine(dnnl_engine_t *engine)
{
    pthread_once(&once, create);
    *engine = cpu;
    return jemi_dnnl_check(outcome, "CPU engine");
}

static const char *isa_name(dnnl_cpu_isa_t isa)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_sse41, "sse4.1"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].isa == isa)
            return names[i].name;
    return "other";
}

// oneDNN finds out when it is first asked.
static const char *isa_here(void)
{
    jemi_dnnl_creation_begin();
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    jemi_dnnl_creation_end();
    return isa_name(isa);
}

// As what oneDNN knows our sets; it has no name for one that is never a limit.
static dnnl_cpu_isa_t isa_of(const char *set)
{
    return strcmp(set, "avx2") == 0 ? dnnl_cpu_isa_avx2 : dnnl_cpu_isa_sse41;
}

jem_status jemi_dnnl_limit_isa(const char *isa)
{
    static dnnl_cpu_isa_t limit = JEMI_DNNL_ANY_ISA;
    const bool fastest = isa == NULL || strcmp(isa, jemi_isa_name(0)) == 0;
    const dnnl_cpu_isa_t wanted = fastest ? JEMI_DNNL_ANY_ISA : isa_of(isa);
    if (wanted == limit)
        return JEM_OK;
    jemi_dnnl_creation_begin();
    const dnnl_status_t status = dnnl_set_max_cpu_isa(wanted);
    jemi_dnnl_creation_end();
    if (status != dnnl_success)
        return jemi_fail(JEM_EBUSY,
                         "oneDNN, which chooses its instruction set once, has been asked "
                         "for one or used in this process already");
    limit = wanted;
    return JEM_OK;
}

void jemi_dnnl_library_info(char *out, size_t size)
{
    const dnnl_version_t *version = dnnl_version();
    jemi_format(out, size,
                "{\"version\": \"%d.%d.%d\", \"isa\": \"%s\", \"kernel_table\": \"%08x\"}",
                version->major, version->minor, version->patch, isa_here(),
                (unsigned)jemi_choose_table_digest());
}

void jemi_dnnl_choice(const jemi_program *base, int32_t precision, char *out, size_t size)
{
    const jemi_cpu_program *program = (const jemi_cpu_program *)base;
    const dnnl_version_t *version = dnnl_version();
    char provider[64];
    jemi_format(provider, sizeof provider, "oneDNN %d.%d.%d, %s", version->major, version->minor,
                version->patch, isa_here());
    jemi_choose_words(base, &program->rows, precision, provider, out, size);
}
