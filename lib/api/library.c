/*
 * The library as a whole: version, build, messages, log, allocator.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "backend/backend.h"
#include "base/environment.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "kernels/isa.h"

#define TEXT_OF_(x) #x
#define TEXT_OF(x)  TEXT_OF_(x)

JEM_API uint32_t jem_version_number(void)
{
    return JEM_VERSION_MAJOR * 10000 + JEM_VERSION_MINOR * 100 + JEM_VERSION_PATCH;
}

JEM_API const char *jem_version_string(void)
{
    return TEXT_OF(JEM_VERSION_MAJOR) "." TEXT_OF(JEM_VERSION_MINOR) "." TEXT_OF(JEM_VERSION_PATCH);
}

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

// One for each instruction set, as a text that has been returned must not change.
enum { ISA_MAX = 3, BUILD_INFO_SIZE = 640 };
static char build_info[ISA_MAX][BUILD_INFO_SIZE];

// Clang generates no parallel regions for libgomp, and then has no version to tell.
#ifdef _OPENMP
static const int openmp_version = _OPENMP;
#else
static const int openmp_version = 0;
#endif

static void make_build_info(char text[BUILD_INFO_SIZE])
{
    char onednn[128] = "null";
#if JEM_HAVE_ONEDNN
    if (jemi_backend_onednn.library_info != NULL)
        jemi_backend_onednn.library_info(onednn, sizeof onednn);
#endif
    jemi_format(text, BUILD_INFO_SIZE,
                "{\"version\": \"%s\", \"backends\": [%s\"ref\"], \"default_backend\": \"%s\", "
                "\"onednn\": %s, \"kernels\": {\"isa\": \"%s\", \"avx512\": %s, \"bf16\": %s}, "
                "\"bits_by_processor\": [%s\"bf16\", \"ref\"], \"openmp\": "
                "\"" JEM_OPENMP_RUNTIME "\", \"openmp_version\": %d, "
                "\"compiler\": \"%s\", \"options\": {\"assert\": %s}}",
                jem_version_string(), JEM_HAVE_ONEDNN ? "\"onednn\", \"native\", " : "\"native\", ",
                jemi_backend_default()->name, onednn, jemi_isa_in_use(),
                json_bool(jemi_avx512_available()), json_bool(jemi_bf16_available()),
                JEM_HAVE_ONEDNN ? "\"onednn\", " : "", openmp_version, __VERSION__,
#ifdef NDEBUG
                "false"
#else
                "true"
#endif
    );
}

JEM_API const char *jem_build_info(void)
{
    int set = 0;
    jemi_lock *lock = jemi_lock_of(JEMI_RANK_ISA);
    jemi_lock_enter(lock);
    while (strcmp(jemi_isa_name(set), jemi_isa_in_use()) != 0)
        set++;
    assert(set < ISA_MAX);
    if (build_info[set][0] == '\0')
        make_build_info(build_info[set]);
    jemi_lock_leave(lock);
    return build_info[set];
}

JEM_API const char *jem_isa(void)
{
    return jemi_isa_in_use();
}

static jem_status check_isa(const char *isa)
{
    char offered[64] = "";
    for (int set = 0; set < jemi_isa_count(); set++) {
        if (isa == NULL || strcmp(jemi_isa_name(set), isa) == 0)
            return JEM_OK;
        const size_t used = strlen(offered);
        jemi_format(offered + used, sizeof offered - used, "%s%s", set > 0 ? ", " : "",
                    jemi_isa_name(set));
    }
    return jemi_fail(JEM_EUNSUPPORTED,
                     "the instruction set '%.40s' is not to be had here; there are %s", isa,
                     offered);
}

static jem_status limit_isa(const char *isa)
{
    JEMI_TRY(check_isa(isa));
    if (!jemi_memory_is_idle())
        return jemi_fail(JEM_EBUSY, "the instruction set cannot change while libjem handles live");
#if JEM_HAVE_ONEDNN
    JEMI_TRY(jemi_backend_onednn.limit_isa(isa));
#endif
    jemi_isa_limit(isa);
    return JEM_OK;
}

JEM_API jem_status jem_limit_isa(const char *isa)
{
    JEMI_OWN_ENVIRONMENT;
    jemi_lock *lock = jemi_lock_of(JEMI_RANK_ISA);
    jemi_lock_enter(lock);
    const jem_status status = limit_isa(isa);
    jemi_lock_leave(lock);
    return status;
}

JEM_API const char *jem_status_string(jem_status status)
{
    return jemi_status_name(status);
}

JEM_API const char *jem_last_error(void)
{
    return jemi_last_message();
}

JEM_API int32_t jem_last_errno(void)
{
    return jemi_last_errno();
}

JEM_API jem_status jem_set_log(jem_log_fn log, void *user)
{
    JEMI_OWN_ENVIRONMENT;
    jemi_log_set(log, user);
    return JEM_OK;
}

JEM_API jem_status jem_set_allocator(const jem_allocator *allocator)
{
    JEMI_OWN_ENVIRONMENT;
    if (allocator != NULL) {
        JEMI_TRY(jemi_check_pointer((const void *)(uintptr_t)allocator->allocate, "allocate"));
        JEMI_TRY(jemi_check_pointer((const void *)(uintptr_t)allocator->release, "release"));
    }
    if (!jemi_memory_set_allocator(allocator))
        return jemi_fail(JEM_EBUSY, "the allocator cannot change while libjem handles live");
    return JEM_OK;
}
