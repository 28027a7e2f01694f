/*
 * A signal that was pending before is the host's and stays so. One more of the same number would
 * not be told apart from it, nor does it have to be.
 */
#include "io/held_signals.h"

#include <stddef.h>
#include <time.h>

static const int numbers[JEMI_HELD_SIGNALS] = {SIGXFSZ, SIGPIPE};

static bool is_pending(int number)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, number) == 1;
}

void jemi_signals_hold(jemi_held_signals *held)
{
    sigset_t block;
    sigemptyset(&block);
    for (int i = 0; i < JEMI_HELD_SIGNALS; i++) {
        held->pending[i] = is_pending(numbers[i]);
        sigaddset(&block, numbers[i]);
    }
    pthread_sigmask(SIG_BLOCK, &block, &held->mask);
}

static void take_away(int number)
{
    sigset_t drain;
    sigemptyset(&drain);
    sigaddset(&drain, number);
    sigtimedwait(&drain, NULL, &(struct timespec){0, 0});
}

void jemi_signals_release(const jemi_held_signals *held)
{
    for (int i = 0; i < JEMI_HELD_SIGNALS; i++)
        if (!held->pending[i] && is_pending(numbers[i]))
            take_away(numbers[i]);
    pthread_sigmask(SIG_SETMASK, &held->mask, NULL);
}
