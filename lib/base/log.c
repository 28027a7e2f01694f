/*
 * The process-wide log receiver. Many threads may log at once, and a removed receiver is not running
 * any more when its removal returns. The lock is not held while a receiver runs: receivers wait for
 * locks of the host, of which fork() may hold one.
 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>

#include "base/environment.h"
#include "base/lock.h"
#include "base/text.h"
#include "base/utf8.h"

enum { LINE_SIZE = 1024 };

// All under the lock.
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static jem_log_fn receiver;
static void *receiver_user;
static bool changing; // a thread waits until no receiver runs
static int n_running;

static _Thread_local int n_running_here;

static int mend(void *unused)
{
    (void)unused;
    changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    changing = false;
    n_running = n_running_here;
    return 0;
}

static jemi_lock *enter(void)
{
    jemi_lock *lock = jemi_lock_of(JEMI_RANK_LOG);
    jemi_lock_enter(lock);
    jemi_lock_set_mend(lock, mend);
    while (changing)
        jemi_lock_wait(lock, &changed);
    return lock;
}

static void count_running(int change)
{
    n_running += change;
    n_running_here += change;
}

void jemi_log_set(jem_log_fn log, void *user)
{
    jemi_lock *lock = enter();
    changing = true;
    while (n_running > n_running_here)
        jemi_lock_wait(lock, &changed);
    receiver = log;
    receiver_user = user;
    changing = false;
    pthread_cond_broadcast(&changed);
    jemi_lock_leave(lock);
}

void jemi_log(int32_t level, const char *format, ...)
{
    jemi_lock *lock = enter();
    const jem_log_fn receive = receiver;
    void *const user = receiver_user;
    count_running(receive != NULL);
    jemi_lock_leave(lock);
    if (receive == NULL)
        return;
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    jemi_format_list(line, sizeof line, format, arguments);
    va_end(arguments);
    jemi_utf8_make_showable(line);
    const int begun = jemi_environment_host_begin();
    receive(user, level, line);
    jemi_environment_host_end(begun);
    jemi_lock_enter(lock);
    count_running(-1);
    pthread_cond_broadcast(&changed);
    jemi_lock_leave(lock);
}
