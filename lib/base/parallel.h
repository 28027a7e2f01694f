/*
 * Parallel loops: the only way in which the library shares work among threads.
 *
 * A loop over 0..count-1 is cut into pieces of `grain` elements, which the calling thread and its
 * helpers claim one after the other. The caller takes part, so a loop ends even where no helper ever
 * comes. Results must not depend on who computes a piece: a task writes only what belongs to its
 * elements, or to its worker's own workspace.
 *
 * Where every processor has a caller in such a loop already, the next one computes its own alone.
 *
 * A loop inside a task runs on the thread that meets it.
 */
#ifndef JEMI_BASE_PARALLEL_H
#define JEMI_BASE_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Computes the elements begin .. end-1. `begin` is a multiple of the grain; the range may cover
 * several adjacent pieces.
 *
 * @param worker  0 .. jemi_parallel_width()-1. No two threads of one loop have the same at once,
 *                so it can index workspaces. The calling thread is 0.
 */
typedef void (*jemi_task)(void *context, int64_t begin, int64_t end, int worker);

/** Runs `task` over all elements and returns when the last one is done. grain >= 1. */
void jemi_parallel(int64_t count, int64_t grain, jemi_task task, void *context);

/** The most workers that a loop started here may have, the caller included; 1 inside a task. */
int jemi_parallel_width(void);

/**
 * Whether this process is the child of a fork inside the calling thread's present or last loop.
 * What helpers were computing then is lost, and what they held is never released.
 */
bool jemi_parallel_forked(void);

#endif
