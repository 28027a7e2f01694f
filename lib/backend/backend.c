/*
 * Which backends this build has, fastest first. Nothing else in the library lists them.
 */
#include "backend/backend.h"

static const jemi_backend *const backends[] = {
#if JEM_HAVE_ONEDNN
    &jemi_backend_onednn,
#endif
    &jemi_backend_native,
    &jemi_backend_ref,
};

const jemi_backend *jemi_backend_find(int32_t id)
{
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++)
        if (backends[i]->id == id)
            return backends[i];
    return NULL;
}

const jemi_backend *jemi_backend_default(void)
{
    return backends[0];
}
