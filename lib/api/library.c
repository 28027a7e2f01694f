/*
 * The library as a whole: version, build, messages, log, allocator.
 */
#include <pthread.h>
#include <stdio.h>

#include "api/check.h"
#include "backend/backend.h"
#include "base/environment.h"
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

static char build_info[512];
static pthread_once_t build_info_once = PTHREAD_ONCE_INIT;

// Clang generates no parallel regions for libgomp, and then has no version to tell.
#ifdef _OPENMP
static const int openmp_version = _OPENMP;
#else
static const int openmp_version = 0;
#endif

static void make_build_info(void)
{
    char onednn[128] = "null";
#if JEM_HAVE_ONEDNN
    if (jemi_backend_onednn.library_info != NULL)
        jemi_backend_onednn.library_info(onednn, sizeof onednn);
#endif
    jemi_format(build_info, sizeof build_info,
                "{\"version\": \"%s\", \"backends\": [%s\"ref\"], \"default_backend\": \"%s\", "
                "\"onednn\": %s, \"kernels\": {\"avx512\": %s, \"bf16\": %s}, \"openmp\": "
                "\"" JEM_OPENMP_RUNTIME "\", \"openmp_version\": %d, "
                "\"compiler\": \"%s\", \"options\": {\"assert\": %s}}",
                jem_version_string(), JEM_HAVE_ONEDNN ? "\"onednn\", \"native\", " : "\"native\", ",
                jemi_backend_default()->name, onednn, json_bool(jemi_avx512_available()),
                json_bool(jemi_bf16_available()), openmp_version, __VERSION__,
#ifdef NDEBUG
                "false"
#else
                "true"
#endif
    );
}

JEM_API const char *jem_build_info(void)
{
    pthread_once(&build_info_once, make_build_info);
    return build_info;
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
