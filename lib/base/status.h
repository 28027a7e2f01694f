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

/** Sets this thread's message, fit to be shown, and returns `status`. Numbers are printed in the "C"
 *  locale. */
jem_status jemi_fail(jem_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** jemi_fail(JEM_ENOMEM, ...) for `what`, for example "replay buffer". */
jem_status jemi_fail_memory(const char *what);

/**
 * JEM_EIO, "cannot <verb> '<path>': <reason>", for a call of the operating system that failed with
 * this errno.
 */
jem_status jemi_fail_errno(int32_t error, const char *verb, const char *path);

/**
 * Puts the name of the file that was read before the sentence of a failure, and returns `status`.
 * The readers below see bytes, not names. JEM_EIO names its file already, JEM_ENOMEM is none of it.
 */
jem_status jemi_fail_in_file(jem_status status, const char *path);

enum { JEMI_MESSAGE_SIZE = 1024 };

/** A failure that is put aside, because what is tried next may fail as well. */
typedef struct jemi_failure {
    jem_status status;
    int32_t error;
    char message[JEMI_MESSAGE_SIZE];
} jemi_failure;

jemi_failure jemi_failure_save(jem_status status);
/** Makes it this thread's last failure again, and returns its status. */
jem_status jemi_failure_restore(const jemi_failure *failure);

/** What jem_last_error(), jem_last_errno() and jem_status_string() return. */
const char *jemi_last_message(void);
int32_t jemi_last_errno(void);
const char *jemi_status_name(jem_status status);

/** Returns early with the status of a failed call. For functions that own nothing yet. */
#define JEMI_TRY(call)                                                                             \
    do {                                                                                           \
        const jem_status jemi_try_status = (call);                                                 \
        if (jemi_try_status != JEM_OK)                                                             \
            return jemi_try_status;                                                                \
    } while (0)

#endif
