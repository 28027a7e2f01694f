/*
 * How many threads a call may use: a property of the thread that runs it, from enter to leave.
 */
#ifndef JEMI_BASE_THREADS_H
#define JEMI_BASE_THREADS_H

#include "base/clock.h"

/**
 * From now on loops of this thread have so many threads: 1 inside a parallel region of the host,
 * and never more than an outer enter has given. Returns the width before, for the leave.
 */
int jemi_threads_enter(int threads);
void jemi_threads_leave(int before);

/** Threads that a loop started here may have; 1 outside of enter and leave. */
int jemi_threads_now(void);

/** What a default exec config asks for. */
int jemi_threads_default(void);

#endif
