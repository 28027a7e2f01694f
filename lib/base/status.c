/*
 * Names of the status codes, and the message of this thread's last failure.
 *
 * The message lives in a fixed thread-local buffer, so that reporting "out of memory" needs none.
 */
#include "base/status.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"

static _Thread_local char message[512];

jem_status jemi_fail(jem_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    jemi_format_list(message, sizeof message, format, arguments);
    va_end(arguments);
    return status;
}

jem_status jemi_fail_memory(const char *what)
{
    return jemi_fail(JEM_ENOMEM, "out of memory for the %s", what);
}

jem_status jemi_fail_errno(int32_t error, const char *verb, const char *path)
{
    char reason[96];
    if (strerror_r(error, reason, sizeof reason) != 0)
        jemi_format(reason, sizeof reason, "error %d", (int)error);
    return jemi_fail(JEM_EIO, "cannot %s '%.300s': %s", verb, path, reason);
}

const char *jemi_last_message(void)
{
    return message;
}

const char *jemi_status_name(jem_status status)
{
    static const char *const names[] = {
        [-JEM_OK] = "JEM_OK",
        [-JEM_EINVAL] = "JEM_EINVAL",
        [-JEM_ENOMEM] = "JEM_ENOMEM",
        [-JEM_EIO] = "JEM_EIO",
        [-JEM_EFORMAT] = "JEM_EFORMAT",
        [-JEM_EMISMATCH] = "JEM_EMISMATCH",
        [-JEM_EUNSUPPORTED] = "JEM_EUNSUPPORTED",
        [-JEM_EBACKEND] = "JEM_EBACKEND",
        [-JEM_EDIVERGED] = "JEM_EDIVERGED",
        [-JEM_EBUSY] = "JEM_EBUSY",
        [-JEM_ECANCELLED] = "JEM_ECANCELLED",
        [-JEM_ENOTFOUND] = "JEM_ENOTFOUND",
    };
    const int32_t known = (int32_t)(sizeof names / sizeof names[0]);
    return status <= 0 && status > -known ? names[-status] : "JEM_UNKNOWN";
}
