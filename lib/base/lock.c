/*
 * The list of all locks, and the fork handlers.
 *
 * A lock that the forking thread holds itself (its allocator callback forks) stays held in both
 * processes. The handlers are registered with the first lock that is used.
 */
#include "base/lock.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/thread_id.h"

struct jemi_lock_slot {
    pthread_mutex_t mutex;
    _Atomic uint64_t holder; // thread id, 0 = none
    jemi_mend_fn mend;
    void *context;
    int uses;     // see jemi_lock_count()
    bool forking; // taken by the fork in progress
    jemi_lock_slot *next,
        **at; // in the list of its rank, `at` is what points here; or of free ones
};

enum { SLAB_BYTES = 1 << 16 };

// Guards the lists; comes before every rank, as a fork holds it throughout.
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;

static jemi_lock_slot process_slots[JEMI_RANKS]; // from JEMI_RANK_ISA on
static jemi_lock process_locks[JEMI_RANKS];
static jemi_lock_slot *lists[JEMI_RANKS];
static jemi_lock_slot *unused;

// ---- fork --------------------------------------------------------------------------------------

static void before_fork(void)
{
    pthread_mutex_lock(&registry);
    const uint64_t self = jemi_thread_id();
    for (int rank = 0; rank < JEMI_RANKS; rank++)
        for (jemi_lock_slot *slot = lists[rank]; slot != NULL; slot = slot->next) {
            slot->forking = atomic_load_explicit(&slot->holder, memory_order_relaxed) != self;
            if (slot->forking)
                pthread_mutex_lock(&slot->mutex);
        }
}

static void release_all(void)
{
    for (int rank = JEMI_RANKS - 1; rank >= 0; rank--)
        for (jemi_lock_slot *slot = lists[rank]; slot != NULL; slot = slot->next)
            if (slot->forking)
                pthread_mutex_unlock(&slot->mutex);
    pthread_mutex_unlock(&registry);
}

static void after_fork_in_child(void)
{
    jemi_thread_ids_forked();
    for (int rank = 0; rank < JEMI_RANKS; rank++)
        for (jemi_lock_slot *slot = lists[rank]; slot != NULL; slot = slot->next)
            if (slot->forking && slot->mend != NULL && (slot->uses != 0 || rank >= JEMI_RANK_ISA))
                slot->uses = slot->mend(slot->context);
    release_all();
}

// ---- lists -------------------------------------------------------------------------------------

static void enlist(jemi_lock_slot *slot, jemi_rank rank)
{
    slot->next = lists[rank];
    slot->at = &lists[rank];
    if (slot->next != NULL)
        slot->next->at = &slot->next;
    lists[rank] = slot;
}

static void install(void)
{
    for (int rank = JEMI_RANK_ISA; rank < JEMI_RANKS; rank++) {
        process_slots[rank].mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        process_locks[rank].slot = &process_slots[rank];
        enlist(&process_slots[rank], (jemi_rank)rank);
    }
    pthread_atfork(before_fork, release_all, after_fork_in_child);
}

static void install_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

// Slabs are never given back. They are not of jemi_alloc(), whose blocks all belong to handles.
static void add_slab(void)
{
    jemi_lock_slot *slab =
        mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED)
        return;
    for (size_t i = 0; i < SLAB_BYTES / sizeof *slab; i++) {
        slab[i].next = unused;
        unused = &slab[i];
    }
}

// With the registry's lock.
static jemi_lock_slot *take_slot(void)
{
    if (unused == NULL)
        add_slab();
    jemi_lock_slot *slot = unused;
    if (slot != NULL)
        unused = slot->next;
    return slot;
}

bool jemi_lock_init(jemi_lock *lock, jemi_rank rank, jemi_mend_fn mend, void *context)
{
    install_once();
    pthread_mutex_lock(&registry);
    jemi_lock_slot *slot = take_slot();
    if (slot != NULL) {
        *slot =
            (jemi_lock_slot){.mutex = PTHREAD_MUTEX_INITIALIZER, .mend = mend, .context = context};
        enlist(slot, rank);
    }
    pthread_mutex_unlock(&registry);
    lock->slot = slot;
    return slot != NULL;
}

void jemi_lock_fini(jemi_lock *lock)
{
    jemi_lock_slot *slot = lock->slot;
    pthread_mutex_lock(&registry);
    *slot->at = slot->next;
    if (slot->next != NULL)
        slot->next->at = slot->at;
    pthread_mutex_destroy(&slot->mutex);
    slot->next = unused;
    unused = slot;
    pthread_mutex_unlock(&registry);
    lock->slot = NULL;
}

jemi_lock *jemi_lock_of(jemi_rank rank)
{
    install_once();
    return &process_locks[rank];
}

void jemi_lock_set_mend(jemi_lock *lock, jemi_mend_fn mend)
{
    lock->slot->mend = mend;
}

// ---- holding -----------------------------------------------------------------------------------

void jemi_lock_enter(jemi_lock *lock)
{
    pthread_mutex_lock(&lock->slot->mutex);
    atomic_store_explicit(&lock->slot->holder, jemi_thread_id(), memory_order_relaxed);
}

void jemi_lock_leave(jemi_lock *lock)
{
    atomic_store_explicit(&lock->slot->holder, 0, memory_order_relaxed);
    pthread_mutex_unlock(&lock->slot->mutex);
}

void jemi_lock_count(jemi_lock *lock, int change)
{
    lock->slot->uses += change;
}

void jemi_lock_wait(jemi_lock *lock, pthread_cond_t *condition)
{
    atomic_store_explicit(&lock->slot->holder, 0, memory_order_relaxed);
    pthread_cond_wait(condition, &lock->slot->mutex);
    atomic_store_explicit(&lock->slot->holder, jemi_thread_id(), memory_order_relaxed);
}
