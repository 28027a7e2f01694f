/*
 * Locks that a fork leaves in order.
 *
 * A child process has only the thread that forked. A plain mutex that another thread held at that
 * moment stays locked in the child for ever, and what it protects stays half changed. So fork()
 * takes every lock of the library first, in the order of their ranks, and both processes release
 * them; the child mends what names threads that it does not have.
 *
 * The locks lie beside each other, in memory of their own: after a fork each page that is written to
 * costs a page fault and a copy, in both processes, and a host may have a hundred models.
 *
 * The rules that keep fork() from waiting for ever:
 *
 * - While a thread holds a lock it enters only locks of higher rank, and neither makes nor destroys
 *   any lock.
 * - No lock is held while the host's log or progress function runs: it may wait for the thread that
 *   forks (Python's log function does, for the interpreter's lock).
 * - Memory is asked for under JEMI_RANK_TEXT at most. Nobody waits for that one while holding
 *   another, so a host's allocator may fork.
 */
#ifndef JEMI_BASE_LOCK_H
#define JEMI_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

typedef enum jemi_rank {
    JEMI_RANK_TEXT,        /* of a model: names, metadata, input map */
    JEMI_RANK_RUNNERS,     /* of a model's pool */
    JEMI_RANK_GENERATIONS, /* of a model's parameters */
    JEMI_RANK_WEIGHTS,     /* packed weights of one generation */
    JEMI_RANK_PROGRAM,     /* orders of packed weights */
    /* One lock each for the whole process: */
    JEMI_RANK_ISA,    /* the instruction set, and texts that name it */
    JEMI_RANK_ONEDNN, /* oneDNN creates something */
    JEMI_RANK_ALLOCATOR,
    JEMI_RANK_LOG,
    JEMI_RANK_LOCALE,
    JEMI_RANKS
} jemi_rank;

typedef struct jemi_lock_slot jemi_lock_slot;

typedef struct jemi_lock {
    jemi_lock_slot *slot;
} jemi_lock;

/**
 * Corrects, in the child of a fork, what is under a lock and belongs to threads that vanished. All
 * locks are held by this thread. Returns how many of the counted uses are left.
 */
typedef int (*jemi_mend_fn)(void *context);

/**
 * @param mend  Called in a child if jemi_lock_count() is not at 0. May be NULL.
 * @return False when there is no memory; then there is nothing to destroy.
 */
bool jemi_lock_init(jemi_lock *lock, jemi_rank rank, jemi_mend_fn mend, void *context);

/** A lock that was initialised. */
void jemi_lock_fini(jemi_lock *lock);

/** The process-wide lock of a rank from JEMI_RANK_ISA on. */
jemi_lock *jemi_lock_of(jemi_rank rank);

/** Sets what mends the state under a process-wide lock, in every child. With the lock held. */
void jemi_lock_set_mend(jemi_lock *lock, jemi_mend_fn mend);

void jemi_lock_enter(jemi_lock *lock);
void jemi_lock_leave(jemi_lock *lock);

/** Adds to the number of threads that use what is under the lock beyond its leaving. Held. */
void jemi_lock_count(jemi_lock *lock, int change);

/** pthread_cond_wait(). The condition must be initialised again when the lock is mended. */
void jemi_lock_wait(jemi_lock *lock, pthread_cond_t *condition);

#endif
