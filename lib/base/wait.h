/*
 * Waiting for another thread: awake for a short while, then asleep.
 *
 * To sleep and be woken costs some ten to fifty microseconds, so a wait that is shorter is spent
 * awake. Each waiter learns whether its waits are: on a busy machine the awaited thread may have
 * lost its processor, and who spins then only takes a processor from it.
 */
#ifndef JEMI_BASE_WAIT_H
#define JEMI_BASE_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** What a waiter has learnt. Zeroed, it does not know anything yet. */
typedef struct jemi_patience {
    int64_t spin_ns; /* it stays awake for so long; 0 = never set */
} jemi_patience;

/**
 * Returns when `*word` is no longer `value`, or for no reason.
 *
 * @param sleepers  Counts the threads asleep; whoever changes the word calls jemi_wake() where it is
 *                  not 0. Both sides use sequentially consistent operations.
 * @param awake     Whether a processor is free to wait on; else the thread sleeps at once.
 */
void jemi_wait_while(_Atomic uint32_t *word, uint32_t value, _Atomic uint32_t *sleepers, bool awake,
                     jemi_patience *patience);

/** Wakes up to n threads that sleep on `word`. */
void jemi_wake(_Atomic uint32_t *word, int n);

#endif
