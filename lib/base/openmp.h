/*
 * OpenMP as a guest. oneDNN's primitives run in teams of libgomp, and nothing else does; the host's
 * thread count is borrowed for them and given back.
 *
 * libgomp ends the process where it cannot start a thread. So before a team grows beyond what the
 * calling thread has had, as many threads are started and ended again.
 */
#ifndef JEMI_BASE_OPENMP_H
#define JEMI_BASE_OPENMP_H

#include <stdbool.h>

/** Whether the calling thread may have a team of so many. */
bool jemi_openmp_can_have(int threads);

/** Sets the count that primitives are created for; returns the one before. */
int jemi_openmp_set_count(int threads);

/** The settings that were the host's. */
typedef struct jemi_openmp_before {
    int threads, dynamic;
    int team; /* of the regions in between */
} jemi_openmp_before;

/**
 * Until the leave, regions have so many threads, with the library's floating-point environment.
 * More than one only where jemi_openmp_can_have() says so. Until then jemi_parallel() uses that team
 * too: libgomp's threads stay awake between regions, and others would find no processor.
 */
jemi_openmp_before jemi_openmp_enter(int threads);
void jemi_openmp_leave(jemi_openmp_before before);

/** Threads of the team that this thread is the master of between enter and leave, else 0. */
int jemi_openmp_team(void);

/** The OpenMP count of the calling thread, which is the host's outside of enter and leave. */
int jemi_openmp_count(void);

/** Whether the host calls from within a parallel region of its own. */
bool jemi_openmp_is_inside(void);

/** Calls `work` with 0 .. threads-1 in a team, and returns when all are done. */
void jemi_openmp_run(int threads, void (*work)(void *context, int worker), void *context);

#endif
