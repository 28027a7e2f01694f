/*
 * The names of kernels, as jem_exec_config has them.
 */
#include "backend/kernel_name.h"

#include <string.h>

#include "base/status.h"
#include "base/text.h"

static const char *const names[JEMI_KERNELS] = {
    [JEMI_KERNEL_AUTO] = "auto",
    [JEMI_KERNEL_ONEDNN] = "onednn",
    [JEMI_KERNEL_WINOGRAD] = "winograd",
    [JEMI_KERNEL_DIRECT] = "direct",
    [JEMI_KERNEL_DIRECT_BF16] = "direct-bf16",
    [JEMI_KERNEL_STEM] = "stem",
};

const char *jemi_kernel_name(jemi_kernel kernel)
{
    return names[kernel];
}

static void list_names(char *list, size_t size)
{
    size_t used = 0;
    for (int k = 0; k < JEMI_KERNELS && used < size; k++)
        used += (size_t)jemi_format(list + used, size - used, "%s%s", k > 0 ? ", " : "", names[k]);
}

jem_status jemi_kernel_read(const char *name, jemi_kernel *kernel)
{
    char list[128];
    for (int k = 0; name != NULL && k < JEMI_KERNELS; k++)
        if (strcmp(name, names[k]) == 0) {
            *kernel = (jemi_kernel)k;
            return JEM_OK;
        }
    list_names(list, sizeof list);
    return name == NULL
               ? jemi_fail(JEM_EINVAL, "kernel is NULL; expected one of %s", list)
               : jemi_fail(JEM_EINVAL, "kernel is '%.40s'; expected one of %s", name, list);
}
