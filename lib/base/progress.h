/*
 * What a long call tells its host between two pieces of work.
 */
#ifndef JEMI_BASE_PROGRESS_H
#define JEMI_BASE_PROGRESS_H

#include <stdint.h>

#include "base/status.h"

/** How far a call has come. Only the calling thread tells it. */
typedef struct jemi_progress {
    jem_progress_fn tell; /* may be NULL */
    void *user;
    const char *unit; /* of both numbers, in the message */
    int64_t done, total;
} jemi_progress;

/** Adds n and tells, in the host's floating-point environment. JEM_ECANCELLED: it asks to stop. */
jem_status jemi_progress_add(jemi_progress *progress, int64_t n);

#endif
