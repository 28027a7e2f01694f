/*
 * Loops shared with the workers.
 *
 * A loop stands in one of a fixed number of places that are never freed, so a worker may look at
 * one that is over. Its pieces are split into a range for each thread, which takes its own from
 * the front, in an order that gives it the same part of the next loop over the same data; who has
 * none left takes from the end of another's. Each claim is one compare-and-swap on a word that also
 * holds the loop's number: it succeeds only while that loop is running. So nobody has to register
 * before a claim, and the caller waits for pieces that somebody computes, and for nothing else.
 */
#include "base/parallel.h"

#include <assert.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/openmp.h"
#include "base/processors.h"
#include "base/threads.h"
#include "base/wait.h"
#include "base/workers.h"

enum {
    PLACES = 64,         // loops at once; more run on their callers alone
    RANGES = 64,         // of a loop; more threads than that share them
    PIECES_MAX = 0xffff, // what a claim's word can count
    LINE = 64,           // bytes of a cache line
};

// A loop's number, and 16 bits each of
typedef uint64_t word; // entry: helpers that have joined, helpers allowed; range: begin, end

typedef struct range {
    alignas(LINE) _Atomic word pieces;
} range;

typedef struct place {
    alignas(LINE) atomic_bool taken;
    _Atomic word entry;
    _Atomic jemi_task task;
    void *_Atomic context;
    _Atomic int64_t count, grain;
    _Atomic int n_ranges;
    alignas(LINE) _Atomic uint32_t left; // pieces that are not done
    _Atomic uint32_t waiting;            // 1: the caller sleeps until none is
    range ranges[RANGES];
} place;

static place places[PLACES];
static _Atomic int places_used; // those behind have never been taken
static _Atomic int n_callers;   // threads in a loop that is shared or could be

typedef struct loop {
    place *p;
    uint32_t number;
    jemi_task task;
    void *context;
    int64_t count, grain;
    int n_ranges, worker;
} loop;

static _Thread_local struct {
    bool calls;  // it is one of the callers
    place *loop; // that it has shared out
    bool forked; // this is the child of a fork inside that loop
    jemi_patience patience;
} own;

static word word_of(uint32_t number, uint32_t high, uint32_t low)
{
    return (word)number << 32 | (word)high << 16 | low;
}

static uint32_t number_of(word w)
{
    return (uint32_t)(w >> 32);
}

static uint32_t high_of(word w)
{
    return (uint32_t)(w >> 16) & 0xffff;
}

static uint32_t low_of(word w)
{
    return (uint32_t)w & 0xffff;
}

// ---- claims ------------------------------------------------------------------------------------

// One piece of a range: its first, or for anybody but the owner its last. -1: there is none.
static int64_t claim_from(range *r, uint32_t number, bool front)
{
    word w = atomic_load_explicit(&r->pieces, memory_order_relaxed);
    while (number_of(w) == number && high_of(w) < low_of(w)) {
        const word next = front ? w + (1 << 16) : w - 1;
        if (atomic_compare_exchange_weak_explicit(&r->pieces, &w, next, memory_order_acq_rel,
                                                  memory_order_relaxed))
            return front ? high_of(w) : low_of(next);
    }
    return -1;
}

static int64_t claim(const loop *l)
{
    const int home = l->worker % l->n_ranges;
    int64_t piece = claim_from(&l->p->ranges[home], l->number, true);
    for (int i = 1; piece < 0 && i < l->n_ranges; i++)
        piece = claim_from(&l->p->ranges[(home + i) % l->n_ranges], l->number, false);
    return piece;
}

static void run_piece(const loop *l, int64_t piece)
{
    const int64_t begin = piece * l->grain, left = l->count - begin;
    l->task(l->context, begin, begin + (left < l->grain ? left : l->grain), l->worker);
}

// ---- helpers -----------------------------------------------------------------------------------

// A place in the loop, if it is running and has one. What is read here is true if a claim succeeds.
static bool join(place *p, loop *l)
{
    word w = atomic_load_explicit(&p->entry, memory_order_relaxed);
    do {
        if (high_of(w) >= low_of(w))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&p->entry, &w, w + (1 << 16),
                                                    memory_order_acq_rel, memory_order_relaxed));
    *l = (loop){
        .p = p,
        .number = number_of(w),
        .task = atomic_load_explicit(&p->task, memory_order_relaxed),
        .context = atomic_load_explicit(&p->context, memory_order_relaxed),
        .count = atomic_load_explicit(&p->count, memory_order_relaxed),
        .grain = atomic_load_explicit(&p->grain, memory_order_relaxed),
        .n_ranges = atomic_load_explicit(&p->n_ranges, memory_order_relaxed),
        .worker = 1 + (int)high_of(w),
    };
    return true;
}

// After the last piece the caller may be gone, and another loop have the place.
static void tell_done(place *p)
{
    if (atomic_fetch_sub(&p->left, 1) == 1 && atomic_load(&p->waiting) != 0)
        jemi_wake(&p->left, 1);
}

static bool help_with(place *p)
{
    loop l;
    if (!join(p, &l))
        return false;
    int64_t piece;
    while ((piece = claim(&l)) >= 0) {
        run_piece(&l, piece);
        tell_done(p);
    }
    return true;
}

static void help(void)
{
    bool found = true;
    while (found) {
        found = false;
        for (int i = 0; i < atomic_load_explicit(&places_used, memory_order_acquire); i++)
            found |= help_with(&places[i]);
    }
}

// ---- fork --------------------------------------------------------------------------------------

// Only this thread is left. The pieces that helpers had in the loop it may be in are lost, so nobody
// may join it: its caller will not wait.
static void after_fork_in_child(void)
{
    for (int i = 0; i < atomic_load(&places_used); i++) {
        place *p = &places[i];
        atomic_store(&p->entry, word_of(number_of(atomic_load(&p->entry)), 0, 0));
        atomic_store(&p->waiting, 0);
        atomic_store(&p->taken, p == own.loop);
    }
    atomic_store(&n_callers, own.calls);
    own.forked = own.loop != NULL;
}

static void install_fork_handler(void)
{
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

// ---- callers -----------------------------------------------------------------------------------

static place *take_place(void)
{
    for (int i = 0; i < PLACES; i++)
        if (!atomic_load_explicit(&places[i].taken, memory_order_relaxed) &&
            !atomic_exchange_explicit(&places[i].taken, true, memory_order_acquire)) {
            int used = atomic_load(&places_used);
            while (used <= i && !atomic_compare_exchange_weak(&places_used, &used, i + 1)) {
            }
            return &places[i];
        }
    return NULL;
}

// The caller has the first piece already.
static void publish(const loop *l, int64_t pieces, int helpers)
{
    place *p = l->p;
    atomic_store_explicit(&p->task, l->task, memory_order_relaxed);
    atomic_store_explicit(&p->context, l->context, memory_order_relaxed);
    atomic_store_explicit(&p->count, l->count, memory_order_relaxed);
    atomic_store_explicit(&p->grain, l->grain, memory_order_relaxed);
    atomic_store_explicit(&p->n_ranges, l->n_ranges, memory_order_relaxed);
    atomic_store_explicit(&p->left, (uint32_t)pieces, memory_order_relaxed);
    for (int i = 0; i < l->n_ranges; i++)
        atomic_store_explicit(&p->ranges[i].pieces,
                              word_of(l->number, (uint32_t)(pieces * i / l->n_ranges) + (i == 0),
                                      (uint32_t)(pieces * (i + 1) / l->n_ranges)),
                              memory_order_release);
    atomic_store_explicit(&p->entry, word_of(l->number, 0, (uint32_t)helpers),
                          memory_order_release);
}

static void wait_for_helpers(place *p)
{
    const bool awake =
        atomic_load_explicit(&n_callers, memory_order_relaxed) + jemi_workers_count() <=
        jemi_processors_known();
    uint32_t left;
    while ((left = atomic_load(&p->left)) != 0 && !own.forked)
        jemi_wait_while(&p->left, left, &p->waiting, awake, &own.patience);
}

static void run_shared(loop *l, int64_t pieces, int helpers)
{
    const int others = jemi_processors_known() - 1;
    own.loop = l->p;
    publish(l, pieces, helpers);
    jemi_workers_ask(helpers, helpers > others ? helpers : others, help);
    uint32_t done = 0;
    for (int64_t piece = 0; piece >= 0; piece = claim(l), done++)
        run_piece(l, piece);
    atomic_store_explicit(&l->p->entry, word_of(l->number, 0, 0), memory_order_relaxed);
    if (atomic_fetch_sub(&l->p->left, done) != done)
        wait_for_helpers(l->p);
    own.loop = NULL;
    atomic_store_explicit(&l->p->taken, false, memory_order_release);
}

// One of a team's threads; not the caller's are new to every region.
static void work_in_team(void *context, int worker)
{
    loop l = *(const loop *)context;
    l.worker = worker;
    const int before = jemi_threads_enter(1);
    for (int64_t piece = worker == 0 ? 0 : claim(&l); piece >= 0; piece = claim(&l))
        run_piece(&l, piece);
    jemi_threads_leave(before);
}

static void run_in_team(loop *l, int64_t pieces, int threads)
{
    publish(l, pieces, 0);
    jemi_openmp_run(threads, work_in_team, l);
    atomic_store_explicit(&l->p->taken, false, memory_order_release);
}

// Whether a processor is left for helpers: where every one has its caller, they would only get into
// each other's way.
static bool begin_call(void)
{
    own.calls = true;
    const int others = atomic_fetch_add_explicit(&n_callers, 1, memory_order_relaxed);
    return others == 0 || others + 1 < jemi_processors_known();
}

static void end_call(void)
{
    own.calls = false;
    atomic_fetch_sub_explicit(&n_callers, 1, memory_order_relaxed);
}

static void share(place *p, int width, int64_t count, int64_t grain, jemi_task task, void *context)
{
    const int64_t least = (count + PIECES_MAX - 1) / PIECES_MAX;
    const int64_t step = (least + grain - 1) / grain * grain;
    const int64_t pieces = (count + step - 1) / step;
    const int64_t threads = width < pieces ? width : pieces;
    loop l = {
        .p = p,
        .number = number_of(atomic_load_explicit(&p->entry, memory_order_relaxed)) + 1,
        .task = task,
        .context = context,
        .count = count,
        .grain = step,
        .n_ranges = (int)(threads < RANGES ? threads : RANGES),
    };
    if (jemi_openmp_team() > 1)
        run_in_team(&l, pieces, (int)threads);
    else
        run_shared(&l, pieces, (int)threads - 1);
}

void jemi_parallel(int64_t count, int64_t grain, jemi_task task, void *context)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    assert(grain >= 1);
    if (count <= 0)
        return;
    pthread_once(&once, install_fork_handler);
    if (own.loop == NULL)
        own.forked = false;
    const int width = jemi_threads_now();
    const bool wide = count > grain && width > 1;
    place *p = wide && begin_call() ? take_place() : NULL;
    const int before = jemi_threads_enter(1);
    if (p != NULL)
        share(p, width, count, grain, task, context);
    else
        task(context, 0, count, 0);
    jemi_threads_leave(before);
    if (wide)
        end_call();
}

int jemi_parallel_width(void)
{
    return jemi_threads_now();
}

bool jemi_parallel_forked(void)
{
    return own.forked;
}
