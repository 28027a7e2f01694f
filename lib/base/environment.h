/*
 * The floating-point environment of the library: rounding to nearest, nothing trapped, denormals
 * flushed to zero. A host may have another one, so every exported function that computes has its
 * own from its first line to its return, and a callback has the host's.
 */
#ifndef JEMI_BASE_ENVIRONMENT_H
#define JEMI_BASE_ENVIRONMENT_H

/** Enters the library's environment, unless this thread is in it. */
void jemi_environment_enter(void);

/** Puts the environment back that the outermost enter has found, exception flags included. */
void jemi_environment_leave(void);

/**
 * Around a callback: the host's environment, and what the callback makes of it. The callback's own
 * calls of the library enter anew.
 */
int jemi_environment_host_begin(void);
void jemi_environment_host_end(int begun);

/**
 * The same for a worker of OpenMP's, between jemi_environment_enter() and _leave() of the thread that
 * gives its own `host`. A worker that was made meanwhile has got the library's environment by its
 * birth; it leaves with the host's.
 */
const void *jemi_environment_host(void);
void jemi_environment_enter_worker(const void *host);

static inline void jemi_environment_end(const char *unused)
{
    (void)unused;
    jemi_environment_leave();
}

/** The first statement of an exported function: its environment until it returns, wherever. */
#define JEMI_OWN_ENVIRONMENT                                                                       \
    __attribute__((cleanup(jemi_environment_end), unused)) const char jemi_environment_here = 0;   \
    jemi_environment_enter()

#endif
