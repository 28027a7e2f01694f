/*
 * Many buffers in one block: each is alive over an interval of steps, and two that are never alive
 * together may lie in the same place.
 */
#ifndef JEMI_BACKEND_CPU_ARENA_H
#define JEMI_BACKEND_CPU_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include <jem/jem.h>

typedef struct jemi_span {
    int32_t first, last; /* steps, both included; first > last = never used, gets no place */
    size_t bytes;
    size_t offset; /* out, a multiple of 64 */
} jemi_span;

/**
 * Gives every span its offset: largest first, each into the lowest place that is free of those
 * placed before it and alive at the same time.
 *
 * @param total  Out. Bytes of the whole block.
 * @return JEM_OK, JEM_ENOMEM.
 */
jem_status jemi_arena_place(jemi_span *const *spans, int32_t count, size_t *total);

#endif
