/*
 * One caller at a time, without waiting: who comes second is told so.
 */
#ifndef JEMI_BASE_CLAIM_H
#define JEMI_BASE_CLAIM_H

#include <stdatomic.h>

#include "base/status.h"

/** Zeroed = free. */
typedef struct jemi_claim {
    atomic_int taken;
} jemi_claim;

static inline jem_status jemi_claim_take(jemi_claim *claim, const char *what)
{
    if (atomic_exchange_explicit(&claim->taken, 1, memory_order_acquire) != 0)
        return jemi_fail(JEM_EBUSY, "the %s is in use by another thread", what);
    return JEM_OK;
}

static inline void jemi_claim_release(jemi_claim *claim)
{
    atomic_store_explicit(&claim->taken, 0, memory_order_release);
}

#endif
