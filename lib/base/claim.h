/*
 * One caller at a time, without waiting: who comes second is told so. A claim remembers the thread
 * that took it, so that in the child of a fork the claims of threads that are not there are free.
 */
#ifndef JEMI_BASE_CLAIM_H
#define JEMI_BASE_CLAIM_H

#include <stdatomic.h>

#include "base/status.h"
#include "base/thread_id.h"

/** Zeroed = free. */
typedef struct jemi_claim {
    _Atomic uint64_t holder; /* thread id, 0 = none */
} jemi_claim;

/** Whether a thread of this process has it. */
static inline bool jemi_claim_taken(jemi_claim *claim)
{
    const uint64_t holder = atomic_load_explicit(&claim->holder, memory_order_relaxed);
    return holder != 0 && !jemi_thread_vanished(holder);
}

static inline jem_status jemi_claim_take(jemi_claim *claim, const char *what)
{
    uint64_t holder = 0;
    while (!atomic_compare_exchange_weak_explicit(&claim->holder, &holder, jemi_thread_id(),
                                                  memory_order_acquire, memory_order_relaxed))
        if (holder != 0 && !jemi_thread_vanished(holder))
            return jemi_fail(JEM_EBUSY, "the %s is in use by another thread", what);
    return JEM_OK;
}

static inline void jemi_claim_release(jemi_claim *claim)
{
    atomic_store_explicit(&claim->holder, 0, memory_order_release);
}

#endif
