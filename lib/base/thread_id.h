/*
 * Names for threads. pthread_t is reused after a thread has ended; these are not, so that what a
 * thread holds (a claim, a runner, a lock) can still be told apart after a fork has left its holder
 * behind.
 */
#ifndef JEMI_BASE_THREAD_ID_H
#define JEMI_BASE_THREAD_ID_H

#include <stdbool.h>
#include <stdint.h>

/** The calling thread's number: never 0, no other thread's, and the same on both sides of a fork. */
uint64_t jemi_thread_id(void);

/** Whether a fork has left this thread behind in the parent process. False for 0. */
bool jemi_thread_vanished(uint64_t thread);

/** For the child of a fork: every thread that has a number by now has vanished, but this one. */
void jemi_thread_ids_forked(void);

#endif
