#include "base/openmp.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/environment.h"
#include "base/memory.h"

static const double retry_seconds = 1.0;

static _Thread_local struct {
    int most;             // threads that a team of this thread has had
    int team;             // threads of its team now, 0: none
    int refused;          // threads that could not be started,
    double refused_until; // and when to try again
} own;

// libgomp's workers do not survive fork(), yet the child would wait for them. Ending the team
// before the fork lets both sides build a new one on their next parallel region.
static void pause_before_fork(void)
{
    omp_pause_resource_all(omp_pause_soft);
    own.most = 0;
}

static void install_fork_handler(void)
{
    pthread_atfork(pause_before_fork, NULL, NULL);
}

// ---- can threads be started? -------------------------------------------------------------------

// A size as OpenMP writes it: kilobytes, or with B, K, M or G. False: libgomp ignores it too.
static bool parse_size(const char *text, size_t *bytes)
{
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (end == text || errno != 0)
        return false;
    while (isspace((unsigned char)*end))
        end++;
    static const char units[] = "bkmg";
    const char *unit = *end != '\0' ? strchr(units, tolower((unsigned char)*end)) : units + 1;
    if (unit == NULL || *unit == '\0')
        return false;
    const size_t shift = 10 * (size_t)(unit - units);
    *bytes = (size_t)number << shift;
    return *bytes >> shift == number;
}

static void set_stack(pthread_attr_t *attributes)
{
    size_t bytes;
    const char *text = getenv("OMP_STACKSIZE");
    if (text == NULL)
        text = getenv("GOMP_STACKSIZE");
    if (text != NULL && parse_size(text, &bytes))
        pthread_attr_setstacksize(attributes, bytes);
}

static void *wait_for_gate(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

// All at once, as a team would be.
static bool can_start(int n)
{
    pthread_t *threads = jemi_alloc((size_t)n, sizeof *threads);
    pthread_attr_t attributes;
    if (threads == NULL || pthread_attr_init(&attributes) != 0) {
        jemi_free(threads);
        return false;
    }
    set_stack(&attributes);
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&gate);
    int started = 0;
    while (started < n && pthread_create(&threads[started], &attributes, wait_for_gate, &gate) == 0)
        started++;
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&attributes);
    jemi_free(threads);
    return started == n;
}

bool jemi_openmp_can_have(int threads)
{
    if (threads <= 1 || threads <= own.most)
        return true;
    if (threads > omp_get_thread_limit() || jemi_openmp_is_inside() ||
        (threads >= own.refused && jemi_seconds() < own.refused_until))
        return false;
    if (can_start(threads - (own.most > 0 ? own.most : 1))) {
        own.most = threads;
        return true;
    }
    own.refused = threads;
    own.refused_until = jemi_seconds() + retry_seconds;
    return false;
}

// ---- teams -------------------------------------------------------------------------------------

bool jemi_openmp_is_inside(void)
{
    return omp_in_parallel();
}

void jemi_openmp_run(int threads, void (*work)(void *context, int worker), void *context)
{
#pragma omp parallel num_threads(threads)
    work(context, omp_get_thread_num());
}

static void enter_worker(void *context, int worker)
{
    if (worker != 0)
        jemi_environment_enter_worker(context);
}

static void leave_worker(void *context, int worker)
{
    (void)context;
    if (worker != 0)
        jemi_environment_leave();
}

jemi_openmp_before jemi_openmp_enter(int threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handler);
    const jemi_openmp_before before = {omp_get_max_threads(), omp_get_dynamic(), own.team};
    assert(threads <= 1 || before.team == 0); // workers are entered once
    if (before.threads != threads)
        omp_set_num_threads(threads);
    if (threads > 1) {
        if (before.dynamic)
            omp_set_dynamic(0);
        own.team = threads;
        jemi_openmp_run(threads, enter_worker, (void *)jemi_environment_host());
    }
    return before;
}

void jemi_openmp_leave(jemi_openmp_before before)
{
    if (own.team > 1 && before.team == 0) {
        jemi_openmp_run(own.team, leave_worker, NULL);
        if (before.dynamic)
            omp_set_dynamic(before.dynamic);
    }
    own.team = before.team;
    if (omp_get_max_threads() != before.threads)
        omp_set_num_threads(before.threads);
}

int jemi_openmp_count(void)
{
    return omp_get_max_threads();
}

int jemi_openmp_set_count(int threads)
{
    const int before = omp_get_max_threads();
    if (before != threads)
        omp_set_num_threads(threads);
    return before;
}

int jemi_openmp_team(void)
{
    return own.team;
}
