/*
 * Lines for the host's log receiver. Without a receiver nothing is formatted.
 */
#ifndef JEMI_BASE_LOG_H
#define JEMI_BASE_LOG_H

#include <jem/jem.h>

/** `level` is JEM_LOG_*. The line is made fit to be shown. */
void jemi_log(int32_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** NULL removes the receiver. */
void jemi_log_set(jem_log_fn log, void *user);

#endif
