/*
 * A parallel loop that stays serial when it is too short to be shared.
 *
 * Not by OpenMP's own if clause: libgomp then makes a team of one, and frees the team it had kept
 * for the next region. That is a malloc and a free at each change from long loops to short ones.
 */
#ifndef JEMI_KERNELS_PARALLEL_H
#define JEMI_KERNELS_PARALLEL_H

#define JEMI_PARALLEL_IF(worthwhile, ...)                                                          \
    do {                                                                                           \
        if (worthwhile) {                                                                          \
            _Pragma("omp parallel for schedule(static)") __VA_ARGS__                               \
        } else {                                                                                   \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
