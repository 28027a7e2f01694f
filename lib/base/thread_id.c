/*
 * One counter for all threads. After a fork the numbers given until then are those of threads that
 * are not in the child, with one exception.
 */
#include "base/thread_id.h"

#include <stdatomic.h>

static atomic_uint_least64_t given;
static uint64_t given_at_fork; // written in the child of a fork, where no other thread is
static uint64_t survivor;
static _Thread_local uint64_t own;

uint64_t jemi_thread_id(void)
{
    if (own == 0)
        own = atomic_fetch_add_explicit(&given, 1, memory_order_relaxed) + 1;
    return own;
}

bool jemi_thread_vanished(uint64_t thread)
{
    return thread != 0 && thread <= given_at_fork && thread != survivor;
}

void jemi_thread_ids_forked(void)
{
    survivor = jemi_thread_id();
    given_at_fork = atomic_load(&given);
}
