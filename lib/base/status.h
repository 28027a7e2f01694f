/*
 * How a failure travels: a status up the call chain, its sentence into this thread's message
 * buffer.
 *
 * jemi_fail() is the only writer of the message. Who receives a status from below passes it on and
 * never words it anew: the place that found the fault knows best what was expected.
 */
#ifndef JEMI_BASE_STATUS_H
#define JEMI_BASE_STATUS_H

#include <jem/jem.h>

/** Sets this thread's message and returns `status`. Numbers are printed in the "C" locale. */
jem_status jemi_fail(jem_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** jemi_fail(JEM_ENOMEM, ...) for `what`, for example "replay buffer". */
jem_status jemi_fail_memory(const char *what);

/**
 * JEM_EIO, "cannot <verb> '<path>': <reason>", for a call of the operating system that failed with
 * this errno.
 */
jem_status jemi_fail_errno(int32_t error, const char *verb, const char *path);

/** What jem_last_error() and jem_status_string() return. */
const char *jemi_last_message(void);
const char *jemi_status_name(jem_status status);

/** Returns early with the status of a failed call. For functions that own nothing yet. */
#define JEMI_TRY(call)                                                                             \
    do {                                                                                           \
        const jem_status jemi_try_status = (call);                                                 \
        if (jemi_try_status != JEM_OK)                                                             \
            return jemi_try_status;                                                                \
    } while (0)

#endif
