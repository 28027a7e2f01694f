/*
 * How many threads a call may use: a property of the thread that runs it, from enter to leave.
 */
#ifndef JEMI_BASE_THREADS_H
#define JEMI_BASE_THREADS_H

#include <jem/jem.h>

/** What was in force before a jemi_threads_enter(). */
typedef struct jemi_threads_before {
    int width, openmp;
} jemi_threads_before;

/** Threads a call configured for `wanted` may use here: 1 inside somebody's parallel region. */
int jemi_threads_usable(int wanted);

/** Threads that a loop started here may have: 1 inside another one. */
int jemi_threads_now(void);

/** Which thread of its OpenMP team the calling one is: 0 is the one that opened the region. */
int jemi_threads_index(void);

/** From now on loops of this thread, and OpenMP's regions too, have so many threads. */
jemi_threads_before jemi_threads_enter(int threads);
void jemi_threads_leave(jemi_threads_before before);

/** The same for loops alone; returns the width before, for the next call. */
int jemi_threads_set_width(int width);

/** What a default exec config asks for. */
int jemi_threads_default(void);

/** Processors that this process may use. */
int jemi_threads_processors(void);

/** Seconds of a monotonic clock. */
double jemi_seconds(void);

#endif
