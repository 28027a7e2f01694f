/*
 * First fit over lifetimes. Quadratic in the number of spans, of which a plan has a few hundred.
 *
 * `placed` holds the spans placed so far by rising offset: walking it once finds the lowest gap.
 */
#include "backend/cpu/arena.h"

#include <stdbool.h>

#include "base/memory.h"
#include "base/status.h"

enum { ALIGNMENT = 64 };

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool alive_together(const jemi_span *a, const jemi_span *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static size_t first_fit(jemi_span *const *placed, int32_t count, const jemi_span *span)
{
    size_t offset = 0;
    for (int32_t i = 0; i < count; i++) {
        const jemi_span *other = placed[i];
        if (!alive_together(span, other))
            continue;
        if (offset + aligned(span->bytes) <= other->offset)
            break;
        const size_t end = other->offset + aligned(other->bytes);
        offset = end > offset ? end : offset;
    }
    return offset;
}

static void insert(jemi_span **placed, int32_t count, jemi_span *span)
{
    int32_t at = count;
    for (; at > 0 && placed[at - 1]->offset > span->offset; at--)
        placed[at] = placed[at - 1];
    placed[at] = span;
}

static void sort_by_size(jemi_span **spans, int32_t count)
{
    for (int32_t i = 1; i < count; i++) {
        jemi_span *span = spans[i];
        int32_t at = i;
        for (; at > 0 && spans[at - 1]->bytes < span->bytes; at--)
            spans[at] = spans[at - 1];
        spans[at] = span;
    }
}

jem_status jemi_arena_place(jemi_span *const *spans, int32_t count, size_t *total)
{
    jemi_span **by_size = jemi_alloc((size_t)count, sizeof(jemi_span *));
    jemi_span **placed = jemi_alloc((size_t)count, sizeof(jemi_span *));
    *total = 0;
    if (by_size != NULL && placed != NULL) {
        int32_t n_used = 0;
        for (int32_t i = 0; i < count; i++)
            if (spans[i]->first <= spans[i]->last)
                by_size[n_used++] = spans[i];
        sort_by_size(by_size, n_used);
        for (int32_t i = 0; i < n_used; i++) {
            jemi_span *span = by_size[i];
            span->offset = first_fit(placed, i, span);
            insert(placed, i, span);
            const size_t end = span->offset + aligned(span->bytes);
            *total = end > *total ? end : *total;
        }
    }
    const bool complete = by_size != NULL && placed != NULL;
    jemi_free(by_size);
    jemi_free(placed);
    return complete ? JEM_OK : jemi_fail_memory("placement of a plan's buffers");
}
