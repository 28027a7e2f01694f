/*
 * OpenMP as a guest: the host's thread count is borrowed and given back, and a fork by the host
 * after one of our parallel regions does not hang its child.
 */
#include "base/threads.h"

#include <omp.h>
#include <pthread.h>
#include <time.h>

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
    return jemi_threads_usable(omp_get_max_threads());
}

int jemi_threads_index(void)
{
    return omp_get_thread_num();
}

int jemi_threads_enter(int threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handler);
    const int previous = omp_get_max_threads();
    omp_set_num_threads(threads);
    return previous;
}

void jemi_threads_leave(int previous)
{
    omp_set_num_threads(previous);
}

int jemi_threads_default(void)
{
    return omp_get_max_threads();
}

double jemi_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
