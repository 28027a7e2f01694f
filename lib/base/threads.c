/*
 * OpenMP as a guest: the host's thread count is borrowed and given back, and a fork by the host
 * after one of our parallel regions does not hang its child.
 */
#define _GNU_SOURCE
#include "base/threads.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

static _Thread_local int own_width; // 0: outside of a call

// libgomp's workers do not survive fork(), yet the child would wait for them. Ending the team
// before the fork lets both sides build a new one on their next parallel region.
static void pause_before_fork(void)
{
    omp_pause_resource_all(omp_pause_soft);
}

static void install_fork_handler(void)
{
    pthread_atfork(pause_before_fork, NULL, NULL);
}

int jemi_threads_usable(int wanted)
{
    return omp_in_parallel() ? 1 : wanted;
}

int jemi_threads_now(void)
{
    return jemi_threads_usable(own_width > 0 ? own_width : omp_get_max_threads());
}

int jemi_threads_index(void)
{
    return omp_get_thread_num();
}

int jemi_threads_set_width(int width)
{
    const int before = own_width;
    own_width = width;
    return before;
}

jemi_threads_before jemi_threads_enter(int threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handler);
    const jemi_threads_before before = {own_width, omp_get_max_threads()};
    own_width = threads;
    omp_set_num_threads(threads);
    return before;
}

void jemi_threads_leave(jemi_threads_before before)
{
    own_width = before.width;
    omp_set_num_threads(before.openmp);
}

int jemi_threads_default(void)
{
    return omp_get_max_threads();
}

static int count_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int jemi_threads_processors(void)
{
    static _Atomic int processors;
    int count = atomic_load_explicit(&processors, memory_order_relaxed);
    if (count == 0) {
        count = count_processors();
        atomic_store_explicit(&processors, count, memory_order_relaxed);
    }
    return count;
}

double jemi_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
