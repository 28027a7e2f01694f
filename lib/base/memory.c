/*
 * The only place that asks for memory. Blocks in use are counted: the allocator may be exchanged
 * only while there are none, so a block is always released by the allocator that gave it.
 */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"

#define ALIGNMENT ((size_t)64)

static void *default_allocate(void *user, size_t alignment, size_t size)
{
    (void)user;
    return aligned_alloc(alignment, size);
}

static void default_release(void *user, void *block)
{
    (void)user;
    free(block);
}

static const jem_allocator default_allocator = {default_allocate, default_release, NULL};

// Written only while no block lives, so readers need no lock.
static jem_allocator current = {default_allocate, default_release, NULL};
static atomic_size_t blocks_live;

bool jemi_mul(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

bool jemi_add(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

void *jemi_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!jemi_mul(count, size, &bytes) || !jemi_add(bytes, ALIGNMENT - 1, &bytes))
        return NULL;
    bytes = bytes < ALIGNMENT ? ALIGNMENT : bytes / ALIGNMENT * ALIGNMENT;
    void *block = current.allocate(current.user, ALIGNMENT, bytes);
    if (block != NULL)
        atomic_fetch_add_explicit(&blocks_live, 1, memory_order_relaxed);
    return block;
}

void *jemi_calloc(size_t count, size_t size)
{
    void *block = jemi_alloc(count, size);
    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

char *jemi_strdup(const char *string)
{
    const size_t size = strlen(string) + 1;
    char *copy = jemi_alloc(size, 1);
    if (copy != NULL)
        memcpy(copy, string, size);
    return copy;
}

void jemi_free(void *block)
{
    if (block == NULL)
        return;
    current.release(current.user, block);
    atomic_fetch_sub_explicit(&blocks_live, 1, memory_order_relaxed);
}

bool jemi_memory_is_idle(void)
{
    return atomic_load(&blocks_live) == 0;
}

bool jemi_memory_set_allocator(const jem_allocator *allocator)
{
    jemi_lock *lock = jemi_lock_of(JEMI_RANK_ALLOCATOR);
    jemi_lock_enter(lock);
    const bool idle = jemi_memory_is_idle();
    if (idle)
        current = allocator != NULL ? *allocator : default_allocator;
    jemi_lock_leave(lock);
    return idle;
}
