/*
 * The threads that help with loops: one set for the whole process, made when first needed and
 * asleep while there is nothing to do.
 *
 * A worker has a stack of 512 KiB, the name "jem-worker" and every signal blocked, so the host's
 * handlers never run on it. A forked child has none and makes its own; exit() ends them where they
 * are asleep.
 */
#ifndef JEMI_BASE_WORKERS_H
#define JEMI_BASE_WORKERS_H

#include <stdbool.h>

/** Looks for work and does it; returns when there is none. The same in every call. */
typedef void (*jemi_help)(void);

/**
 * Asks n workers to look for work. Missing ones are started until there are `most`; a thread that
 * cannot be started is done without, and not tried again for a while.
 */
void jemi_workers_ask(int n, int most, jemi_help help);

/** Workers of this process, busy or not. */
int jemi_workers_count(void);

#endif
