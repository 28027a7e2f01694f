/*
 * How many elements of a loop make a piece that is worth being claimed by a thread.
 *
 * A piece shall take some microseconds at least, as another thread must claim it and fetch its data.
 * Much longer ones would leave workers idle for so long that they fall asleep. Where there is more
 * work than that, a worker gets a few large pieces: enough of them that a worker which comes late,
 * or is preempted, does not keep the others waiting.
 */
#ifndef JEMI_KERNELS_GRAIN_H
#define JEMI_KERNELS_GRAIN_H

#include "base/parallel.h"

enum {
    JEMI_GRAIN_WORK = 1 << 18, /* multiply-adds that a piece has at least */
    JEMI_GRAIN_PIECES = 4,     /* of a worker, where there is enough work */
    JEMI_WORK_OF_FLOAT = 32,   /* reading, changing and writing one, as multiply-adds */
    JEMI_WORK_OF_NORMAL = 256, /* drawing a normal number */
    JEMI_GRAIN_MULTIPLE = 16   /* of jemi_grain_floats() */
};

/** For `count` elements of about `work` multiply-adds each. */
static inline int64_t jemi_grain(int64_t count, int64_t work)
{
    const int64_t least = JEMI_GRAIN_WORK / (work > 0 ? work : 1) + 1;
    const int64_t fair = count / ((int64_t)JEMI_GRAIN_PIECES * jemi_parallel_width());
    return fair > least ? fair : least;
}

/** For the floats of a flat array, `work` for each: pieces begin at a multiple of 16. */
static inline int64_t jemi_grain_floats(int64_t count, int64_t work)
{
    const int64_t grain = jemi_grain(count, work) + JEMI_GRAIN_MULTIPLE - 1;
    return grain - grain % JEMI_GRAIN_MULTIPLE;
}

#endif
