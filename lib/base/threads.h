/*
 * The OpenMP thread count, borrowed from the host for the length of one call.
 */
#ifndef JEMI_BASE_THREADS_H
#define JEMI_BASE_THREADS_H

#include <jem/jem.h>

/** Threads a call configured for `wanted` may use here: 1 inside somebody's parallel region. */
int jemi_threads_usable(int wanted);

/** Threads that a parallel region opened here would have: 1 inside another one. */
int jemi_threads_now(void);

/** Which thread of its team the calling one is: 0 is the one that opened the region. */
int jemi_threads_index(void);

/** Sets the calling thread's OpenMP count and returns the host's, for jemi_threads_leave(). */
int jemi_threads_enter(int threads);
void jemi_threads_leave(int previous);

/** The host's present count: what a default exec config asks for. */
int jemi_threads_default(void);

/** Seconds of a monotonic clock. */
double jemi_seconds(void);

#endif
