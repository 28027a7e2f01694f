/*
 * Copying of sized structs between a caller's version of jem.h and ours.
 *
 * The first release's structs are the smallest there will ever be; anything shorter than a
 * struct_size and one field is taken for an uninitialised struct.
 */
#include "base/config.h"

#include <string.h>

#include "base/status.h"

enum { SIZE_MAX_SANE = 4096 };

static jem_status check_size(size_t size, const char *type)
{
    if (size <= sizeof size || size > SIZE_MAX_SANE)
        return jemi_fail(JEM_EINVAL, "struct_size of %s is %zu; expected sizeof(%s)", type, size,
                         type);
    return JEM_OK;
}

jem_status jemi_config_init(void *config, size_t size, const void *defaults, size_t known,
                            const char *type)
{
    if (config == NULL)
        return jemi_fail(JEM_EINVAL, "%s is NULL; expected a struct to fill", type);
    JEMI_TRY(check_size(size, type));
    memset(config, 0, size);
    memcpy(config, defaults, size < known ? size : known);
    memcpy(config, &size, sizeof size);
    return JEM_OK;
}

jem_status jemi_config_read(void *own, size_t known, const void *config, const char *type)
{
    size_t size;
    memcpy(&size, config, sizeof size);
    JEMI_TRY(check_size(size, type));
    const unsigned char *bytes = config;
    for (size_t i = known; i < size; i++)
        if (bytes[i] != 0)
            return jemi_fail(JEM_EUNSUPPORTED,
                             "%s has a field set that this version of libjem does not know", type);
    memcpy(own, config, size < known ? size : known);
    return JEM_OK;
}

jem_status jemi_config_check_reserved(int32_t reserved, const char *type)
{
    if (reserved != 0)
        return jemi_fail(JEM_EUNSUPPORTED,
                         "reserved of %s is %d; expected 0, which %s_init() sets in this version",
                         type, (int)reserved, type);
    return JEM_OK;
}

jem_status jemi_config_check_out(const void *out, const char *type)
{
    size_t size;
    memcpy(&size, out, sizeof size);
    return check_size(size, type);
}

jem_status jemi_config_check_room(const void *out, const void *own, const void *defaults,
                                  size_t known, const char *type)
{
    size_t size;
    JEMI_TRY(jemi_config_check_out(out, type));
    memcpy(&size, out, sizeof size);
    if (size < known &&
        memcmp((const char *)own + size, (const char *)defaults + size, known - size) != 0)
        return jemi_fail(JEM_EUNSUPPORTED,
                         "%s has %zu bytes and no room for a setting that is needed; expected %zu, "
                         "as in the jem.h of this version",
                         type, size, known);
    return JEM_OK;
}

void jemi_config_write(void *out, const void *own, size_t known)
{
    size_t size;
    memcpy(&size, out, sizeof size);
    memset(out, 0, size);
    memcpy(out, own, size < known ? size : known);
    memcpy(out, &size, sizeof size);
}
