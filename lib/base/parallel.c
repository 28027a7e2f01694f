/*
 * Parallel loops by OpenMP. Pieces are claimed by a counter of our own, as libgomp's dynamic loops
 * allocate; and a loop of one piece opens no region, since libgomp frees the team that it has kept
 * when a team of one follows.
 */
#include "base/parallel.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/threads.h"

typedef struct loop {
    int64_t count, grain;
    jemi_task task;
    void *context;
    _Atomic int64_t next;
} loop;

static void run_pieces(loop *l, int worker)
{
    for (;;) {
        const int64_t begin = atomic_fetch_add_explicit(&l->next, l->grain, memory_order_relaxed);
        if (begin >= l->count)
            return;
        const int64_t left = l->count - begin;
        l->task(l->context, begin, begin + (left < l->grain ? left : l->grain), worker);
    }
}

void jemi_parallel(int64_t count, int64_t grain, jemi_task task, void *context)
{
    assert(grain >= 1);
    if (count <= 0)
        return;
    if (count <= grain || jemi_parallel_width() == 1) {
        task(context, 0, count, 0);
        return;
    }
    loop l = {.count = count, .grain = grain, .task = task, .context = context};
#pragma omp parallel
    run_pieces(&l, jemi_threads_index());
}

int jemi_parallel_width(void)
{
    return jemi_threads_now();
}
