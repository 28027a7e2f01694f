/*
 * Names of the status codes, and this thread's last failure: its sentence and, where a call of the
 * operating system was behind it, the errno.
 *
 * They live in fixed thread-local memory, so that reporting "out of memory" needs none.
 */
#include "base/status.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "base/utf8.h"

static _Thread_local char message[JEMI_MESSAGE_SIZE];
static _Thread_local int32_t message_errno;

// Names from files are in many a message. No caller has to think of what they hold.
static void set_message(int32_t error, const char *format, va_list arguments)
{
    jemi_format_list(message, sizeof message, format, arguments);
    jemi_utf8_make_showable(message);
    message_errno = error;
}

jem_status jemi_fail(jem_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_message(0, format, arguments);
    va_end(arguments);
    return status;
}

jem_status jemi_fail_memory(const char *what)
{
    return jemi_fail(JEM_ENOMEM, "out of memory for the %s", what);
}

// The end of a long path tells more than its beginning.
static const char *shown_path(const char *path)
{
    enum { MOST = 300 };
    const size_t length = strlen(path);
    return length <= MOST ? path : path + length - MOST;
}

jem_status jemi_fail_errno(int32_t error, const char *verb, const char *path)
{
    char reason[96];
    if (strerror_r(error, reason, sizeof reason) != 0)
        jemi_format(reason, sizeof reason, "error %d", (int)error);
    jemi_fail(JEM_EIO, "cannot %s '%s': %s", verb, shown_path(path), reason);
    message_errno = error;
    return JEM_EIO;
}

jem_status jemi_fail_in_file(jem_status status, const char *path)
{
    if (status == JEM_OK || status == JEM_EIO || status == JEM_ENOMEM)
        return status;
    const jemi_failure failure = jemi_failure_save(status);
    return jemi_fail(status, "'%s': %s", shown_path(path), failure.message);
}

jemi_failure jemi_failure_save(jem_status status)
{
    jemi_failure failure = {.status = status, .error = message_errno};
    memcpy(failure.message, message, sizeof message);
    return failure;
}

jem_status jemi_failure_restore(const jemi_failure *failure)
{
    memcpy(message, failure->message, sizeof message);
    message_errno = failure->error;
    return failure->status;
}

const char *jemi_last_message(void)
{
    return message;
}

int32_t jemi_last_errno(void)
{
    return message_errno;
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
