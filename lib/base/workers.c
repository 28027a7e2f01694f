#define _GNU_SOURCE
#include "base/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "base/environment.h"
#include "base/openmp.h"
#include "base/processors.h"
#include "base/threads.h"
#include "base/wait.h"

enum {
    WORKERS_MAX = 1023,
    STACK_BYTES = 512 << 10, // four times what jem.h asks of a caller's
};

static const double retry_seconds = 1.0;
static const int64_t exit_ns = 200000000; // that exit() waits for a worker that is not asleep

static struct {
    pthread_mutex_t lock; // held while threads are started
    pthread_t threads[WORKERS_MAX];
    _Atomic int n_workers;
    _Atomic uint32_t calls;  // changes with every call for help
    _Atomic uint32_t idle;   // workers that have found nothing to do
    _Atomic uint32_t asleep; // those of them that have to be woken
    atomic_bool ending;
    double retry_at; // no thread could be started: not before that
} workers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *work(void *help)
{
    pthread_setname_np(pthread_self(), "jem-worker");
    jemi_environment_enter();
    jemi_threads_enter(1);
    jemi_openmp_set_count(1); // allocates the first time, which then is now
    jemi_patience patience = {0};
    while (!atomic_load(&workers.ending)) {
        const uint32_t seen = atomic_load(&workers.calls);
        ((jemi_help)(uintptr_t)help)();
        atomic_fetch_add(&workers.idle, 1);
        jemi_wait_while(&workers.calls, seen, &workers.asleep,
                        atomic_load(&workers.n_workers) < jemi_processors_known(), &patience);
        atomic_fetch_sub(&workers.idle, 1);
    }
    return NULL;
}

static bool start_one(jemi_help help)
{
    const int index = atomic_load(&workers.n_workers);
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int fault =
        pthread_create(&workers.threads[index], &attributes, work, (void *)(uintptr_t)help);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (fault == 0)
        atomic_store(&workers.n_workers, index + 1);
    return fault == 0;
}

// ---- fork and exit -----------------------------------------------------------------------------

static void before_fork(void)
{
    pthread_mutex_lock(&workers.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&workers.lock);
}

static void after_fork_in_child(void)
{
    workers.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    workers.retry_at = 0.0;
    atomic_store(&workers.n_workers, 0);
    atomic_store(&workers.idle, 0);
    atomic_store(&workers.asleep, 0);
}

static void install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

// Leak checkers take a living thread for a leak. One that is still computing is left alone: the
// thread that exits may be the one it waits for.
__attribute__((destructor)) static void end_workers(void)
{
    atomic_store(&workers.ending, true);
    atomic_fetch_add(&workers.calls, 1);
    jemi_wake(&workers.calls, WORKERS_MAX);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += exit_ns;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    for (int i = 0; i < atomic_load(&workers.n_workers); i++)
        if (pthread_timedjoin_np(workers.threads[i], NULL, &until) != 0)
            return;
}

// ---- calls -------------------------------------------------------------------------------------

// Another thread that is starting some makes this one go without.
static void start(int n, int most, jemi_help help)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handlers);
    if (pthread_mutex_trylock(&workers.lock) != 0)
        return;
    bool started = jemi_seconds() >= workers.retry_at;
    for (int i = 0; i < n && atomic_load(&workers.n_workers) < most && started; i++) {
        started = start_one(help);
        if (!started)
            workers.retry_at = jemi_seconds() + retry_seconds;
    }
    pthread_mutex_unlock(&workers.lock);
}

void jemi_workers_ask(int n, int most, jemi_help help)
{
    if (atomic_load_explicit(&workers.ending, memory_order_relaxed))
        return;
    atomic_fetch_add(&workers.calls, 1);
    const int idle = (int)atomic_load(&workers.idle);
    if (idle < n && atomic_load(&workers.n_workers) < (most < WORKERS_MAX ? most : WORKERS_MAX))
        start(n - idle, most < WORKERS_MAX ? most : WORKERS_MAX, help);
    const int asleep = (int)atomic_load(&workers.asleep), awake = idle - asleep;
    if (asleep > 0 && awake < n)
        jemi_wake(&workers.calls, n - (awake > 0 ? awake : 0));
}

int jemi_workers_count(void)
{
    return atomic_load(&workers.n_workers);
}
