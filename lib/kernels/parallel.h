/*
 * A parallel loop that stays serial when it is too short to be shared, or when there is nobody to
 * share it with: a single thread, or a caller that is itself one of a team.
 *
 * Not by OpenMP's own if clause: libgomp then makes a team of one, and frees the team it had kept
 * for the next region. That is a malloc and a free at each change from long loops to short ones.
 */
#ifndef JEMI_KERNELS_PARALLEL_H
#define JEMI_KERNELS_PARALLEL_H

#include <stdbool.h>

#include "base/threads.h"

#define JEMI_PARALLEL_IF(worthwhile, ...)                                                          \
    do {                                                                                           \
        if ((worthwhile) && jemi_threads_now() > 1) {                                              \
            _Pragma("omp parallel for schedule(static)") __VA_ARGS__                               \
        } else {                                                                                   \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#define JEMI_PARALLEL(...) JEMI_PARALLEL_IF(true, __VA_ARGS__)

#endif
