/*
 * Signals that a failing write() sends beside its errno: SIGXFSZ at the file size limit, SIGPIPE
 * where nobody reads. They would kill the host, so they are held back while the library writes, and
 * then taken away.
 */
#ifndef JEMI_IO_HELD_SIGNALS_H
#define JEMI_IO_HELD_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

enum { JEMI_HELD_SIGNALS = 2 };

typedef struct jemi_held_signals {
    sigset_t mask;                   /* the host's */
    bool pending[JEMI_HELD_SIGNALS]; /* the host held one back already */
} jemi_held_signals;

/** For this thread. */
void jemi_signals_hold(jemi_held_signals *held);
void jemi_signals_release(const jemi_held_signals *held);

#endif
